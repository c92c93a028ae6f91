/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs.h - may we write below the target root now, and making it so for a moment.
 *
 * Debian and Fedora hand the initramfs a root mounted read-only (kernel argument `ro`) and make
 * it writable later. For our own writes it is remounted and put back, so that nobody after us
 * sees a difference.
 */
#ifndef MODULUS_ROOTFS_H
#define MODULUS_ROOTFS_H

#include "host.h"

struct rootfs_writable {
	const struct host *host;
	unsigned long flags; /* of mount(2), without MS_RDONLY */
	bool remounted;
};

/*
 * Makes the file system of the target root writable if it is not. Only a root other than "/"
 * (the initramfs' view) is ever remounted.
 * -EROFS: "/" itself is read-only; -errno of mount(2).
 */
int rootfs_writable_begin(const struct host *h, struct rootfs_writable *ret) _must_check_;
/* Puts it back. Nothing below the root may be open for writing. 0 or -errno of mount(2). */
int rootfs_writable_end(struct rootfs_writable *w) _must_check_;

/*
 * True when something will be mounted over a directory on the way to path that is not mounted
 * yet, so that writing there now would be hidden later: a line in /etc/fstab of the target, or
 * the /var of an ostree host (ostree-prepare-root(1) binds it in the real root).
 */
bool rootfs_is_hidden(const struct host *h, const char *path);

#endif
