// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "cached.h"
#include "keep.h"
#include "limit.h"
#include "serial.h"
#include "trial.h"

static const struct kernel running = { .release = RELEASE };
static const struct config config;

static void test_the_kernels_are_the_running_the_installed_and_the_latest_others(void **state)
{
	struct place *p = *state;
	_cleanup_cache_list_ struct cache_list l = { 0 };
	_cleanup_strv_ struct strv few = { 0 }, all = { 0 };
	struct err err;

	put_cached(p, "5.1", 1, "", 1, NULL);
	put_cached(p, "5.2", 1, "", 9, NULL);
	put_cached(p, "5.3", 1, "", 5, NULL);
	put_cached(p, "5.9", 1, "", 99, NULL); /* installed anyway */
	put_dir(p, "root/usr/lib/modules/5.9");
	put_dir(p, "root/usr/lib/modules/" RELEASE);
	put_dir(p, "root/usr/lib/modules/.hidden");
	put_dir(p, "root/usr/lib/modules/with blank");
	put_text(p, "root/usr/lib/modules/5.8", "a file");
	put_dir(p, CACHE STORE_ANY);
	l = read_it(p);
	assert_int_equal(keep_kernels(&p->host, &running, &l, false, &few, &err), 0);
	assert_int_equal(few.n, 2 + CACHE_OTHER_KERNELS);
	assert_string_equal(few.v[0], RELEASE);
	assert_string_equal(few.v[1], "5.9");
	assert_string_equal(few.v[2], "5.2");
	assert_string_equal(few.v[3], "5.3");
	assert_int_equal(keep_kernels(&p->host, &running, &l, true, &all, &err), 0);
	assert_int_equal(all.n, 5);
}

static void test_no_more_kernels_than_the_limit_are_looked_after(void **state)
{
	struct place *p = *state;
	const struct cache_list none = { 0 };
	struct err err;

	for (unsigned int i = 1; i <= LIMIT_KERNELS; i++) {
		_cleanup_free_ char *path = str_printf("root/usr/lib/modules/5.%u", i);
		_cleanup_strv_ struct strv kernels = { 0 };

		put_dir(p, path);
		assert_int_equal(keep_kernels(&p->host, &running, &none, false, &kernels, &err), 0);
		assert_int_equal(kernels.n, MIN(i + 1, LIMIT_KERNELS));
	}
}

static void test_kernels_that_were_good_stay_to_go_back_to(void **state)
{
	struct place *p = *state;
	_cleanup_cache_list_ struct cache_list l = { 0 };
	_cleanup_strv_ struct strv kernels = { 0 };
	struct err err;

	for (unsigned int i = 1; i <= 5; i++) {
		_cleanup_free_ char *release = str_printf("5.%u", i), *mark = str_printf("root" SERIAL_DIR "/5.%u/gpu.json", i),
				    *trial = str_printf("root" TRIAL_DIR "/5.%u/x.json", i);
		const struct timespec marked = { .tv_sec = 100 + i }, tried = { .tv_sec = i == 1 ? 900 : 50 };

		put_cached(p, release, 1, "", (time_t)(1000 - i), NULL);
		if (i == 5) /* was never good here: fetched, and it was the first to be */
			continue;
		put_text(p, mark, "{}");
		put_text(p, trial, "{}");
		assert_int_equal(utimensat(p->fd, mark, (const struct timespec[]){ marked, marked }, 0), 0);
		assert_int_equal(utimensat(p->fd, trial, (const struct timespec[]){ tried, tried }, 0), 0);
	}
	put_text(p, "root" TRIAL_DIR "/5.6/x.json", "{}"); /* was tried, and never good */
	l = read_it(p);
	assert_int_equal(keep_kernels(&p->host, &running, &l, false, &kernels, &err), 0);
	assert_int_equal(kernels.n, 1 + CACHE_BLESSED_KERNELS + 1);
	assert_string_equal(kernels.v[1], "5.1"); /* ran last, although it was blessed first */
	assert_string_equal(kernels.v[2], "5.4");
	assert_string_equal(kernels.v[3], "5.5"); /* somebody's */
}

static bool is_this(void *ctx, const struct cache_file *f)
{
	return streq(f->name.digest, ctx);
}

static void test_the_highest_serials_stay_and_what_is_in_use(void **state)
{
	struct place *p = *state;
	_cleanup_cache_list_ struct cache_list l = { 0 };
	_cleanup_strv_ struct strv kernels = { 0 };
	char used[2 * SHA256_BYTES + 1] = "";
	bool surplus[8];
	unsigned int gone = 0;
	struct err err;

	/* the clock said nonsense: serials count, times do not */
	put_cached(p, RELEASE, 1, "", 900, used);
	put_cached(p, RELEASE, 2, "", 800, NULL);
	put_cached(p, RELEASE, 3, "", 700, NULL);
	put_cached(p, RELEASE, 4, "", 0, NULL);
	put_cached(p, RELEASE, 1, "open", 0, NULL);
	put_cached(p, "5.0", 9, "", 999, NULL);
	l = read_it(p);
	assert_int_equal(strv_add(&kernels, RELEASE), 0);
	assert_int_equal(keep_surplus(&p->host, &config, &l, &kernels, sample_ring(0), is_this, used, surplus, &err), 0);
	for (size_t i = 0; i < l.n; i++) {
		_cleanup_bundle_ struct bundle *b = NULL;
		const struct manifest *m;

		assert_int_equal(cache_open_bundle(&p->host, NULL, &l.v[i], sample_ring(0), &b, &err), 0);
		m = bundle_manifest(b);
		gone += surplus[i];
		assert_int_equal(surplus[i], m->serial == 2 || m->serial == 9);
	}
	assert_int_equal(gone, 2);
	/* without the keys nothing is known about those that a kernel needs */
	assert_int_equal(keep_surplus(&p->host, &config, &l, &kernels, sample_ring(1), is_this, used, surplus, &err), 0);
	for (size_t i = 0; i < l.n; i++)
		assert_int_equal(surplus[i], streq(l.v[i].folder, "5.0"));
	assert_int_equal(cache_remove(&p->host, NULL, &l, surplus, &err), 0);
	assert_false(is_there(p, CACHE "5.0"));
	assert_int_equal(count_entries(p, CACHE RELEASE), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_the_kernels_are_the_running_the_installed_and_the_latest_others),
		at_place(test_no_more_kernels_than_the_limit_are_looked_after),
		at_place(test_kernels_that_were_good_stay_to_go_back_to),
		at_place(test_the_highest_serials_stay_and_what_is_in_use),
	};

	return cmocka_run_group_tests_name("keep", tests, NULL, NULL);
}
