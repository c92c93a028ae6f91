/* SPDX-License-Identifier: Apache-2.0 */
/*
 * privatemount.h - a file system that the OS has not mounted, mounted on no path: it is there as
 * long as descriptors of it are, nobody else sees it, and power loss leaves nothing to undo.
 * nosuid, nodev and noexec; only file systems that we let the kernel parse.
 */
#ifndef MODULUS_PRIVATEMOUNT_H
#define MODULUS_PRIVATEMOUNT_H

#include "err.h"

enum private_use {
	PRIVATE_LOOK, /* never written, its log not replayed: a look must leave no trace */
	PRIVATE_KEEP, /* what we keep is on it: the log is replayed, as the real root will do in a moment */
};

struct private_mount {
	int fs;  /* of fsopen(2) */
	int top; /* the file system's top directory */
	bool ours;     /* nobody else has it mounted writable: it is so only while we write */
	bool writable; /* now */
};

/* "UUID=...", "PARTLABEL=...", "/dev/vda3" -> a device's path, which the caller frees; NULL: there is none. */
char *private_mount_find(const char *spec);

/*
 * Mounts the block device read-only. One that somebody else has mounted writable is shared as it
 * is (PRIVATE_KEEP), or -EBUSY (PRIVATE_LOOK). *ret is the caller's, private_mount_close().
 * -EMEDIUMTYPE: no file system of the list; -ENOTBLK; -errno.
 */
int private_mount_open(const char *device, enum private_use use, struct private_mount *ret, struct err *err)
	_must_check_;
/* Makes it writable, or read-only again. -EROFS, -errno. Nothing may be open for writing then. */
int private_mount_set_writable(struct private_mount *m, bool writable) _must_check_;
void private_mount_close(struct private_mount *m);

#endif
