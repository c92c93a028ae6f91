// SPDX-License-Identifier: Apache-2.0
/*
 * The metrics' text for any status: labels come through whole, and a status that lacks everything still gives a
 * text; and when a machine is ready. tests/cli/test_metrics.py reads the text by its format.
 */
#include "fixture.h"
#include "metrics.h"
#include "ready.h"

static json_t *parsed(const char *text)
{
	json_error_t why;
	json_t *o = json_loads(text, 0, &why);

	if (!o)
		fail_msg("%s", why.text);
	return o;
}

static char *text_of(const char *status, const unsigned int *misses)
{
	json_t *o = parsed(status);
	char *text = metrics_text(o, misses);

	json_decref(o);
	assert_non_null(text);
	return text;
}

static void test_a_labels_value_has_its_three_escapes(void **state)
{
	_cleanup_free_ char *text = text_of("{\"drivers\": [{\"name\": \"a\\\"b\\\\c\\nd,e}\", \"reason\": \"loaded\"}]}", NULL);

	(void)state;
	assert_non_null(strstr(text, "\nmodulus_driver_ok{driver=\"a\\\"b\\\\c\\nd,e}\"} 1\n"));
}

static void test_a_status_without_anything_is_a_text_too(void **state)
{
	_cleanup_free_ char *text = text_of("{}", NULL);

	(void)state;
	assert_non_null(strstr(text, "modulus_ready 0\n"));
	assert_null(strstr(text, "driver="));
}

static void test_seconds_are_whole_microseconds_and_never_negative(void **state)
{
	_cleanup_free_ char *text = text_of("{\"drivers\": [{\"name\": \"a\", \"us\": 1000001}, {\"name\": \"b\", \"us\": -5}]}", NULL);

	(void)state;
	assert_non_null(strstr(text, "modulus_driver_seconds{driver=\"a\"} 1.000001\n"));
	assert_non_null(strstr(text, "modulus_driver_seconds{driver=\"b\"} 0.000000\n"));
}

static void test_attempts_are_those_of_the_drivers_that_have_a_bundle(void **state)
{
	static const unsigned int misses[] = { 9, 2 };
	_cleanup_free_ char *text = text_of("{\"drivers\": [{\"name\": \"a\"}, {\"name\": \"b\", \"digest\": \"00\"}]}", misses);

	(void)state;
	assert_non_null(strstr(text, "modulus_driver_failed_attempts{driver=\"b\"} 2\n"));
	assert_null(strstr(text, "modulus_driver_failed_attempts{driver=\"a\"}"));
}

static void test_a_machine_is_ready_when_its_second_half_has_run_and_nothing_lacks(void **state)
{
	static const struct {
		const char *status;
		bool ready;
	} cases[] = {
		{ "{\"finish\": {}, \"drivers\": []}", true },
		{ "{\"finish\": null, \"drivers\": []}", false },
		{ "{\"drivers\": [{\"reason\": \"loaded\"}]}", false },
		{ "{\"finish\": {}, \"drivers\": [{\"reason\": \"loaded\", \"runtime\": null}]}", true },
		{ "{\"finish\": {}, \"drivers\": [{\"reason\": \"loaded\", \"runtime\": {\"reason\": \"network\"}}]}", false },
		{ "{\"finish\": {}, \"drivers\": [{\"reason\": \"no-device\", \"devices\": []}]}", true },
		{ "{\"finish\": {}, \"drivers\": [{\"reason\": \"no-device\", \"devices\": [\"x\"]}]}", false },
		{ "{\"finish\": {}, \"drivers\": [{\"reason\": \"loaded\"}, {\"reason\": \"disabled\"}]}", false },
		{ "{\"finish\": {}, \"drivers\": [{}]}", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *o = parsed(cases[i].status);

		if (ready_is(o) != cases[i].ready)
			fail_msg("%s", cases[i].status);
		json_decref(o);
	}
}

static void test_the_file_comes_and_goes_with_it(void **state)
{
	const struct place *p = *state;
	json_t *ready = parsed("{\"finish\": {}, \"drivers\": []}"), *not = parsed("{\"drivers\": []}");

	assert_int_equal(ready_tell(p->fd, not), 0);
	assert_int_equal(ready_tell(p->fd, ready), 0);
	assert_true(is_there(p, READY_NAME));
	assert_int_equal(ready_tell(p->fd, not), 0);
	assert_false(is_there(p, READY_NAME));
	json_decref(ready);
	json_decref(not);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_labels_value_has_its_three_escapes),
		cmocka_unit_test(test_a_status_without_anything_is_a_text_too),
		cmocka_unit_test(test_seconds_are_whole_microseconds_and_never_negative),
		cmocka_unit_test(test_attempts_are_those_of_the_drivers_that_have_a_bundle),
		cmocka_unit_test(test_a_machine_is_ready_when_its_second_half_has_run_and_nothing_lacks),
		at_place(test_the_file_comes_and_goes_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
