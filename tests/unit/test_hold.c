// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include "hold.h"

#define STAGED "live" HOLD_STAGED
#define LOCK "live" HOLD_LOCK

static enum hold set(struct place *p, bool locked)
{
	enum hold now = HOLD_NONE;
	struct err err;

	assert_int_equal(hold_set(&p->host, locked, &now, &err), 0);
	assert_int_equal(now, hold_look(&p->host));
	return now;
}

static void test_our_lock_comes_and_goes(void **state)
{
	_cleanup_free_ char *mark = NULL;
	struct place *p = *state;

	put_text(p, STAGED, "");
	assert_int_equal(hold_look(&p->host), HOLD_NONE);
	assert_int_equal(set(p, false), HOLD_NONE);
	assert_int_equal(set(p, true), HOLD_OURS);
	assert_int_equal(set(p, true), HOLD_OURS);
	mark = get_text(p, LOCK);
	assert_string_equal(mark, "modulus\n");
	assert_int_equal(count_entries(p, "live/run/ostree"), 2);
	assert_int_equal(set(p, false), HOLD_NONE);
	assert_int_equal(count_entries(p, "live/run/ostree"), 1);
}

static void test_a_file_that_does_not_have_our_name_is_somebody_elses(void **state)
{
	static const char *const marks[] = { "", "modulu", "modulus2\n", "modulus\nzincati\n", "\nmodulus\n" };
	struct place *p = *state;

	put_text(p, STAGED, "");
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		_cleanup_free_ char *left = NULL;

		put_text(p, LOCK, marks[i]);
		assert_case(marks[i], set(p, true) == HOLD_OTHERS);
		assert_case(marks[i], set(p, false) == HOLD_OTHERS);
		left = get_text(p, LOCK);
		assert_string_equal(left, marks[i]);
	}
}

static void test_nothing_is_locked_that_is_not_staged(void **state)
{
	struct place *p = *state;

	put_dir(p, "live/run/ostree");
	assert_int_equal(set(p, true), HOLD_NONE);
	assert_false(is_there(p, LOCK));
	put_text(p, LOCK, "modulus\n");
	assert_int_equal(set(p, true), HOLD_NONE);
	assert_false(is_there(p, LOCK));
	put_text(p, LOCK, "");
	assert_int_equal(set(p, false), HOLD_NONE);
	assert_true(is_there(p, LOCK));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_our_lock_comes_and_goes),
		at_place(test_a_file_that_does_not_have_our_name_is_somebody_elses),
		at_place(test_nothing_is_locked_that_is_not_staged),
	};

	return cmocka_run_group_tests_name("hold", tests, NULL, NULL);
}
