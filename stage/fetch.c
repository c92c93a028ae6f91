// SPDX-License-Identifier: Apache-2.0
/*
 * fetch.c - the same sources and the same verification as at boot, with the cache as the only
 * destination. Interrupted: a ".part" file, from which the next run goes on.
 */
#include "fetch.h"

#include <fcntl.h>

#include "boot.h"
#include "cache.h"
#include "choose.h"
#include "installed.h"
#include "limit.h"
#include "lock.h"
#include "log.h"
#include "network.h"
#include "next.h"
#include "progress.h"
#include "refresh.h"
#include "store.h"

int fetch_keep(const struct source_request *req, struct candidate *c, struct err *err)
{
	const struct manifest *m = bundle_manifest(c->bundle);
	bool cached = streq(c->source, source_cache.scheme);
	_cleanup_free_ char *path = NULL;
	struct store_copy *copy = NULL;
	int r = 0;

	if (!cached)
		r = cache_check_serial(req->host, req->config->cache, m, req->keys, err);
	if (!cached && r == 0)
		r = store_begin(req->host, req->config->cache, c->bundle, true, &copy, err);
	if (r < 0)
		return r;
	if (copy)
		bundle_set_partial(c->bundle, store_partial(copy));
	r = progress_unpack(req->driver->name, c->bundle, NULL, copy, err);
	if (r < 0) {
		if (r == -E_NETWORK)
			store_suspend(copy);
		else
			store_abandon(copy);
		return r;
	}
	if (!cached)
		r = store_publish(copy, &path, err);
	if (r == 0)
		refresh_remember(req->host, c);
	if (r == 0)
		log_info("%s: %s of %s %s for %s%s, serial %llu, %s %s", req->driver->name, manifest_kind_word(m->kind),
			 m->name, m->version, m->kernel.release ? "kernel " : "", m->kernel.release ? m->kernel.release :
			 "every kernel", (unsigned long long)m->serial,
			 cached ? "is in the cache and verified:" : "fetched from", c->origin);
	return r;
}

static int keep(void *req, struct candidate *c, bool replace, struct err *err)
{
	int r = fetch_keep(req, c, err);

	(void)replace; /* what a command was asked to fetch is written whether it is there or not */
	return r == -E_CORRUPT || r == -E_NETWORK || r == -EIO ? 1 : r;
}

int fetch_best(const struct source_request *req, bool *ret_damaged, struct err *err)
{
	_cleanup_strv_ struct strv said = { 0 };
	struct source_request copy = *req;
	const struct choice choice = { .req = &copy, .use = keep, .ctx = &copy, .said = &said };
	int r = choose_first(&choice, err);

	for (size_t i = 0; i < said.n; i++)
		log_warning("%s: %s", req->driver->name, said.v[i]);
	*ret_damaged = said.n > 0;
	return r;
}

void fetch_for_kernel(const struct host *h, struct kernel *k, const char *release)
{
	_cleanup_close_ int top = -EBADF;

	if (streq(k->release, release))
		return;
	snprintf(k->release, sizeof(k->release), "%s", release);
	k->build_id[0] = '\0';
	k->absent = true;
	top = host_root_open(h, "/", O_RDONLY | O_DIRECTORY);
	if (top >= 0)
		(void)installed_build_id(top, release, k->build_id);
}

static int fetch_one(const struct source_request *req, bool refresh, struct err *err)
{
	struct err newer;
	bool damaged;
	int q = refresh ? refresh_newer(req, &newer) : 0, r = fetch_best(req, &damaged, err);

	/* what an address was said to hold still, by its header, may have been that */
	if (r == 0 && refresh && damaged)
		q = refresh_newer(req, &newer);
	if (r == 0 && q < 0) /* what is here is good; whether there is something better is not known */
		*err = newer;
	return r < 0 ? r : q;
}

/* All that a driver needs. What Runtime= may have of a kind and has not is no failure: few drivers have both. */
static int fetch_driver(const struct source_request *modules, bool refresh, struct err *err)
{
	static const enum bundle_kind more[] = { KIND_FIRMWARE, KIND_RUNTIME };
	int r = fetch_one(modules, refresh, err);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(more) && modules->driver->runtime.n > 0; i++) {
		struct source_request req = *modules;

		req.kind = more[i];
		r = fetch_one(&req, refresh, err);
		if (r != -E_NO_BUNDLE)
			continue;
		log_info("%s: %s", req.driver->name, err->text);
		r = 0;
	}
	return r;
}

/* Has a driver nothing to do on this machine? A file that cannot be used is no such thing: it is said. */
static bool is_left_out(const struct fetch_request *f, const struct machine *m, const struct driver *d, struct err *why)
{
	const struct boot b = { .host = f->host, .config = &m->config, .devices = &m->devices };

	return f->present && !boot_has_work(&b, d, why) && reason_exit(why->code) == EXIT_DONE;
}

/* Nobody here has: then nothing is asked either, the next kernel included. */
static bool is_idle(const struct fetch_request *f, const struct machine *m)
{
	struct err why;

	for (size_t i = 0; i < m->config.n_drivers; i++)
		if (!is_left_out(f, m, &m->config.drivers[i], &why))
			return false;
	return f->names->n == 0 && m->config.n_drivers > 0;
}

