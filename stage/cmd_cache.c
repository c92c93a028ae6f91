// SPDX-License-Identifier: Apache-2.0
/*
 * cmd_cache.c - what a person does with the cache: look, check, tidy, bring something in. Power loss:
 * each file is there whole or not at all (store.c).
 */
#include <fcntl.h>
#include <jansson.h>
#include <time.h>

#include "cache.h"
#include "cmd.h"
#include "keep.h"
#include "limit.h"
#include "lock.h"
#include "log.h"
#include "machine.h"
#include "progress.h"
#include "runtime.h"
#include "trial.h"

static const char cache_usage[] =
	"usage: modulus cache list [--json]\n"
	"       modulus cache verify\n"
	"       modulus cache prune [--dry-run]\n"
	"       modulus cache import FILE...\n"
	"       modulus cache unblock NAME...\n\n"
	"list     what is cached, whether its header is good, and attempts that failed\n"
	"verify   every file to its last byte; changes nothing\n"
	"prune    removes what no kernel needs that runs, is next, is installed, was good or was fetched\n"
	"         for last, and all but the two newest bundles of each driver for a kernel; never what\n"
	"         is in use. bless does the same after each good boot\n"
	"import   verifies bundles with this machine's keys and keeps them, for any kernel\n"
	"unblock  forgets that bundles of these drivers took the machine down\n\n"
	"  --json      for programs\n"
	"  --dry-run   says what would be removed\n"
	"  --root DIR  where /etc, /usr and /var are (default /)\n"
	"  --help      this text\n\n"
	"exit: as boot; that of the first file that is not good\n";

static const struct option options[] = { { "json", no_argument, NULL, 'j' },
					 { "dry-run", no_argument, NULL, 'n' },
					 { "root", required_argument, NULL, 'r' },
					 { "live-root", required_argument, NULL, 'L' },
					 CMD_COMMON_OPTIONS,
					 { 0 } };

/* What all of them work with. */
struct work {
	struct host host;
	struct machine machine;
	struct cache_list cached;
	struct trial_list trials;
	struct keyring everybody, vendor; /* the vendor's: for TrustOnly=usr */
	bool json, dry_run;
	char **args; /* NULL-terminated */
};

static void work_done(struct work *w)
{
	keyring_free(&w->everybody);
	keyring_free(&w->vendor);
	cache_list_free(&w->cached);
	trial_list_free(&w->trials);
	machine_done(&w->machine);
	host_close(&w->host);
}

static int failed(const struct err *err)
{
	log_error("%s: %s", reason_word(err->code), err->text);
	return reason_exit(err->code);
}

/* The keys that count for a driver of that name. */
static const struct keyring *keys_of(const struct work *w, const char *name)
{
	const struct driver *d = config_find(&w->machine.config, name);

	return d && d->trust_usr ? &w->vendor : &w->everybody;
}

/* Opens and verifies its header, or all of it. The bundle stays open. */
static int check(const struct work *w, const struct cache_file *f, bool whole, struct bundle **ret, struct err *err)
{
	int r = cache_open_bundle(&w->host, w->machine.config.cache, f, keys_of(w, f->name.name), ret, err);

	return r == 0 && whole ? progress_unpack(f->name.name, *ret, NULL, NULL, err) : r;
}

/* --- list --- */

/* The worst that is recorded for any build of its kernel. */
static unsigned int misses_of(const struct work *w, const struct cache_file *f)
{
	unsigned int worst = 0;

	for (size_t i = 0; i < w->trials.n; i++) {
		const struct trial_record *t = &w->trials.v[i];

		if (streq(t->digest, f->name.digest) && streq(t->release, f->folder) && t->misses > worst)
			worst = t->misses;
	}
	return worst;
}

static void age_text(int64_t changed, char *buf, size_t size)
{
	int64_t s = (int64_t)time(NULL) - changed;

	if (s < 0)
		snprintf(buf, size, "?"); /* one of the two clocks was wrong */
	else if (s < 3600)
		snprintf(buf, size, "%lld min", (long long)(s / 60));
	else if (s < 2 * 86400)
		snprintf(buf, size, "%lld h", (long long)(s / 3600));
	else
		snprintf(buf, size, "%lld d", (long long)(s / 86400));
}

