// SPDX-License-Identifier: Apache-2.0
/*
 * runtime.c - see runtime.h: which bundle, and what is told of it. Runs early in the real root when the modules
 * are live, before container engines. Power loss: runtimetree.h says what is left of a tree.
 */
#include "runtime.h"

#include <fcntl.h>

#include "boot.h"
#include "cache.h"
#include "choose.h"
#include "jsontext.h"
#include "limit.h"
#include "log.h"
#include "machine.h"
#include "nvidia.h"
#include "receive.h"
#include "runtimelinks.h"
#include "runtimenew.h"

/* --- the version --- */

/*
 * NVIDIA's libraries work with modules of their own version alone. What boot inserted is of the bundle's version,
 * whatever it says itself (few drivers use one number for both); what was live before must say so.
 */
static int check_module(const struct host *h, const struct driver *d, const json_t *module, struct err *err)
{
	const char *name = json_text(module, "name"), *from = json_text(module, "from");
	_cleanup_free_ char *path = str_printf("sys/module/%s/version", name);
	char version[LIMIT_NAME_BYTES + 1];
	int r;

	if (!streq(name, NVIDIA_MODULE) && !(streq(from, "live") && module_name_equal(name, d->name)))
		return 0;
	r = path ? read_line_at(h->live_fd, path, version, sizeof(version)) : -ENOMEM;
	if (r < 0 || streq(version, d->version)) /* most modules tell none */
		return r == -ENOMEM ? err_sys(err, r, "%s", d->name) : 0;
	return err_set(err, -E_WRONG_VERSION, "module %s is live in version %s, not %s", name, version, d->version);
}

static int check_live(const struct host *h, const struct driver *d, const json_t *told, struct err *err)
{
	const json_t *module;
	int r = 0;
	size_t i;

	json_array_foreach(json_object_get(told, "modules"), i, module) {
		r = check_module(h, d, module, err);
		if (r < 0)
			return r;
	}
	return r;
}

/* --- the bundle --- */

struct bringing {
	const struct source_request *req;
	struct strv *warnings;
	struct runtime_tree tree; /* the whole one that is installed, or none */
	char *origin;             /* where it came from now */
	struct unpack_sink files;
};

static int begin_in_time(void *ctx, const struct manifest_file *f, struct err *err)
{
	const struct bringing *b = ctx;

	if (now_us() >= b->req->until_us)
		return err_set(err, -E_OVER_BUDGET, "%s: the time for libraries is over", f->path);
	return b->files.begin(b->files.ctx, f, err);
}

static int done(void *ctx, const struct manifest_file *f, int fd, struct err *err)
{
	const struct bringing *b = ctx;

	return b->files.done(b->files.ctx, f, fd, err);
}

static void abandon(void *ctx, int fd)
{
	const struct bringing *b = ctx;

	b->files.abandon(b->files.ctx, fd);
}

/*
 * What is on this machine is not copied to the cache: the tree is the copy, and hundreds of MB are there once. What
 * the network gave is kept: compressed it has a quarter of the size, a transfer that broke goes on from it, and a
 * tree that was damaged is made again without the network.
 */
static int install(struct bringing *b, struct candidate *c, bool replace, struct err *err)
{
	_cleanup_runtime_new_ struct runtime_new fresh = RUNTIME_NEW_NONE;
	const struct unpack_sink sink = { .ctx = b, .begin = begin_in_time, .done = done, .abandon = abandon };
	_cleanup_free_ char *path = NULL, *cached = NULL;
	struct store_copy *copy = NULL;
	int r = runtime_new_begin(b->req->host, bundle_manifest(c->bundle), &fresh, err);

	if (r < 0)
		return r;
	b->files = runtime_new_sink(&fresh);
	r = source_is_network(c->source) ? receive(b->req, c, replace, &sink, &copy, b->warnings, err) :
					   unpack_bundle(c->bundle, &sink, err);
	if (r < 0)
		return r;
	r = runtime_new_publish(&fresh, c->bundle, &path, err);
	if (receive_keep(copy, &cached, b->warnings) < 0)
		return err_sys(err, -ENOMEM, "%s", b->req->driver->name);
	if (r < 0)
		return r;
	runtime_tree_free(&b->tree);
	b->tree.path = TAKE_PTR(path);
	b->tree.bundle = TAKE_PTR(c->bundle);
	b->origin = strdup(c->origin);
	return b->origin ? 0 : err_sys(err, -ENOMEM, "%s", b->req->driver->name);
}

static int use(void *ctx, struct candidate *c, bool replace, struct err *err)
{
	struct bringing *b = ctx;
	int r;

	if (b->tree.bundle && streq(bundle_manifest(b->tree.bundle)->digest, bundle_manifest(c->bundle)->digest))
		return 0;
	r = install(b, c, replace, err);
	return r == -E_CORRUPT || r == -E_NETWORK || r == -EIO ? 1 : r;
}

