// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include "version.h"

static int sign(int n)
{
	return (n > 0) - (n < 0);
}

static void test_releases_of_kernels_are_in_the_order_of_their_age(void **state)
{
	/* oldest first */
	static const char *const releases[] = {
		"5.15.0-9-generic", "5.15.0-10-generic", "6.1.0-9-amd64",	  "6.1.0-10-amd64",
		"6.1.0-10-rt-amd64", "6.1.55",	    "6.6.8-200.fc39.x86_64", "6.6.8-200.fc40.x86_64",
		"6.6.30-flatcar", "6.9.12",	    "6.10~rc7-amd64",	  "6.10.1-amd64",
		"6.12.9+bpo-amd64", "7.0.0"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(releases); i++)
		for (size_t j = 0; j < ARRAY_SIZE(releases); j++)
			assert_case(releases[i], sign(version_compare(releases[i], releases[j])) == (i > j) - (i < j));
}

/* UAPI.10, "Examples", and what it says of leading zeros and of other characters. */
static void test_the_examples_of_the_specification_hold(void **state)
{
	static const struct {
		const char *a, *b;
		int order;
	} cases[] = {
		{ "11", "11", 0 },	       { "systemd-123", "systemd-123", 0 },    { "bar-123", "foo-123", -1 },
		{ "123a", "123", 1 },	       { "123.a", "123", 1 },		       { "123.a", "123.b", -1 },
		{ "123a", "123.a", 1 },	       { "11\xce\xb1", "11\xce\xb2", 0 },      { "B", "a", -1 },
		{ "", "0", -1 },	       { "0.", "0", 1 },		       { "0.0", "0", 1 },
		{ "0", "~", 1 },	       { "", "~", 1 },			       { "1_", "1", 0 },
		{ "_1", "1", 0 },	       { "1_", "1.2", -1 },		       { "1_2_3", "1.3.3", 1 },
		{ "1+", "1", 0 },	       { "+1", "1", 0 },		       { "1+", "1.2", -1 },
		{ "1+2+3", "1.3.3", 1 },       { "001", "1", 0 },		       { "1.0~rc1", "1.0", -1 },
		{ "1.0^20240501", "1.0", 1 },  { "1.0^20240501", "1.0.1", -1 },	       { "123-2", "123.1-1", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_case(cases[i].a, sign(version_compare(cases[i].a, cases[i].b)) == cases[i].order);
		assert_case(cases[i].b, sign(version_compare(cases[i].b, cases[i].a)) == -cases[i].order);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_releases_of_kernels_are_in_the_order_of_their_age),
		cmocka_unit_test(test_the_examples_of_the_specification_hold),
	};

	return cmocka_run_group_tests_name("version", tests, NULL, NULL);
}
