/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rebuild.h - every bundle of the cache made anew: fetched again, or compiled again, and verified.
 */
#ifndef MODULUS_REBUILD_H
#define MODULUS_REBUILD_H

#include "host.h"

struct rebuild_request {
	const struct host *host;
	const char *release; /* for this kernel only; NULL: for those that keep_kernels() tells of */
	bool all;            /* and for every other one that something is cached for */
	const struct strv *names; /* drivers; empty: all that are configured */
};

/*
 * For each driver and kernel: verifies what is cached to its end (damaged files go to quarantine),
 * then gets the best bundle from elsewhere, or runs the driver's [Build] Command=, and puts it into
 * the cache when every byte of it held. What was there stays until that moment, and where nothing
 * could be had. The exit code of the first that failed.
 */
int rebuild_run(const struct rebuild_request *req);

#endif
