// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include "slot.h"

#define AT(priority, tries, successful) \
	((uint64_t)(priority) << 48 | (uint64_t)(tries) << 52 | (uint64_t)(successful) << 56)

static void test_the_slot_is_the_one_that_gptprio_starts(void **state)
{
	static const struct {
		const char *what;
		uint64_t a, b;
		size_t next; /* 2: none */
	} cases[] = {
		{ "a fresh installation", AT(1, 0, 1), AT(0, 0, 0), 0 },
		{ "an update waits for its first boot", AT(1, 0, 1), AT(2, 1, 0), 1 },
		{ "it was tried and not marked", AT(1, 0, 1), AT(2, 0, 0), 0 },
		{ "it was tried and marked", AT(1, 0, 1), AT(2, 0, 1), 1 },
		{ "a rollback by priority", AT(3, 0, 1), AT(2, 0, 1), 0 },
		{ "equal ones: the first", AT(2, 1, 0), AT(2, 0, 1), 0 },
		{ "15 is more than 9", AT(9, 0, 1), AT(15, 15, 0), 1 },
		{ "priority 0 is never started", AT(0, 3, 1), AT(0, 1, 0), 2 },
		{ "neither tries nor success", AT(2, 0, 0), AT(1, 0, 0), 2 },
		{ "bits of others do not count", AT(1, 0, 1) | 1ull << 60 | 7, AT(1, 0, 1) | 1ull << 63 | 1ull << 57, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct slot slots[] = { { .number = 3, .attributes = cases[i].a },
					      { .number = 4, .attributes = cases[i].b } };

		assert_case(cases[i].what, slot_next(slots, 2) == cases[i].next);
	}
	assert_int_equal(slot_next(NULL, 0), 0);
}

static void test_the_attributes_are_three_fields(void **state)
{
	(void)state;
	assert_int_equal(slot_priority(AT(11, 5, 1)), 11);
	assert_int_equal(slot_tries(AT(11, 5, 1)), 5);
	assert_true(slot_successful(AT(11, 5, 1)));
	assert_false(slot_successful(AT(15, 15, 0)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_slot_is_the_one_that_gptprio_starts),
		cmocka_unit_test(test_the_attributes_are_three_fields),
	};

	return cmocka_run_group_tests_name("slot", tests, NULL, NULL);
}
