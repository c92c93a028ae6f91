/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor.h - what `modulus check` says of the machine itself, beside each driver's bundles: whether all is in place that a
 * boot needs. Reads only, and asks no network.
 */
#ifndef MODULUS_DOCTOR_H
#define MODULUS_DOCTOR_H

#include "config.h"
#include "finding.h"
#include "kernel.h"

/*
 * Adds rows about FINDING_SYSTEM: configuration, keys, kernel, signatures, devices, rivals, sources, cache, space,
 * loaded, units. What is not good has a command that mends it. It is a failure only where no driver could be loaded.
 * -ENOMEM.
 */
int doctor_run(const struct host *h, const struct config *c, const struct kernel *k, struct findings *ret,
	       struct err *err) _must_check_;

#endif
