// SPDX-License-Identifier: Apache-2.0
/*
 * bless.c - after boot-complete.target: what this boot loaded is good. In: status.json. Out: the
 * serials that were in use, remembered; misses of earlier attempts, forgotten; the mark in status.json; then
 * what is not worth its place in the cache goes, and old libraries, never before. Power loss: an older mark stays.
 */
#include "boot.h"
#include "jsontext.h"
#include "keep.h"
#include "limit.h"
#include "lock.h"
#include "log.h"
#include "machine.h"
#include "runtime.h"
#include "serial.h"

/* 1: it was; 0: there is nothing to bless. */
static int bless_driver(const struct host *h, const json_t *status, const json_t *d, struct err *err)
{
	const struct trial t = status_trial(status, d);
	const struct serial_mark mark = {
		.name = t.name,
		.kind = manifest_kind_word(KIND_MODULES),
		.flavor = json_text(d, "flavor"),
		.version = json_text(d, "version"),
		.release = t.release,
		.build_id = t.build_id,
		.digest = t.digest,
		.serial = (uint64_t)json_integer_value(json_object_get(d, "serial")),
	};
	int r;

	if (!streq(json_text(d, "reason"), reason_word(0)) || !*t.digest)
		return 0;
	r = trial_bless(h, &t, err);
	if (r == 0)
		r = serial_remember(h, &mark, err);
	return r < 0 ? r : 1;
}

/* This boot can be gone back to from now on; what no kernel needs any more makes room. */
static void tidy_cache(const struct host *h)
{
	_cleanup_machine_ struct machine m = { 0 };
	_cleanup_cache_list_ struct cache_list cached = { 0 };
	bool *surplus = NULL;
	struct err err;
	size_t n = 0;
	int r = machine_read_all(h, &m, &err);

	if (r == 0)
		r = cache_read(h, m.config.cache, &cached, &err);
	if (r == 0 && !(surplus = calloc(cached.n + 1, sizeof(*surplus))))
		r = err_sys(&err, -ENOMEM, "cache");
	if (r == 0)
		r = keep_find_surplus(h, &m.config, &m.kernel, &cached, surplus, &err);
	for (size_t i = 0; r == 0 && i < cached.n; i++)
		n += surplus[i];
	if (r == 0 && n > 0)
		r = cache_remove(h, m.config.cache, &cached, surplus, &err);
	if (r < 0)
		log_warning("the cache was not tidied: %s", err.text);
	else if (n > 0)
		log_info("%zu bundles that no kernel needs were removed from the cache", n);
	free(surplus);
}

/* This boot is good: nobody goes back to the libraries of versions that are neither configured nor cached. */
static void prune_runtimes(const struct host *h)
{
	_cleanup_strv_ struct strv removed = { 0 };
	struct err err;

	if (runtime_prune(h, false, &removed, &err) < 0)
		log_warning("runtime: %s", err.text);
	for (size_t i = 0; i < removed.n; i++)
		log_info("%s: removed", removed.v[i]);
}

static void tidy(const struct host *h, bool cache)
{
	_cleanup_close_ int lock = -EBADF;
	struct err err;

	if (lock_machine(h, LIMIT_LOCK_US, &lock, &err) < 0) {
		log_warning("%s was not tidied: %s", cache ? "the cache" : "runtime", err.text);
		return;
	}
	if (cache)
		tidy_cache(h);
	prune_runtimes(h); /* by what is cached now */
}

int bless_run(const struct host *h)
{
	json_t *status, *was, *d;
	struct err err;
	size_t i;
	bool blessed = false;
	int r;

	r = status_read(h, &status);
	if (r < 0) {
		log_error("%s/%s: %s", STATUS_DIR, STATUS_NAME,
			  r == -ENOENT ? "modulus boot has not run since this machine started" : strerror(-r));
		return EXIT_SYSTEM;
	}
	was = json_deep_copy(status);
	json_array_foreach(json_object_get(status, "drivers"), i, d) {
		int q = bless_driver(h, status, d, &err);

		blessed = blessed || q > 0;
		if (q < 0) {
			log_error("%s: %s", json_text(d, "name"), err.text);
			r = q;
		}
	}
	if (r == 0) {
		json_object_set_new(status, "blessed", json_pack("{s:I}", "at_us", (json_int_t)now_us()));
		r = status_update(h, was, status);
		if (r < 0)
			log_error("%s/%s: %s", STATUS_DIR, STATUS_NAME, strerror(-r));
	}
	json_decref(was);
	json_decref(status);
	if (r == 0)
		tidy(h, blessed);
	return r < 0 ? EXIT_SYSTEM : EXIT_DONE;
}
