/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - the cache, /var/lib/modulus/bundles below the target root: bundles exactly as they
 * were received, <release>/<name>-<kind>-<digest>.tar.zst, or any/ for those that belong to no
 * kernel. Names only narrow a look-up; what is in there is verified again at every use.
 */
#ifndef MODULUS_STORE_H
#define MODULUS_STORE_H

#include "bundle.h"
#include "rootfs.h"

#define STORE_DIR "/var/lib/modulus/bundles"

/* A copy that is being made. */
struct store_copy;

/*
 * Starts a copy of the bundle, its header first; what an earlier one left of the same bundle stays
 * below it, see store_partial(). *ret is NULL, with 0, when the same file is there already.
 * -EBUSY: another process is writing it.
 * -E_CACHE_UNREACHABLE: the place is hidden by a mount to come; -E_NO_SPACE: with the reserve
 * (CACHE_RESERVE_*) it would not fit; -errno.
 */
int store_begin(const struct host *h, const struct bundle *b, bool replace, struct store_copy **ret, struct err *err)
	_must_check_;
/* For bundle_set_partial(): the file, which may hold more of the bundle than was appended. */
int store_partial(const struct store_copy *copy);
/* bundle_tee_fn: appends stored bytes. A failure is remembered and comes out of store_publish. */
int store_append(void *copy, const void *bytes, size_t len);
/*
 * Makes the copy durable and visible under its name: fsync, rename, fsync of the directory.
 * Before the rename a power cut leaves a ".part" file that nobody reads. Frees the copy.
 * *ret_path is the path below the root. -E_NO_SPACE, -errno.
 */
int store_publish(struct store_copy *copy, char **ret_path, struct err *err) _must_check_;
/* Stops, and leaves what was appended to the next copy of this bundle; accepts NULL. */
void store_suspend(struct store_copy *copy);
/* Gives the copy up; accepts NULL. */
void store_abandon(struct store_copy *copy);

#endif