/*
 * The tree that is to be active. One that is installed stays so when there is no bundle, or none better could be
 * had; the network is not asked then: what it has is brought by `fetch` and `rebuild`.
 */
static int bring(struct bringing *b, bool network, bool *ret_wanted, struct err *err)
{
	const struct source_request *req = b->req;
	struct choice choice = { .req = req, .use = use, .ctx = b, .said = b->warnings };
	struct err why = { 0 };
	int r = runtime_tree_find(req->host, req->driver->name, req->driver->version, req->keys, &b->tree, &why);

	if (r == -ENOMEM)
		return err_sys(err, r, "%s", req->driver->name);
	if (r < 0 && r != -ENOENT && strv_addf(b->warnings, "runtime: %s", why.text) < 0)
		return err_sys(err, -ENOMEM, "%s", req->driver->name);
	choice.local = !network || r == 0;
	r = choose_first(&choice, err);
	if (r == -ENOMEM || r == 0)
		return r;
	if (b->tree.path) {
		if (r != -E_NO_BUNDLE && strv_addf(b->warnings, "runtime: %s: %s", reason_word(r), err->text) < 0)
			return err_sys(err, -ENOMEM, "%s", req->driver->name);
		return 0;
	}
	if (!network && source_has_network(req) && r != -E_NO_SPACE && r != -E_EQUIVOCATION) {
		*ret_wanted = true;
		return err_set(err, -E_NETWORK, "not on this machine; " RUNTIME_UNIT " asks the network");
	}
	return r;
}

/* --- one driver --- */

static json_t *optional(const char *s)
{
	return s ? json_string(s) : json_null();
}

static json_t *told_of(const struct bringing *b, const struct runtime_links *l, int r, const char *text)
{
	const struct manifest *m = b->tree.bundle ? bundle_manifest(b->tree.bundle) : NULL;
	json_t *o = json_pack("{s:s, s:s, s:s, s:b}", "reason", reason_word(r), "text", text, "version",
			      b->req->driver->version, "extension", l->extension), *list = json_array();

	json_object_set_new(o, "digest", optional(m ? m->digest : NULL));
	json_object_set_new(o, "origin", optional(b->origin));
	json_object_set_new(o, "path", optional(b->tree.path));
	json_object_set_new(o, "link", optional(l->link));
	json_object_set_new(o, "programs", optional(l->programs));
	for (size_t i = 0; i < b->warnings->n; i++)
		json_array_append_new(list, json_string(b->warnings->v[i]));
	json_object_set_new(o, "warnings", list);
	return o;
}

static void say(const struct bringing *b, int r, const struct err *err)
{
	const char *name = b->req->driver->name;

	for (size_t i = 0; i < b->warnings->n; i++)
		log_warning("%s: %s", name, b->warnings->v[i]);
	if (r < 0)
		log_line(r == -E_NO_BUNDLE ? LOG_INFO : LOG_WARNING, "%s: runtime: %s: %s", name, reason_word(r),
			 err->text);
	else if (b->origin)
		log_info("%s: runtime of version %s from %s, in %s", name, b->req->driver->version, b->origin,
			 b->tree.path);
}

static int run_driver(const struct source_request *req, json_t *told, bool network, bool *ret_wanted)
{
	_cleanup_runtime_links_ struct runtime_links links = { 0 };
	_cleanup_strv_ struct strv warnings = { 0 };
	struct bringing b = { .req = req, .warnings = &warnings };
	struct err err = { 0 };
	bool asked;
	int r = check_live(req->host, req->driver, told, &err);

	if (r == 0)
		r = bring(&b, network, ret_wanted, &err);
	if (r == 0)
		r = runtime_links_make(req->host, &b.tree, req->driver->sysext, &links, &warnings);
	asked = choose_is_told(req->driver, r) || r == -E_WRONG_VERSION || warnings.n > 0;
	if (r != -ENOMEM && asked)
		say(&b, r, &err);
	json_object_set_new(told, "runtime", asked ? told_of(&b, &links, r, r < 0 ? err.text : "") : json_null());
	runtime_tree_free(&b.tree);
	free(b.origin);
	return r == -ENOMEM ? r : 0;
}

/* --- all of them --- */

static bool is_loaded(const json_t *told)
{
	return streq(json_text(told, "reason"), reason_word(0));
}

static json_t *find_told(const json_t *status, const char *name)
{
	json_t *told;
	size_t i;

	json_array_foreach(json_object_get(status, "drivers"), i, told)
		if (streq(json_text(told, "name"), name) && is_loaded(told))
			return told;
	return NULL;
}

static bool has_loaded(const json_t *status)
{
	const json_t *told;
	size_t i;

	json_array_foreach(json_object_get(status, "drivers"), i, told)
		if (is_loaded(told))
			return true;
	return false;
}

