// SPDX-License-Identifier: Apache-2.0
/*
 * uninstall.c - see uninstall.h. Runs on a running host, when somebody asks for it. In: what is there, not what is
 * configured, so that a run that was interrupted is ended by the next one. Power loss: first goes what would use
 * the rest, so that nothing is left that leads to what is gone; modulus.conf, which says where the cache is, and the
 * units go last.
 */
#include "uninstall.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "asked.h"
#include "cache.h"
#include "cdi.h"
#include "child.h"
#include "hold.h"
#include "jsontext.h"
#include "limit.h"
#include "load.h"
#include "lock.h"
#include "log.h"
#include "machine.h"
#include "modprobe.h"
#include "nvidia.h"
#include "removetree.h"
#include "runtimelinks.h"
#include "serial.h"
#include "state.h"
#include "unitfiles.h"

#define CONFIG_DIR "/etc/modulus"
#define CONFIG_GLOBAL "modulus.conf"
#define VENDOR_DIR "/usr/lib/modulus"
#define UNIT_DIR "/etc/systemd/system"

struct uninstall {
	const struct host *h;
	const struct strv *names; /* NULL: all */
	bool dry;
	struct machine machine;
	struct strv digests; /* of bundles that went out of the cache */
	bool units_changed;
	size_t n; /* paths that went */
	int code;
};

/* --- what is said --- */

static void gone(struct uninstall *u, const char *path)
{
	printf("%s %s\n", u->dry ? "would remove" : "removed", path);
	u->n++;
}

static void all_gone(struct uninstall *u, const struct strv *paths)
{
	for (size_t i = 0; i < paths->n; i++)
		gone(u, paths->v[i]);
}

static void stays(const char *path, const char *why)
{
	printf("kept %s: %s\n", path, why);
}

/* One thing that cannot be removed does not keep the others. */
static void failed(struct uninstall *u, const char *text)
{
	log_error("uninstall: %s", text);
	u->code = EXIT_SYSTEM;
}

static void failed_at(struct uninstall *u, const char *path, int r)
{
	struct err err;

	(void)err_sys(&err, r, "%s", path);
	failed(u, err.text);
}

static bool is_meant(const struct uninstall *u, const char *name)
{
	return !u->names || strv_has(u->names, name);
}

/* --- names in a directory --- */

static void said(struct uninstall *u, const char *where, int r, const struct strv *removed, const struct strv *cannot)
{
	if (r < 0)
		failed_at(u, where, r);
	all_gone(u, removed);
	for (size_t i = 0; i < cannot->n; i++)
		failed(u, cannot->v[i]);
}

static void sweep(struct uninstall *u, const char *where, bool live, sweep_is_ours_fn is_ours)
{
	_cleanup_strv_ struct strv removed = { 0 }, cannot = { 0 };
	const struct sweep s = { .host = u->h, .dry = u->dry, .removed = &removed, .failed = &cannot, .ctx = u };

	said(u, where, sweep_dir(&s, where, live, is_ours), &removed, &cannot);
}

/* --- units --- */

static void with_unit_files(struct uninstall *u, int (*remove)(struct unit_files *))
{
	_cleanup_strv_ struct strv removed = { 0 }, cannot = { 0 };
	struct unit_files f = { .config = &u->machine.config, .names = u->names,
				.sweep = { .host = u->h, .dry = u->dry, .removed = &removed, .failed = &cannot } };

	said(u, UNIT_DIR, remove(&f), &removed, &cannot);
	for (size_t i = 0; i < f.kept.n; i++)
		printf("kept %s\n", f.kept.v[i]);
	u->units_changed = u->units_changed || f.changed;
	strv_free(&f.kept);
}

static void tell_systemd(const struct uninstall *u)
{
	static const char *const argv[] = { "systemctl", "daemon-reload", NULL };

	/* a live root of a test has no systemd */
	if (!u->dry && u->units_changed && host_root_is_live(u->h) && streq(u->h->live_path, "/") &&
	    child_program(argv, now_us() + LIMIT_SYSTEMCTL_US) < 0)
		log_warning("uninstall: systemctl daemon-reload did not work; systemd knows the units until the next boot");
}

/* --- configuration --- */

