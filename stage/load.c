// SPDX-License-Identifier: Apache-2.0
/*
 * load.c - the only file that decides what is inserted and when. Runs after every byte of the
 * bundle was verified; a bundle that is bad anywhere has loaded nothing. If the power fails
 * here, nothing on disk is half done.
 */
#include "load.h"

#include <libkmod.h>
#include <syslog.h>

#include "child.h"
#include "kernelsyms.h"
#include "kmsg.h"

struct loader {
	const struct load_request *req;
	struct driver_report *report;
	struct kmod_ctx *kmod; /* made when an in-tree module is first needed */
	struct err *err;
};

/* --- looking at modules --- */

/* All that can be known before the kernel is touched. */
static int check_module(const struct load_request *req, const struct module_bytes *mod, struct err *err)
{
	_cleanup_module_map_ struct module_map m = { 0 };
	const char *vermagic, *rest;
	int r = module_map(mod, &m, err);

	if (r < 0)
		return r;
	vermagic = modfile_info_first(&m.file, "vermagic");
	if (!streq(vermagic, req->manifest->kernel.vermagic))
		return err_set(err, -E_WRONG_KERNEL, "%s has another vermagic than its manifest says", mod->name);
	if (!str_prefix(vermagic, req->kernel->release, &rest) || (*rest != ' ' && *rest != '\0'))
		return err_set(err, -E_WRONG_KERNEL, "%s has vermagic %.80s, running %s", mod->name, vermagic,
			       req->kernel->release);
	if (!streq(m.file.machine, req->kernel->machine))
		return err_set(err, -E_WRONG_KERNEL, "%s is for %s", mod->name, m.file.machine);
	if (req->kernel->signed_only && !m.file.is_signed)
		return err_set(err, -E_UNSIGNED, "%s carries no kernel signature, and this kernel demands one",
			       mod->name);
	return 0;
}

char *load_sysfs_path(const char *name, const char *file)
{
	char *path = str_printf("sys/module/%s/%s", name, file);

	for (char *p = path ? path + strlen("sys/module/") : NULL; p && *p != '/'; p++)
		if (*p == '-')
			*p = '_';
	return path;
}

bool load_is_live(const struct host *h, const char *name)
{
	_cleanup_free_ char *path = load_sysfs_path(name, "initstate"), *dir = load_sysfs_path(name, "");
	char state[16];

	if (!path || !dir)
		return false;
	if (read_line_at(h->live_fd, path, state, sizeof(state)) == 0)
		return streq(state, "live");
	/* built-in code has a directory (for its parameters) and no initstate */
	return faccessat(h->live_fd, dir, F_OK, 0) == 0;
}

/* --- parameters --- */

static char *append(char *have, const char *word)
{
	char *both = have ? str_printf("%s%s%s", have, *have ? " " : "", word) : NULL;

	free(have);
	return both;
}

/* "MODULE rest": the rest if it is for this module. */
static const char *option_for(const char *option, const char *module)
{
	_cleanup_free_ char *first = strndup(option, strcspn(option, " \t"));

	if (!first || !module_name_equal(first, module))
		return NULL;
	option += strcspn(option, " \t");
	return option + strspn(option, " \t");
}

static char *append_options(char *have, const struct strv *options, const char *module)
{
	for (size_t i = 0; i < options->n; i++) {
		const char *rest = option_for(options->v[i], module);

		if (rest && *rest)
			have = append(have, rest);
	}
	return have;
}

char *load_parameters(const struct load_request *req, const char *module)
{
	char *params = strdup("");

	params = append_options(params, &req->manifest->options, module);
	params = append_options(params, &req->driver->options, module);
	for (size_t i = 0; i < req->cmdline->words.n; i++) {
		const char *word = req->cmdline->words.v[i], *dot = strchr(word, '.');
		_cleanup_free_ char *name = dot ? strndup(word, (size_t)(dot - word)) : NULL;

		if (!name || !module_name_equal(name, module))
			continue;
		if (strpbrk(dot, " \t\n")) { /* the quotes were dropped when the line was split */
			_cleanup_free_ char *quoted = str_printf("\"%s\"", dot + 1);

			params = append(params, quoted ? quoted : "");
		} else {
			params = append(params, dot + 1);
		}
	}
	if (req->module && req->parameters && module_name_equal(req->module, module))
		params = append(params, req->parameters);
	return params;
}

/* --- inserting --- */

static uint64_t insert_deadline(const struct loader *l)
{
	return MIN(l->req->until_us, now_us() + LIMIT_INSERT_US);
}

