// SPDX-License-Identifier: Apache-2.0
/*
 * rebuild.c - the order of the steps of `modulus rebuild`. Runs on a running host. In: the cache, the
 * sources, the driver files. Out: fresh bundles in the cache. Interrupted or without power at any
 * instant: each file of the cache is the old one or the new one, both whole (store.c).
 */
#include "rebuild.h"

#include <fcntl.h>

#include "cache.h"
#include "fetch.h"
#include "keep.h"
#include "lock.h"
#include "log.h"
#include "progress.h"
#include "recompile.h"
#include "runtimetree.h"

#define SOURCE_BUILD "build"

struct rebuild {
	const struct rebuild_request *req;
	struct machine machine; /* its kernel: the one at hand */
	struct cache_list cached;
};

/* "kernel 6.1.0-56-amd64", "firmware". Caller frees. */
static char *what_of(const struct source_request *req)
{
	return req->kind == KIND_MODULES ? str_printf("kernel %s", req->kernel->release) :
					   strdup(manifest_kind_word(req->kind));
}

/* --- what is there --- */

static int verify_file(const struct source_request *req, const struct cache_file *f, struct err *err)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	struct err why;
	int r = cache_open_bundle(req->host, req->config->cache, f, req->keys, &b, err);

	if (r == 0)
		r = progress_unpack(req->driver->name, b, NULL, NULL, err);
	if (r != -E_CORRUPT)
		return r;
	if (store_quarantine(req->host, req->config->cache, f->folder, f->file, &why) < 0)
		log_warning("%s: %s", req->driver->name, why.text);
	else
		log_warning("%s: %s/%s: moved to quarantine", req->driver->name, f->folder, f->file);
	return r;
}

/* What is cached of this driver for this kernel. *ret_usable: one of them is good, and of the wanted version. */
static int verify_cached(const struct rebuild *b, const struct source_request *req, bool *ret_usable, struct err *err)
{
	const char *folder = req->kind == KIND_MODULES ? req->kernel->release : STORE_ANY;
	_cleanup_free_ char *what = what_of(req);
	size_t good = 0, bad = 0;

	for (size_t i = 0; i < b->cached.n; i++) {
		const struct cache_file *f = &b->cached.v[i];
		int r;

		if (!streq(f->folder, folder) || !streq(f->name.name, req->driver->name) || f->name.kind != req->kind)
			continue;
		r = verify_file(req, f, err);
		if (r == -ENOENT)
			continue;
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			log_warning("%s: %s/%s: %s: %s", req->driver->name, f->folder, f->file, reason_word(r), err->text);
		good += r == 0;
		bad += r < 0;
	}
	if (good + bad > 0)
		log_info("%s: %s: %zu cached bundles are good, %zu are not", req->driver->name, what ? what : "", good, bad);
	*ret_usable = good > 0;
	return 0;
}

/* --- what is made anew --- */

/* The bundle that a command made, judged and kept like any other. */
static int keep_compiled(const struct source_request *req, const struct recompiled *made, struct err *err)
{
	_cleanup_candidates_ struct candidates found = { 0 };
	_cleanup_rejections_ struct rejections rejected = { 0 };
	struct reader *reader;
	int fd = open(made->output, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), r;

	if (fd < 0)
		return err_sys(err, -errno, "%s", made->output);
	r = reader_new_fd(fd, &reader);
	if (r < 0)
		return err_sys(err, r, "%s", made->output);
	r = source_consider(req, SOURCE_BUILD, 0, reader, req->driver->build.v[0], &found, &rejected, err);
	if (r < 0)
		return r;
	if (found.n == 0) {
		*err = rejected.v[0].why;
		return err_prefix(err, "what %s made", req->driver->build.v[0]);
	}
	return fetch_keep(req, &found.v[0], err);
}

static int compile(const struct source_request *req, struct err *err)
{
	_cleanup_recompiled_ struct recompiled made = { 0 };
	int r;

	log_info("%s: kernel %s: running %s", req->driver->name, req->kernel->release, req->driver->build.v[0]);
	notify_systemd("STATUS=%s: running %s for kernel %s", req->driver->name, req->driver->build.v[0],
		       req->kernel->release);
	r = recompile_run(req->host, req->driver, req->kernel->release, &made, err);
	return r < 0 ? r : keep_compiled(req, &made, err);
}

/* One driver's modules for one kernel, or what no kernel is bound to. */
static int rebuild_one(struct rebuild *b, const struct driver *d, enum bundle_kind kind, struct err *err)
{
	_cleanup_keyring_ struct keyring ring = { 0 };
	const struct source_request req = { .host = b->req->host, .cmdline = &b->machine.cmdline,
					    .kernel = &b->machine.kernel, .keys = &ring,
					    .config = &b->machine.config, .driver = d,
					    .devices = &b->machine.devices, .kind = kind,
					    .without_cache = true, .until_us = UINT64_MAX };
	_cleanup_free_ char *what = what_of(&req);
	bool usable = false, damaged;
	struct err why;
	int r = what ? keyring_load(b->req->host, d->trust_usr, &ring, err) : err_sys(err, -ENOMEM, "%s", d->name);

	if (r == 0)
		r = verify_cached(b, &req, &usable, err);
	if (r < 0)
		return r;
	r = kind == KIND_MODULES && d->build.n > 0 ? compile(&req, &why) : fetch_best(&req, &damaged, &why);
	/* a kernel to go back to, or a bundle that was imported: nobody offers it any more, and it is good */
	if ((r == -E_NO_BUNDLE || r == -E_WRONG_KERNEL || r == -E_NO_DEVICE) && usable) {
		log_info("%s: %s: no source offers a bundle; the cached one stays", d->name, what);
		return 0;
	}
	if (r == -E_NO_BUNDLE && kind != KIND_MODULES) { /* few drivers have both */
		log_info("%s: %s", d->name, why.text);
		return 0;
	}
	if (r < 0) {
		*err = why;
		return err_prefix(err, "%s", what);
	}
	return 0;
}

