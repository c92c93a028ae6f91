// SPDX-License-Identifier: Apache-2.0
#include "base64.h"
#include "fixture.h"

/* RFC 4648, section 10. */
static const struct {
	const char *plain, *text;
} vectors[] = {
	{ "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "foobar", "Zm9vYmFy" },
};

static void test_the_vectors_of_the_standard(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		size_t n = strlen(vectors[i].plain);
		char text[16];
		uint8_t bytes[8] = "";

		base64_encode((const uint8_t *)vectors[i].plain, n, text);
		assert_string_equal(text, vectors[i].text);
		assert_int_equal(base64_decode(text, strlen(text), bytes, n), 0);
		assert_memory_equal(bytes, vectors[i].plain, n);
	}
}

static void test_only_the_one_right_spelling_is_taken(void **state)
{
	static const char *const bad[] = {
		"Zm8",	/* padding missing */
		"Zm8==", /* too much of it */
		"Zm9=",	/* a spare bit is set */
		"Zm9v",	/* three bytes, two were asked for */
		"Zg==",	/* one */
		"Z-8=",	/* the URL alphabet */
		"Zm8\n", " Zm8", "Z m8", "Zm=8", "====", "", "Zm8=Zm8=",
	};
	uint8_t bytes[2] = { 1, 2 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_case(bad[i], base64_decode(bad[i], strlen(bad[i]), bytes, sizeof(bytes)) == -EINVAL);
	assert_true(bytes[0] == 1 && bytes[1] == 2);
	assert_int_equal(base64_decode("Zm8=", 4, bytes, sizeof(bytes)), 0);
	assert_memory_equal(bytes, "fo", 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_vectors_of_the_standard),
		cmocka_unit_test(test_only_the_one_right_spelling_is_taken),
	};

	return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
