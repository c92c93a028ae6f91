/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep.h - what of the cache is worth its place: for which kernels, and how much of each driver.
 */
#ifndef MODULUS_KEEP_H
#define MODULUS_KEEP_H

#include "cache.h"
#include "config.h"
#include "kernel.h"

/*
 * The kernels that the cache is kept for, each once, at most LIMIT_KERNELS: the running one, which is the
 * first; the next one (next.h), where that is known; those installed; of the others the CACHE_BLESSED_KERNELS
 * that were blessed or tried last, to go back to; and of those that were never blessed the
 * CACHE_OTHER_KERNELS that something was cached for last, which somebody fetched by name. all: every other one
 * too that something is cached for.
 */
int keep_kernels(const struct host *h, const struct kernel *running, const struct cache_list *l, bool all,
		 struct strv *ret, struct err *err) _must_check_;

/*
 * The files that are not worth their place, in the order of the list: those of other kernels; of each
 * driver's modules, by flavour, for one kernel all but the CACHE_KEEP_BUNDLES with the highest serials; of
 * what no kernel is bound to the same for each version that a driver file asks for or that modules are kept
 * of, and all of other versions. Never one that keeps() says yes to, and none that cannot be verified:
 * those say nothing about themselves.
 */
int keep_surplus(const struct host *h, const struct config *c, const struct cache_list *l, const struct strv *kernels,
		 const struct keyring *ring, bool (*keeps)(void *ctx, const struct cache_file *f), void *ctx,
		 bool *ret_surplus, struct err *err) _must_check_;

/*
 * Marks what is surplus on this machine; what the present boot uses and what Digest= pins is not. ret_surplus:
 * as many as the list has.
 */
int keep_find_surplus(const struct host *h, const struct config *c, const struct kernel *running,
		      const struct cache_list *l, bool *ret_surplus, struct err *err) _must_check_;

#endif
