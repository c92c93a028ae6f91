/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.h - bringing bundles into the cache on a running host, before they are needed.
 */
#ifndef MODULUS_FETCH_H
#define MODULUS_FETCH_H

#include "machine.h"
#include "source.h"

/* Makes of the running kernel one of another release: its build-id is that of its image, if it is installed. */
void fetch_for_kernel(const struct host *h, struct kernel *k, const char *release);

/* Makes of it the next one. */
void fetch_for_next(const struct next_kernel *next, struct kernel *k);

enum fetch_which {
	FETCH_ONE,  /* the kernel of `release` */
	FETCH_NEXT, /* the one of the next boot; nothing to do when that is the running one */
	FETCH_ALL,  /* the running one, the next one, all that are installed */
};

struct fetch_request {
	const struct host *host;
	enum fetch_which which;
	const char *release; /* NULL: the running kernel's */
	const char *next_usr; /* FETCH_NEXT: the /usr of the next boot is here, and nobody else need be asked; NULL */
	bool present; /* only drivers whose device is here */
	bool refresh; /* ask the network whether there is something newer than what is here */
	const struct strv *names; /* drivers; empty: all that are configured */
};

/*
 * Verifies one candidate to its end and keeps it in the cache, in place of an older copy; one that
 * is in the cache is verified where it is. Shows the progress. 0, or why not; then the cache is as
 * it was.
 */
int fetch_keep(const struct source_request *req, struct candidate *c, struct err *err) _must_check_;

/*
 * The best of the local places that is good to its end, or else of the network, is kept. Damaged
 * files of the cache that were come across (*ret_damaged, set in any case) are moved out of the way. 0, or why there
 * is none.
 */
int fetch_best(const struct source_request *req, bool *ret_damaged, struct err *err) _must_check_;

/*
 * For each driver: the best bundle of any source, verified completely, into the cache, whether its device is here
 * or not, unless `present` says otherwise; what is here decides which flavour. One that is there already costs no
 * transfer. The exit code of the first driver that failed.
 */
int fetch_run(const struct fetch_request *f);

#endif