/* An image may have a file of that name: an empty one over it is what switches that off. */
static bool is_driver_file(void *ctx, int dir, const char *where, const char *entry)
{
	const struct uninstall *u = ctx;
	_cleanup_free_ char *name = str_middle(entry, "", ".conf"), *vendor = str_printf(VENDOR_DIR "/%s", entry);
	_cleanup_free_ char *path = str_printf("%s/%s", where, entry);
	_cleanup_close_ int fd = -EBADF;
	struct stat st;

	if (!name || !vendor || !path || streq(entry, CONFIG_GLOBAL) || !manifest_is_name(name) || !is_meant(u, name))
		return false;
	fd = host_root_open(u->h, vendor, O_PATH);
	if (fd >= 0 && fstatat(dir, entry, &st, 0) == 0 && st.st_size == 0) {
		stays(path, "empty, it masks the one of the same name in " VENDOR_DIR);
		return false;
	}
	if (fd >= 0)
		stays(vendor, "of the OS image, and counts again; an empty file of its name in " CONFIG_DIR " masks it");
	return true;
}

static bool is_key(void *ctx, int dir, const char *where, const char *entry)
{
	(void)ctx;
	(void)dir;
	(void)where;
	return str_suffix(entry, ".pub");
}

static bool is_common_file(void *ctx, int dir, const char *where, const char *entry)
{
	_cleanup_free_ char *path = str_printf("%s/%s", where, entry);
	struct stat st;

	(void)ctx;
	if (streq(entry, CONFIG_GLOBAL) || streq(entry, "modulus")) /* the program, where an image has none */
		return true;
	if (path && (fstatat(dir, entry, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode)) && !str_suffix(entry, ".conf"))
		stays(path, "not made by Modulus or its snippets");
	return false;
}

static void remove_if_empty(const struct uninstall *u, const char *parent, const char *name)
{
	_cleanup_close_ int dir = u->dry ? -EBADF : host_root_open(u->h, parent, O_RDONLY | O_DIRECTORY);

	if (dir >= 0 && unlinkat(dir, name, AT_REMOVEDIR) == 0)
		(void)fsync(dir);
}

/* --- what is live --- */

static bool is_modprobe_conf(void *ctx, int dir, const char *where, const char *entry)
{
	const struct uninstall *u = ctx;
	_cleanup_free_ char *name = str_middle(entry, "modulus-", ".conf");

	(void)dir;
	(void)where;
	return name && is_meant(u, name);
}

static bool is_cdi(void *ctx, int dir, const char *where, const char *entry)
{
	(void)ctx;
	(void)dir;
	(void)where;
	return streq(entry, CDI_NAME);
}

/* *ret_nvidia: the GPUs that engines know are of this driver. Is one of its modules live? */
static bool is_loaded(const struct host *h, const json_t *driver, bool *ret_nvidia)
{
	bool live = false;
	json_t *module;
	size_t i;

	*ret_nvidia = false;
	json_array_foreach(json_object_get(driver, "modules"), i, module) {
		live = live || (streq(json_text(module, "from"), "bundle") && load_is_live(h, json_text(module, "name")));
		*ret_nvidia = *ret_nvidia || streq(json_text(module, "name"), NVIDIA_MODULE);
	}
	return live;
}

static void remove_live(struct uninstall *u)
{
	bool cdi = !u->names, changed = false, nvidia;
	json_t *status = NULL, *was, *driver;
	size_t i;
	int r;

	if (!host_root_is_live(u->h))
		return;
	if (status_read(u->h, &status) < 0)
		status = NULL;
	was = json_deep_copy(status);
	json_array_foreach(json_object_get(status, "drivers"), i, driver) {
		if (!is_meant(u, json_text(driver, "name")))
			continue;
		if (is_loaded(u->h, driver, &nvidia))
			stays(json_text(driver, "name"), "loaded, and works until the next boot");
		cdi = cdi || nvidia;
		changed = changed || !json_is_null(json_object_get(driver, "runtime"));
		json_object_set_new(driver, "runtime", json_null());
	}
	sweep(u, MODPROBE_DIR, true, is_modprobe_conf);
	if (cdi)
		sweep(u, CDI_DIR, true, is_cdi);
	if (cdi && status)
		json_object_set_new(status, "cdi", json_null());
	r = status && (cdi || changed) && !u->dry ? status_update(u->h, was, status) : 0;
	if (r < 0)
		failed_at(u, STATUS_DIR "/" STATUS_NAME, r);
	json_decref(was);
	json_decref(status);
}

/* After the units, which may lock anew. Without them nobody unlocks, and ostree drops at shutdown what is locked. */
static void release_staged(struct uninstall *u)
{
	enum hold now;
	struct err err;

	if (!host_root_is_live(u->h) || !hold_is_ours(u->h))
		return;
	if (!u->dry && hold_set(u->h, false, &now, &err) < 0)
		failed(u, err.text);
	else
		gone(u, HOLD_LOCK);
}

