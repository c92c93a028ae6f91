// SPDX-License-Identifier: Apache-2.0
/* One bundle on one kernel build: when an attempt counts, and what makes it count no more. */
#include "sample.h"
#include "trial.h"

#define DIGEST "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define WANTS "etc/systemd/system/multi-user.target.wants/modulus-finish.service"
#define RECORDS "root" TRIAL_DIR "/" RELEASE

static const struct trial sample = { .name = "gpu", .digest = DIGEST, .release = RELEASE, .build_id = BUILD_ID };

static void boot_as(const struct place *p, const char *id)
{
	put_text(p, "live/proc/sys/kernel/random/boot_id", id);
}

static void machine(const struct place *p)
{
	put_text(p, "root/" WANTS, "[Service]\n");
	boot_as(p, "first\n");
}

static void begin(const struct place *p, const struct trial *t)
{
	struct err err = { 0 };

	if (trial_begin(&p->host, t, &err) < 0)
		fail_msg("%s", err.text);
}

/* t is attempted in so many boots, none of which gets any further. */
static void crash(const struct place *p, const struct trial *t, unsigned int times)
{
	char id[32];

	for (unsigned int i = 0; i < times; i++) {
		snprintf(id, sizeof(id), "crash-%u\n", i);
		boot_as(p, id);
		begin(p, t);
	}
	boot_as(p, "after\n");
}

static void test_an_attempt_counts_from_the_next_boot_on(void **state)
{
	const struct place *p = *state;

	machine(p);
	assert_int_equal(trial_misses(&p->host, &sample), 0);
	begin(p, &sample);
	assert_int_equal(trial_misses(&p->host, &sample), 0);
	begin(p, &sample); /* the same boot tries again */
	assert_int_equal(trial_misses(&p->host, &sample), 0);
	boot_as(p, "second\n");
	assert_int_equal(trial_misses(&p->host, &sample), 1);
}

static void test_blocked_at_the_limit_and_not_before(void **state)
{
	const struct place *p = *state;
	struct err err;

	machine(p);
	crash(p, &sample, LIMIT_TRIAL_MISSES - 1);
	assert_int_equal(trial_check(&p->host, &sample, &err), 0);
	begin(p, &sample);
	boot_as(p, "later\n");
	assert_int_equal(trial_check(&p->host, &sample, &err), -E_BLOCKED);
	assert_contains(err.text, "3 times");
}

static void test_another_bundle_and_another_kernel_have_their_own_count(void **state)
{
	struct trial other_bundle = sample, other_release = sample, other_build = sample, no_build = sample;
	const struct place *p = *state;

	other_bundle.digest = "00";
	other_release.release = "6.1.0-55-amd64";
	other_build.build_id = "ffff";
	no_build.build_id = "";
	machine(p);
	crash(p, &sample, LIMIT_TRIAL_MISSES);
	assert_int_equal(trial_misses(&p->host, &other_bundle), 0);
	assert_int_equal(trial_misses(&p->host, &other_release), 0);
	assert_int_equal(trial_misses(&p->host, &other_build), 0);
	assert_int_equal(trial_misses(&p->host, &no_build), 0);
	crash(p, &no_build, 1);
	assert_int_equal(trial_misses(&p->host, &no_build), 1);
	assert_int_equal(count_entries(p, RECORDS), 2);
}

static void test_an_attempt_that_ended_is_no_miss(void **state)
{
	const struct place *p = *state;
	struct err err;

	machine(p);
	assert_int_equal(trial_end(&p->host, &sample, &err), 0);
	assert_false(is_there(p, RECORDS));
	crash(p, &sample, 1);
	begin(p, &sample);
	assert_int_equal(trial_end(&p->host, &sample, &err), 0);
	boot_as(p, "third\n");
	assert_int_equal(trial_misses(&p->host, &sample), 1); /* the crash before it still counts */
}

static void test_harm_counts_at_once_and_once(void **state)
{
	const struct place *p = *state;
	struct err err;

	machine(p);
	begin(p, &sample);
	assert_int_equal(trial_miss(&p->host, &sample, &err), 0);
	assert_int_equal(trial_misses(&p->host, &sample), 1);
	assert_int_equal(trial_miss(&p->host, &sample, &err), 0);
	assert_int_equal(trial_end(&p->host, &sample, &err), 0);
	boot_as(p, "second\n");
	assert_int_equal(trial_misses(&p->host, &sample), 1);
}

static void test_bless_forgets_the_misses_until_an_unclean_end(void **state)
{
	const struct place *p = *state;
	_cleanup_free_ char *text = NULL;
	struct err err;

	machine(p);
	assert_int_equal(trial_bless(&p->host, &sample, &err), 0);
	assert_false(is_there(p, RECORDS));
	crash(p, &sample, 2);
	begin(p, &sample);
	assert_int_equal(trial_bless(&p->host, &sample, &err), 0);
	boot_as(p, "later\n");
	assert_int_equal(trial_misses(&p->host, &sample), 0);
	text = get_text(p, RECORDS "/" DIGEST "-" BUILD_ID ".json");
	assert_contains(text, "\"blessed\": true");
	assert_contains(text, "\"name\": \"gpu\"");
	crash(p, &sample, 1);
	assert_int_equal(trial_misses(&p->host, &sample), 1);
}

