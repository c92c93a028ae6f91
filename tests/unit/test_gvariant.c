// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include "fixture.h"
#include "gvariant.h"

/* {"os": <"the-os">, "n": <byte 7>}, by hand: each entry is a key, padding, "value NUL type", and where the key ends. */
static const uint8_t sample[] = { 'o', 's', 0, 0, 0, 0, 0, 0, 't', 'h', 'e', '-', 'o', 's', 0, 0, 's', 3, 0, 0, 0, 0, 0, 0,
				  'n', 0, 0, 0, 0, 0, 0, 0, 7, 0, 'y', 2, 18, 36 };

static void test_a_key_is_found_by_name_and_type(void **state)
{
	const char *text;
	const void *value;
	size_t n;

	(void)state;
	assert_int_equal(gvariant_find_string(sample, sizeof(sample), "os", &text), 0);
	assert_string_equal(text, "the-os");
	assert_int_equal(gvariant_find(sample, sizeof(sample), "n", "y", &value, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(*(const uint8_t *)value, 7);
	assert_int_equal(gvariant_find_string(sample, sizeof(sample), "n", &text), -ENOENT);
	assert_int_equal(gvariant_find_string(sample, sizeof(sample), "o", &text), -ENOENT);
	assert_int_equal(gvariant_find_string("", 0, "os", &text), -ENOENT);
}

/* What ostree 2022.7 wrote when a deployment was staged; longer than 255 bytes, so that offsets have two. */
static void test_a_staged_deployment_of_ostree_is_read(void **state)
{
	_cleanup_free_ char *bytes = NULL;
	const char *text;
	const void *target;
	size_t len, n;

	(void)state;
	assert_int_equal(read_whole_at(AT_FDCWD, "tests/fuzz/corpus/gvariant/staged", 4096, &bytes, &len), 0);
	assert_int_equal(gvariant_find(bytes, len, "target", "a{sv}", &target, &n), 0);
	assert_int_equal(gvariant_find_string(target, n, "name", &text), 0);
	assert_string_equal(text, "3d057bf3aeddb418197bd84a1b23d34238e89f74491c664435b6f2dfa451bcc1.0");
	assert_int_equal(gvariant_find_string(target, n, "osname", &text), 0);
	assert_string_equal(text, "the-os");
	assert_int_equal(gvariant_find(bytes, len, "merge-deployment", "a{sv}", &target, &n), 0);
}

static void test_bytes_cut_or_changed_anywhere_are_read_within_them(void **state)
{
	const char *text;

	(void)state;
	for (size_t n = 1; n < sizeof(sample); n++) {
		uint8_t *cut = malloc(n);

		assert_non_null(cut);
		memcpy(cut, sample, n);
		if (gvariant_find_string(cut, n, "os", &text) == 0)
			assert_true((const uint8_t *)text >= cut && (const uint8_t *)text + strlen(text) < cut + n);
		free(cut);
	}
	for (size_t i = 0; i < sizeof(sample) * 255; i++) {
		uint8_t *changed = malloc(sizeof(sample));

		assert_non_null(changed);
		memcpy(changed, sample, sizeof(sample));
		changed[i / 255] ^= (uint8_t)(i % 255 + 1);
		(void)!gvariant_find_string(changed, sizeof(sample), "os", &text);
		free(changed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_key_is_found_by_name_and_type),
		cmocka_unit_test(test_a_staged_deployment_of_ostree_is_read),
		cmocka_unit_test(test_bytes_cut_or_changed_anywhere_are_read_within_them),
	};

	return cmocka_run_group_tests_name("gvariant", tests, NULL, NULL);
}