/* --- libraries and programs --- */

static void remove_runtime(struct uninstall *u)
{
	_cleanup_strv_ struct strv removed = { 0 }, warnings = { 0 }, kept = { 0 }, names = { 0 };
	struct err err;
	int r = runtime_links_remove(u->h, u->names, u->dry, &removed, &warnings);

	if (r == 0)
		r = u->names ? strv_copy(&names, u->names) : runtime_names(u->h, &names);
	if (r < 0)
		failed_at(u, RUNTIME_DIR, r);
	for (size_t i = 0; r == 0 && i < names.n; i++)
		if (runtime_remove(u->h, names.v[i], u->dry, &removed, &kept, &err) < 0)
			failed(u, err.text);
	all_gone(u, &removed);
	for (size_t i = 0; i < kept.n; i++)
		stays(kept.v[i], "mounted somewhere, as in a container; run this again when it is not");
	for (size_t i = 0; i < warnings.n; i++)
		failed(u, warnings.v[i]);
}

/* --- the cache, and what is remembered --- */

static void remove_quarantined(struct uninstall *u, const char *where)
{
	_cleanup_rootfs_dir_ struct rootfs_dir dir = ROOTFS_DIR_NONE;
	_cleanup_close_ int fd = -EBADF, base = -EBADF;
	_cleanup_strv_ struct strv names = { 0 };
	struct store_name name;
	struct err err;

	if (store_find(u->h, where, &dir, &err) < 0)
		return;
	base = rootfs_dir_open(&dir, "", O_RDONLY | O_DIRECTORY);
	fd = rootfs_dir_open(&dir, STORE_QUARANTINE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (base < 0 || fd < 0 || tree_names(fd, &names) < 0)
		return;
	for (size_t i = 0; i < names.n; i++) {
		_cleanup_free_ char *path = str_printf("%s/" STORE_QUARANTINE "/%s", dir.shown, names.v[i]);

		if (!path || !store_parse_name(names.v[i], &name) || !is_meant(u, name.name))
			continue;
		if (!u->dry && unlinkat(fd, names.v[i], 0) < 0)
			failed_at(u, path, -errno);
		else
			gone(u, path);
	}
	if (!u->dry)
		(void)unlinkat(base, STORE_QUARANTINE, AT_REMOVEDIR); /* when it is empty */
}

static int mark_cached(struct uninstall *u, const struct cache_list *l, bool *ret)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < l->n; i++) {
		ret[i] = is_meant(u, l->v[i].name.name);
		r = ret[i] ? strv_add(&u->digests, l->v[i].name.digest) : 0;
	}
	return r;
}

static void remove_cached(struct uninstall *u)
{
	const char *where = u->machine.config.cache;
	_cleanup_cache_list_ struct cache_list l = { 0 };
	struct err err;
	bool *marked;
	int r = cache_read(u->h, where, &l, &err);

	if (r < 0) {
		failed(u, err.text);
		return;
	}
	marked = calloc(l.n + 1, sizeof(*marked));
	r = marked ? mark_cached(u, &l, marked) : -ENOMEM;
	if (r < 0)
		(void)err_sys(&err, r, "%s", l.shown);
	else if (!u->dry) /* without any it removes directories that an interrupted run left empty */
		r = cache_remove(u->h, where, &l, marked, &err);
	if (r < 0)
		failed(u, err.text);
	for (size_t i = 0; r == 0 && i < l.n; i++) {
		_cleanup_free_ char *path = marked[i] ? str_printf("%s/%s/%s", l.shown, l.v[i].folder, l.v[i].file) : NULL;

		if (path)
			gone(u, path);
	}
	free(marked);
	remove_quarantined(u, where);
}

/* Trials name their driver, marks have it in their file's name, and answers of the network name a bundle. */
static bool is_remembered(void *ctx, int dir, const char *where, const char *entry)
{
	const struct uninstall *u = ctx;
	json_t *o = NULL;
	bool meant;

	(void)dir;
	if (!u->names || state_read(u->h, where, entry, &o) < 0)
		return !u->names && str_suffix(entry, ".json");
	meant = strv_has(u->names, json_text(o, "name")) || strv_has(&u->digests, json_text(o, "digest"));
	json_decref(o);
	for (size_t i = 0; !meant && str_prefix(where, SERIAL_DIR, NULL) && i < u->names->n; i++) {
		_cleanup_free_ char *flavor = str_middle(entry, u->names->v[i], ".json");

		meant = flavor && str_prefix(flavor, "-modules-", NULL) && !strstr(flavor + 1, "-modules-");
	}
	return meant;
}

