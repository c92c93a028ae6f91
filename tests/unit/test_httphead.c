// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include "httphead.h"
#include "limit.h"

static struct http_head head_of(const char *lines)
{
	struct http_head h = { 0 };

	for (const char *end; *lines; lines = end) {
		end = strchr(lines, '\n') + 1;
		assert_true(http_head_line(&h, lines, (size_t)(end - lines)));
	}
	return h;
}

#define FILE_OF(etag) "HTTP/1.1 200 OK\r\nETag: " etag "\r\n\r\n"
#define PART_OF(etag, range) "HTTP/1.1 206 Partial Content\r\nETag: " etag "\r\nContent-Range: " range "\r\n\r\n"
#define PART(range) "HTTP/1.1 206 Partial Content\r\nContent-Range: " range "\r\n\r\n"

static void test_names_have_no_case_and_values_no_blanks_around(void **state)
{
	const struct http_head h = head_of("HTTP/1.1 401 no\r\netag:\"a\"\r\nLAST-MODIFIED: \t now \t\r\n"
					   "Content-Encoding:gzip\n\r\nwww-authenticate: Basic\r\n");

	(void)state;
	assert_string_equal(h.etag, "\"a\"");
	assert_string_equal(h.modified, "now");
	assert_string_equal(h.encoding, "gzip");
	assert_string_equal(h.challenge, "Basic");
}

static void test_the_first_challenge_counts_and_a_weak_etag_does_not(void **state)
{
	const struct http_head h = head_of("HTTP/1.1 401 no\r\nWWW-Authenticate: Bearer a\r\nWWW-Authenticate: Basic\r\n"
					   "ETag: W/\"a\"\r\n\r\n");

	(void)state;
	assert_string_equal(h.challenge, "Bearer a");
	assert_string_equal(h.etag, "");
}

static void test_each_answer_begins_anew(void **state)
{
	const struct http_head h = head_of("HTTP/1.1 302 elsewhere\r\nETag: \"a\"\r\nLast-Modified: x\r\nWWW-Authenticate: y\r\n"
					   "Content-Encoding: br\r\nContent-Range: bytes 1-2/3\r\n\r\nHTTP/1.1 200 OK\r\n");

	(void)state;
	assert_int_equal(strlen(h.etag) + strlen(h.modified) + strlen(h.challenge) + strlen(h.encoding), 0);
	assert_true(h.range_at == UINT64_MAX && !h.whole);
}

static void test_only_an_empty_line_makes_it_whole(void **state)
{
	(void)state;
	assert_false(head_of("HTTP/1.1 200 OK\r\nETag: \"a\"\r\n").whole);
	assert_true(head_of("HTTP/1.1 200 OK\r\n\r\n").whole);
	assert_true(head_of("HTTP/1.1 200 OK\n\n").whole);
}

static void test_headers_are_counted_over_all_answers(void **state)
{
	struct http_head h = { 0 };
	char line[1024];

	(void)state;
	memset(line, 'x', sizeof(line));
	for (size_t i = 0; i < LIMIT_HTTP_HEADER_BYTES / sizeof(line) - 1; i++)
		assert_true(http_head_line(&h, line, sizeof(line)));
	assert_true(http_head_line(&h, "HTTP/1.1 200 OK\n", 16));
	assert_true(http_head_line(&h, line, sizeof(line) - 16));
	assert_int_equal(h.bytes, LIMIT_HTTP_HEADER_BYTES);
	assert_false(http_head_line(&h, "\n", 1));
}

static void test_a_long_or_odd_value_is_cut_and_escaped(void **state)
{
	struct http_head h = { 0 };
	char line[4096] = "ETag: \"\x1b";

	(void)state;
	memset(line + 8, 'x', sizeof(line) - 8);
	assert_true(http_head_line(&h, line, sizeof(line)));
	assert_int_equal(strlen(h.etag), sizeof(h.etag) - 1);
	assert_true(str_prefix(h.etag, "\"\\x1bxxx", NULL));
}

static const struct {
	const char *value;
	uint64_t at;
} ranges[] = {
	{ "bytes 100-199/200", 100 },
	{ "bytes 0-", 0 },
	{ "bytes 18446744073709551614-", UINT64_MAX - 1 },
	{ "bytes 18446744073709551616-", UINT64_MAX },
	{ "bytes 0000000000000000000000001-", UINT64_MAX },
	{ "bytes -100", UINT64_MAX },
	{ "bytes +100-", UINT64_MAX },
	{ "bytes 100", UINT64_MAX },
	{ "bytes */200", UINT64_MAX },
	{ "100-199/200", UINT64_MAX },
	{ "", UINT64_MAX },
};

static void test_where_a_part_begins(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		_cleanup_free_ char *text = str_printf("HTTP/1.1 206 x\nContent-Range: %s\n", ranges[i].value);

		assert_case(ranges[i].value, head_of(text).range_at == ranges[i].at);
	}
}

