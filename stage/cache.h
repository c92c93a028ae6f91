/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h - the cache as a whole: what is in it, whether it is good, for which kernels it matters.
 * The commands that look at it and tidy it are built on this; loading a driver is not.
 */
#ifndef MODULUS_CACHE_H
#define MODULUS_CACHE_H

#include "store.h"

/* One bundle, by its name alone. */
struct cache_file {
	char *folder, *file; /* a release or "any"; <name>-<kind>-<digest>.tar.zst */
	struct store_name name;
	uint64_t size_bytes;
	int64_t changed; /* mtime, seconds since 1970 */
};

struct cache_list {
	struct cache_file *v;
	size_t n;
	char *shown;       /* where the cache is */
	size_t quarantined; /* files in .quarantine/ */
};

/*
 * All files of the cache that are named as bundles are, by folder and name; an empty list where
 * there is no cache. At most LIMIT_CACHE_FILES. -E_CACHE_UNREACHABLE, -EOVERFLOW, -errno.
 */
int cache_read(const struct host *h, const char *where, struct cache_list *ret, struct err *err) _must_check_;
void cache_list_free(struct cache_list *l);
#define _cleanup_cache_list_ _cleanup_(cache_list_free)

/*
 * Opens one, verifies name and header, and that it is as long as the header says. *ret: ready to be
 * verified to its end. -E_CORRUPT, -E_UNTRUSTED, -ENOENT (it is gone), -errno.
 */
int cache_open_bundle(const struct host *h, const char *where, const struct cache_file *f, const struct keyring *ring,
		      struct bundle **ret, struct err *err) _must_check_;

/*
 * Is another bundle with the same serial cached already? Both would be refused at boot (two truths),
 * so the second must not get in. 0; -E_EQUIVOCATION; -ENOMEM. What cannot be read says nothing.
 */
int cache_check_serial(const struct host *h, const char *where, const struct manifest *m, const struct keyring *ring,
		       struct err *err) _must_check_;

/*
 * Removes the files that are marked, in the order of the list, directories that are empty then, and what
 * interrupted copies left anywhere.
 * Durable. -errno, -E_CACHE_UNREACHABLE.
 */
int cache_remove(const struct host *h, const char *where, const struct cache_list *l, const bool *surplus,
		 struct err *err) _must_check_;

#endif