static json_t *file_json(const struct cache_file *f, const struct bundle *b, int code, const char *why, unsigned int misses)
{
	const struct manifest *m = b ? bundle_manifest(b) : NULL;
	bool modules = f->name.kind == KIND_MODULES;

	return json_pack("{s:s, s:s?, s:s?, s:s?, s:s, s:o, s:I, s:I, s:s, s:s, s:s, s:s?, s:s?, s:i, s:b}", "name",
			 f->name.name, "version", m ? m->version : NULL, "flavor", m ? m->flavor : NULL, "kernel",
			 modules ? f->folder : NULL, "kind", manifest_kind_word(f->name.kind), "serial",
			 m ? json_integer((json_int_t)m->serial) : json_null(), "size", (json_int_t)f->size_bytes,
			 "changed", (json_int_t)f->changed, "digest", f->name.digest, "file", f->file, "state",
			 code == 0 ? "good" : "bad", "reason", code == 0 ? NULL : reason_word(code), "text",
			 code == 0 ? NULL : why, "misses", (int)misses, "blocked", (int)(misses >= LIMIT_TRIAL_MISSES));
}

static void print_file(const struct cache_file *f, const struct bundle *b, int code, unsigned int misses)
{
	const struct manifest *m = b ? bundle_manifest(b) : NULL;
	char age[32], state[64];

	age_text(f->changed, age, sizeof(age));
	if (code < 0)
		snprintf(state, sizeof(state), "%s", reason_word(code));
	else if (misses >= LIMIT_TRIAL_MISSES)
		snprintf(state, sizeof(state), "%s", reason_word(-E_BLOCKED));
	else if (misses > 0)
		snprintf(state, sizeof(state), "good, %u failed", misses);
	else
		snprintf(state, sizeof(state), "good");
	printf("%-16s %-14s %-9s %-24s %12llu %7.1f MiB %7s  %.12s  %s\n", f->name.name, m ? m->version : "?",
	       manifest_kind_word(f->name.kind), f->folder, m ? (unsigned long long)m->serial : 0,
	       (double)f->size_bytes / (1 << 20), age, f->name.digest, state);
}

static int run_list(struct work *w)
{
	json_t *bundles = w->json ? json_array() : NULL;
	struct err err = { 0 };

	if (!w->json && w->cached.n > 0)
		printf("%-16s %-14s %-9s %-24s %12s %11s %7s  %-12s  %s\n", "DRIVER", "VERSION", "KIND", "KERNEL",
		       "SERIAL", "SIZE", "AGE", "DIGEST", "STATE");
	for (size_t i = 0; i < w->cached.n; i++) {
		const struct cache_file *f = &w->cached.v[i];
		_cleanup_bundle_ struct bundle *b = NULL;
		int r = check(w, f, false, &b, &err);
		unsigned int misses = misses_of(w, f);

		if (r == -ENOENT)
			continue;
		if (bundles)
			json_array_append_new(bundles, file_json(f, b, r, err.text, misses));
		else
			print_file(f, b, r, misses);
	}
	if (bundles) {
		json_t *o = json_pack("{s:i, s:s, s:I, s:o}", "format", 1, "cache", w->cached.shown, "quarantined",
				      (json_int_t)w->cached.quarantined, "bundles", bundles);

		if (!o || json_dumpf(o, stdout, JSON_INDENT(2)) < 0)
			(void)err_sys(&err, -ENOMEM, "cache");
		printf("\n");
		json_decref(o);
	} else if (w->cached.quarantined > 0) {
		printf("%zu damaged files are in %s/" STORE_QUARANTINE "\n", w->cached.quarantined, w->cached.shown);
	}
	return EXIT_DONE;
}

/* --- verify --- */

