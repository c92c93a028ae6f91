// SPDX-License-Identifier: Apache-2.0
/*
 * byhand.c - see byhand.h. Runs in the real root. In: names, status.json of this boot, the configuration. Out:
 * modules in or out of the kernel, and status.json, which goes on telling what is there. Power loss: as in boot.c.
 */
#include "byhand.h"

#include <fcntl.h>

#include "config.h"
#include "finish.h"
#include "jsontext.h"
#include "limit.h"
#include "load.h"
#include "lock.h"
#include "log.h"
#include "machine.h"
#include "network.h"
#include "unload.h"

struct byhand {
	const struct byhand_request *req;
	struct machine machine;
	struct boot boot;
	json_t *status, *was; /* and as it was read, or written last */
	bool began;  /* nothing ran in this boot before: there was no status.json */
	bool loaded; /* a whole driver: what finish does for it is still to be done */
	int lock;
};

static void byhand_end(struct byhand *b)
{
	network_release(b->req->host);
	machine_done(&b->machine);
	json_decref(b->was);
	json_decref(b->status);
	close_fdp(&b->lock);
}

static int byhand_begin(struct byhand *b, const struct byhand_request *req, struct err *err)
{
	const struct host *h = req->host;
	int r;

	*b = (struct byhand){ .req = req, .lock = -EBADF };
	b->boot = (struct boot){ .host = h, .cmdline = &b->machine.cmdline, .config = &b->machine.config,
				 .kernel = &b->machine.kernel, .devices = &b->machine.devices };
	/*
	 * An init function may ask modprobe for another module and wait for it, while we wait for that init: who is
	 * asked goes on beside, long before LIMIT_INSERT_US would end the insert. So do udev's workers, who have 180 s.
	 */
	r = lock_machine(h, req->modules ? LIMIT_LOCK_US : LIMIT_LOCK_COMMAND_US, &b->lock, err);
	if (r == -EBUSY && req->modules) {
		log_warning("%s", err->text);
		r = 0;
	}
	if (r == 0)
		r = machine_read(h, &b->machine, err);
	b->began = r == 0 && status_read(h, &b->status) == -ENOENT;
	if (r == 0 && !b->status)
		r = status_begin(h, &b->machine.kernel, &b->status, err);
	b->was = json_deep_copy(b->status);
	return r;
}

/* --- what this boot did --- */

static bool is_loaded(const json_t *entry)
{
	return streq(json_text(entry, "reason"), reason_word(0)) && *json_text(entry, "digest");
}

/* The bundle that live modules of the driver are from: no other one will do. NULL: none is live. */
static const char *bound_to(const json_t *entry)
{
	const char *digest = json_text(entry, "digest");
	const json_t *module;
	size_t i;

	if (is_loaded(entry))
		return digest;
	json_array_foreach(json_object_get(entry, "modules"), i, module)
		if (*digest && streq(json_text(module, "from"), "bundle"))
			return digest;
	return NULL;
}

static const struct driver *find_driver(const struct byhand *b, const char *name)
{
	return b->req->modules ? NULL : config_find(&b->machine.config, name);
}

/* Who ran nothing but a module by hand did not do boot's work: finish would take a status.json for that. */
static int say_status(struct byhand *b, struct err *err)
{
	int r;

	if (b->began && !b->loaded)
		return 0;
	r = status_update(b->req->host, b->was, b->status);
	if (r < 0)
		return err_sys(err, r, STATUS_DIR "/" STATUS_NAME);
	json_decref(b->was);
	b->was = json_deep_copy(b->status);
	return 0;
}

/* --- load --- */

/* What was live for the driver before, from its bundle, still is. */
static void keep_origins(const json_t *before, const json_t *entry)
{
	json_t *module;
	size_t i, j;

	json_array_foreach(json_object_get(entry, "modules"), i, module)
		for (j = 0; j < json_array_size(before); j++)
			if (streq(json_text(module, "name"), json_text(json_array_get(before, j), "name")))
				json_object_set(module, "from", json_object_get(json_array_get(before, j), "from"));
}