static int rebuild_kind(struct rebuild *b, enum bundle_kind kind)
{
	int worst = EXIT_DONE;

	for (size_t i = 0; i < b->machine.config.n_drivers; i++) {
		const struct driver *d = &b->machine.config.drivers[i];
		struct err err = d->error;
		int r = d->error.code;

		if (b->req->names->n && !strv_has(b->req->names, d->name))
			continue;
		if (kind != KIND_MODULES && (r < 0 || d->runtime.n == 0)) /* said with the modules; not asked for */
			continue;
		if (r == 0)
			r = rebuild_one(b, d, kind, &err);
		if (r == 0)
			continue;
		log_error("%s: %s: %s", d->name, reason_word(r), err.text);
		worst = worst ? worst : (int)reason_exit(r);
	}
	return worst;
}

/* Every byte of the libraries that are installed; a damaged tree is replaced by the next `finish`. */
static void verify_tree(const struct rebuild *b, const struct driver *d)
{
	_cleanup_runtime_tree_ struct runtime_tree tree = { 0 };
	_cleanup_keyring_ struct keyring ring = { 0 };
	const struct host *h = b->req->host;
	struct err err, why;
	int r = keyring_load(h, d->trust_usr, &ring, &err);

	if (r == 0)
		r = runtime_tree_find(h, d->name, d->version, &ring, &tree, &err);
	if (r == -ENOENT)
		return;
	if (r == 0)
		r = runtime_tree_verify(h, &tree, &err);
	if (r == 0)
		log_info("%s: %s is good", d->name, tree.path);
	else
		log_warning("%s: %s: %s; the next `modulus finish` looks for another", d->name, reason_word(r), err.text);
	if (r == -E_CORRUPT && tree.path && runtime_tree_distrust(h, &tree, &why) < 0)
		log_warning("%s: %s", d->name, why.text);
}

/* A name that no driver file has; NULL: none. */
static const char *unknown_name(const struct rebuild *b)
{
	const struct config *c = &b->machine.config;

	for (size_t i = 0; i < b->req->names->n; i++) {
		bool found = false;

		for (size_t j = 0; j < c->n_drivers; j++)
			found = found || streq(c->drivers[j].name, b->req->names->v[i]);
		if (!found)
			return b->req->names->v[i];
	}
	return NULL;
}

static int rebuild_all(struct rebuild *b)
{
	_cleanup_strv_ struct strv kernels = { 0 };
	const char *unknown = unknown_name(b);
	int worst = EXIT_DONE, r = 0;
	struct err err;

	if (b->machine.config.n_drivers == 0 || unknown) {
		log_error("%s%sno such driver is configured (/etc/modulus/*.conf)", unknown ? unknown : "",
			  unknown ? ": " : "");
		return EXIT_CONFIG;
	}
	r = cache_read(b->req->host, b->machine.config.cache, &b->cached, &err);
	if (r == 0)
		r = b->req->release
			    ? strv_add(&kernels, b->req->release)
			    : keep_kernels(b->req->host, &b->machine.kernel, &b->cached, b->req->all, &kernels, &err);
	if (r < 0) {
		log_error("%s: %s", reason_word(r), err.text);
		return reason_exit(r);
	}
	for (size_t i = 0; i < kernels.n; i++) {
		fetch_for_kernel(b->req->host, &b->machine.kernel, kernels.v[i]);
		r = rebuild_kind(b, KIND_MODULES);
		worst = worst ? worst : r;
	}
	for (enum bundle_kind kind = KIND_FIRMWARE; kind <= KIND_RUNTIME && !b->req->release; kind++) {
		r = rebuild_kind(b, kind);
		worst = worst ? worst : r;
	}
	for (size_t i = 0; i < b->machine.config.n_drivers && !b->req->release; i++) {
		const struct driver *d = &b->machine.config.drivers[i];

		if (d->error.code == 0 && (b->req->names->n == 0 || strv_has(b->req->names, d->name)))
			verify_tree(b, d);
	}
	return worst;
}

int rebuild_run(const struct rebuild_request *req)
{
	_cleanup_close_ int lock = -EBADF;
	struct rebuild b = { .req = req };
	struct err err;
	int r = lock_machine(req->host, LIMIT_LOCK_COMMAND_US, &lock, &err);

	r = r == -EBUSY ? r : machine_read_all(req->host, &b.machine, &err);
	if (r < 0) {
		log_error("%s", err.text);
		r = reason_exit(r);
	} else {
		r = rebuild_all(&b);
	}
	cache_list_free(&b.cached);
	machine_done(&b.machine);
	return r;
}
