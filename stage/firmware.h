/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firmware.h - a driver's firmware from a bundle of its own, in place before its modules are: some ask
 * for it when they start, some when their device is first opened.
 */
#ifndef MODULUS_FIRMWARE_H
#define MODULUS_FIRMWARE_H

#include "modules.h"
#include "report.h"
#include "source.h"

/*
 * Looks for the bundle of the driver's version as the modules' request says, and puts its files below
 * FIRMWARE_DIR; in the network only when these modules lack some. LIMIT_FIRMWARE_LEAVES_US of the
 * request's time, or half of it, are left. What became of it is in rep->firmware; nothing where there is none and
 * Runtime= names no place. A driver without it is loaded all the same. -ENOMEM.
 */
int firmware_bring(const struct source_request *modules, const struct module_set *set, struct driver_report *rep)
	_must_check_;

#endif
