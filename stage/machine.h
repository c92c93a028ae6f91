/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.h - what every run on this machine reads first: the kernel command line, the configuration, which
 * kernel runs.
 */
#ifndef MODULUS_MACHINE_H
#define MODULUS_MACHINE_H

#include "config.h"
#include "device.h"
#include "kernel.h"

/* All zeroes before. */
struct machine {
	struct cmdline cmdline;
	struct config config;
	struct kernel kernel; /* the running one */
	struct device_list devices; /* filled by machine_read_all(), or by who needs them (boot_plan) */
};

/* All but the devices. */
int machine_read(const struct host *h, struct machine *ret, struct err *err) _must_check_;
/* The configuration's warnings, to the log. */
void machine_say_warnings(const struct machine *m);
/* All of it, and says them. */
int machine_read_all(const struct host *h, struct machine *ret, struct err *err) _must_check_;
void machine_done(struct machine *m);
#define _cleanup_machine_ _cleanup_(machine_done)

#endif