/* Is all of it live, what the driver file asks for now included? */
static bool is_complete(const struct byhand *b, const struct driver *d, const json_t *entry)
{
	const json_t *module;
	bool all = is_loaded(entry);
	size_t i;

	json_array_foreach(json_object_get(entry, "modules"), i, module)
		all = all && load_is_live(b->req->host, json_text(module, "name"));
	for (i = 0; i < d->load.n; i++)
		all = all && load_is_live(b->req->host, d->load.v[i]);
	return all;
}

static int load_whole(struct byhand *b, const struct driver *d, struct err *err)
{
	json_t *entry = status_entry(b->status, d->name), *before;
	_cleanup_free_ char *digest = NULL;
	struct boot_module all = { 0 };
	int r;

	if (is_complete(b, d, entry)) {
		if (!b->req->quiet)
			log_info("%s: is loaded already", d->name);
		return 0;
	}
	if (bound_to(entry)) {
		all.digest = digest = strdup(bound_to(entry));
		if (!digest)
			return err_sys(err, -ENOMEM, "%s", d->name);
	}
	before = json_incref(entry);
	b->boot.until_us = boot_until(&b->machine.config);
	b->boot.only = &all;
	r = finish_driver(&b->boot, d, b->status, NULL, err);
	b->boot.only = NULL;
	b->loaded = true;
	entry = status_entry(b->status, d->name);
	if (r == 0) {
		r = reason_from_word(json_text(entry, "reason"));
		if (reason_exit(r) != EXIT_DONE)
			r = err_set(err, r, "%s", json_text(entry, "text"));
		else if (!b->req->quiet || r != 0)
			log_info("%s: %s: %s", d->name, reason_word(r), json_text(entry, "text"));
		r = reason_exit(r) == EXIT_DONE ? 0 : r;
	}
	keep_origins(json_object_get(before, "modules"), entry);
	if (r < 0 && digest && !bound_to(entry) && status_put_entry(b->status, d->name, json_incref(before)) < 0)
		r = err_sys(err, -ENOMEM, "%s", d->name); /* it did not come to an insert: what is live still is */
	json_decref(before);
	return r;
}

/* What it loaded and what serves it now belong to the driver, of which nothing may have been live before. */
static int note(struct byhand *b, const struct driver_report *rep, struct err *err)
{
	json_t *entry = status_entry(b->status, rep->name), *made = report_driver_json(rep), *module;
	json_t *modules = json_object_get(entry, "modules");
	size_t i;
	int r = 0;

	if (!made)
		return err_sys(err, -ENOMEM, "%s", rep->name);
	if (!bound_to(entry)) {
		r = status_put_entry(b->status, rep->name, json_incref(made));
		finish_tell_engines(b->req->host, b->status);
	} else {
		json_array_foreach(json_object_get(made, "modules"), i, module)
			if (r == 0 && !streq(json_text(module, "from"), "live"))
				r = json_array_append(modules, module);
		if (r == 0)
			r = json_array_extend(json_object_get(entry, "load"), json_object_get(made, "load"));
		if (r == 0 && rep->nodes.n > 0)
			r = json_object_set(entry, "nodes", json_object_get(made, "nodes"));
	}
	json_decref(made);
	return r < 0 ? err_sys(err, -ENOMEM, "%s", rep->name) : say_status(b, err);
}

