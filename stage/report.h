/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.h - what happened, once: collected while it happens, written to
 * /run/modulus/status.json (modulus-status.json in docs/), said in one line for each driver.
 */
#ifndef MODULUS_REPORT_H
#define MODULUS_REPORT_H

#include <jansson.h>

#include "kernel.h"
#include "source.h"
#include "trial.h"

#define STATUS_DIR "/run/modulus"
#define STATUS_NAME "status.json"
#define STATUS_FORMAT 1

enum module_origin { MODULE_BUNDLE, MODULE_KERNEL, MODULE_LIVE };

struct module_report {
	char name[LIMIT_NAME_BYTES + 1];
	enum module_origin from; /* the bundle, the kernel's own tree, or it was live before */
	uint64_t us;             /* how long the insert took */
};

struct phase {
	const char *name; /* static */
	uint64_t us;
};

#define REPORT_PHASES 10

/* The bundle that is used; all NULL: none. */
struct bundle_report {
	char *flavor, *source, *origin, *digest, *key_id;
	char *cached; /* where the copy is that was made now, or NULL */
	uint64_t serial, stored_bytes;
};

struct driver_report {
	char *name, *version;
	struct err result; /* code 0: loaded */
	struct bundle_report bundle;
	struct {
		bool asked; /* false: there is none, and Runtime= names no place */
		struct err result; /* code 0: it is in place */
		struct bundle_report bundle;
	} firmware;
	struct strv devices, nodes, kernel_log, warnings;
	struct strv load; /* modules that were asked for by name; the others are what these depend on */
	struct module_report *modules;
	size_t n_modules;
	struct rejections rejected;
	struct phase phases[REPORT_PHASES];
	size_t n_phases;
	bool crashed; /* an init hung, or took its process down: a miss at once, see trial.h */
	uint64_t us; /* everything about this driver */
};

struct report {
	const char *stage; /* "initramfs", "real-root"; static */
	struct kernel kernel;
	uint64_t started_us;
	uint64_t taint_before;
	struct strv warnings;
	struct driver_report *drivers;
	size_t n_drivers;
};

void report_free(struct report *r);
#define _cleanup_report_ _cleanup_(report_free)

/* Adds a driver's report, named and versioned. NULL: no memory. Pointers may move at each call. */
struct driver_report *report_add_driver(struct report *r, const struct driver *d);
/* The bundle that is used: where from, digest, serial, key. Replaces what was set before. */
int report_set_bundle(struct bundle_report *b, const struct candidate *c, const struct manifest *m) _must_check_;
void report_clear_bundle(struct bundle_report *b);
/* Once for each name. */
int report_add_module(struct driver_report *d, const char *name, enum module_origin from, uint64_t us) _must_check_;
/* How many modules came from there. */
size_t report_inserted(const struct driver_report *d, enum module_origin from);
/* Is it live for this driver, by whomever? */
bool report_has_module(const struct driver_report *d, const char *name);
/* The attempt that this report is of; strings of the report's. */
struct trial report_trial(const struct driver_report *d, const struct kernel *k);
/* The same of a driver in status.json; digest "" when no bundle was used. */
struct trial status_trial(const json_t *status, const json_t *driver);
/* Adds to the phase of that name. */
void report_phase(struct driver_report *d, const char *name, uint64_t us);

/* A device asks for the driver and has none: no-device too, where no bundle drives what is here. */
bool report_is_failure(const struct driver_report *d);

/* The line that the journal gets: what, and from where, or why not. Caller frees. */
char *report_line(const struct driver_report *d, const struct kernel *k);

/* The whole as JSON. NULL: no memory. */
json_t *report_json(const struct host *h, const struct report *r);
json_t *report_driver_json(const struct driver_report *d);

/* status.json of this boot. -ENOENT: nothing ran yet. -EBADMSG: not what we wrote. */
int status_read(const struct host *h, json_t **ret) _must_check_;
/* The same, or the beginning of one for what runs first and in the real root. */
int status_begin(const struct host *h, const struct kernel *k, json_t **ret, struct err *err) _must_check_;
/* A driver's entry; NULL: there is none. Borrowed. */
json_t *status_entry(const json_t *status, const char *driver);
/* In its place, or behind all others. Takes the entry. -ENOMEM, also when that is NULL. */
int status_put_entry(json_t *status, const char *driver, json_t *entry) _must_check_;
/* Is the driver loaded, or does nothing here need it? As report_is_failure(), of an entry. */
bool status_is_ok(const json_t *entry);
/* Replaces it, and what is made of it: the metrics (metrics.h), and whether this machine is ready (ready.h). -ENOMEM, -errno. */
int status_write(const struct host *h, const json_t *status) _must_check_;
/*
 * The same for whoever read it before: it is read again, and what differs between status and was (a json_deep_copy() of
 * it as it was read; NULL: nothing was) takes its place there. What others wrote meanwhile stays. -ENOMEM, -errno.
 */
int status_update(const struct host *h, const json_t *was, json_t *status) _must_check_;

#endif
