// SPDX-License-Identifier: Apache-2.0
#include "err.h"
#include "fixture.h"

/* symbol, word and exit code again, from the contract with scripts: a change here is a change for users. */
static const struct {
	int code;
	const char *word;
	enum exit_code exit;
} contract[] = {
	{ 0, "loaded", 0 },
	{ -E_NO_DEVICE, "no-device", 0 },
	{ -E_DISABLED, "disabled", 0 },
	{ -E_NO_BUNDLE, "no-bundle", 3 },
	{ -E_WRONG_KERNEL, "wrong-kernel", 3 },
	{ -E_STALE, "stale", 3 },
	{ -E_BUILD_FAILED, "build-failed", 3 },
	{ -E_UNTRUSTED, "untrusted", 4 },
	{ -E_CORRUPT, "corrupt", 4 },
	{ -E_EQUIVOCATION, "equivocation", 4 },
	{ -E_UNSIGNED, "unsigned-module", 5 },
	{ -E_INIT_FAILED, "init-failed", 5 },
	{ -E_INIT_HUNG, "init-hung", 5 },
	{ -E_BLOCKED, "blocked", 5 },
	{ -E_NO_SPACE, "no-space", 6 },
	{ -E_OVER_BUDGET, "over-budget", 6 },
	{ -E_CACHE_UNREACHABLE, "cache-unreachable", 6 },
	{ -E_NETWORK, "network", 7 },
	{ -E_BAD_CONFIG, "bad-config", 8 },
	{ -E_AMBIGUOUS, "ambiguous", 8 },
	{ -E_SYSTEM, "system-error", 1 },
};

static void test_every_reason_has_the_word_and_exit_code_of_the_contract(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(contract); i++) {
		assert_string_equal(reason_word(contract[i].code), contract[i].word);
		assert_case(contract[i].word, reason_exit(contract[i].code) == contract[i].exit);
		assert_case(contract[i].word, strlen(reason_advice(contract[i].code)) > 10);
	}
}

static void test_words_go_there_and_back_and_none_is_used_twice(void **state)
{
	(void)state;
	for (int code = -E_BASE_ - 1; code > -E_END_; code--) {
		const char *word = reason_word(code);
		int same = code == -E_LOADED ? 0 : code;

		assert_case(word, reason_from_word(word) == same);
		assert_case(word, strspn(word, "abcdefghijklmnopqrstuvwxyz-") == strlen(word));
		for (int other = code - 1; other > -E_END_; other--)
			assert_string_not_equal(word, reason_word(other));
	}
}

static void test_every_errno_is_a_system_error(void **state)
{
	static const int codes[] = { -ENOENT, -ENOMEM, -EIO, -E_BASE_, -E_END_, -100000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		assert_string_equal(reason_word(codes[i]), "system-error");
		assert_int_equal(reason_exit(codes[i]), EXIT_SYSTEM);
	}
	assert_int_equal(reason_from_word("a word from another build"), -E_SYSTEM);
	assert_int_equal(reason_from_word(""), -E_SYSTEM);
}

static void test_our_codes_are_above_every_errno(void **state)
{
	(void)state;
	assert_true(E_LOADED > 4095); /* MAX_ERRNO */
}

static void test_a_failure_is_one_statement(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(err_set(&e, -E_CORRUPT, "chunk %d", 3), -E_CORRUPT);
	assert_int_equal(e.code, -E_CORRUPT);
	assert_string_equal(e.text, "chunk 3");
	assert_int_equal(err_sys(&e, -ENOENT, "%s", "/etc/modulus"), -ENOENT);
	assert_string_equal(e.text, "/etc/modulus: No such file or directory");
	assert_int_equal(err_prefix(&e, "reading %s", "it"), -ENOENT);
	assert_string_equal(e.text, "reading it: /etc/modulus: No such file or directory");
	assert_int_equal(err_set(NULL, -E_STALE, "nobody listens"), -E_STALE);
	assert_int_equal(err_sys(NULL, -EIO, "nobody listens"), -EIO);
}

static void test_a_long_sentence_is_cut_not_overrun(void **state)
{
	char text[2 * ERR_TEXT_MAX];
	struct err e = { 0 };

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)err_set(&e, -EIO, "%s", text);
	assert_int_equal(strlen(e.text), ERR_TEXT_MAX - 1);
	(void)err_sys(&e, -EIO, "%s", text);
	assert_int_equal(strlen(e.text), ERR_TEXT_MAX - 1);
	(void)err_prefix(&e, "%s", text);
	assert_int_equal(strlen(e.text), ERR_TEXT_MAX - 1);
}

static void test_a_sentence_is_printable_whatever_it_was_made_of(void **state)
{
	struct err e = { 0 };

	(void)state;
	(void)err_set(&e, -E_BAD_CONFIG, "%s is no name", "a\x1b[2Jb\n\xfc");
	assert_string_equal(e.text, "a\\x1b[2Jb\\x0a\\xfc is no name");
	/* what is escaped already stays as it is */
	(void)err_prefix(&e, "%s", "\t");
	assert_string_equal(e.text, "\\x09: a\\x1b[2Jb\\x0a\\xfc is no name");
	(void)err_sys(&e, -ENOENT, "%s", "\x7f");
	assert_string_equal(e.text, "\\x7f: No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_reason_has_the_word_and_exit_code_of_the_contract),
		cmocka_unit_test(test_words_go_there_and_back_and_none_is_used_twice),
		cmocka_unit_test(test_every_errno_is_a_system_error),
		cmocka_unit_test(test_our_codes_are_above_every_errno),
		cmocka_unit_test(test_a_failure_is_one_statement),
		cmocka_unit_test(test_a_long_sentence_is_cut_not_overrun),
		cmocka_unit_test(test_a_sentence_is_printable_whatever_it_was_made_of),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