static void forget(struct uninstall *u)
{
	static const char *const dirs[] = { TRIAL_DIR, SERIAL_DIR };

	for (size_t d = 0; d < ARRAY_SIZE(dirs); d++) {
		_cleanup_close_ int dir = host_root_open(u->h, dirs[d], O_RDONLY | O_DIRECTORY);
		_cleanup_strv_ struct strv releases = { 0 };

		if (dir < 0 || tree_names(dir, &releases) < 0)
			continue;
		for (size_t i = 0; i < releases.n; i++) {
			_cleanup_free_ char *where = str_printf("%s/%s", dirs[d], releases.v[i]);

			if (!where)
				continue;
			sweep(u, where, false, is_remembered);
			remove_if_empty(u, dirs[d], releases.v[i]);
		}
	}
	sweep(u, ASKED_DIR, false, is_remembered);
}

/* The gate's, and what else is there in a file of its own. */
static bool is_state(void *ctx, int dir, const char *where, const char *entry)
{
	(void)ctx;
	(void)dir;
	(void)where;
	return str_suffix(entry, ".json");
}

/* Our directories, the inner ones first; one that still holds something, or is a mount, stays. */
static void remove_directories(const struct uninstall *u)
{
	static const char *const below[] = { "bundles", "runtime", "trials", "serials", "asked" };

	remove_if_empty(u, STORE_DIR, STORE_ANY);
	for (size_t i = 0; i < ARRAY_SIZE(below); i++)
		remove_if_empty(u, STATE_DIR, below[i]);
	remove_if_empty(u, "/var/lib", "modulus");
	remove_if_empty(u, CONFIG_DIR, "keys");
	remove_if_empty(u, "/etc", "modulus");
}

/* --- all of it --- */

/* What nobody can expect us to remove, and what has to be done to have it gone too. */
static void say_rest(const struct uninstall *u)
{
	static const struct {
		const char *path, *why;
	} rest[] = {
		{ "/usr/bin/modulus", "of a package, or put there by make install" },
		{ "/usr/lib/dracut/modules.d/50modulus", "of a package, or put there by make install" },
		{ VENDOR_DIR, "of the OS image" },
	};
	const char *injected;
	size_t cursor = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rest); i++) {
		_cleanup_close_ int fd = host_root_open(u->h, rest[i].path, O_PATH);

		if (fd >= 0)
			stays(rest[i].path, rest[i].why);
	}
	if (!host_root_is_live(u->h))
		return;
	while ((injected = cmdline_next(&u->machine.cmdline, "systemd.set_credential_binary", &cursor)))
		if (str_prefix(injected, "systemd.extra-unit.modulus.service:", NULL))
			stays("kernel arguments", "systemd.set_credential_binary= and rd.systemd.wants=modulus.service");
}

static void remove_all(struct uninstall *u)
{
	with_unit_files(u, unit_files_disable);
	sweep(u, CONFIG_DIR, false, is_driver_file);
	remove_live(u);
	remove_runtime(u);
	remove_cached(u);
	forget(u);
	if (!u->names) {
		sweep(u, STATE_DIR, false, is_state);
		with_unit_files(u, unit_files_remove_hooks);
		with_unit_files(u, unit_files_remove);
		release_staged(u);
		sweep(u, CONFIG_DIR "/keys", false, is_key);
		sweep(u, CONFIG_DIR, false, is_common_file);
		say_rest(u);
	}
	remove_directories(u);
	tell_systemd(u);
	if (u->n == 0 && u->code == EXIT_DONE)
		printf("nothing to remove\n");
}

int uninstall_run(const struct uninstall_request *req)
{
	struct uninstall u = { .h = req->host, .names = req->names->n > 0 ? req->names : NULL, .dry = req->dry_run };
	_cleanup_close_ int lock = -EBADF;
	struct err err;
	int r = u.dry ? 0 : lock_machine(u.h, LIMIT_LOCK_COMMAND_US, &lock, &err);

	if (r == 0)
		r = machine_read(u.h, &u.machine, &err);
	if (r < 0)
		failed(&u, err.text);
	else
		remove_all(&u);
	machine_done(&u.machine);
	strv_free(&u.digests);
	return u.code;
}
