// SPDX-License-Identifier: Apache-2.0
/*
 * doctor.c - see doctor.h. Runs on a running host, when somebody asks. Each row stands for itself: what cannot be
 * looked at is a row that says so.
 */
#include "doctor.h"

#include <fcntl.h>

#include "boot.h"
#include "cache.h"
#include "evict.h"
#include "jsontext.h"
#include "removetree.h"
#include "report.h"
#include "source.h"

#define SECURE_BOOT "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define KEY_DIR "/etc/modulus/keys"

struct doctor {
	const struct host *h;
	const struct config *c;
	const struct kernel *k;
	struct device_list devices;
	bool has_work; /* a device here asks for a driver */
	struct findings *ret;
};

static int good(const struct doctor *d, const char *what, const char *text)
{
	return findings_addf(d->ret, FINDING_OK, FINDING_SYSTEM, what, 0, "%s", text);
}

/* code may be 0, where no reason has that name; then the text says it all. */
static int bad(const struct doctor *d, enum finding_level level, const char *what, int code, const char *text,
	       const char *command)
{
	int r = findings_addf(d->ret, level, FINDING_SYSTEM, what, code, "%s", text);

	if (r == 0)
		findings_set_command(d->ret, command);
	return r;
}

/* "A, B, C" as far as it fits in a finding. */
static void _printf_(3, 4) join(char *text, size_t size, const char *fmt, ...)
{
	size_t used = strlen(text);
	va_list ap;

	if (used > 0 && used + 2 < size)
		used = (size_t)(stpcpy(text + used, ", ") - text);
	va_start(ap, fmt);
	vsnprintf(text + used, size - used, fmt, ap);
	va_end(ap);
}

/* --- what the operator gave --- */

static int look_at_configuration(const struct doctor *d)
{
	char text[ERR_TEXT_MAX] = "";

	if (d->c->n_drivers == 0) /* a row of its own */
		return 0;
	if (d->c->warnings.n > 0)
		return bad(d, FINDING_WARN, "configuration", 0, d->c->warnings.v[0], "man modulus.conf");
	for (size_t i = 0; i < d->c->n_drivers; i++)
		join(text, sizeof(text), "%s", d->c->drivers[i].name);
	return good(d, "configuration", text);
}

static int look_at_keys(const struct doctor *d)
{
	_cleanup_keyring_ struct keyring ring = { 0 };
	char text[ERR_TEXT_MAX] = "", id[TRUST_KEY_ID_HEX];
	struct err err;
	int r = keyring_load(d->h, false, &ring, &err);

	if (r < 0)
		return r == -ENOMEM ? r : bad(d, FINDING_FAIL, "keys", r, err.text, "ls -l " KEY_DIR);
	if (ring.n == 0)
		return bad(d, d->has_work ? FINDING_FAIL : FINDING_WARN, "keys", -E_UNTRUSTED, "no public key",
			   "install -D -m 644 -t " KEY_DIR " FLEET.pub");
	if (ring.warnings.n > 0)
		return bad(d, FINDING_WARN, "keys", 0, ring.warnings.v[0], "ls -l " KEY_DIR);
	for (size_t i = 0; i < ring.n; i++) {
		trust_key_id_text(ring.keys[i].id, id);
		join(text, sizeof(text), "%s", id);
	}
	return good(d, "keys", text);
}

static int look_at_sources(const struct doctor *d)
{
	char text[ERR_TEXT_MAX] = "";

	for (size_t i = 0; i < d->c->n_drivers; i++) {
		const struct driver *driver = &d->c->drivers[i];

		for (size_t j = 0; j < driver->from.n; j++) {
			_cleanup_free_ char *shown = source_shown(driver->from.v[j]);

			if (!shown)
				return -ENOMEM;
			if (!strstr(text, shown))
				join(text, sizeof(text), "%s", shown);
		}
	}
	return good(d, "sources", *text ? text : "cache:, usr:");
}

/* --- the kernel --- */

static int look_at_kernel(const struct doctor *d)
{
	char text[ERR_TEXT_MAX];

	snprintf(text, sizeof(text), "%s %s, %s%s", d->k->release, d->k->machine,
		 d->k->build_id[0] ? "build-id " : "no build-id: symbol versions are compared", d->k->build_id);
	return good(d, "kernel", text);
}

