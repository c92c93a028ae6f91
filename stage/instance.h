/* SPDX-License-Identifier: Apache-2.0 */
/*
 * instance.h - `modulus finish --driver NAME-VERSION`, what an instance of modulus@.service runs: one driver that
 * somebody asks for by a command, on a host where `boot` did not run in the initramfs, or not for this version.
 */
#ifndef MODULUS_INSTANCE_H
#define MODULUS_INSTANCE_H

#include "config.h"

/*
 * Which driver, and the version that is asked for, a copy of the caller's. Both names and versions may have '-': of the
 * configured drivers whose name is followed by '-' and a version it is the longest. \xNN is a byte, as
 * systemd-escape(1) writes what a unit's name may not hold. Pure. -E_BAD_CONFIG, with the files that were looked
 * for; -ENOMEM.
 */
int instance_find(const struct config *c, const char *instance, struct driver **ret_driver, char **ret_version,
		  struct err *err) _must_check_;

/*
 * Serves that driver in that version as `boot` does, and completes as `finish` does. One that is loaded in that
 * version already is left alone; one that is loaded in another version is an error. One at a time. The exit code.
 */
int instance_run(const struct host *h, const char *instance);

#endif
