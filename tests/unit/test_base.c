// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include "fixture.h"

static void test_a_number_is_decimal_digits_and_nothing_else(void **state)
{
	static const struct {
		const char *text;
		int code;
		uint64_t value;
	} cases[] = {
		{ "0", 0, 0 },
		{ "7", 0, 7 },
		{ "007", 0, 7 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1.0", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t value = 0;

		assert_case(cases[i].text, parse_u64(cases[i].text, &value) == cases[i].code);
		assert_case(cases[i].text, value == cases[i].value); /* untouched on failure */
	}
}

static void test_hex_goes_there_and_back(void **state)
{
	const uint8_t bytes[] = { 0x00, 0x0f, 0xa5, 0xff };
	uint8_t again[sizeof(bytes)];
	char text[2 * sizeof(bytes) + 1];

	(void)state;
	hex_encode(bytes, sizeof(bytes), text);
	assert_string_equal(text, "000fa5ff");
	assert_int_equal(hex_decode(text, again, sizeof(again)), 0);
	assert_memory_equal(bytes, again, sizeof(bytes));
}

static void test_hex_of_another_length_case_or_alphabet_is_refused(void **state)
{
	static const char *const bad[] = { "", "00", "0011223", "001122334", "0011223G", "0011223A", "00 1122" };
	uint8_t bytes[4] = "abc";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_case(bad[i], hex_decode(bad[i], bytes, sizeof(bytes)) == -EINVAL);
	assert_string_equal((char *)bytes, "abc");
}

static void test_text_from_outside_is_escaped(void **state)
{
	const char text[] = "ok \\ \n\x1b[31m\xc3\xbc\x7f\0end";
	char out[128];

	(void)state;
	escape_text(text, sizeof(text) - 1, out, sizeof(out));
	assert_string_equal(out, "ok \\x5c \\x0a\\x1b[31m\\xc3\\xbc\\x7f\\x00end");
}

static void test_escaped_text_that_does_not_fit_is_cut_between_characters(void **state)
{
	char out[7] = "??????";

	(void)state;
	escape_text("ab\ncd", 5, out, sizeof(out)); /* "ab\x0a" and its NUL fit exactly */
	assert_string_equal(out, "ab\\x0a");
	escape_text("abc\n", 4, out, sizeof(out)); /* the escape would be cut: it is left out */
	assert_string_equal(out, "abc");
	escape_text("abcdefgh", 8, out, sizeof(out));
	assert_string_equal(out, "abcdef");
	escape_text("", 0, out, sizeof(out));
	assert_string_equal(out, "");
}

static void test_prefix_and_suffix(void **state)
{
	const char *rest = NULL;

	(void)state;
	assert_true(str_prefix("usr:/x", "usr:", &rest));
	assert_string_equal(rest, "/x");
	assert_true(str_prefix("usr:", "usr:", NULL));
	rest = NULL;
	assert_false(str_prefix("us", "usr:", &rest));
	assert_null(rest);
	assert_true(str_suffix("x.ko", ".ko"));
	assert_false(str_suffix("ko", ".ko"));
	assert_false(str_suffix("x.ko.xz", ".ko"));
}

static void test_words_are_split_at_blanks_or_at_what_is_asked_for(void **state)
{
	_cleanup_strv_ struct strv s = { 0 };

	(void)state;
	assert_int_equal(strv_add_words(&s, "  nvidia \t nvidia-uvm ", NULL), 0);
	assert_int_equal(strv_add_words(&s, "a,,b c,", ","), 0);
	assert_int_equal(strv_add_words(&s, "", NULL), 0);
	assert_int_equal(strv_add_words(&s, "   ", NULL), 0);
	assert_int_equal(s.n, 4);
	assert_string_equal(s.v[0], "nvidia");
	assert_string_equal(s.v[1], "nvidia-uvm");
	assert_string_equal(s.v[2], "a");
	assert_string_equal(s.v[3], "b c");
}

static void test_a_list_owns_its_strings(void **state)
{
	_cleanup_strv_ struct strv a = { 0 }, b = { 0 };
	char word[] = "drm";

	(void)state;
	assert_int_equal(strv_add(&a, word), 0);
	assert_int_equal(strv_addf(&a, "%s_%d", "card", 0), 0);
	word[0] = 'x';
	assert_int_equal(strv_copy(&b, &a), 0);
	strv_free(&a);
	assert_int_equal(a.n, 0);
	assert_true(strv_has(&b, "drm"));
	assert_true(strv_has(&b, "card_0"));
	assert_false(strv_has(&b, "card"));
}

static void test_a_file_is_read_whole_up_to_its_limit(void **state)
{
	static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 10000 };
	struct place *p = *state;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_blob_ struct blob b = { 0 };
		char *text;
		size_t n, limits[] = { sizes[i], sizes[i] + 1, sizes[i] + 5000 };

		blob_fill(&b, 'x', sizes[i]);
		put_blob(p, "file", b.v ? b.v : (const uint8_t *)"", b.n);
		for (size_t j = 0; j < ARRAY_SIZE(limits); j++) {
			assert_int_equal(read_whole_at(p->fd, "file", limits[j], &text, &n), 0);
			assert_int_equal(n, sizes[i]);
			assert_int_equal(strlen(text), n); /* it ends with a NUL that is not counted */
			free(text);
		}
		text = NULL;
		if (sizes[i] > 0)
			assert_int_equal(read_whole_at(p->fd, "file", sizes[i] - 1, &text, &n), -EFBIG);
		assert_null(text);
	}
	assert_int_equal(read_whole_at(p->fd, "nothing", 10, &(char *){ NULL }, &(size_t){ 0 }), -ENOENT);
	assert_int_equal(read_whole_at(p->fd, "root", 10, &(char *){ NULL }, &(size_t){ 0 }), -EISDIR);
}

