// SPDX-License-Identifier: Apache-2.0
#include "cmdline.h"
#include "fixture.h"
#include "limit.h"

static struct cmdline parse(const char *text)
{
	struct cmdline c = { 0 };

	assert_int_equal(cmdline_parse(text, &c), 0);
	return c;
}

static void test_words_come_in_order(void **state)
{
	_cleanup_cmdline_ struct cmdline c = parse("  root=/dev/vda3 ro\tquiet \n");

	(void)state;
	assert_int_equal(c.words.n, 3);
	assert_string_equal(c.words.v[0], "root=/dev/vda3");
	assert_string_equal(c.words.v[1], "ro");
	assert_string_equal(c.words.v[2], "quiet");
}

static void test_an_empty_line_has_no_words(void **state)
{
	_cleanup_cmdline_ struct cmdline c = parse("\n");

	(void)state;
	assert_int_equal(c.words.n, 0);
	assert_null(cmdline_get(&c, "ro"));
}

static void test_quotes_protect_blanks_and_are_dropped(void **state)
{
	_cleanup_cmdline_ struct cmdline c = parse("a=\"x y\" \"b=x y\" c=\"--\" d=\"");

	(void)state;
	assert_int_equal(c.words.n, 4);
	assert_string_equal(cmdline_get(&c, "a"), "x y");
	assert_string_equal(cmdline_get(&c, "b"), "x y");
	assert_string_equal(cmdline_get(&c, "c"), "--");
	assert_string_equal(cmdline_get(&c, "d"), "");
}

static void test_a_quote_that_is_never_closed_reaches_to_the_end(void **state)
{
	_cleanup_cmdline_ struct cmdline c = parse("a=\"x y z=1");

	(void)state;
	assert_string_equal(cmdline_get(&c, "a"), "x y z=1");
	assert_null(cmdline_get(&c, "z"));
}

static void test_words_behind_two_dashes_belong_to_init(void **state)
{
	_cleanup_cmdline_ struct cmdline c = parse("quiet --x -- modulus=off");

	(void)state;
	assert_int_equal(c.words.n, 2);
	assert_non_null(cmdline_get(&c, "--x"));
	assert_null(cmdline_get(&c, "modulus"));
}

static void test_the_last_of_several_values_counts(void **state)
{
	_cleanup_cmdline_ struct cmdline c = parse("modulus=off modulus=on modulusx=no xmodulus=no");

	(void)state;
	assert_string_equal(cmdline_get(&c, "modulus"), "on");
}

static void test_a_bare_key_has_an_empty_value_and_a_missing_one_none(void **state)
{
	_cleanup_cmdline_ struct cmdline c = parse("modulus.debug modulus.from=");

	(void)state;
	assert_string_equal(cmdline_get(&c, "modulus.debug"), "");
	assert_string_equal(cmdline_get(&c, "modulus.from"), "");
	assert_null(cmdline_get(&c, "modulus"));
}

static void test_a_repeated_key_gives_each_value_once(void **state)
{
	_cleanup_cmdline_ struct cmdline c = parse("modulus.from=usr: x modulus.from=cache: modulus.from");
	size_t cursor = 0;

	(void)state;
	assert_string_equal(cmdline_next(&c, "modulus.from", &cursor), "usr:");
	assert_string_equal(cmdline_next(&c, "modulus.from", &cursor), "cache:");
	assert_string_equal(cmdline_next(&c, "modulus.from", &cursor), "");
	assert_null(cmdline_next(&c, "modulus.from", &cursor));
	assert_null(cmdline_next(&c, "modulus.from", &cursor));
}

static void test_the_value_may_hold_equals_signs(void **state)
{
	_cleanup_cmdline_ struct cmdline c = parse("mount.usr=PARTUUID=7130");

	(void)state;
	assert_string_equal(cmdline_get(&c, "mount.usr"), "PARTUUID=7130");
}

static void test_it_is_read_from_the_live_root(void **state)
{
	_cleanup_cmdline_ struct cmdline c = { 0 };
	struct place *p = *state;
	struct err err;

	put_text(p, "live/proc/cmdline", "modulus=off\n");
	assert_int_equal(cmdline_read(&p->host, &c, &err), 0);
	assert_string_equal(cmdline_get(&c, "modulus"), "off");
}

static void test_a_missing_or_oversize_line_is_a_failure_that_names_the_file(void **state)
{
	_cleanup_blob_ struct blob b = { 0 };
	_cleanup_cmdline_ struct cmdline c = { 0 };
	struct place *p = *state;
	struct err err;

	assert_int_equal(cmdline_read(&p->host, &c, &err), -ENOENT);
	assert_contains(err.text, "/proc/cmdline");
	blob_fill(&b, 'x', LIMIT_CMDLINE_BYTES);
	put_blob(p, "live/proc/cmdline", b.v, b.n);
	assert_int_equal(cmdline_read(&p->host, &c, &err), 0);
	cmdline_free(&c);
	blob_fill(&b, 'x', 1);
	put_blob(p, "live/proc/cmdline", b.v, b.n);
	assert_int_equal(cmdline_read(&p->host, &c, &err), -EFBIG);
	assert_contains(err.text, "/proc/cmdline");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_come_in_order),
		cmocka_unit_test(test_an_empty_line_has_no_words),
		cmocka_unit_test(test_quotes_protect_blanks_and_are_dropped),
		cmocka_unit_test(test_a_quote_that_is_never_closed_reaches_to_the_end),
		cmocka_unit_test(test_words_behind_two_dashes_belong_to_init),
		cmocka_unit_test(test_the_last_of_several_values_counts),
		cmocka_unit_test(test_a_bare_key_has_an_empty_value_and_a_missing_one_none),
		cmocka_unit_test(test_a_repeated_key_gives_each_value_once),
		cmocka_unit_test(test_the_value_may_hold_equals_signs),
		at_place(test_it_is_read_from_the_live_root),
		at_place(test_a_missing_or_oversize_line_is_a_failure_that_names_the_file),
	};

	return cmocka_run_group_tests_name("cmdline", tests, NULL, NULL);
}