/* Secure Boot alone refuses nothing: what it turns on does. */
static int look_at_signatures(const struct doctor *d)
{
	_cleanup_free_ char *variable = NULL;
	const char *secure = "no EFI", *lockdown = "not in this kernel", *enforce = "N";
	char locked[128], enforced[8], text[ERR_TEXT_MAX];
	size_t len;

	/* four bytes of attributes, then 0 or 1 (UEFI 2.10, 3.3) */
	if (host_live_read(d->h, SECURE_BOOT, 16, &variable, &len) == 0)
		secure = len == 5 && variable[4] == 1 ? "on" : "off";
	if (read_line_at(d->h->live_fd, "sys/kernel/security/lockdown", locked, sizeof(locked)) == 0)
		lockdown = locked;
	if (read_line_at(d->h->live_fd, "sys/module/module/parameters/sig_enforce", enforced, sizeof(enforced)) == 0)
		enforce = enforced;
	snprintf(text, sizeof(text), "Secure Boot: %s; lockdown: %s; sig_enforce: %s", secure, lockdown, enforce);
	if (!d->k->signed_only)
		return good(d, "signatures", text);
	return bad(d, FINDING_WARN, "signatures", -E_UNSIGNED, text,
		   "mokutil --list-enrolled; modulus build --module-key FILE --module-cert FILE");
}

/* --- devices --- */

static int look_at_devices(const struct doctor *d)
{
	char text[ERR_TEXT_MAX] = "", rivals[ERR_TEXT_MAX] = "";
	int r;

	for (size_t i = 0; i < d->c->n_drivers; i++) {
		const struct driver *driver = &d->c->drivers[i];

		for (size_t j = 0; j < d->devices.n; j++) {
			const struct device *dev = &d->devices.v[j];
			_cleanup_free_ char *holder = NULL;

			if (!device_matches(dev, &driver->match))
				continue;
			holder = evict_holder(d->h, dev);
			join(text, sizeof(text), "%s %s (%s)", driver->name, dev->address, holder ? holder : "no driver");
			if (holder && module_name_listed(&driver->evict, holder))
				join(rivals, sizeof(rivals), "%s holds %s", holder, dev->address);
		}
	}
	r = good(d, "devices", *text ? text : "no device here asks for a driver");
	if (r < 0)
		return r;
	if (*rivals) /* boot takes it from them, where it can */
		return bad(d, FINDING_WARN, "rivals", 0, rivals, "add modprobe.blacklist= to the kernel arguments: modulus-kargs.bu");
	return good(d, "rivals", "none holds a device");
}

/* --- the cache --- */

static int look_at_cache(const struct doctor *d)
{
	_cleanup_cache_list_ struct cache_list l = { 0 };
	_cleanup_keyring_ struct keyring ring = { 0 };
	char text[ERR_TEXT_MAX];
	struct err err, first = { 0 };
	size_t n_bad = 0;
	int r = cache_read(d->h, d->c->cache, &l, &err);

	if (r < 0)
		return r == -ENOMEM ? r : bad(d, FINDING_WARN, "cache", r, err.text, "man modulus.conf");
	r = keyring_load(d->h, false, &ring, &err);
	if (r == -ENOMEM)
		return r;
	for (size_t i = 0; r == 0 && i < l.n; i++) {
		_cleanup_bundle_ struct bundle *b = NULL;

		if (cache_open_bundle(d->h, d->c->cache, &l.v[i], &ring, &b, &err) < 0 && err.code != -ENOENT && n_bad++ == 0)
			first = err;
	}
	snprintf(text, sizeof(text), "%zu bundles, %zu of them bad%s%.200s; %zu put aside as damaged", l.n, n_bad,
		 n_bad ? ", the first: " : "", first.text, l.quarantined);
	if (n_bad > 0)
		return bad(d, FINDING_WARN, "cache", first.code, text, "modulus cache list; modulus rebuild");
	return good(d, "cache", text); /* what was put aside was replaced, or a source will say why not */
}