/* What the kernel's answer means (kernel/module/main.c; init functions add their own errnos). */
static int insert_failed(struct loader *l, const char *name, bool is_bundles, int r)
{
	/* lockdown's word for a signature that it does not know (security/lockdown; measured on 6.1) */
	if (r == -EPERM && l->req->kernel->signed_only)
		r = -EKEYREJECTED;
	switch (r) {
	case -E_INIT_HUNG:
		if (now_us() >= l->req->until_us)
			return err_set(l->err, -E_INIT_HUNG, "%s was still in its init when Budget= ran out", name);
		return err_set(l->err, -E_INIT_HUNG, "%s did not finish its init in %llu s", name,
			       (unsigned long long)(LIMIT_INSERT_US / 1000000));
	case -E_INIT_FAILED:
		return err_set(l->err, -E_INIT_FAILED, "%s: the process that inserted it was killed (a kernel oops?)",
			       name);
	case -EKEYREJECTED:
	case -ENOKEY:
		return err_set(l->err, -E_UNSIGNED, "%s: the kernel does not accept its signature: %s", name,
			       strerror(-r));
	case -ENOEXEC: /* vermagic or module_layout: its bytes are those that were hashed */
		return err_set(l->err, -E_WRONG_KERNEL, "%s is not for this kernel: %s", name, strerror(-r));
	case -ENODEV: /* says nothing of the device where others of the bundle are in already, or of the kernel's own */
		return err_set(l->err, is_bundles && report_inserted(l->report, MODULE_BUNDLE) == 0 ? -E_NO_DEVICE : -E_INIT_FAILED,
			       "%s found no device that it can drive: %s", name,
			       strerror(-r));
	case -ENOENT:
		return err_set(l->err, -E_INIT_FAILED, "%s needs a symbol that is not there: %s", name, strerror(-r));
	case -ENOMEM:
		return err_set(l->err, -E_NO_SPACE, "%s: %s", name, strerror(-r));
	default:
		return err_set(l->err, -E_INIT_FAILED, "%s: %s", name, strerror(-r));
	}
}

struct insert_call {
	bool overtaken; /* out: it was live by somebody else's hand */
	const struct sysops *ops;
	int fd;
	const char *params;
	struct kmod_module *mod;
};

static int insert_fd(void *ctx)
{
	const struct insert_call *c = ctx;

	return c->ops->finit_module(c->fd, c->params);
}

static int insert_tree(void *ctx)
{
	const struct insert_call *c = ctx;

	return c->ops->probe_insert(c->mod);
}

/* Runs one insert, with the kernel's log around it; on failure its words go into the report. */
static int insert(struct loader *l, const char *name, int (*fn)(void *), struct insert_call *call, uint64_t *ret_us)
{
	_cleanup_close_ int mark = kmsg_mark(l->req->host);
	uint64_t began = now_us();
	int r;

	if (began >= l->req->until_us)
		return err_set(l->err, -E_OVER_BUDGET, "Budget= ran out before %s", name);
	call->ops = l->req->host->ops;
	r = child_call(fn, call, call->fd, insert_deadline(l));
	*ret_us = now_us() - began;
	l->report->crashed = l->report->crashed || r == -E_INIT_HUNG || r == -E_INIT_FAILED;
	/* EEXIST: somebody was faster, or the init function itself said so; sysfs knows */
	call->overtaken = r == -EEXIST && load_is_live(l->req->host, name);
	if (call->overtaken)
		return 0;
	if (r < 0) {
		if (kmsg_collect(mark, &l->report->kernel_log) < 0)
			return err_sys(l->err, -ENOMEM, "%s", name);
		return insert_failed(l, name, !call->mod, r);
	}
	return 0;
}

static int load_name(struct loader *l, const char *name, unsigned int depth);

/*
 * Is the module of this name that is live the bundle's? srcversion, a sum over its sources
 * (scripts/mod/sumversion.c), tells two builds apart where both carry it.
 */
static int check_live(struct loader *l, const struct module_bytes *mod)
{
	_cleanup_module_map_ struct module_map m = { 0 };
	_cleanup_free_ char *path = load_sysfs_path(mod->name, "srcversion");
	const char *ours;
	char live[64];
	int r = path ? module_map(mod, &m, l->err) : err_sys(l->err, -ENOMEM, "%s", mod->name);

	if (r < 0)
		return r;
	ours = modfile_info_first(&m.file, "srcversion");
	if (!*ours || read_line_at(l->req->host->live_fd, path, live, sizeof(live)) < 0 || streq(live, ours))
		return 0;
	return err_set(l->err, -E_INIT_FAILED, "%s is live already, from another source: srcversion %s, the bundle's %s",
		       mod->name, live, ours);
}

