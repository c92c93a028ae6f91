/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - the cache, /var/lib/modulus/bundles of the target or where Cache= says: bundles
 * exactly as they were received, <release>/<name>-<kind>-<digest>.tar.zst, or any/ for those that
 * belong to no kernel. Names only narrow a look-up; what is in there is verified again at every
 * use. What was found damaged is in .quarantine/, which nobody reads.
 */
#ifndef MODULUS_STORE_H
#define MODULUS_STORE_H

#include "bundle.h"
#include "limit.h"
#include "rootfs.h"

#define STORE_DIR "/var/lib/modulus/bundles"
/* On a partition that Cache= names. */
#define STORE_DIR_ON_PARTITION "modulus/bundles"
#define STORE_ANY "any"
#define STORE_QUARANTINE ".quarantine"

/*
 * Where the cache is. where: what Cache= says, NULL for STORE_DIR. Changes nothing.
 * -E_CACHE_UNREACHABLE, -ENOMEM.
 */
int store_find(const struct host *h, const char *where, struct rootfs_dir *ret, struct err *err) _must_check_;

/* --- names --- */

/* <name>-<kind>-<digest>.tar.zst, taken apart. */
struct store_name {
	char name[LIMIT_NAME_BYTES + 1];
	enum bundle_kind kind;
	char digest[2 * SHA256_BYTES + 1];
};

bool store_parse_name(const char *file, struct store_name *ret);
/* The directory and the file name that a bundle has. Caller frees; NULL: no memory. */
char *store_folder(const struct manifest *m);
char *store_file(const struct manifest *m);

/* How long the whole file is, by its header. */
uint64_t store_size(const struct bundle *b);

/*
 * Does the file, which stands at its beginning, hold the manifest that its name tells? It stands
 * there again afterwards. 0; -E_CORRUPT: it does not, or is no bundle; -errno.
 */
int store_check_name(int fd, const char *file, struct err *err) _must_check_;

/* --- writing --- */

/* A copy that is being made. */
struct store_copy;

/*
 * Starts a copy of the bundle, its header first; what an earlier one left of the same bundle stays
 * below it, see store_partial(). *ret is NULL, with 0, when the same file is there already, unless
 * it is to be replaced.
 * -EBUSY: another process is writing it. -E_CACHE_UNREACHABLE. -E_NO_SPACE: with the reserve
 * (CACHE_RESERVE_*) it would not fit. -errno.
 */
int store_begin(const struct host *h, const char *where, const struct bundle *b, bool replace, struct store_copy **ret,
		struct err *err) _must_check_;
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

/* May so many bytes go there, with what is left to others (CACHE_RESERVE_*)? -E_NO_SPACE, about `what`; -errno. */
int store_check_space(int dirfd, uint64_t size, const char *what, struct err *err) _must_check_;

/* Removes what interrupted copies left in one directory of the cache; not what is being written. */
void store_sweep(int dirfd);

/*
 * Takes a damaged file out of the way: folder/file of the cache goes to .quarantine/, where at most
 * CACHE_QUARANTINE_FILES and CACHE_QUARANTINE_BYTES are kept, the latest ones. Durable.
 * -ENOENT: it is gone; -errno, -E_CACHE_UNREACHABLE.
 */
int store_quarantine(const struct host *h, const char *where, const char *folder, const char *file, struct err *err)
	_must_check_;

#endif