/* From this driver's bundle. -E_NO_BUNDLE: no bundle of it has such a module. */
static int load_from(struct byhand *b, const struct driver *d, const char *module, struct err *err)
{
	_cleanup_report_ struct report report = { .stage = "real-root", .kernel = b->machine.kernel };
	_cleanup_keyring_ struct keyring ring = { 0 };
	const struct boot_module only = { .name = module, .parameters = b->req->parameters,
					  .digest = bound_to(status_entry(b->status, d->name)) };
	struct driver_report *rep = report_add_driver(&report, d);
	struct trial t;
	int r = rep ? keyring_load(b->req->host, d->trust_usr, &ring, err) : err_sys(err, -ENOMEM, "%s", d->name);

	if (r < 0)
		return r;
	b->boot.only = &only;
	b->boot.keys = &ring;
	b->boot.until_us = now_us() + d->budget_us;
	r = boot_driver(&b->boot, d, rep);
	b->boot.only = NULL;
	b->boot.keys = NULL;
	if (r < 0)
		return err_sys(err, r, "%s", d->name);
	for (size_t i = 0; i < rep->warnings.n; i++)
		log_warning("%s: %s", d->name, rep->warnings.v[i]);
	t = report_trial(rep, &b->machine.kernel);
	if (t.digest && !rep->crashed && trial_end(b->req->host, &t, err) < 0)
		log_warning("%s: this attempt could not be closed, it will count as a miss: %s", d->name, err->text);
	if (rep->result.code < 0) {
		*err = rep->result;
		for (size_t i = 0; i < rep->kernel_log.n; i++)
			log_warning("%s: %s", module, rep->kernel_log.v[i]);
		return err->code;
	}
	if (!b->req->quiet)
		log_info("%s: %s: from %s", module, reason_word(0), rep->bundle.origin);
	return note(b, rep, err);
}

/* Of the drivers that are live, then of the others. */
static int load_module(struct byhand *b, const char *module, struct err *err)
{
	if (load_is_live(b->req->host, module)) /* somebody's work that we waited for, as a rule */
		return 0;
	for (int loaded = 1; loaded >= 0; loaded--) {
		for (size_t i = 0; i < b->machine.config.n_drivers; i++) {
			const struct driver *d = &b->machine.config.drivers[i];
			int r;

			if (d->error.code < 0 || !!bound_to(status_entry(b->status, d->name)) != loaded)
				continue;
			r = load_from(b, d, module, err);
			if (r != -E_NO_BUNDLE)
				return r < 0 ? err_prefix(err, "%s", d->name) : 0;
		}
	}
	return err_set(err, -E_NO_BUNDLE, "no bundle of a configured driver has such a module");
}

static int load_name(struct byhand *b, const char *name, struct err *err)
{
	const struct driver *d = find_driver(b, name);

	if (b->machine.config.off)
		return err_set(err, -E_DISABLED, "modulus=off on the kernel command line");
	if (b->machine.devices.n == 0 && boot_plan(b->req->host, &b->machine.config, &b->machine.devices, false) < 0)
		return err_sys(err, -ENOMEM, "devices");
	return d ? load_whole(b, d, err) : load_module(b, name, err);
}

/* --- unload --- */

/* The modules that came from the bundle, in the order of loading. */
static int modules_of(const json_t *entry, struct strv *ret)
{
	const json_t *module;
	size_t i;
	int r = 0;

	json_array_foreach(json_object_get(entry, "modules"), i, module)
		if (r == 0 && streq(json_text(module, "from"), "bundle") && !strv_has(ret, json_text(module, "name")))
			r = strv_add(ret, json_text(module, "name"));
	return r;
}

/* Did this boot load it from a bundle, or find one of a bundle's live? */
static bool is_ours(const struct byhand *b, const char *name)
{
	const json_t *entry, *module;
	size_t i, j;

	json_array_foreach(json_object_get(b->status, "drivers"), i, entry)
		json_array_foreach(json_object_get(entry, "modules"), j, module)
			if (module_name_equal(json_text(module, "name"), name) && !streq(json_text(module, "from"), "kernel"))
				return true;
	return false;
}

/* The modules, and nodes that are gone with them. */
static void forget(struct byhand *b, const struct strv *removed)
{
	json_t *entry, *modules, *nodes;
	size_t i;

	json_array_foreach(json_object_get(b->status, "drivers"), i, entry) {
		nodes = json_object_get(entry, "nodes");
		for (size_t j = json_array_size(nodes); j-- > 0;) {
			const char *node = json_string_value(json_array_get(nodes, j));

			if (!node || faccessat(b->req->host->live_fd, node + strspn(node, "/"), F_OK, 0) < 0)
				json_array_remove(nodes, j);
		}
		modules = json_object_get(entry, "modules");
		for (size_t j = json_array_size(modules); j-- > 0;)
			for (size_t k = 0; k < removed->n; k++)
				if (module_name_equal(json_text(json_array_get(modules, j), "name"), removed->v[k])) {
					json_array_remove(modules, j);
					break;
				}
	}
}

