/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtimenew.h - a tree of runtimetree.h while it is made: unpacked beside its place, all of it on disk, and
 * only then by its name.
 */
#ifndef MODULUS_RUNTIMENEW_H
#define MODULUS_RUNTIMENEW_H

#include "runtimetree.h"
#include "unpack.h"

/* One that is being made: NAME/.VERSION.part. All zeroes but the descriptors: none. */
struct runtime_new {
	const struct host *host;
	char *dir_path, *part;
	int dir, lock, fd; /* NAME, its lock, the new tree */
	struct unpack_dir unpacking;
};

#define RUNTIME_NEW_NONE { .dir = -EBADF, .lock = -EBADF, .fd = -EBADF }

/*
 * Makes room: what interrupted runs left is removed. In memory only where that has room for twice the tree.
 * -EBUSY: another process makes one of this driver; -E_NO_SPACE; -errno.
 */
int runtime_new_begin(const struct host *h, const struct manifest *m, struct runtime_new *ret, struct err *err)
	_must_check_;
/* Where the bundle's files go. */
struct unpack_sink runtime_new_sink(struct runtime_new *n);
/*
 * Adds the rest, sees all of it to the disk (syncfs(2): one flush, where an fsync of each file would be
 * hundreds), gives it its name, and that to the disk. A tree that has the name already is exchanged for it and
 * waits as .VERSION.old for runtime_tidy(). b: the bundle, read to its end. *ret_path is the caller's.
 */
int runtime_new_publish(struct runtime_new *n, const struct bundle *b, char **ret_path, struct err *err) _must_check_;
/* Removes what was made, unless it was published; frees. */
void runtime_new_done(struct runtime_new *n);
#define _cleanup_runtime_new_ _cleanup_(runtime_new_done)

#endif
