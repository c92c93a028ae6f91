/* SPDX-License-Identifier: Apache-2.0 */
/*
 * byhand.h - `modulus load` and `modulus unload` on a running host: by a person, or by modprobe and udev, which
 * modprobe.h sends here for modules that only the bundle has.
 *
 * A NAME is a driver's, which stands for all that it loads at boot, or that of one module of a driver's bundle.
 * Bundles come from the same places as at boot and are verified and judged by the same rules, attempts
 * included. As long as a module of a driver is live only the bundle that this one is from will do: modules of
 * two builds are no driver.
 */
#ifndef MODULUS_BYHAND_H
#define MODULUS_BYHAND_H

#include "host.h"

struct byhand_request {
	const struct host *host;
	const struct strv *names; /* at least one */
	bool modules;             /* all names are modules', also where a driver has that name */
	const char *parameters;   /* for the one module, "KEY=VALUE ..."; NULL: none */
	bool quiet;               /* say nothing of what went well */
};

/* Both: the exit code, of the first that failed; the others are tried all the same. */
int byhand_load_run(const struct byhand_request *req);
int byhand_unload_run(const struct byhand_request *req);

#endif
