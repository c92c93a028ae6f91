// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include "fixture.h"
#include "status.h"

#define STATUS "live/run/modulus/status.json"

#define HEAD                                                                                                  \
	"{\"format\":1,\"stage\":\"initramfs\",\"started_us\":1500000,\"kernel\":{\"release\":\"6.1.0\",\"machine\":\"x\"}," \
	"\"warnings\":[\"gpu.conf:4: unknown key\"],\"finish\":null,\"drivers\":["
#define LOADED                                                                                                \
	"{\"name\":\"gpu\",\"version\":\"1.0\",\"reason\":\"loaded\",\"text\":\"2 modules\",\"digest\":\"aa\",\"serial\":7," \
	"\"key_id\":\"BB\",\"cached\":\"/var/x\",\"us\":412000,\"devices\":[\"0000:00:02.0\"],\"nodes\":[\"/dev/dri/card0\"]," \
	"\"modules\":[{\"name\":\"drm\"},{\"name\":\"gpu\"}],\"phases\":[{\"name\":\"load\",\"us\":1000}],"           \
	"\"rejected\":[{\"origin\":\"cache:y\",\"reason\":\"stale\",\"text\":\"old\"}],\"kernel_log\":[\"hello\"]}"
#define FAILED(reason) "{\"name\":\"other\",\"version\":\"2\",\"reason\":\"" reason "\",\"text\":\"why\"}"

/* What status prints, and its exit code. Caller frees. */
static char *stdout_of(const struct place *p, bool json, int *ret_code)
{
	int saved = dup(STDOUT_FILENO), file = openat(p->fd, "stdout", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(saved >= 0 && file >= 0);
	fflush(stdout);
	assert_true(dup2(file, STDOUT_FILENO) >= 0);
	*ret_code = status_run(&p->host, json);
	fflush(stdout);
	assert_true(dup2(saved, STDOUT_FILENO) >= 0);
	close(saved);
	close(file);
	return get_text(p, "stdout");
}

static void test_what_happened_is_said_to_a_person(void **state)
{
	static const char *const parts[] = {
		"kernel 6.1.0 x, in the initramfs at 1.500 s\n",
		"warning  gpu.conf:4: unknown key\n",
		"gpu 1.0: loaded: 2 modules\n",
		"aa, serial 7, signed by key BB\n",
		"cached   /var/x\n",
		"devices  0000:00:02.0\n",
		"modules  drm gpu\n",
		"nodes    /dev/dri/card0\n",
		"412.0 ms: load 1.0\n",
		"refused  cache:y: stale: old\n",
		"kernel   hello\n",
	};
	struct place *p = *state;
	_cleanup_free_ char *text = NULL;
	int code;

	put_text(p, STATUS, HEAD LOADED "]}");
	text = stdout_of(p, false, &code);
	assert_int_equal(code, 0);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		assert_contains(text, parts[i]);
	assert_null(strstr(text, "to do"));
}

static void test_the_exit_code_is_that_of_the_first_driver_that_is_not_well(void **state)
{
	static const struct {
		const char *drivers;
		int code;
	} cases[] = {
		{ "", 0 },
		{ LOADED, 0 },
		{ FAILED("no-device") "," LOADED, 0 },
		{ FAILED("disabled"), 0 },
		{ LOADED "," FAILED("wrong-kernel"), 3 },
		{ FAILED("untrusted") "," FAILED("no-bundle"), 4 },
		{ FAILED("init-hung"), 5 },
		{ FAILED("no-space"), 6 },
		{ FAILED("bad-config"), 8 },
		{ FAILED("a word from another build"), 1 },
	};
	struct place *p = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *json = str_printf("%s%s]}", HEAD, cases[i].drivers), *text = NULL;
		int code;

		put_text(p, STATUS, json);
		text = stdout_of(p, false, &code);
		assert_case(cases[i].drivers, code == cases[i].code);
		assert_case(cases[i].drivers, (strstr(text, "to do") != NULL) == (cases[i].code != 0));
		free(text);
		text = stdout_of(p, true, &code); /* the same for programs */
		assert_case(cases[i].drivers, code == cases[i].code);
		assert_contains(text, "\"format\": 1");
	}
}

static void test_without_a_report_that_is_said(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *none = NULL, *bad = NULL;
	int code;

	none = stdout_of(p, false, &code);
	assert_int_equal(code, 1);
	assert_string_equal(none, "");
	put_text(p, STATUS, "{\"format\":2,\"drivers\":[]}");
	bad = stdout_of(p, true, &code);
	assert_int_equal(code, 1);
	assert_string_equal(bad, "");
}

static void test_what_containers_get_is_said(void **state)
{
	static const struct {
		const char *cdi, *said;
	} cases[] = {
		{ "{\"file\":\"/run/cdi/x.json\",\"other\":null,\"devices\":[\"0\",\"all\"],\"mounts\":7,\"warnings\":[\"odd\"]}",
		  "\ncontainers: /run/cdi/x.json, 7 mounts\n  devices  0 all\n  warning  odd\n" },
		{ "{\"file\":null,\"other\":\"/etc/cdi/y.yaml\",\"devices\":[],\"mounts\":0,\"warnings\":[]}",
		  "\ncontainers: left to /etc/cdi/y.yaml\n" },
		{ "null", NULL },
	};
	struct place *p = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *status = str_printf(HEAD LOADED "],\"cdi\":%s}", cases[i].cdi), *text = NULL;
		int code;

		put_text(p, STATUS, status);
		text = stdout_of(p, false, &code);
		assert_int_equal(code, 0);
		if (cases[i].said)
			assert_contains(text, cases[i].said);
		else
			assert_null(strstr(text, "containers"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_what_happened_is_said_to_a_person),
		at_place(test_what_containers_get_is_said),
		at_place(test_the_exit_code_is_that_of_the_first_driver_that_is_not_well),
		at_place(test_without_a_report_that_is_said),
	};

	return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
