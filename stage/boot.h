/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.h - the order of the steps. `boot` in the initramfs, `finish` early in the real root.
 */
#ifndef MODULUS_BOOT_H
#define MODULUS_BOOT_H

#include "device.h"
#include "report.h"
#include "seen.h"

/* Between our deadline and the unit's: an insert or a transfer that is over takes a moment to say so. */
#define UNIT_SLACK_US (30ull * 1000000)

/* By hand or for modprobe: one module of a bundle, or the bundle that a driver is to be completed from. */
struct boot_module {
	const char *name;       /* NULL: all that the driver loads at boot */
	const char *parameters; /* after all others; may be NULL */
	const char *digest;     /* of the bundle that this boot's live modules are from: no other one will do; may be NULL */
};

/* What every driver of one run shares. */
struct boot {
	const struct host *host;
	const struct cmdline *cmdline;
	const struct config *config;
	const struct kernel *kernel;
	const struct keyring *keys; /* those that the driver at hand accepts */
	struct seen *seen; /* with these keys */
	const struct device_list *devices; /* all that were found */
	uint64_t until_us; /* CLOCK_BOOTTIME; of the whole run */
	const struct boot_module *only; /* NULL: all that the driver loads, from the best bundle */
};

/*
 * The devices on all buses that a Match= names. settle: when a driver has none, wait for udev
 * (LIMIT_SETTLE_US) and look again. -ENOMEM, -errno of /sys.
 */
int boot_plan(const struct host *h, const struct config *c, struct device_list *devices, bool settle) _must_check_;

/* Is one of the devices for this driver? */
bool boot_wants(const struct driver *d, const struct device_list *devices);

/* Is there anything to do for this driver, or anything that can be done? If not, *ret_why is what became of it. */
bool boot_has_work(const struct boot *b, const struct driver *d, struct err *ret_why);

/*
 * Everything for one driver whose devices are there: find, verify, unpack, load, nodes, cache.
 * The outcome is in *report (result, and all that led to it); the return value is 0 or -ENOMEM.
 */
int boot_driver(const struct boot *b, const struct driver *d, struct driver_report *report) _must_check_;

/* `modulus boot`: the exit code. */
int boot_run(const struct host *h);

/* When a run that begins now is over: LIMIT_RUN_US, or the longest Budget=. */
uint64_t boot_until(const struct config *c);

/*
 * `modulus finish`: looks once more for devices that came late, and gives what we made the
 * security labels that nothing in the initramfs could give. The exit code.
 */
int finish_run(const struct host *h);

/* `modulus finish --runtime`: only libraries and programs of live drivers, from the network too. The exit code. */
int finish_runtime_run(const struct host *h);

/*
 * `modulus finish --shutdown`: the machine goes down in good order, so no attempt did harm. In an initramfs
 * that is about to switch to the real root it does nothing.
 */
int finish_shutdown_run(const struct host *h);

/*
 * `modulus bless`: run after boot-complete.target; remembers what this boot loaded as good. The
 * exit code.
 */
int bless_run(const struct host *h);

#endif