static void test_a_file_whose_size_is_a_lie_is_read_whole(void **state)
{
	_cleanup_free_ char *text = NULL;
	size_t n;

	(void)state;
	assert_int_equal(read_whole_at(AT_FDCWD, "/proc/self/status", 1u << 20, &text, &n), 0);
	assert_int_equal(n, strlen(text));
	assert_contains(text, "Name:");
}

static void test_a_line_is_read_without_its_newline(void **state)
{
	struct place *p = *state;
	char buf[9];

	put_text(p, "line", "live\n");
	assert_int_equal(read_line_at(p->fd, "line", buf, sizeof(buf)), 0);
	assert_string_equal(buf, "live");
	put_text(p, "line", "live");
	assert_int_equal(read_line_at(p->fd, "line", buf, sizeof(buf)), 0);
	assert_string_equal(buf, "live");
	put_text(p, "line", "");
	assert_int_equal(read_line_at(p->fd, "line", buf, sizeof(buf)), 0);
	assert_string_equal(buf, "");
	put_text(p, "line", "a\nb\n");
	assert_int_equal(read_line_at(p->fd, "line", buf, sizeof(buf)), 0);
	assert_string_equal(buf, "a");
	assert_int_equal(read_line_at(p->fd, "no-line", buf, sizeof(buf)), -ENOENT);
}

static void test_a_line_that_just_fits_is_read_and_a_longer_one_refused(void **state)
{
	struct place *p = *state;
	char buf[9];

	put_text(p, "line", "12345678\n");
	assert_int_equal(read_line_at(p->fd, "line", buf, sizeof(buf)), 0);
	assert_string_equal(buf, "12345678");
	put_text(p, "line", "123456789\n");
	assert_int_equal(read_line_at(p->fd, "line", buf, sizeof(buf)), -ERANGE);
}

