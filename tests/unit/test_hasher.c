// SPDX-License-Identifier: Apache-2.0
/*
 * SHA-256 beside the work: whatever pieces the bytes come in, the digest is OpenSSL's own of the whole.
 */
#include <openssl/evp.h>
#include <sched.h>

#include "fixture.h"
#include "hasher.h"

#define WHOLE (3u << 20)

static uint8_t *pattern(void)
{
	uint8_t *bytes = malloc(WHOLE);

	assert_non_null(bytes);
	for (size_t i = 0; i < WHOLE; i++)
		bytes[i] = (uint8_t)(i * 31 + i / 4099);
	return bytes;
}

static void assert_digest(struct hasher *h, const uint8_t *bytes, size_t len)
{
	uint8_t have[32], want[32];

	assert_int_equal(EVP_Digest(bytes, len, want, NULL, EVP_sha256(), NULL), 1);
	assert_int_equal(hasher_end(h, have), 0);
	assert_memory_equal(have, want, sizeof(want));
}

static void test_all_sizes_of_pieces_give_the_same_digest(void **state)
{
	static const size_t pieces[] = { 1u << 20, 128u << 10, (32u << 10) + 1, 32u << 10, (32u << 10) - 1, 4096 };
	uint8_t *bytes = pattern();
	struct hasher *h;

	(void)state;
	assert_int_equal(hasher_new(&h), 0);
	for (size_t p = 0; p < ARRAY_SIZE(pieces); p++) {
		for (size_t at = 0; at < WHOLE; at += pieces[p])
			hasher_add(h, bytes + at, MIN(pieces[p], WHOLE - at));
		assert_digest(h, bytes, WHOLE);
	}
	hasher_free(h);
	free(bytes);
}

static void test_large_and_small_files_take_turns(void **state)
{
	uint8_t *bytes = pattern();
	struct hasher *h;

	(void)state;
	assert_int_equal(hasher_new(&h), 0);
	for (size_t i = 0; i < 200; i++) {
		size_t len = i % 3 == 0 ? 0 : i % 3 == 1 ? i : (32u << 10) + i;

		hasher_add(h, bytes, len / 2);
		hasher_add(h, bytes + len / 2, len - len / 2);
		assert_digest(h, bytes, len);
	}
	hasher_free(h);
	free(bytes);
}

static void test_bytes_may_go_after_a_wait(void **state)
{
	uint8_t *bytes = pattern(), *buffer = malloc(128u << 10);
	struct hasher *h;

	(void)state;
	assert_non_null(buffer);
	assert_int_equal(hasher_new(&h), 0);
	for (size_t at = 0; at < WHOLE; at += 128u << 10) {
		memcpy(buffer, bytes + at, 128u << 10);
		hasher_add(h, buffer, 128u << 10);
		hasher_wait(h);
	}
	assert_digest(h, bytes, WHOLE);
	hasher_free(h);
	free(buffer);
	free(bytes);
}

static void test_what_is_given_up_half_way_ends(void **state)
{
	uint8_t *bytes = pattern();
	struct hasher *h;

	(void)state;
	assert_int_equal(hasher_new(&h), 0);
	hasher_add(h, bytes, WHOLE);
	hasher_free(h); /* waits for the thread, which reads from bytes */
	free(bytes);
	hasher_free(NULL);
}

static void test_one_cpu_needs_no_thread(void **state)
{
	uint8_t *bytes = pattern();
	cpu_set_t before, one;
	struct hasher *h;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
		if (CPU_ISSET(i, &before))
			CPU_SET(i, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(hasher_new(&h), 0);
	hasher_add(h, bytes, WHOLE);
	assert_digest(h, bytes, WHOLE);
	hasher_free(h);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_sizes_of_pieces_give_the_same_digest),
		cmocka_unit_test(test_large_and_small_files_take_turns),
		cmocka_unit_test(test_bytes_may_go_after_a_wait),
		cmocka_unit_test(test_what_is_given_up_half_way_ends),
		cmocka_unit_test(test_one_cpu_needs_no_thread),
	};

	return cmocka_run_group_tests_name("hasher", tests, NULL, NULL);
}