/* Names in a modinfo list ("a,b"), and the "pre:" part of a softdep line. */
static int load_dependencies(struct loader *l, const struct modfile *m, unsigned int depth)
{
	_cleanup_strv_ struct strv hard = { 0 }, soft = { 0 };
	const char *line;
	size_t cursor = 0;
	int r;

	r = strv_add_words(&hard, modfile_info_first(m, "depends"), ",");
	while (r == 0 && (line = modfile_info(m, "softdep", &cursor))) {
		_cleanup_strv_ struct strv words = { 0 };
		bool pre = false;

		r = strv_add_words(&words, line, NULL);
		for (size_t i = 0; r == 0 && i < words.n; i++) {
			if (str_suffix(words.v[i], ":"))
				pre = streq(words.v[i], "pre:");
			else if (pre)
				r = strv_add(&soft, words.v[i]);
		}
	}
	if (r < 0)
		return err_sys(l->err, r, "dependencies");
	/* a softdep is a wish: kmod goes on without it, and so do we */
	for (size_t i = 0; i < soft.n; i++) {
		struct err ignored, *saved = l->err;

		l->err = &ignored;
		(void)!load_name(l, soft.v[i], depth + 1);
		l->err = saved;
	}
	for (size_t i = 0; i < hard.n; i++) {
		r = load_name(l, hard.v[i], depth + 1);
		if (r < 0)
			return r;
	}
	return 0;
}

static int load_from_bundle(struct loader *l, struct module_bytes *mod, unsigned int depth)
{
	_cleanup_module_map_ struct module_map m = { 0 };
	_cleanup_free_ char *params = NULL;
	struct insert_call call;
	uint64_t us;
	int r;

	mod->tried = true;
	r = module_map(mod, &m, l->err);
	if (r == 0)
		r = load_dependencies(l, &m.file, depth);
	if (r < 0)
		return r;
	params = load_parameters(l->req, mod->name);
	if (!params)
		return err_sys(l->err, -ENOMEM, "%s", mod->name);
	call = (struct insert_call){ .fd = mod->fd, .params = params };
	r = insert(l, mod->name, insert_fd, &call, &us);
	if (r == 0 && call.overtaken)
		r = check_live(l, mod);
	if (r < 0)
		return r;
	r = report_add_module(l->report, mod->name, MODULE_BUNDLE, us);
	return r < 0 ? err_sys(l->err, r, "%s", mod->name) : 0;
}

/* libkmod over the target's own tree. It reads no modprobe.d: an empty list of paths. */
static int open_tree_ctx(struct loader *l)
{
	static const char *const no_config[] = { NULL };
	_cleanup_free_ char *dir = NULL;

	if (l->kmod)
		return 0;
	dir = str_printf("%s%susr/lib/modules/%s", l->req->host->root_path,
			 str_suffix(l->req->host->root_path, "/") ? "" : "/", l->req->kernel->release);
	if (!dir)
		return -ENOMEM;
	l->kmod = kmod_new(dir, no_config);
	if (l->kmod)
		kmod_set_log_priority(l->kmod, LOG_CRIT); /* its failures come back as codes, and are said once, by us */
	return l->kmod ? 0 : -ENOMEM;
}

static int report_tree_module(struct loader *l, struct kmod_module *mod, bool was_live, uint64_t us)
{
	const char *name = kmod_module_get_name(mod);

	if (was_live || !load_is_live(l->req->host, name))
		return 0;
	return report_add_module(l->report, name, MODULE_KERNEL, us);
}

static int insert_from_tree(struct loader *l, struct kmod_module *mod, const char *name)
{
	struct kmod_list *deps = kmod_module_get_dependencies(mod), *item;
	struct insert_call call = { .fd = -EBADF, .mod = mod };
	bool was_live[64] = { 0 };
	uint64_t us = 0;
	size_t i = 0;
	int r;

	kmod_list_foreach(item, deps) {
		struct kmod_module *dep = kmod_module_get_module(item);

		if (i < ARRAY_SIZE(was_live))
			was_live[i++] = load_is_live(l->req->host, kmod_module_get_name(dep));
		kmod_module_unref(dep);
	}
	r = insert(l, name, insert_tree, &call, &us);
	i = 0;
	kmod_list_foreach(item, deps) {
		struct kmod_module *dep = kmod_module_get_module(item);

		if (r == 0 && i < ARRAY_SIZE(was_live))
			r = report_tree_module(l, dep, was_live[i++], 0);
		kmod_module_unref(dep);
	}
	kmod_module_unref_list(deps);
	if (r == 0)
		r = report_tree_module(l, mod, false, us);
	return r == -ENOMEM ? err_sys(l->err, r, "%s", name) : r;
}