static int look_at_space(const struct doctor *d)
{
	_cleanup_rootfs_dir_ struct rootfs_dir dir = ROOTFS_DIR_NONE;
	_cleanup_close_ int fd = -EBADF;
	struct err err;

	if (store_find(d->h, d->c->cache, &dir, &err) < 0) /* the row before has said it */
		return 0;
	fd = rootfs_dir_open(&dir, "", O_RDONLY | O_DIRECTORY);
	if (fd < 0) /* not made yet: it will be on the root */
		fd = host_root_open(d->h, "/var", O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return bad(d, FINDING_WARN, "space", fd, strerror(-fd), "man modulus.conf");
	if (store_check_space(fd, 0, "cache", &err) < 0)
		return bad(d, FINDING_WARN, "space", err.code, err.text, "modulus cache prune");
	return good(d, "space", "more is free than the reserve");
}

/* --- what this boot has --- */

static int look_at_part(const struct doctor *d, const char *driver, const json_t *part, const char *what,
			const char *command, bool *ret_bad)
{
	const char *word = json_text(part, "reason");
	char text[ERR_TEXT_MAX];

	if (!json_is_object(part) || streq(word, reason_word(0)))
		return 0;
	*ret_bad = true;
	snprintf(text, sizeof(text), "%s: %s: %s", driver, what, json_text(part, "text"));
	return bad(d, FINDING_WARN, "loaded", reason_from_word(word), text, command);
}

static int look_at_entry(const struct doctor *d, const json_t *entry, bool *ret_bad)
{
	const char *name = json_text(entry, "name"), *version = json_text(entry, "version");
	const struct driver *driver = config_find(d->c, name);
	char text[ERR_TEXT_MAX];
	int r;

	if (!streq(json_text(entry, "reason"), reason_word(0)))
		return 0;
	r = look_at_part(d, name, json_object_get(entry, "firmware"), "firmware", "modulus fetch", ret_bad);
	if (r == 0)
		r = look_at_part(d, name, json_object_get(entry, "runtime"), "libraries", "modulus finish --runtime", ret_bad);
	if (r < 0 || !driver || !driver->version || !*version || streq(driver->version, version))
		return r;
	*ret_bad = true;
	snprintf(text, sizeof(text), "%s: %s is loaded, its file asks for %s", name, version, driver->version);
	return bad(d, FINDING_WARN, "loaded", -E_WRONG_VERSION, text, "systemctl reboot");
}

static int look_at_loaded(const struct doctor *d)
{
	json_t *status = NULL, *entry;
	char text[ERR_TEXT_MAX] = "";
	bool is_bad = false;
	size_t i;
	int r = status_read(d->h, &status);

	if (r == -ENOENT)
		return bad(d, FINDING_WARN, "loaded", 0, "modulus boot has not run since this machine started",
			   "journalctl -b -u modulus.service");
	if (r < 0)
		return r == -ENOMEM ? r : bad(d, FINDING_WARN, "loaded", r, strerror(-r), "modulus status");
	json_array_foreach(json_object_get(status, "drivers"), i, entry) {
		join(text, sizeof(text), "%s: %s", json_text(entry, "name"), json_text(entry, "reason"));
		if (r == 0)
			r = look_at_entry(d, entry, &is_bad);
	}
	json_decref(status);
	return r < 0 || is_bad ? r : good(d, "loaded", *text ? text : "nothing was to be loaded");
}

/* modulus@NAME-VERSION.service does all by itself, and is then the only unit there is. */
static bool has_instance(const struct host *h)
{
	_cleanup_close_ int fd = host_root_open(h, "/etc/systemd/system/multi-user.target.wants", O_RDONLY | O_DIRECTORY);
	_cleanup_strv_ struct strv names = { 0 };
	int r = fd < 0 ? fd : tree_names(fd, &names);

	for (size_t i = 0; r == 0 && i < names.n; i++)
		if (str_prefix(names.v[i], "modulus@", NULL))
			return true;
	return false;
}

static int look_at_units(const struct doctor *d)
{
	static const char *const units[] = { "modulus-finish.service", "modulus-bless.service" };
	char text[ERR_TEXT_MAX] = "", said[ERR_TEXT_MAX + 16];

	if (has_instance(d->h))
		return good(d, "units", "an instance of modulus@.service is enabled");
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (!host_unit_is_enabled(d->h, units[i]))
			join(text, sizeof(text), "%s", units[i]);
	if (!*text)
		return good(d, "units", "enabled");
	snprintf(said, sizeof(said), "%s: not enabled", text);
	return bad(d, FINDING_WARN, "units", 0, said,
		   "systemctl enable modulus-finish.service modulus-bless.service");
}

int doctor_run(const struct host *h, const struct config *c, const struct kernel *k, struct findings *ret,
	       struct err *err)
{
	static int (*const rows[])(const struct doctor *d) = {
		look_at_configuration, look_at_keys,  look_at_kernel, look_at_signatures, look_at_devices, look_at_sources,
		look_at_cache,	       look_at_space, look_at_loaded, look_at_units,
	};
	struct doctor d = { .h = h, .c = c, .k = k, .ret = ret };
	struct boot b = { .host = h, .config = c, .devices = &d.devices };
	struct err unsaid;
	int r = boot_plan(h, c, &d.devices, false);

	for (size_t i = 0; r == 0 && i < c->n_drivers; i++)
		d.has_work = d.has_work || boot_has_work(&b, &c->drivers[i], &unsaid);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rows); i++)
		r = rows[i](&d);
	device_list_free(&d.devices);
	return r < 0 ? err_sys(err, r, "check") : 0;
}
