// SPDX-License-Identifier: Apache-2.0
#include "sample.h"
#include "serial.h"

#define MARKS "root" SERIAL_DIR "/" RELEASE
#define MARK MARKS "/" SAMPLE_NAME "-modules-.json"

/* A mark for the sample with this serial and digest. */
static struct serial_mark mark_of(uint64_t serial, const char *digest)
{
	return (struct serial_mark){ .name = SAMPLE_NAME, .kind = "modules", .flavor = "", .version = "1.0",
				     .release = RELEASE, .build_id = BUILD_ID, .digest = digest, .serial = serial };
}

static void remember(const struct place *p, const struct serial_mark *mark)
{
	struct err err = { 0 };

	if (serial_remember(&p->host, mark, &err) < 0)
		fail_msg("%s", err.text);
}

/* serial_check() of the sample with this serial and digest, changed by `change`. */
static int check(const struct place *p, uint64_t serial, const char *digest, void (*change)(struct manifest *),
		 const char *build_id, struct err *err)
{
	_cleanup_sample_ struct sample s;

	sample_begin(&s);
	s.m->serial = serial;
	snprintf(s.m->digest, sizeof(s.m->digest), "%s", digest);
	if (change)
		change(s.m);
	return serial_check(&p->host, s.m, build_id, err);
}

static void test_nothing_remembered_allows_everything(void **state)
{
	struct err err;

	assert_int_equal(check(*state, 0, "aa", NULL, BUILD_ID, &err), 0);
}

static void test_an_older_bundle_is_stale_and_a_newer_one_welcome(void **state)
{
	const struct serial_mark mark = mark_of(7, "aa");
	struct place *p = *state;
	struct err err;

	remember(p, &mark);
	assert_int_equal(check(p, 6, "bb", NULL, BUILD_ID, &err), -E_STALE);
	assert_contains(err.text, "has serial 6; serial 7 was in use here");
	assert_int_equal(check(p, 7, "aa", NULL, BUILD_ID, &err), 0);
	assert_int_equal(check(p, 8, "bb", NULL, BUILD_ID, &err), 0);
}

static void test_the_same_serial_with_another_digest_is_equivocation(void **state)
{
	const struct serial_mark mark = mark_of(7, "aa");
	struct err err;

	remember(*state, &mark);
	assert_int_equal(check(*state, 7, "bb", NULL, BUILD_ID, &err), -E_EQUIVOCATION);
}

static void other_name(struct manifest *m) { set_text(&m->name, "nvidia"); }
static void other_version(struct manifest *m) { set_text(&m->version, "0.9"); }
static void other_flavor(struct manifest *m) { set_text(&m->flavor, "open"); }
static void other_release(struct manifest *m) { set_text(&m->kernel.release, "6.1.0-55-amd64"); }
static void other_kind(struct manifest *m) { m->kind = KIND_FIRMWARE; }

static void test_a_mark_counts_for_its_driver_version_flavour_and_kernel_build_only(void **state)
{
	static const struct {
		const char *what, *build_id;
		void (*change)(struct manifest *m);
	} cases[] = {
		{ "another driver", BUILD_ID, other_name },	   { "a version that was lowered", BUILD_ID, other_version },
		{ "another flavour", BUILD_ID, other_flavor },	   { "an older kernel", BUILD_ID, other_release },
		{ "another kind", BUILD_ID, other_kind },	   { "another build of the kernel", "ffff", NULL },
		{ "a kernel without a build-id", "", NULL },
	};
	const struct serial_mark mark = mark_of(7, "aa");
	struct err err;

	remember(*state, &mark);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_case(cases[i].what,
			    check(*state, 6, "bb", cases[i].change, cases[i].build_id, &err) == 0);
}

static void test_the_highest_is_remembered_whatever_comes_after(void **state)
{
	const struct serial_mark high = mark_of(7, "aa"), low = mark_of(5, "bb"), same = mark_of(7, "cc"),
				 higher = mark_of(9, "dd");
	struct place *p = *state;
	struct err err;

	remember(p, &high);
	remember(p, &low);
	remember(p, &same);
	assert_int_equal(check(p, 6, "bb", NULL, BUILD_ID, &err), -E_STALE);
	assert_int_equal(check(p, 7, "aa", NULL, BUILD_ID, &err), 0);
	remember(p, &higher);
	assert_int_equal(check(p, 8, "bb", NULL, BUILD_ID, &err), -E_STALE);
	assert_int_equal(count_entries(p, MARKS), 1);
}

static void test_another_version_or_build_replaces_the_mark(void **state)
{
	struct serial_mark mark = mark_of(7, "aa");
	struct place *p = *state;
	struct err err;

	remember(p, &mark);
	mark.version = "2.0";
	mark.serial = 1;
	remember(p, &mark);
	assert_int_equal(check(p, 6, "bb", NULL, BUILD_ID, &err), 0);
	mark.build_id = "ffff";
	remember(p, &mark);
	assert_int_equal(count_entries(p, MARKS), 1);
}

static void test_marks_that_cannot_be_read_count_as_none(void **state)
{
	static const char *const texts[] = { "", "{", "[]", "7", "{\"serial\":9}",
					     "{\"serial\":-1,\"version\":\"1.0\",\"build_id\":\"" BUILD_ID "\"}",
					     "{\"serial\":9,\"serial\":9,\"version\":\"1.0\",\"build_id\":\"" BUILD_ID
					     "\"}" };
	const struct serial_mark mark = mark_of(7, "aa");
	struct place *p = *state;
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		put_text(p, MARK, texts[i]);
		assert_case(texts[i], check(p, 0, "aa", NULL, BUILD_ID, &err) == 0);
		remember(p, &mark); /* and are replaced */
		assert_case(texts[i], check(p, 6, "bb", NULL, BUILD_ID, &err) == -E_STALE);
		assert_int_equal(unlinkat(p->fd, MARK, 0), 0);
	}
}

static void test_what_a_power_cut_left_is_not_read_and_overwritten(void **state)
{
	const struct serial_mark mark = mark_of(7, "aa");
	struct place *p = *state;
	struct err err;

	put_text(p, MARKS "/." SAMPLE_NAME "-modules-.json.part", "{\"serial\":99");
	assert_int_equal(check(p, 0, "aa", NULL, BUILD_ID, &err), 0);
	remember(p, &mark);
	assert_int_equal(count_entries(p, MARKS), 1);
}

static void test_a_state_directory_that_leads_elsewhere_is_refused(void **state)
{
	const struct serial_mark mark = mark_of(7, "aa");
	struct place *p = *state;
	struct err err;

	put_dir(p, "elsewhere");
	put_link(p, "root/var/lib/modulus/serials", "../../../../elsewhere");
	assert_int_equal(serial_remember(&p->host, &mark, &err), -ELOOP);
	assert_contains(err.text, SERIAL_DIR);
	assert_int_equal(count_entries(p, "elsewhere"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_nothing_remembered_allows_everything),
		at_place(test_an_older_bundle_is_stale_and_a_newer_one_welcome),
		at_place(test_the_same_serial_with_another_digest_is_equivocation),
		at_place(test_a_mark_counts_for_its_driver_version_flavour_and_kernel_build_only),
		at_place(test_the_highest_is_remembered_whatever_comes_after),
		at_place(test_another_version_or_build_replaces_the_mark),
		at_place(test_marks_that_cannot_be_read_count_as_none),
		at_place(test_what_a_power_cut_left_is_not_read_and_overwritten),
		at_place(test_a_state_directory_that_leads_elsewhere_is_refused),
	};

	return cmocka_run_group_tests_name("serial", tests, NULL, NULL);
}