static int load_from_tree(struct loader *l, const char *name)
{
	struct kmod_list *found = NULL, *item;
	int r = open_tree_ctx(l);

	if (r == 0)
		r = kmod_module_new_from_lookup(l->kmod, name, &found);
	if (r < 0)
		return err_sys(l->err, r, "looking for %s in the kernel's modules", name);
	if (!found)
		return err_set(l->err, -E_INIT_FAILED,
			       "%s is neither live nor in the bundle nor in %s/usr/lib/modules/%s", name,
			       l->req->host->root_path, l->req->kernel->release);
	kmod_list_foreach(item, found) {
		struct kmod_module *mod = kmod_module_get_module(item);

		if (r == 0 && !load_is_live(l->req->host, kmod_module_get_name(mod)))
			r = insert_from_tree(l, mod, kmod_module_get_name(mod));
		kmod_module_unref(mod);
	}
	kmod_module_unref_list(found);
	return r;
}

static int load_name(struct loader *l, const char *name, unsigned int depth)
{
	struct module_bytes *mod;
	int r;

	if (depth > LIMIT_MODULE_DEPTH)
		return err_set(l->err, -E_CORRUPT, "modules depend on each other more than %u deep", LIMIT_MODULE_DEPTH);
	mod = module_set_find(l->req->set, name);
	if (mod && mod->tried) /* inserted, or a circle that the kernel would refuse anyway */
		return 0;
	if (load_is_live(l->req->host, name)) {
		if (mod) {
			mod->tried = true;
			r = check_live(l, mod);
			if (r < 0)
				return r;
		}
		r = depth == 0 || mod ? report_add_module(l->report, mod ? mod->name : name, MODULE_LIVE, 0) : 0;
		return r < 0 ? err_sys(l->err, r, "%s", name) : 0;
	}
	if (module_name_listed(&l->req->config->blacklist, name))
		return err_set(l->err, -E_DISABLED, "%s is blacklisted on the kernel command line", name);
	return mod ? load_from_bundle(l, mod, depth) : load_from_tree(l, name);
}

/*
 * No build-id settles whether the bundle is for this very build: then vermagic, which names what
 * the kernel was configured with, must be that of the kernel's own modules, and every symbol version
 * that can be compared must agree, before anything is inserted.
 */
static int check_symbols(struct loader *l)
{
	const char *vermagic = l->req->manifest->kernel.vermagic; /* of each module: check_module() */
	_cleanup_free_ char *own = NULL;
	const struct module_set *set = l->req->set;
	_cleanup_symbols_ struct symbols known = { 0 };
	_cleanup_strv_ struct strv depends = { 0 };
	int r = open_tree_ctx(l);

	for (size_t i = 0; r == 0 && i < set->n; i++) {
		_cleanup_module_map_ struct module_map m = { 0 };

		r = module_map(&set->v[i], &m, l->err);
		if (r == 0)
			r = strv_add_words(&depends, modfile_info_first(&m.file, "depends"), ",");
	}
	if (r == 0)
		r = kernelsyms_collect(l->kmod, l->req->kernel->release, &depends, &known, &own);
	if (r == -ENOMEM)
		return err_sys(l->err, r, "symbol versions");
	if (r == 0 && own && !streq(own, vermagic))
		return err_set(l->err, -E_WRONG_KERNEL, "bundle has vermagic \"%.80s\", the kernel's own modules have \"%.80s\"",
			       vermagic, own);
	for (size_t i = 0; r == 0 && i < set->n; i++) {
		_cleanup_module_map_ struct module_map m = { 0 };

		r = module_map(&set->v[i], &m, l->err);
		if (r == 0)
			r = symbols_check(&known, &m.file, set->v[i].name, NULL, l->err);
	}
	return r;
}

int load_driver(const struct load_request *req, struct driver_report *report, struct err *err)
{
	const struct strv one = { .v = (char *[]){ (char *)(uintptr_t)req->module }, .n = 1 };
	const struct strv *names = req->module	       ? &one :
				   req->driver->load.n ? &req->driver->load :
							 &req->manifest->load;
	struct loader l = { .req = req, .report = report, .err = err };
	int r = 0;

	for (size_t i = 0; r == 0 && i < names->n; i++)
		if (!strv_has(&report->load, names->v[i]) && strv_add(&report->load, names->v[i]) < 0)
			r = err_sys(err, -ENOMEM, "%s", names->v[i]);
	for (size_t i = 0; r == 0 && i < req->set->n; i++)
		r = check_module(req, &req->set->v[i], err);
	if (r == 0 && !(req->manifest->kernel.build_id && req->kernel->build_id[0]))
		r = check_symbols(&l);
	for (size_t i = 0; r == 0 && i < names->n; i++)
		r = load_name(&l, names->v[i], 0);
	kmod_unref(l.kmod);
	return r;
}