static void test_a_record_that_is_damaged_counts_as_none(void **state)
{
	static const char *const texts[] = { "", "{", "[]", "{\"misses\": \"9\", \"open\": 3}",
					     "{\"misses\": -9, \"open\": null}" };
	_cleanup_blob_ struct blob big = { 0 };
	const struct place *p = *state;
	struct err err;

	machine(p);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		put_text(p, RECORDS "/" DIGEST "-" BUILD_ID ".json", texts[i]);
		assert_case(texts[i], trial_misses(&p->host, &sample) == 0);
		begin(p, &sample);
	}
	blob_add_text(&big, "{\"misses\": 3, \"name\": \"");
	blob_fill(&big, 'x', LIMIT_STATE_BYTES - big.n - 2);
	blob_add_text(&big, "\"}");
	put_blob(p, RECORDS "/" DIGEST "-" BUILD_ID ".json", big.v, big.n);
	assert_int_equal(trial_check(&p->host, &sample, &err), -E_BLOCKED);
	blob_add_text(&big, "\n");
	put_blob(p, RECORDS "/" DIGEST "-" BUILD_ID ".json", big.v, big.n);
	assert_int_equal(trial_check(&p->host, &sample, &err), 0);
}

static void test_nothing_is_recorded_that_nobody_would_end(void **state)
{
	const struct place *p = *state;
	struct err err;

	boot_as(p, "first\n");
	assert_int_equal(trial_begin(&p->host, &sample, &err), -E_CACHE_UNREACHABLE);
	assert_contains(err.text, "modulus-finish.service is not enabled");
	put_text(p, "root/usr/lib/systemd/system/multi-user.target.wants/modulus-finish.service", "[Service]\n");
	begin(p, &sample);
	put_text(p, "root/etc/fstab", "LABEL=no-such /var ext4 defaults 0 2\n");
	assert_int_equal(trial_begin(&p->host, &sample, &err), -E_CACHE_UNREACHABLE);
	assert_contains(err.text, "no device is LABEL=no-such");
}

static void test_what_is_no_file_is_no_record_and_nobody_waits_for_it(void **state)
{
	const struct place *p = *state;

	machine(p);
	alarm(10);
	put_fifo(p, RECORDS "/" DIGEST "-" BUILD_ID ".json");
	put_fifo(p, RECORDS "/." DIGEST "-" BUILD_ID ".json.part");
	assert_int_equal(trial_misses(&p->host, &sample), 0);
	crash(p, &sample, 2); /* a file is in its place now */
	assert_int_equal(trial_misses(&p->host, &sample), 2);
	unlinkat(p->fd, RECORDS "/" DIGEST "-" BUILD_ID ".json", 0);
	put_text(p, "root/elsewhere.json", "{\"name\": \"gpu\", \"misses\": 3, \"open\": null}");
	put_link(p, RECORDS "/" DIGEST "-" BUILD_ID ".json", "../../../../../../elsewhere.json");
	assert_int_equal(trial_misses(&p->host, &sample), 0);
	alarm(0);
}

static void test_the_list_has_every_record_with_its_driver(void **state)
{
	const struct place *p = *state;
	struct trial other = sample, no_build = sample;
	struct trial_list l = { 0 };

	assert_int_equal(trial_list_read(&p->host, &l), 0);
	assert_int_equal(l.n, 0);
	machine(p);
	other.name = "other";
	other.release = "9.9.9";
	no_build.build_id = "";
	crash(p, &sample, 2);
	crash(p, &other, 1);
	crash(p, &no_build, 3);
	put_text(p, "root" TRIAL_DIR "/" RELEASE "/nothing", "{}");
	put_text(p, "root" TRIAL_DIR "/file", "{}");
	assert_int_equal(trial_list_read(&p->host, &l), 0);
	assert_int_equal(l.n, 3);
	for (size_t i = 0; i < l.n; i++) {
		const struct trial_record *r = &l.v[i];

		assert_string_equal(r->digest, DIGEST);
		if (streq(r->release, "9.9.9")) {
			assert_string_equal(r->name, "other");
			assert_int_equal(r->misses, 1);
		} else {
			assert_string_equal(r->name, "gpu");
			assert_string_equal(r->release, RELEASE);
			assert_int_equal(r->misses, *r->build_id ? 2 : 3);
		}
	}
	trial_list_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_an_attempt_counts_from_the_next_boot_on),
		at_place(test_the_list_has_every_record_with_its_driver),
		at_place(test_what_is_no_file_is_no_record_and_nobody_waits_for_it),
		at_place(test_blocked_at_the_limit_and_not_before),
		at_place(test_another_bundle_and_another_kernel_have_their_own_count),
		at_place(test_an_attempt_that_ended_is_no_miss),
		at_place(test_harm_counts_at_once_and_once),
		at_place(test_bless_forgets_the_misses_until_an_unclean_end),
		at_place(test_a_record_that_is_damaged_counts_as_none),
		at_place(test_nothing_is_recorded_that_nobody_would_end),
	};

	return cmocka_run_group_tests_name("trial", tests, NULL, NULL);
}