/* No module of the driver is left: that is no failure, and status says whose doing it is. */
static void note_unloaded(json_t *entry, const char *driver)
{
	char text[ERR_TEXT_MAX];

	snprintf(text, sizeof(text), "unloaded by hand; modulus load %s brings it back", driver);
	json_object_set_new(entry, "reason", json_string(reason_word(-E_DISABLED)));
	json_object_set_new(entry, "text", json_string(text));
	json_object_set_new(entry, "nodes", json_array());
}

/* Those that were asked for by name. */
static int named_of(const json_t *entry, struct strv *ret)
{
	const json_t *name;
	size_t i;
	int r = 0;

	json_array_foreach(json_object_get(entry, "load"), i, name)
		if (r == 0 && json_is_string(name))
			r = strv_add(ret, json_string_value(name));
	return r;
}

static int unload_name(struct byhand *b, const char *name, struct err *err)
{
	_cleanup_strv_ struct strv names = { 0 }, named = { 0 }, removed = { 0 };
	const struct driver *d = find_driver(b, name);
	json_t *entry = d ? status_entry(b->status, name) : NULL;
	int r = d ? modules_of(entry, &names) : strv_add(&names, name), q;

	if (r == 0)
		r = d ? named_of(entry, &named) : strv_add(&named, name);
	if (r < 0)
		return err_sys(err, r, "%s", name);
	if (d && names.n == 0)
		return err_set(err, -ENOENT, "nothing of this driver was loaded from a bundle in this boot");
	if (!d && !load_is_live(b->req->host, name))
		return err_set(err, -ENOENT, "not loaded");
	if (!d && !is_ours(b, name))
		return err_set(err, -EPERM, "is no driver's of ours; rmmod(8) takes it out");
	r = unload_modules(b->req->host, &names, &named, &removed, err);
	forget(b, &removed);
	if (r == 0 && d)
		note_unloaded(entry, name);
	if (!b->req->quiet)
		for (size_t i = 0; i < removed.n; i++)
			log_info("%s: unloaded", removed.v[i]);
	finish_tell_engines(b->req->host, b->status);
	q = say_status(b, r < 0 ? NULL : err);
	return r < 0 ? r : q;
}

/* --- both --- */

static int run(const struct byhand_request *req, int (*one)(struct byhand *b, const char *name, struct err *err))
{
	_cleanup_(byhand_end) struct byhand b;
	struct err err;
	int r = byhand_begin(&b, req, &err), code = r < 0 ? reason_exit(r) : EXIT_DONE;

	if (r < 0)
		log_error("%s", err.text);
	for (size_t i = 0; r == 0 && i < req->names->n; i++) {
		int q = one(&b, req->names->v[i], &err);

		if (q == 0)
			continue;
		log_error("%s: %s: %s", req->names->v[i], reason_word(q), err.text);
		code = code == EXIT_DONE ? (int)reason_exit(q) : code;
	}
	if (b.loaded && finish_complete(req->host, b.was, b.status) < 0)
		code = code == EXIT_DONE ? EXIT_SYSTEM : code;
	return code;
}

int byhand_load_run(const struct byhand_request *req)
{
	bool all = req->modules;

	/* what modprobe and udev ask most often: it is there, and the lock may be somebody's who waits for them */
	for (size_t i = 0; all && i < req->names->n; i++)
		all = load_is_live(req->host, req->names->v[i]);
	return all ? EXIT_DONE : run(req, load_name);
}

int byhand_unload_run(const struct byhand_request *req)
{
	return run(req, unload_name);
}