static int run_verify(struct work *w)
{
	int worst = EXIT_DONE;

	for (size_t i = 0; i < w->cached.n; i++) {
		const struct cache_file *f = &w->cached.v[i];
		_cleanup_bundle_ struct bundle *b = NULL;
		struct err err;
		int r = check(w, f, true, &b, &err);

		if (r == -ENOENT)
			continue;
		if (r == 0) {
			printf("%s/%s: good\n", f->folder, f->file);
			continue;
		}
		(void)err_prefix(&err, "%s/%s", f->folder, f->file);
		r = failed(&err);
		worst = worst ? worst : r;
	}
	return worst;
}

/* --- prune --- */

static int prune(struct work *w, bool *surplus, struct err *err)
{
	_cleanup_strv_ struct strv trees = { 0 };
	uint64_t bytes = 0;
	size_t n = 0;
	int r = keep_find_surplus(&w->host, &w->machine.config, &w->machine.kernel, &w->cached, surplus, err);

	if (r == 0 && !w->dry_run)
		r = cache_remove(&w->host, w->machine.config.cache, &w->cached, surplus, err);
	for (size_t i = 0; r == 0 && i < w->cached.n; i++) {
		const struct cache_file *f = &w->cached.v[i];

		if (!surplus[i])
			continue;
		printf("%s %s/%s\n", w->dry_run ? "would remove" : "removed", f->folder, f->file);
		bytes += f->size_bytes;
		n++;
	}
	if (r == 0) /* by what is cached now */
		r = runtime_prune(&w->host, w->dry_run, &trees, err);
	for (size_t i = 0; r == 0 && i < trees.n; i++)
		printf("%s %s\n", w->dry_run ? "would remove" : "removed", trees.v[i]);
	if (r == 0)
		printf("%zu of %zu bundles, %.1f MiB\n", n, w->cached.n, (double)bytes / (1 << 20));
	return r;
}

static int run_prune(struct work *w)
{
	bool *surplus = calloc(w->cached.n + 1, sizeof(*surplus));
	struct err err;
	int r = surplus ? prune(w, surplus, &err) : err_sys(&err, -ENOMEM, "cache");

	free(surplus);
	return r < 0 ? failed(&err) : EXIT_DONE;
}

/* --- import --- */

static int open_file(const char *path, const struct keyring *ring, struct bundle **ret, struct err *err)
{
	struct reader *reader;
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return err_sys(err, -errno, "%s", path);
	r = reader_new_fd(fd, &reader);
	if (r < 0)
		return err_sys(err, r, "%s", path);
	r = bundle_open(reader, ring, ret, err);
	return r < 0 ? err_prefix(err, "%s", path) : 0;
}

static int import(const struct work *w, const char *path, struct err *err)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	const char *where = w->machine.config.cache;
	_cleanup_free_ char *kept = NULL;
	const struct manifest *m;
	struct store_copy *copy = NULL;
	int r = open_file(path, &w->everybody, &b, err);

	/* which keys count depends on whose it is, and that is known only now */
	if (r == 0 && keys_of(w, bundle_manifest(b)->name) == &w->vendor) {
		bundle_close(TAKE_PTR(b));
		r = open_file(path, &w->vendor, &b, err);
	}
	if (r < 0)
		return r;
	m = bundle_manifest(b);
	r = cache_check_serial(&w->host, where, m, keys_of(w, m->name), err);
	if (r == 0)
		r = store_begin(&w->host, where, b, true, &copy, err);
	if (r < 0)
		return err_prefix(err, "%s", path);
	r = progress_unpack(m->name, b, NULL, copy, err);
	if (r < 0) {
		store_abandon(copy);
		return err_prefix(err, "%s", path);
	}
	r = store_publish(copy, &kept, err);
	if (r < 0)
		return err_prefix(err, "%s", path);
	printf("%s: %s\n", path, kept);
	if (!config_find(&w->machine.config, m->name))
		log_warning("%s: no driver file asks for %s", path, m->name);
	return 0;
}

static int run_import(struct work *w)
{
	int worst = EXIT_DONE;

	for (char **file = w->args; *file; file++) {
		struct err err;
		int r = import(w, *file, &err);

		if (r < 0) {
			r = failed(&err);
			worst = worst ? worst : r;
		}
	}
	return worst;
}