/* Every driver, for m->kernel; next: that one's own /usr, or NULL. */
static int fetch_drivers(const struct fetch_request *f, const struct machine *m, const struct next_kernel *next)
{
	int worst = EXIT_DONE;
	size_t found = 0;

	for (size_t i = 0; i < m->config.n_drivers; i++) {
		const struct driver *d = &m->config.drivers[i];
		_cleanup_keyring_ struct keyring ring = { 0 };
		const struct source_request req = { .host = f->host, .cmdline = &m->cmdline, .kernel = &m->kernel,
						    .keys = &ring, .config = &m->config, .driver = d, .next = next,
						    .devices = &m->devices,
						    .kind = KIND_MODULES, .until_us = UINT64_MAX };
		struct err err = d->error;
		int r = d->error.code;

		if (f->names->n && !strv_has(f->names, d->name))
			continue;
		found++;
		if (is_left_out(f, m, d, &err)) {
			log_info("%s: %s: %s", d->name, reason_word(err.code), err.text);
			continue;
		}
		if (r == 0)
			r = keyring_load(f->host, d->trust_usr, &ring, &err);
		if (r == 0)
			r = fetch_driver(&req, f->refresh, &err);
		if (r == 0)
			continue;
		log_error("%s: %s: %s", d->name, reason_word(r), err.text);
		worst = worst ? worst : (int)reason_exit(r);
	}
	if (found < f->names->n || m->config.n_drivers == 0) {
		log_error("%s", m->config.n_drivers ? "a driver that is named is not configured (/etc/modulus/*.conf)" :
						       "no driver is configured (/etc/modulus/*.conf)");
		worst = worst ? worst : EXIT_CONFIG;
	}
	return worst;
}

void fetch_for_next(const struct next_kernel *next, struct kernel *k)
{
	snprintf(k->release, sizeof(k->release), "%s", next->release);
	snprintf(k->build_id, sizeof(k->build_id), "%s", next->build_id);
	k->absent = true;
}

/* An exit code. */
static int find_next(const struct fetch_request *f, const struct machine *m, struct next_kernel *ret)
{
	struct err err;
	int r = f->next_usr ? next_kernel_in(f->next_usr, ret, &err) : next_kernel(f->host, &m->kernel, ret, &err);

	if (r < 0)
		log_error("%s: %s", reason_word(r), err.text);
	return r < 0 ? (int)reason_exit(r) : EXIT_DONE;
}

static int fetch_next(const struct fetch_request *f, struct machine *m)
{
	_cleanup_next_ struct next_kernel next = NEXT_NONE;
	int r = find_next(f, m, &next);

	if (r != EXIT_DONE)
		return r;
	if (next_is_running(&next, &m->kernel)) {
		log_info("the next boot runs the running kernel, %s: %s", next.release, next.how);
		return EXIT_DONE;
	}
	log_info("the next boot runs kernel %s: %s", next.release, next.how);
	fetch_for_next(&next, &m->kernel);
	return fetch_drivers(f, m, &next);
}

/* The running kernel, the next one, and whatever else is installed. */
static int fetch_all(const struct fetch_request *f, struct machine *m)
{
	_cleanup_close_ int top = host_root_open(f->host, "/", O_RDONLY | O_DIRECTORY);
	_cleanup_next_ struct next_kernel next = NEXT_NONE;
	_cleanup_strv_ struct strv installed = { 0 };
	const struct kernel running = m->kernel;
	int worst = fetch_drivers(f, m, NULL), code, r = top < 0 ? top : installed_releases(top, &installed);

	if (r < 0)
		log_error("/usr/lib/modules: %s", strerror(-r));
	code = find_next(f, m, &next);
	if (code == EXIT_DONE && !next_is_running(&next, &running)) {
		log_info("the next boot runs kernel %s: %s", next.release, next.how);
		fetch_for_next(&next, &m->kernel);
		code = fetch_drivers(f, m, &next);
	}
	worst = worst ? worst : code;
	for (size_t i = 0; i < installed.n; i++) {
		if (streq(installed.v[i], running.release) || streq(installed.v[i], next.release))
			continue;
		m->kernel = running;
		fetch_for_kernel(f->host, &m->kernel, installed.v[i]);
		code = fetch_drivers(f, m, NULL);
		worst = worst ? worst : code;
	}
	return worst ? worst : r < 0 ? EXIT_SYSTEM : EXIT_DONE;
}

int fetch_run(const struct fetch_request *f)
{
	_cleanup_machine_ struct machine m = { 0 };
	_cleanup_close_ int lock = -EBADF;
	struct err err;
	int r;

	/* an ordinary user who fills a directory of his own has no /run to lock, and nobody to wait for */
	r = lock_machine(f->host, LIMIT_LOCK_COMMAND_US, &lock, &err);
	r = r == -EBUSY ? r : machine_read_all(f->host, &m, &err);
	if (r < 0) {
		log_error("%s", err.text);
		return reason_exit(r);
	}
	if (is_idle(f, &m)) {
		log_info("no driver that is configured has its device here");
		return EXIT_DONE;
	}
	if (f->which == FETCH_NEXT)
		r = fetch_next(f, &m);
	else if (f->which == FETCH_ALL)
		r = fetch_all(f, &m);
	else {
		if (f->release)
			fetch_for_kernel(f->host, &m.kernel, f->release);
		r = fetch_drivers(f, &m, NULL);
	}
	network_release(f->host);
	return r;
}
