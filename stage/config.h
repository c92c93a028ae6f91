/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - what the operator wrote: one INI file for each driver, defaults for all of them in
 * modulus.conf, and the kernel command line. modulus.conf(5) is the manual of this file.
 *
 * An empty file in /etc masks the one of the same name in /usr/lib, as elsewhere in systemd's
 * world. A driver file that cannot be used makes *that driver* bad-config; the others go on. A key or
 * section that we do not know is a warning with file and line.
 */
#ifndef MODULUS_CONFIG_H
#define MODULUS_CONFIG_H

#include "cmdline.h"

/* Trial=: what happens when an attempt to load cannot be recorded; see trial.h. */
enum trial_mode { TRIAL_AUTO, TRIAL_REQUIRED, TRIAL_NONE };

/* OnFailure=: what a driver with Required=yes asks systemd for when it is not loaded. */
enum on_failure { FAIL_EMERGENCY, FAIL_REBOOT, FAIL_POWEROFF };

struct driver {
	char *name;        /* file name without .conf: what bundles are called */
	char *path;        /* /etc/modulus/NAME.conf, for messages */
	char *version;     /* equals the bundle's version, bytewise */
	struct strv flavors; /* the one that is preferred first; empty: any */
	struct strv match; /* globs on modalias; at least one */
	struct strv load;  /* module names; empty: the manifest's */
	struct strv options; /* "MODULE KEY=VALUE ..."; after the manifest's */
	struct strv evict; /* rivals: modules that must not hold the device */
	struct strv from;  /* source specifications in order */
	struct strv runtime; /* more of them, for bundles that no kernel is bound to */
	char *ca;          /* file with CA certificates below the root, or NULL */
	char *proxy;       /* URL, or NULL: what the environment says */
	char *credentials; /* docker's auth.json below the root, or NULL */
	unsigned int trust_usr; /* 1: keys from /usr and the initramfs only */
	uint64_t min_serial;
	char *digest;      /* 64 hex digits, NULL when not pinned */
	uint64_t budget_us;
	unsigned int trial;      /* enum trial_mode */
	unsigned int sysext;     /* 1: libraries and programs are in /usr too, by systemd-sysext(8) */
	uint64_t gate_us;        /* an update waits so long for the bundle; 0: not at all; CONFIG_GATE_ALWAYS */
	unsigned int required;   /* 1: on_failure is carried out when it is not loaded */
	unsigned int on_failure; /* enum on_failure */
	struct strv build; /* the command that makes a bundle here, and its arguments; empty: none */
	uint64_t build_us; /* its time */
	char *cache;       /* of modulus.conf only: see struct config */
	bool masked;       /* an empty file: config_read() drops it */
	struct err error;  /* code != 0: this driver cannot be used, and why */
};

#define CONFIG_GATE_ALWAYS UINT64_MAX

struct config {
	struct driver *drivers;
	size_t n_drivers;
	char *cache; /* Cache=: an absolute path, a device below /dev or PARTLABEL=...; NULL: the usual place */
	struct strv blacklist; /* module names, '-' as '_' */
	struct strv warnings;
	bool off;   /* modulus=off */
	bool debug; /* modulus.debug */
};

/*
 * Reads <root>/usr/lib/modulus and <root>/etc/modulus (a file in /etc replaces the one of the
 * same name in /usr/lib) and applies the command line. Only failures that concern everything
 * are errors: -ENOMEM, -errno of the directories (a missing directory is no error).
 */
int config_read(const struct host *h, const struct cmdline *cmdline, struct config *ret, struct err *err) _must_check_;
/*
 * One driver's file of any name and place, for a machine that it is not on: what /etc and /usr hold is not
 * asked. -E_BAD_CONFIG, -ENOMEM, -errno of reading.
 */
int config_read_file(const char *path, struct config *ret, struct err *err) _must_check_;
void config_free(struct config *c);
#define _cleanup_config_ _cleanup_(config_free)

/*
 * One file's text into *d, which holds the defaults. Pure. path is for messages only.
 * Returns 0 or -E_BAD_CONFIG (in err: file, line, key) or -ENOMEM.
 */
int config_parse_driver(const char *path, const char *text, size_t len, struct driver *d, struct strv *warnings,
			struct err *err) _must_check_;

/* "90", "90s", "2min", "12h", "1d", "500ms" -> microseconds. -EINVAL, -ERANGE (above one day). */
int config_parse_duration(const char *s, uint64_t *ret_us) _must_check_;

/* The driver of that name; NULL: there is none, or no name. */
const struct driver *config_find(const struct config *c, const char *name);

/* Module names are equal when they differ only in '-' and '_'. */
bool module_name_equal(const char *a, const char *b);
/* Is it one of the list? */
bool module_name_listed(const struct strv *names, const char *name);

#endif
