// SPDX-License-Identifier: Apache-2.0
/*
 * fetch.c - the same sources and the same verification as at boot, with the cache as the only
 * destination. Interrupted: a ".part" file, from which the next run goes on.
 */
#include "fetch.h"

#include "boot.h"
#include "limit.h"
#include "lock.h"
#include "log.h"
#include "store.h"
#include "unpack.h"

/* Progress: bytes of the bundle that were verified, on a terminal and to systemd. */
struct progress {
	const char *name;
	struct store_copy *copy;
	uint64_t total, done, began_us, shown_us;
	bool terminal;
};

static void show(struct progress *p, bool last)
{
	uint64_t now = now_us(), elapsed_us = now - p->began_us + 1;
	uint64_t rate = p->done * 1000000 / elapsed_us;
	unsigned int percent = p->total ? (unsigned int)(p->done * 100 / p->total) : 100;

	if (!last && now - p->shown_us < 200000)
		return;
	p->shown_us = now;
	notify_systemd("STATUS=%s: %u%% of %llu KiB", p->name, percent, (unsigned long long)(p->total >> 10));
	if (!p->terminal)
		return;
	fprintf(stderr, "\r\033[K%s: %3u%%  %llu of %llu KiB  %llu KiB/s  %llu s left", p->name, percent,
		(unsigned long long)(p->done >> 10), (unsigned long long)(p->total >> 10),
		(unsigned long long)(rate >> 10),
		(unsigned long long)(rate ? (p->total - MIN(p->done, p->total)) / rate : 0));
	if (last)
		fprintf(stderr, "\r\033[K");
}

static int on_chunk(void *ctx, const void *stored, size_t len)
{
	struct progress *p = ctx;

	p->done += len;
	show(p, false);
	return store_append(p->copy, stored, len);
}

static uint64_t stored_bytes(const struct manifest *m)
{
	uint64_t n = 0;

	for (size_t i = 0; i < m->n_chunks; i++)
		n += m->chunks[i].stored;
	return n;
}

/* Verifies one candidate to its end and keeps it. */
static int keep(const struct host *h, const struct driver *d, struct candidate *c, struct err *err)
{
	const struct manifest *m = bundle_manifest(c->bundle);
	struct progress p = { .name = d->name, .total = stored_bytes(m), .began_us = now_us(),
			      .terminal = isatty(STDERR_FILENO) };
	bool cached = streq(c->source, "cache");
	_cleanup_free_ char *path = NULL;
	int r;

	if (!cached) {
		r = store_begin(h, c->bundle, true, &p.copy, err);
		if (r < 0)
			return r;
		bundle_set_tee(c->bundle, on_chunk, &p);
		bundle_set_partial(c->bundle, store_partial(p.copy));
	}
	r = unpack_bundle(c->bundle, NULL, err);
	show(&p, true);
	if (r < 0) {
		if (r == -E_NETWORK)
			store_suspend(p.copy);
		else
			store_abandon(p.copy);
		return r;
	}
	if (!cached)
		r = store_publish(p.copy, &path, err);
	if (r == 0)
		log_info("%s: %s %s for kernel %s, serial %llu, %s %s", d->name, m->name, m->version, m->kernel.release,
			 (unsigned long long)m->serial, cached ? "is in the cache and verified:" : "fetched from",
			 c->origin);
	return r;
}

/* Tries what was found, best first. 0: kept; 1: none was good. */
static int keep_first_good(const struct host *h, const struct driver *d, struct candidates *found,
			   struct rejections *rejected, struct err *err)
{
	for (size_t i = 0; i < found->n; i++) {
		int r = keep(h, d, &found->v[i], err);

		if (r == 0)
			return 0;
		if (r != -E_CORRUPT && r != -E_NETWORK && r != -EIO)
			return r;
		if (rejections_add(rejected, found->v[i].origin, err) < 0)
			return err_sys(err, -ENOMEM, "%s", d->name);
	}
	return 1;
}

static int fetch_driver(const struct source_request *req, struct err *err)
{
	_cleanup_rejections_ struct rejections rejected = { 0 };
	_cleanup_candidates_ struct candidates local = { 0 };
	unsigned int cursor = 0;
	int r;

	r = source_find_local(req, &local, &rejected, err);
	if (r == 0)
		r = keep_first_good(req->host, req->driver, &local, &rejected, err);
	while (r > 0) {
		_cleanup_candidates_ struct candidates found = { 0 };

		r = source_find_network(req, &cursor, &found, &rejected, err);
		if (r == 0)
			return rejections_verdict(&rejected, req->driver, err);
		if (r > 0)
			r = keep_first_good(req->host, req->driver, &found, &rejected, err);
	}
	return r;
}

int fetch_run(const struct fetch_request *f)
{
	_cleanup_cmdline_ struct cmdline cmdline = { 0 };
	_cleanup_config_ struct config config = { 0 };
	_cleanup_close_ int lock = -EBADF;
	struct kernel kernel;
	struct err err;
	int r, worst = EXIT_DONE;
	size_t found = 0;

	/* an ordinary user who fills a directory of his own has no /run to lock, and nobody to wait for */
	r = lock_machine(f->host, LIMIT_LOCK_COMMAND_US, &lock, &err);
	r = r == -EBUSY ? r : cmdline_read(f->host, &cmdline, &err);
	if (r == 0)
		r = config_read(f->host, &cmdline, &config, &err);
	if (r == 0)
		r = kernel_running(f->host, &kernel, &err);
	if (r < 0) {
		log_error("%s", err.text);
		return reason_exit(r);
	}
	for (size_t i = 0; i < config.warnings.n; i++)
		log_warning("%s", config.warnings.v[i]);
	if (f->release && !streq(f->release, kernel.release)) {
		snprintf(kernel.release, sizeof(kernel.release), "%s", f->release);
		kernel.build_id[0] = '\0'; /* of a kernel that does not run: not known here */
	}
	for (size_t i = 0; i < config.n_drivers; i++) {
		const struct driver *d = &config.drivers[i];
		_cleanup_keyring_ struct keyring ring = { 0 };
		const struct source_request req = { .host = f->host, .cmdline = &cmdline, .kernel = &kernel,
						    .keys = &ring, .config = &config, .driver = d,
						    .kind = KIND_MODULES, .until_us = UINT64_MAX };

		if (f->names->n && !strv_has(f->names, d->name))
			continue;
		found++;
		err = d->error;
		r = d->error.code < 0 ? d->error.code : keyring_load(f->host, d->trust_usr, &ring, &err);
		if (r == 0)
			r = fetch_driver(&req, &err);
		if (r == 0)
			continue;
		log_error("%s: %s: %s", d->name, reason_word(r), err.text);
		worst = worst ? worst : (int)reason_exit(r);
	}
	if (found < f->names->n || config.n_drivers == 0) {
		log_error("%s", config.n_drivers ? "a driver that is named is not configured (/etc/modulus/*.conf)" :
						    "no driver is configured (/etc/modulus/*.conf)");
		worst = worst ? worst : EXIT_CONFIG;
	}
	return worst;
}