static int run_machine(const struct host *h, const struct machine *m, json_t *status, bool network,
		       bool *ret_wanted, struct err *err)
{
	for (size_t i = 0; i < m->config.n_drivers; i++) {
		struct driver d = m->config.drivers[i]; /* but for its version: what is loaded counts, not what will be */
		_cleanup_keyring_ struct keyring ring = { 0 };
		const uint64_t time_us = d.budget_us > LIMIT_RUNTIME_US ? d.budget_us : LIMIT_RUNTIME_US;
		const struct source_request req = { .host = h, .cmdline = &m->cmdline, .kernel = &m->kernel,
						    .keys = &ring, .config = &m->config, .driver = &d,
						    .kind = KIND_RUNTIME, .until_us = now_us() + time_us };
		json_t *told = find_told(status, d.name);
		_cleanup_free_ char *version = strdup(json_text(told, "version"));
		int r;

		if (!told || d.error.code < 0)
			continue;
		if (!version)
			return err_sys(err, -ENOMEM, "%s", d.name);
		d.version = version;
		notify_systemd("EXTEND_TIMEOUT_USEC=%llu", (unsigned long long)(time_us + UNIT_SLACK_US));
		r = keyring_load(h, d.trust_usr, &ring, err);
		if (r == 0 && run_driver(&req, told, network, ret_wanted) < 0)
			r = err_sys(err, -ENOMEM, "%s", d.name);
		if (r < 0)
			return r;
	}
	return 0;
}

int runtime_run(const struct host *h, json_t *status, bool network, bool *ret_wanted, struct err *err)
{
	_cleanup_machine_ struct machine m = { 0 };
	int r;

	*ret_wanted = false;
	if (!has_loaded(status)) /* a machine without devices reads nothing */
		return 0;
	r = machine_read(h, &m, err);
	if (r == 0 && !m.config.off)
		r = run_machine(h, &m, status, network, ret_wanted, err);
	return r;
}

/* --- old ones --- */

/* Versions of this driver whose modules are cached for some kernel: one to come, or one to go back to. */
static int cached_versions(const struct host *h, const struct machine *m, const struct cache_list *l,
			   const struct driver *d, struct strv *keep, struct err *err)
{
	_cleanup_keyring_ struct keyring ring = { 0 };
	int r = keyring_load(h, d->trust_usr, &ring, err);

	for (size_t i = 0; r == 0 && i < l->n; i++) {
		_cleanup_bundle_ struct bundle *b = NULL;
		struct err unsaid;

		if (l->v[i].name.kind != KIND_MODULES || !streq(l->v[i].name.name, d->name))
			continue;
		r = cache_open_bundle(h, m->config.cache, &l->v[i], &ring, &b, &unsaid);
		if (r == 0 && strv_add(keep, bundle_manifest(b)->version) == 0)
			continue;
		r = r == 0 || r == -ENOMEM ? err_sys(err, -ENOMEM, "%s", d->name) : 0;
	}
	return r;
}

/* The tree that /opt/drivers/NAME is, or that this boot took. */
static char *active_tree(const struct host *h, const json_t *status, const char *name)
{
	_cleanup_free_ char *link = str_printf(RUNTIME_LINK_DIR "/%s", name);
	_cleanup_close_ int fd = link ? host_root_open(h, link, O_PATH | O_NOFOLLOW) : -EBADF;
	const char *told = json_text(json_object_get(find_told(status, name), "runtime"), "path");
	char target[LIMIT_PATH_BYTES * 2];
	ssize_t n = *told || fd < 0 ? -1 : readlinkat(fd, "", target, sizeof(target) - 1);

	return *told ? strdup(told) : n < 0 ? NULL : strndup(target, (size_t)n);
}

static int prune_driver(const struct host *h, const struct machine *m, const struct cache_list *l,
			const json_t *status, const struct driver *d, bool dry, struct strv *ret, struct err *err)
{
	_cleanup_free_ char *active = active_tree(h, status, d->name);
	_cleanup_strv_ struct strv keep = { 0 };
	int r;

	if (!runtime_is_untidy(h, d->name, active))
		return 0;
	r = d->version && strv_add(&keep, d->version) < 0 ? err_sys(err, -ENOMEM, "%s", d->name) : 0;
	if (r == 0)
		r = cached_versions(h, m, l, d, &keep, err);
	return r < 0 ? r : runtime_tidy(h, d->name, &keep, active, dry, ret, err);
}

int runtime_prune(const struct host *h, bool dry, struct strv *ret, struct err *err)
{
	_cleanup_machine_ struct machine m = { 0 };
	_cleanup_cache_list_ struct cache_list cached = { 0 };
	_cleanup_close_ int any = host_root_open(h, RUNTIME_DIR, O_PATH);
	json_t *status = NULL;
	int r;

	if (any < 0)
		return 0;
	if (status_read(h, &status) < 0)
		status = NULL;
	r = machine_read(h, &m, err);
	if (r == 0)
		r = cache_read(h, m.config.cache, &cached, err);
	for (size_t i = 0; r == 0 && i < m.config.n_drivers; i++)
		r = prune_driver(h, &m, &cached, status, &m.config.drivers[i], dry, ret, err);
	json_decref(status);
	return r;
}
