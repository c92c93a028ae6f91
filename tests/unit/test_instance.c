// SPDX-License-Identifier: Apache-2.0
/*
 * Which driver and which version an instance of modulus@.service means. What it then does is in test_boot.c
 * and tests/cli/test_instance.py.
 */
#include "fixture.h"
#include "instance.h"
#include "limit.h"

/* Drivers of these names, as config_read() gives them. */
static struct config configured(const char *const *names)
{
	struct config c = { 0 };

	for (; *names; names++) {
		c.drivers = reallocarray(c.drivers, c.n_drivers + 1, sizeof(*c.drivers));
		assert_non_null(c.drivers);
		c.drivers[c.n_drivers++] = (struct driver){ .name = strdup(*names), .version = strdup("1") };
	}
	return c;
}

static const char *const names[] = { "nvidia", "nvidia-open", "nvidia-open-535", "virtio-gpu", NULL };

static void test_name_and_version_are_told_apart(void **state)
{
	static const struct {
		const char *instance, *name, *version;
	} cases[] = {
		{ "nvidia-535.261.03", "nvidia", "535.261.03" },
		{ "nvidia-open-550.54", "nvidia-open", "550.54" },     /* the longest name, not version "open-550.54" */
		{ "nvidia-open-535-2", "nvidia-open-535", "2" },
		{ "nvidia-535-beta-2", "nvidia", "535-beta-2" },       /* versions have '-' too */
		{ "virtio-gpu-1", "virtio-gpu", "1" },
		{ "nvidia-open-535", "nvidia-open", "535" },           /* a name alone is no instance of it */
		{ "nvidia\\x2d535\\x2b1\\x7erc", "nvidia", "535+1~rc" }, /* as systemd-escape(1) writes it */
	};
	_cleanup_config_ struct config c = configured(names);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *version = NULL;
		struct driver *d;
		struct err err;

		assert_int_equal(instance_find(&c, cases[i].instance, &d, &version, &err), 0);
		assert_string_equal(d->name, cases[i].name);
		assert_string_equal(version, cases[i].version);
	}
}

static void test_what_is_not_configured_is_an_error_with_the_files(void **state)
{
	static const struct {
		const char *instance, *says;
	} cases[] = {
		{ "amd-gpu-6.1-2", "looked for amd.conf, amd-gpu.conf" },
		{ "radeon-6", "looked for radeon.conf" },
		{ "nvidia", "'nvidia' is not NAME-VERSION" },
		{ "nvidia-", "'nvidia-' is not NAME-VERSION" },
		{ "nvidia-5/3", "is not NAME-VERSION" },
		{ "nvidia-5\\x", "is not NAME-VERSION" },
		{ "nvidia-5\\x2", "is not NAME-VERSION" },
		{ "nvidia-5\\x00", "is not NAME-VERSION" },
		{ "", "'' is not NAME-VERSION" },
	};
	_cleanup_config_ struct config c = configured(names);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct driver *d = NULL;
		char *version = NULL;
		struct err err;

		assert_int_equal(instance_find(&c, cases[i].instance, &d, &version, &err), -E_BAD_CONFIG);
		assert_contains(err.text, cases[i].says);
		assert_null(d);
		assert_null(version);
	}
}

static void test_a_version_at_its_limit(void **state)
{
	_cleanup_config_ struct config c = configured(names);
	char instance[sizeof("nvidia-") + LIMIT_NAME_BYTES + 1] = "nvidia-";
	_cleanup_free_ char *version = NULL;
	struct driver *d;
	struct err err;

	(void)state;
	memset(instance + strlen("nvidia-"), '5', LIMIT_NAME_BYTES + 1);
	assert_int_equal(instance_find(&c, instance, &d, &version, &err), -E_BAD_CONFIG);
	instance[strlen(instance) - 1] = '\0';
	assert_int_equal(instance_find(&c, instance, &d, &version, &err), 0);
	assert_int_equal(strlen(version), LIMIT_NAME_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name_and_version_are_told_apart),
		cmocka_unit_test(test_what_is_not_configured_is_an_error_with_the_files),
		cmocka_unit_test(test_a_version_at_its_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
