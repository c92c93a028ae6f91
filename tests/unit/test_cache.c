// SPDX-License-Identifier: Apache-2.0
#include "cached.h"
#include "limit.h"

static void test_the_list_is_by_kernel_and_name(void **state)
{
	struct place *p = *state;
	_cleanup_cache_list_ struct cache_list none = read_it(p), l = { 0 };

	assert_int_equal(none.n, 0);
	assert_string_equal(none.shown, STORE_DIR);
	put_cached(p, RELEASE, 1, "", 7, NULL);
	put_cached(p, "5.0", 1, "", 8, NULL);
	put_text(p, CACHE STORE_QUARANTINE "/gpu-modules-0.tar.zst", "no name of ours");
	l = read_it(p);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.quarantined, 0);
	assert_string_equal(l.v[0].folder, "5.0");
	assert_string_equal(l.v[1].folder, RELEASE);
	assert_string_equal(l.v[1].name.name, SAMPLE_NAME);
	assert_int_equal(l.v[1].changed, 7);
}

static void test_a_bundle_is_opened_only_as_what_its_place_says(void **state)
{
	struct place *p = *state;
	_cleanup_cache_list_ struct cache_list l = { 0 };
	struct err err;
	struct bundle *b;

	put_cached(p, RELEASE, 1, "", 0, NULL);
	l = read_it(p);
	assert_int_equal(cache_open_bundle(&p->host, NULL, &l.v[0], sample_ring(0), &b, &err), 0);
	assert_int_equal(bundle_manifest(b)->serial, 1);
	bundle_close(b);
	assert_int_equal(cache_open_bundle(&p->host, NULL, &l.v[0], sample_ring(1), &b, &err), -E_UNTRUSTED);
	l.v[0].size_bytes++; /* as if it had grown since */
	assert_int_equal(cache_open_bundle(&p->host, NULL, &l.v[0], sample_ring(0), &b, &err), -E_CORRUPT);
	l.v[0].size_bytes--;
	assert_int_equal(renameat(p->fd, CACHE RELEASE, p->fd, CACHE "5.0"), 0);
	assert_int_equal(cache_open_bundle(&p->host, NULL, &l.v[0], sample_ring(0), &b, &err), -ENOENT);
	set_text(&l.v[0].folder, "5.0");
	assert_int_equal(cache_open_bundle(&p->host, NULL, &l.v[0], sample_ring(0), &b, &err), -E_CORRUPT);
	assert_contains(err.text, RELEASE);
}

static void test_the_same_serial_twice_is_an_equivocation(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample s;
	_cleanup_bundle_ struct bundle *b = NULL;
	struct err err;

	sample_begin(&s);
	sample_file(&s, "gpu.ko", "another", 7);
	sample_seal(&s);
	assert_int_equal(open_sample(&s.bundle, &b, &err), 0);
	assert_int_equal(cache_check_serial(&p->host, NULL, bundle_manifest(b), sample_ring(0), &err), 0);
	put_cached(p, RELEASE, 6, "", 0, NULL);
	put_cached(p, RELEASE, 7, "open", 0, NULL);
	put_cached(p, "5.0", 7, "", 0, NULL);
	assert_int_equal(cache_check_serial(&p->host, NULL, bundle_manifest(b), sample_ring(0), &err), 0);
	put_cached(p, RELEASE, 7, "", 0, NULL);
	assert_int_equal(cache_check_serial(&p->host, NULL, bundle_manifest(b), sample_ring(0), &err), -E_EQUIVOCATION);
	/* a file that is not believed says nothing */
	assert_int_equal(cache_check_serial(&p->host, NULL, bundle_manifest(b), sample_ring(1), &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_the_list_is_by_kernel_and_name),
		at_place(test_a_bundle_is_opened_only_as_what_its_place_says),
		at_place(test_the_same_serial_twice_is_an_equivocation),
	};

	return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
