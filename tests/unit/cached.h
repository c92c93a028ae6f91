/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cached.h - a cache with bundles in it, for the tests of what is listed and of what is kept.
 */
#ifndef MODULUS_TEST_CACHED_H
#define MODULUS_TEST_CACHED_H

#include "cache.h"
#include "sample.h"

/* Below a place. */
#define CACHE "root" STORE_DIR "/"

/* A bundle of that serial and flavour into the cache, changed at that second; its digest, unless that is NULL. */
void put_cached(const struct place *p, const char *release, uint64_t serial, const char *flavor, time_t changed,
		char ret_digest[2 * SHA256_BYTES + 1]);

/* The list of it; the caller's. */
struct cache_list read_it(const struct place *p);

#endif
