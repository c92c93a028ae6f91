/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.h - verified modules into the kernel, in an order that works.
 *
 * A name is resolved: already live, then the bundle, then the kernel's own tree below the target
 * root (through libkmod). Each insert runs in a child with a deadline. Bundle modules are checked
 * before the first insert: vermagic, and a kernel signature where the kernel demands one.
 */
#ifndef MODULUS_LOAD_H
#define MODULUS_LOAD_H

#include "config.h"
#include "modules.h"
#include "report.h"

struct load_request {
	const struct host *host;
	const struct kernel *kernel;
	const struct config *config; /* blacklist */
	const struct cmdline *cmdline; /* <module>.<parameter>=<value> */
	const struct driver *driver;
	const struct manifest *manifest;
	struct module_set *set;
	const char *module;     /* this one instead of all that the driver loads; NULL: all */
	const char *parameters; /* for it, after all others; may be NULL */
	uint64_t until_us; /* the driver's deadline */
};

/*
 * Loads what the driver asks for (Load=, or the manifest's list), or the one module, with all it depends on; fills
 * modules and kernel_log of the report, also on failure.
 * -E_NO_DEVICE: the first of the bundle's modules said so; -E_WRONG_KERNEL: vermagic; -E_UNSIGNED; -E_DISABLED: blacklisted; -E_INIT_FAILED, -E_INIT_HUNG,
 * -E_OVER_BUDGET; -E_CORRUPT: a file of the bundle is not a module.
 */
int load_driver(const struct load_request *req, struct driver_report *report, struct err *err) _must_check_;

/* "sys/module/NAME/FILE", NAME as the kernel spells it. Caller frees; NULL: no memory. */
char *load_sysfs_path(const char *name, const char *file);

/* /sys/module says live, or built in. */
bool load_is_live(const struct host *h, const char *name);

/*
 * The parameters for one module: the manifest's options, then Options=, then the command line, then
 * what was given for it, separated by blanks; the kernel lets the last one win. Caller frees; NULL: no memory.
 */
char *load_parameters(const struct load_request *req, const char *module);

#endif