/* --- unblock --- */

/* Of a driver's bundles, wherever they came from: one that brought the machine down may never have been cached. */
static int unblock(const struct work *w, const char *name, size_t *ret_records, struct err *err)
{
	int r = 0;

	*ret_records = 0;
	for (size_t i = 0; r == 0 && i < w->trials.n; i++) {
		const struct trial_record *record = &w->trials.v[i];
		const struct trial t = { record->name, record->digest, record->release, record->build_id };

		if (!streq(record->name, name))
			continue;
		++*ret_records;
		if (record->misses == 0)
			continue;
		r = trial_bless(&w->host, &t, err);
		if (r == 0)
			printf("%s: bundle %.12s on kernel %s: %u failed attempts forgotten\n", name, t.digest, t.release,
			       record->misses);
	}
	return r;
}

static int run_unblock(struct work *w)
{
	int worst = EXIT_DONE;

	for (char **name = w->args; *name; name++) {
		struct err err;
		size_t n;
		int r = unblock(w, *name, &n, &err);

		if (r < 0) {
			r = failed(&err);
			worst = worst ? worst : r;
		} else if (n == 0) {
			log_error("%s: no attempt with a bundle of that name is recorded", *name);
			worst = worst ? worst : EXIT_NO_BUNDLE;
		}
	}
	return worst;
}

/* --- which --- */

static const struct action {
	const char *name;
	bool takes_words, writes;
	int (*run)(struct work *w);
} actions[] = {
	{ "list", false, false, run_list },	{ "verify", false, false, run_verify },
	{ "prune", false, true, run_prune },	{ "import", true, true, run_import },
	{ "unblock", true, true, run_unblock },
};

static int prepare(struct work *w, const struct action *a, int *lock, struct err *err)
{
	int r = a->writes && !w->dry_run ? lock_machine(&w->host, LIMIT_LOCK_COMMAND_US, lock, err) : 0;

	r = r == -EBUSY ? r : machine_read_all(&w->host, &w->machine, err);
	if (r == 0)
		r = cache_read(&w->host, w->machine.config.cache, &w->cached, err);
	if (r == 0 && trial_list_read(&w->host, &w->trials) < 0)
		r = err_sys(err, -ENOMEM, TRIAL_DIR);
	if (r == 0)
		r = keyring_load(&w->host, false, &w->everybody, err);
	return r < 0 ? r : keyring_load(&w->host, true, &w->vendor, err);
}

static int run(struct work *w, const struct action *a, const char *root, const char *live)
{
	_cleanup_close_ int lock = -EBADF;
	struct err err;
	int r = host_open(root, live, &w->host, &err);

	if (r == 0)
		r = prepare(w, a, &lock, &err);
	r = r < 0 ? failed(&err) : a->run(w);
	work_done(w);
	return r;
}

int cmd_cache(int argc, char **argv)
{
	struct work w = { .host = { .root_fd = -EBADF, .live_fd = -EBADF } };
	const char *root = NULL, *live = NULL;
	const struct action *a = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			w.json = true;
			break;
		case 'n':
			w.dry_run = true;
			break;
		case 'r':
			root = optarg;
			break;
		case 'L':
			live = optarg;
			break;
		case 'h':
			return cmd_help(cache_usage);
		default:
			return cmd_usage(argv[0], NULL);
		}
	}
	for (size_t i = 0; optind < argc && i < ARRAY_SIZE(actions); i++)
		if (streq(argv[optind], actions[i].name))
			a = &actions[i];
	if (!a)
		return cmd_usage(argv[0], "takes list, verify, prune, import or unblock");
	w.args = argv + optind + 1;
	if (a->takes_words != (*w.args != NULL))
		return cmd_usage(argv[0], a->takes_words ? "import takes files, unblock takes drivers" : "takes one word");
	if ((w.json && a->run != run_list) || (w.dry_run && a->run != run_prune))
		return cmd_usage(argv[0], "--json is for list, --dry-run for prune");
	return run(&w, a, root, live);
}