static void test_a_written_file_replaces_the_old_one_at_once(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *old = NULL, *new = NULL;
	_cleanup_close_ int reader = -EBADF;
	struct stat st;
	size_t n;

	assert_int_equal(write_file_at(p->fd, "status", "old", 3, 0644), 0);
	reader = openat(p->fd, "status", O_RDONLY | O_CLOEXEC);
	assert_int_equal(write_file_at(p->fd, "status", "newer", 5, 0600), 0);
	/* who had it open still sees the old one, whole */
	assert_int_equal(read_whole(reader, 100, &old, &n), 0);
	assert_string_equal(old, "old");
	new = get_text(p, "status");
	assert_string_equal(new, "newer");
	assert_int_equal(fstatat(p->fd, "status", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(count_entries(p, "."), 3); /* root, live, status: no temporary file */
}

static void test_a_file_that_cannot_get_its_name_leaves_nothing(void **state)
{
	struct place *p = *state;

	put_dir(p, "name/below");
	assert_true(write_file_at(p->fd, "name", "x", 1, 0644) < 0);
	assert_int_equal(count_entries(p, "."), 3);
	assert_int_equal(write_file_at(p->fd, "missing/name", "x", 1, 0644), -ENOENT);
}

static void test_directories_are_made_beneath(void **state)
{
	struct place *p = *state;
	_cleanup_close_ int fd = -EBADF, again = -EBADF, same = -EBADF;

	assert_int_equal(mkdir_beneath(p->fd, "/run/modulus//bin/", 0755, &fd), 0);
	assert_true(is_there(p, "run/modulus/bin"));
	assert_int_equal(mkdir_beneath(p->fd, "run/modulus/bin", 0755, &again), 0);
	assert_int_equal(write_file_at(again, "x", "x", 1, 0644), 0);
	assert_true(is_there(p, "run/modulus/bin/x"));
	assert_int_equal(mkdir_beneath(p->fd, "", 0755, &same), 0);
	assert_int_equal(write_file_at(same, "y", "y", 1, 0644), 0);
	assert_true(is_there(p, "y"));
}

static void test_directories_are_not_made_through_links_or_upwards(void **state)
{
	struct place *p = *state;
	_cleanup_close_ int inside = openat(p->fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = -1;

	put_dir(p, "live/target");
	put_link(p, "root/absolute", "/");
	put_link(p, "root/relative", "../live/target");
	put_dir(p, "root/dir");
	put_link(p, "root/sideways", "dir");
	assert_int_equal(mkdir_beneath(inside, "absolute/x", 0755, &fd), -ELOOP);
	assert_int_equal(mkdir_beneath(inside, "relative/x", 0755, &fd), -ELOOP);
	assert_int_equal(mkdir_beneath(inside, "sideways/x", 0755, &fd), -ELOOP);
	assert_int_equal(mkdir_beneath(inside, "../x", 0755, &fd), -EXDEV);
	assert_false(is_there(p, "live/target/x"));
	assert_false(is_there(p, "root/dir/x"));
	assert_false(is_there(p, "x"));
	put_text(p, "root/file", "");
	assert_int_equal(mkdir_beneath(inside, "file/x", 0755, &fd), -ENOTDIR);
	assert_int_equal(fd, -1);
}

static void test_opened_files_are_closed_on_exec(void **state)
{
	struct place *p = *state;
	_cleanup_close_ int fd = -EBADF;

	put_text(p, "file", "x");
	fd = open_resolve(p->fd, "file", O_RDONLY, 0, RESOLVE_BENEATH);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(open_resolve(p->fd, "/etc/passwd", O_RDONLY, 0, RESOLVE_BENEATH), -EXDEV);
}

static void test_what_is_taken_is_no_longer_owned(void **state)
{
	_cleanup_free_ char *text = strdup("x"), *taken = NULL;
	int fd = 5, got;

	(void)state;
	taken = TAKE_PTR(text);
	assert_null(text);
	assert_string_equal(taken, "x");
	got = TAKE_FD(fd);
	assert_int_equal(got, 5);
	assert_int_equal(fd, -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_number_is_decimal_digits_and_nothing_else),
		cmocka_unit_test(test_hex_goes_there_and_back),
		cmocka_unit_test(test_hex_of_another_length_case_or_alphabet_is_refused),
		cmocka_unit_test(test_text_from_outside_is_escaped),
		cmocka_unit_test(test_escaped_text_that_does_not_fit_is_cut_between_characters),
		cmocka_unit_test(test_prefix_and_suffix),
		cmocka_unit_test(test_words_are_split_at_blanks_or_at_what_is_asked_for),
		cmocka_unit_test(test_a_list_owns_its_strings),
		at_place(test_a_file_is_read_whole_up_to_its_limit),
		cmocka_unit_test(test_a_file_whose_size_is_a_lie_is_read_whole),
		at_place(test_a_line_is_read_without_its_newline),
		at_place(test_a_line_that_just_fits_is_read_and_a_longer_one_refused),
		at_place(test_a_written_file_replaces_the_old_one_at_once),
		at_place(test_a_file_that_cannot_get_its_name_leaves_nothing),
		cmocka_unit_test(test_what_is_taken_is_no_longer_owned),
	};
	const struct CMUnitTest paths[] = {
		at_place(test_directories_are_made_beneath),
		at_place(test_directories_are_not_made_through_links_or_upwards),
		at_place(test_opened_files_are_closed_on_exec),
	};
	int failed = cmocka_run_group_tests_name("base", tests, NULL, NULL);

	failed += cmocka_run_group_tests_name("base: paths", paths, NULL, NULL);
	if (!has_openat2()) /* the walk was what the paths went by, and there may be no filters either */
		return failed;
	/* there is no way back from a filter */
	refuse_openat2(ENOSYS);
	failed += cmocka_run_group_tests_name("base: paths, openat2 is not known", paths, NULL, NULL);
	refuse_openat2(EPERM);
	failed += cmocka_run_group_tests_name("base: paths, openat2 is forbidden", paths, NULL, NULL);
	return failed;
}
