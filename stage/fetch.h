/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.h - bringing bundles into the cache on a running host, before they are needed.
 */
#ifndef MODULUS_FETCH_H
#define MODULUS_FETCH_H

#include "host.h"

struct fetch_request {
	const struct host *host;
	const char *release; /* of the kernel to fetch for; NULL: the running one */
	const struct strv *names; /* drivers; empty: all that are configured */
};

/*
 * For each driver: the best bundle of any source, verified completely, into the cache, whether
 * its device is here or not. One that is there already costs no transfer. The exit code of the
 * first driver that failed.
 */
int fetch_run(const struct fetch_request *req);

#endif
