/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recompile.h - the command that [Build] Command= of a driver file names, which makes a bundle on
 * this machine. What it makes is believed no more than what comes from elsewhere.
 */
#ifndef MODULUS_RECOMPILE_H
#define MODULUS_RECOMPILE_H

#include "config.h"

/* Where the command was to put the bundle. */
struct recompiled {
	char *dir, *output;
};

/*
 * Runs the driver's command for that kernel, without a shell, in a process group of its own, with
 * MODULUS_NAME, MODULUS_VERSION, MODULUS_FLAVOR, MODULUS_KERNEL, MODULUS_ROOT and MODULUS_OUTPUT in
 * its environment; what it says goes to our stderr. *ret is the caller's, recompiled_remove().
 * -E_BUILD_FAILED: it could not be run, did not end with 0, was not done in Timeout=, or left no
 * file; -errno. A signal that ends us (SIGINT, SIGTERM, SIGHUP) ends the command first.
 */
int recompile_run(const struct host *h, const struct driver *d, const char *release, struct recompiled *ret,
		  struct err *err) _must_check_;
/* Removes the output and its directory. */
void recompiled_remove(struct recompiled *r);
#define _cleanup_recompiled_ _cleanup_(recompiled_remove)

#endif
