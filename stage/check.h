/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - would a kernel get its drivers? What boot would do, up to the first insert, and nothing of it is
 * done: no cache is written, nothing is moved to quarantine, no network is brought up.
 */
#ifndef MODULUS_CHECK_H
#define MODULUS_CHECK_H

#include "finding.h"
#include "source.h"

struct check_request {
	const struct host *host;
	const struct cmdline *cmdline;
	const struct config *config;
	const struct kernel *kernel;      /* the one that is meant */
	const struct next_kernel *next;   /* when that is the next one; NULL */
	const char *keys;   /* directory of keys; NULL: the machine's */
	bool whole;         /* bundles of modules in the network are verified to their end too */
	bool every_driver;  /* whether its device is here or not: for a file of another machine */
};

/*
 * Adds what there is to say of each driver: its device; its modules, the first bundle that boot would use,
 * verified to its end where that is a local file, its header alone in the network unless `whole`; firmware and
 * libraries where there are any. -ENOMEM.
 */
int check_drivers(const struct check_request *c, struct findings *ret, struct err *err) _must_check_;

#endif