static void test_the_first_answer_is_the_file_from_its_beginning(void **state)
{
	const struct http_head h = head_of(FILE_OF("\"a\"")), part = head_of(PART_OF("\"a\"", "bytes 0-"));
	struct http_progress p = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(http_head_check(&part, 206, &p, &err), -E_NETWORK);
	assert_string_equal(err.text, "status 206");
	assert_int_equal(http_head_check(&h, 404, &p, &err), -E_NETWORK);
	assert_int_equal(http_head_check(&h, 200, &p, &err), 0);
	assert_string_equal(p.validator, "\"a\"");
}

struct later {
	const char *head;
	long status;
	uint64_t skip;
	const char *refused;
};

static const struct later of_an_etag[] = {
	{ PART_OF("\"a\"", "bytes 7-9/10"), 206, 0, NULL },
	{ FILE_OF("\"a\""), 200, 7, NULL },
	{ PART_OF("\"a\"", "bytes 6-9/10"), 206, 0, "another part of the file than was asked for" },
	{ "HTTP/1.1 206 x\nETag: \"a\"\n\n", 206, 0, "another part of the file than was asked for" },
	{ PART_OF("\"b\"", "bytes 7-9/10"), 206, 0, "the file changed while it was read" },
	{ FILE_OF("\"b\""), 200, 0, "the file changed while it was read" },
	{ "HTTP/1.1 200 OK\n\n", 200, 0, "the file changed while it was read" },
	{ PART("bytes 7-9/10"), 206, 0, "the file changed while it was read" },
	{ "HTTP/1.1 416 x\nETag: \"a\"\n\n", 416, 0, "status 416" },
	{ "HTTP/1.1 200 OK\nETag: \"a\"\nContent-Encoding: gzip\n\n", 200, 0,
	  "the answer is encoded (gzip), which was not asked for" },
};

/* The answers after one of a validator: 7 bytes are there. */
static void assert_later(const char *first_head, const struct later *later, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct http_head first = head_of(first_head), h = head_of(later[i].head);
		struct http_progress p = { 0 };
		struct err err = { 0 };
		int r;

		assert_int_equal(http_head_check(&first, 200, &p, &err), 0);
		p.received = 7;
		r = http_head_check(&h, later[i].status, &p, &err);
		assert_case(later[i].head, r == (later[i].refused ? -E_NETWORK : 0));
		assert_string_equal(err.text, later[i].refused ? later[i].refused : "");
		assert_int_equal(p.skip, later[i].skip);
	}
}

static void test_a_later_answer_is_the_rest_of_the_same_file(void **state)
{
	(void)state;
	assert_later(FILE_OF("\"a\""), of_an_etag, ARRAY_SIZE(of_an_etag));
}

/* A server that has dates only need not repeat them in a part. */
static const struct later of_a_date[] = {
	{ PART("bytes 7-9/10"), 206, 0, NULL },
	{ PART("bytes 6-9/10"), 206, 0, "another part of the file than was asked for" },
	{ "HTTP/1.1 206 x\nLast-Modified: then\nContent-Range: bytes 7-9/10\n\n", 206, 0, NULL },
	{ "HTTP/1.1 206 x\nLast-Modified: now\nContent-Range: bytes 7-9/10\n\n", 206, 0, "the file changed while it was read" },
	{ PART_OF("\"a\"", "bytes 7-9/10"), 206, 0, "the file changed while it was read" },
	{ "HTTP/1.1 200 OK\nLast-Modified: then\n\n", 200, 7, NULL },
	{ "HTTP/1.1 200 OK\n\n", 200, 0, "the file changed while it was read" },
};

static void test_a_part_need_not_repeat_the_date(void **state)
{
	(void)state;
	assert_later("HTTP/1.1 200 OK\nLast-Modified: then\n\n", of_a_date, ARRAY_SIZE(of_a_date));
}

static void test_without_a_validator_nothing_goes_on(void **state)
{
	const struct http_head h = head_of("HTTP/1.1 200 OK\n\n");
	struct http_progress p = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(http_head_check(&h, 200, &p, &err), 0);
	p.received = 1;
	assert_int_equal(http_head_check(&h, 200, &p, &err), -E_NETWORK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_have_no_case_and_values_no_blanks_around),
		cmocka_unit_test(test_the_first_challenge_counts_and_a_weak_etag_does_not),
		cmocka_unit_test(test_each_answer_begins_anew),
		cmocka_unit_test(test_only_an_empty_line_makes_it_whole),
		cmocka_unit_test(test_headers_are_counted_over_all_answers),
		cmocka_unit_test(test_a_long_or_odd_value_is_cut_and_escaped),
		cmocka_unit_test(test_where_a_part_begins),
		cmocka_unit_test(test_the_first_answer_is_the_file_from_its_beginning),
		cmocka_unit_test(test_a_later_answer_is_the_rest_of_the_same_file),
		cmocka_unit_test(test_a_part_need_not_repeat_the_date),
		cmocka_unit_test(test_without_a_validator_nothing_goes_on),
	};

	return cmocka_run_group_tests_name("httphead", tests, NULL, NULL);
}
