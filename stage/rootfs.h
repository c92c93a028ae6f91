/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs.h - a directory of the target that we keep something in, reached where its file system
 * is at the moment, and made writable for a moment.
 *
 * In the real root a path is a path. In the initramfs the target's /var may be
 *  - a directory of the root, which Debian and Fedora hand over mounted read-only (kernel argument
 *    `ro`): remounted for our writes and put back, so that nobody after us sees a difference;
 *  - a file system of its own that /etc/fstab of the target names: mounted on no path, see
 *    privatemount.h;
 *  - the stateroot's, on an ostree host (ostree(1), "ostree/deploy/STATEROOT/var"): that of the
 *    kernel argument ostree=, below the physical root, which is mounted at /sysroot of the target.
 */
#ifndef MODULUS_ROOTFS_H
#define MODULUS_ROOTFS_H

#include "host.h"
#include "privatemount.h"

struct rootfs_dir {
	const struct host *host;
	char *path;  /* below top */
	char *shown; /* as the real root will call it */
	int top;
	bool stateroot; /* top is an ostree stateroot's var */
	struct private_mount own;
	char *remounted; /* mount point that was made writable, with these flags of mount(2) */
	unsigned long flags;
};

#define ROOTFS_DIR_NONE { .top = -EBADF, .own = { .fs = -EBADF, .top = -EBADF } }

/*
 * Finds the file system that the absolute path is on; the directory itself may be missing. Changes
 * nothing. *ret is the caller's, rootfs_dir_release().
 * -E_CACHE_UNREACHABLE: it is on a file system that cannot be had now; -ENOMEM.
 */
int rootfs_dir_find(const struct host *h, const char *path, struct rootfs_dir *ret, struct err *err) _must_check_;
/* The same for a path on a partition: "PARTLABEL=..." and the like, or a device below /dev. */
int rootfs_dir_find_on(const struct host *h, const char *device, const char *path, struct rootfs_dir *ret,
		       struct err *err) _must_check_;

/* Opens the directory, or something below it ("" or "a/b"), links resolved inside top. */
int rootfs_dir_open(const struct rootfs_dir *d, const char *below, int flags) _must_check_;
/*
 * Makes the file system writable if it is not. Only a root other than "/" (the initramfs' view) is
 * ever remounted. -EROFS: "/" itself is read-only; -errno of mount(2).
 */
int rootfs_dir_writable(struct rootfs_dir *d, struct err *err) _must_check_;
/* Makes and opens a directory below it. */
int rootfs_dir_make(const struct rootfs_dir *d, const char *below, int *ret_fd) _must_check_;
/*
 * Puts everything back as it was and frees. Nothing below it may be open for writing. 0, or -errno
 * when the file system could not be made read-only again.
 */
int rootfs_dir_release(struct rootfs_dir *d);
/* The same for those who can do nothing about it: says so in the log. */
void rootfs_dir_done(struct rootfs_dir *d);
#define _cleanup_rootfs_dir_ _cleanup_(rootfs_dir_done)

#endif
