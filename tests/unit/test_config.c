// SPDX-License-Identifier: Apache-2.0
#include "config.h"
#include "fixture.h"
#include "limit.h"

#define MINIMAL "[Driver]\nVersion=1.0\nMatch=pci:v*\n"
#define SHA256_TEXT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* --- one file --- */

struct parsed {
	struct driver d;
	struct strv warnings;
	struct err err;
	int code;
};

static void parsed_done(struct parsed *p)
{
	free(p->d.version);
	free(p->d.digest);
	strv_free(&p->d.flavors);
	strv_free(&p->d.match);
	strv_free(&p->d.load);
	strv_free(&p->d.options);
	strv_free(&p->d.evict);
	strv_free(&p->d.from);
	strv_free(&p->d.build);
	free(p->d.cache);
	strv_free(&p->warnings);
}

#define _cleanup_parsed_ _cleanup_(parsed_done)

static struct parsed parse_bytes(const char *text, size_t n)
{
	struct parsed p = { .d.budget_us = DEFAULT_BUDGET_US };

	p.code = config_parse_driver("gpu.conf", text, n, &p.d, &p.warnings, &p.err);
	return p;
}

static struct parsed parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

static void test_every_key_is_understood(void **state)
{
	_cleanup_parsed_ struct parsed p = parse("; what the operator wrote\n"
						 "[Driver]\n"
						 "Version=535.261.03\n"
						 "Match=pci:v000010DEd*bc03sc0[02]*\n"
						 "Load=nvidia nvidia-uvm nvidia-drm\n"
						 "Options=nvidia NVreg_EnableGpuFirmware=1 NVreg_X=2\n"
						 "Options=nvidia-drm modeset=1\n"
						 "Evict=nouveau nova_core\n"
						 "[Source]\n"
						 "From=cache:\n"
						 "From=usr: x:\n"
						 "[Trust]\n"
						 "MinSerial=3\n"
						 "Digest=sha256:" SHA256_TEXT "\n"
						 "TrustOnly=usr\n"
						 "[Policy]\n"
						 "Budget=90s\n"
						 "Trial=required\n"
						 "Required=yes\n"
						 "OnFailure=poweroff\n"
						 "[Build]\n"
						 "Command=/usr/local/sbin/compile --open\n"
						 " -j 4\n"
						 "Timeout=45min\n");

	(void)state;
	assert_int_equal(p.code, 0);
	assert_int_equal(p.warnings.n, 0);
	assert_string_equal(p.d.version, "535.261.03");
	assert_int_equal(p.d.match.n, 1);
	assert_string_equal(p.d.match.v[0], "pci:v000010DEd*bc03sc0[02]*");
	assert_int_equal(p.d.load.n, 3);
	assert_string_equal(p.d.load.v[2], "nvidia-drm");
	assert_int_equal(p.d.options.n, 2); /* a line each, blanks and all */
	assert_string_equal(p.d.options.v[0], "nvidia NVreg_EnableGpuFirmware=1 NVreg_X=2");
	assert_int_equal(p.d.from.n, 3);
	assert_string_equal(p.d.from.v[2], "x:");
	assert_int_equal(p.d.min_serial, 3);
	assert_string_equal(p.d.digest, SHA256_TEXT);
	assert_true(p.d.trust_usr);
	assert_int_equal(p.d.budget_us, 90000000);
	assert_int_equal(p.d.evict.n, 2);
	assert_string_equal(p.d.evict.v[1], "nova_core");
	assert_int_equal(p.d.trial, TRIAL_REQUIRED);
	assert_int_equal(p.d.required, 1);
	assert_int_equal(p.d.on_failure, FAIL_POWEROFF);
	assert_int_equal(p.d.build.n, 4);
	assert_string_equal(p.d.build.v[3], "4");
	assert_int_equal(p.d.build_us, 45ull * 60 * 1000000);
}

static void test_a_list_goes_on_with_the_key_repeated_or_on_an_indented_line(void **state)
{
	_cleanup_parsed_ struct parsed p = parse("[Driver]\nVersion=1\nMatch=pci:a* pci:b*\n\tpci:c*\nMatch=pci:d*\n"
						 "Options=gpu a=1\n  gpu b=2\n");

	(void)state;
	assert_int_equal(p.code, 0);
	assert_int_equal(p.d.match.n, 4);
	assert_string_equal(p.d.match.v[2], "pci:c*");
	assert_string_equal(p.d.match.v[3], "pci:d*");
	assert_int_equal(p.d.options.n, 2);
	assert_string_equal(p.d.options.v[1], "gpu b=2");
}

static void test_blanks_comments_and_line_ends_of_other_systems_do_not_matter(void **state)
{
	_cleanup_parsed_ struct parsed p = parse("\xef\xbb\xbf; comment\r\n\r\n[Driver]\r\n Version = 1.0 \r\n"
						 "Match = pci:v* ; behind a value\r\n# another\r\n");

	(void)state;
	assert_int_equal(p.code, 0);
	assert_int_equal(p.warnings.n, 0);
	assert_string_equal(p.d.version, "1.0");
	assert_int_equal(p.d.match.n, 1);
	assert_string_equal(p.d.match.v[0], "pci:v*");
}

static void test_unknown_keys_and_sections_are_warnings_with_file_and_line(void **state)
{
	_cleanup_parsed_ struct parsed p = parse(MINIMAL "Loud=yes\n[Surce]\nFrom=cache:\n[driver]\nVersion=2\n");

	(void)state;
	assert_int_equal(p.code, 0);
	assert_int_equal(p.warnings.n, 3);
	assert_string_equal(p.warnings.v[0], "gpu.conf:4: unknown key 'Loud'");
	assert_string_equal(p.warnings.v[1], "gpu.conf:6: unknown section 'Surce'");
	assert_string_equal(p.warnings.v[2], "gpu.conf:8: unknown section 'driver'");
	assert_string_equal(p.d.version, "1.0");
	assert_int_equal(p.d.from.n, 0);
}

static void test_warnings_of_one_file_end_at_their_limit(void **state)
{
	static const size_t counts[] = { LIMIT_WARNINGS - 1, LIMIT_WARNINGS, LIMIT_WARNINGS + 1, LIMIT_CONFIG_BYTES / 4 - 20 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		_cleanup_blob_ struct blob b = { 0 };
		_cleanup_free_ char *lines = malloc(3 * counts[i] + 1);
		uint64_t began_us;

		assert_non_null(lines);
		for (size_t n = 0; n <= counts[i]; n++)
			memcpy(lines + 3 * n, "a=\n", n < counts[i] ? 3 : 1);
		lines[3 * counts[i]] = '\0';
		blob_add_text(&b, MINIMAL);
		blob_add_text(&b, lines);
		blob_add(&b, "", 1);
		began_us = now_us();
		{
			_cleanup_parsed_ struct parsed p = parse((const char *)b.v);

			assert_int_equal(p.code, 0);
			assert_int_equal(p.warnings.n, MIN(counts[i], LIMIT_WARNINGS));
			assert_string_equal(p.warnings.v[0], "gpu.conf:4: unknown key 'a'");
			assert_int_equal(str_suffix(p.warnings.v[p.warnings.n - 1], "'a'; no more of these are shown"),
					 counts[i] >= LIMIT_WARNINGS);
		}
		assert_true(now_us() - began_us < 1000000);
	}
}

static void test_a_section_that_is_not_closed_is_one_failure(void **state)
{
	_cleanup_parsed_ struct parsed p = parse("[Driver\nVersion=1.0\nMatch=pci:*\n");

	(void)state;
	assert_int_equal(p.code, -E_BAD_CONFIG);
	assert_string_equal(p.err.text, "gpu.conf:1: neither [Section], Key=Value nor a comment");
	assert_int_equal(p.warnings.n, 0);
}

static void test_an_odd_name_is_escaped_in_its_warning(void **state)
{
	_cleanup_parsed_ struct parsed p = parse(MINIMAL "L\x1b[2J=yes\n");

	(void)state;
	assert_int_equal(p.warnings.n, 1);
	assert_string_equal(p.warnings.v[0], "gpu.conf:4: unknown key 'L\\x1b[2J'");
}

/* --- what cannot be used --- */

static void test_values_that_cannot_be_used_are_named_with_file_line_and_key(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "[Driver]\nMatch=pci:v*\n", "gpu.conf: [Driver] Version= is missing" },
		{ "[Driver]\nVersion=1\n", "gpu.conf: [Driver] Match= is missing" },
		{ "[Driver]\nVersion=1\nMatch=\n", "Match= is missing" },
		{ "", "Version= is missing" },
		{ "[Driver]\nVersion=1\nMatch=v000010DEd*\n", "Match=v000010DEd* has no bus" },
		{ "[Driver]\nVersion=1\nMatch=!pci:v000010DEd*\n", "Match= is missing: all its globs begin with !" },
		{ "[Driver]\nVersion=\nMatch=pci:v*\n", "gpu.conf:2: Version=: not a usable value" },
		{ MINIMAL "[Trust]\nMinSerial=-1\n", "gpu.conf:5: MinSerial=: not a usable value" },
		{ MINIMAL "[Trust]\nMinSerial=\n", "gpu.conf:5: MinSerial=: not a usable value" },
		{ MINIMAL "[Trust]\nMinSerial=18446744073709551616\n", "gpu.conf:5: MinSerial=: not a usable value" },
		{ MINIMAL "[Trust]\nDigest=abc\n", "gpu.conf:5: Digest=: not a usable value" },
		{ MINIMAL "[Trust]\nDigest=sha512:" SHA256_TEXT "\n", "gpu.conf:5: Digest=" },
		{ MINIMAL "[Trust]\nDigest=" SHA256_TEXT "0\n", "gpu.conf:5: Digest=" },
		{ MINIMAL "[Trust]\nTrustOnly=no\n", "gpu.conf:5: TrustOnly=" },
		{ MINIMAL "[Trust]\nTrustOnly=\n", "gpu.conf:5: TrustOnly=" },
		{ MINIMAL "[Trust]\nTrustOnly=-\n", "gpu.conf:5: TrustOnly=" },
		{ MINIMAL "[Policy]\nTrial=maybe\n", "gpu.conf:5: Trial=: not a usable value" },
		{ MINIMAL "[Policy]\nTrial=auto required\n", "gpu.conf:5: Trial=: not a usable value" },
		{ MINIMAL "[Policy]\nRequired=true\n", "gpu.conf:5: Required=: not a usable value" },
		{ MINIMAL "[Policy]\nOnFailure=\n", "gpu.conf:5: OnFailure=: not a usable value" },
		{ MINIMAL "[Policy]\nOnFailure=reboo\n", "gpu.conf:5: OnFailure=: not a usable value" },
		{ MINIMAL "[Policy]\nBudget=soon\n", "gpu.conf:5: Budget=: not a usable value" },
		{ MINIMAL "[Policy]\nBudget=0\n", "gpu.conf:5: Budget=: not a usable value" },
		{ MINIMAL "[Policy]\nBudget=25h\n", "gpu.conf:5: Budget=: not a usable value" },
		{ MINIMAL "[Build]\nCommand=make -j4\n", "gpu.conf: [Build] Command=make is not an absolute path" },
		{ MINIMAL "[Build]\nTimeout=0\n", "gpu.conf:5: Timeout=: not a usable value" },
		{ MINIMAL "[Source]\nCache=var/lib\n", "gpu.conf:5: Cache=: not a usable value" },
		{ MINIMAL "[Source]\nCache=UUID=\n", "gpu.conf:5: Cache=: not a usable value" },
		{ MINIMAL "[Source]\nCache=PARTTYPE=x\n", "gpu.conf:5: Cache=: not a usable value" },
		{ MINIMAL "Hello\n", "gpu.conf:4: neither [Section], Key=Value nor a comment" },
		{ MINIMAL "[Trust\nMinSerial=1\n", "gpu.conf:4: neither [Section], Key=Value nor a comment" },
		{ "\x7f" "ELF\x02\x01\x01 this is a program\n" MINIMAL, "gpu.conf:1: neither" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_parsed_ struct parsed p = parse(cases[i].text);

		assert_case(cases[i].text, p.code == -E_BAD_CONFIG);
		assert_case(cases[i].text, p.err.code == -E_BAD_CONFIG);
		assert_contains(p.err.text, cases[i].says);
	}
}

static void test_a_nul_byte_is_not_text(void **state)
{
	static const char text[] = MINIMAL "[Policy]\nBudget=9\0" "0s\n";
	_cleanup_parsed_ struct parsed p = parse_bytes(text, sizeof(text) - 1);

	(void)state;
	assert_int_equal(p.code, -E_BAD_CONFIG);
	assert_contains(p.err.text, "gpu.conf:5: a NUL byte");
}

/* A line with a value of so many bytes that the whole, newline included, is `n` bytes long. */
static void add_line(struct blob *b, size_t n, const char *newline)
{
	const char *key = "Options=gpu x=";

	blob_add_text(b, MINIMAL);
	blob_add_text(b, key);
	blob_fill(b, 'y', n - strlen(key) - strlen(newline));
	blob_add_text(b, newline);
}

static void test_a_line_of_199_bytes_is_read_whole(void **state)
{
	static const char *const newlines[] = { "\n", "" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(newlines); i++) {
		_cleanup_blob_ struct blob b = { 0 };
		struct parsed p;

		add_line(&b, 199, newlines[i]);
		p = parse_bytes((char *)b.v, b.n);
		assert_int_equal(p.code, 0);
		assert_int_equal(p.d.options.n, 1);
		assert_int_equal(strlen(p.d.options.v[0]), 199 - strlen("Options=") - strlen(newlines[i]));
		parsed_done(&p);
	}
}

static void test_a_line_of_200_bytes_is_refused_never_split(void **state)
{
	static const char *const newlines[] = { "\n", "" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(newlines); i++) {
		_cleanup_blob_ struct blob b = { 0 };
		struct parsed p;

		add_line(&b, 200, newlines[i]);
		p = parse_bytes((char *)b.v, b.n);
		assert_int_equal(p.code, -E_BAD_CONFIG);
		assert_contains(p.err.text, "gpu.conf:4: line of 200 bytes; 199 is the limit");
		parsed_done(&p);
	}
}

static void test_lists_have_their_limits(void **state)
{
	static const struct {
		const char *key, *entry;
		unsigned int limit;
	} cases[] = {
		{ "[Driver]\nMatch", "pci:v*", LIMIT_DRIVER_GLOBS },
		{ "[Driver]\nLoad", "drm", LIMIT_LOAD_NAMES },
		{ "[Driver]\nOptions", "drm x=1", LIMIT_OPTIONS },
		{ "[Driver]\nEvict", "nouveau", LIMIT_LOAD_NAMES },
		{ "[Source]\nFrom", "usr:", LIMIT_SOURCES },
		{ "[Build]\nCommand", "/bin/x", LIMIT_BUILD_WORDS },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (unsigned int more = 0; more < 2; more++) {
			_cleanup_blob_ struct blob b = { 0 };
			struct parsed p;

			blob_add_text(&b, "[Driver]\nVersion=1\n");
			if (!strstr(cases[i].key, "Match"))
				blob_add_text(&b, "Match=pci:v*\n");
			for (unsigned int n = 0; n < cases[i].limit + more; n++) {
				_cleanup_free_ char *line = str_printf("%s=%s\n", cases[i].key, cases[i].entry);

				blob_add_text(&b, line);
			}
			p = parse_bytes((char *)b.v, b.n);
			assert_case(cases[i].key, p.code == (more ? -E_BAD_CONFIG : 0));
			if (more)
				assert_contains(p.err.text, "too long or too many");
			parsed_done(&p);
		}
	}
}

static void test_a_version_has_64_bytes_at_most(void **state)
{
	(void)state;
	for (size_t n = LIMIT_NAME_BYTES; n <= LIMIT_NAME_BYTES + 1; n++) {
		_cleanup_blob_ struct blob b = { 0 };
		struct parsed p;

		blob_add_text(&b, "[Driver]\nMatch=pci:v*\nVersion=");
		blob_fill(&b, '1', n);
		p = parse_bytes((char *)b.v, b.n);
		assert_int_equal(p.code, n <= LIMIT_NAME_BYTES ? 0 : -E_BAD_CONFIG);
		parsed_done(&p);
	}
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int code;
		uint64_t us;
	} cases[] = {
		{ "90", 0, 90000000 },
		{ "90s", 0, 90000000 },
		{ "2min", 0, 120000000 },
		{ "500ms", 0, 500000 },
		{ "0", 0, 0 },
		{ "86400s", 0, 86400000000 },
		{ "1440min", 0, 86400000000 },
		{ "86400000ms", 0, 86400000000 },
		{ "86401s", -ERANGE, 1 },
		{ "1441min", -ERANGE, 1 },
		{ "18446744073709551615ms", -ERANGE, 1 },
		{ "99999999999999999999", -ERANGE, 1 },
		{ "999999999999999999999999s", -EINVAL, 1 },
		{ "", -EINVAL, 1 },
		{ "s", -EINVAL, 1 },
		{ "-1s", -EINVAL, 1 },
		{ "1.5s", -EINVAL, 1 },
		{ "1 s", -EINVAL, 1 },
		{ "1h", 0, 3600000000ull },
		{ "1d", 0, 86400000000ull },
		{ "25h", -ERANGE, 1 },
		{ "1w", -EINVAL, 1 },
		{ "1sec", -EINVAL, 1 },
		{ "1min30s", -EINVAL, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t us = 1;

		assert_case(cases[i].text, config_parse_duration(cases[i].text, &us) == cases[i].code);
		assert_case(cases[i].text, us == cases[i].us);
	}
}

static void test_module_names_differ_not_by_dash_and_underscore(void **state)
{
	(void)state;
	assert_true(module_name_equal("nvidia-drm", "nvidia_drm"));
	assert_true(module_name_equal("a-b_c", "a_b-c"));
	assert_true(module_name_equal("", ""));
	assert_false(module_name_equal("nvidia", "nvidia-drm"));
	assert_false(module_name_equal("nvidia-drm", "nvidia"));
	assert_false(module_name_equal("nvidia", "Nvidia"));
}

/* --- the directories and the kernel command line --- */

static void read_code(const struct place *p, const char *cmdline, int code, struct config *ret, struct err *err)
{
	_cleanup_cmdline_ struct cmdline c = { 0 };

	assert_int_equal(cmdline_parse(cmdline, &c), 0);
	assert_int_equal(config_read(&p->host, &c, ret, err), code);
}

static struct config read_all(const struct place *p, const char *cmdline)
{
	struct config c = { 0 };
	struct err err;

	read_code(p, cmdline, 0, &c, &err);
	return c;
}

static const struct driver *driver(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_drivers; i++)
		if (streq(c->drivers[i].name, name))
			return &c->drivers[i];
	fail_msg("no driver %s", name);
	return NULL;
}

static void test_no_configuration_is_no_failure(void **state)
{
	_cleanup_config_ struct config c = read_all(*state, "");

	assert_int_equal(c.n_drivers, 0);
	assert_int_equal(c.warnings.n, 0);
	assert_false(c.off);
	assert_false(c.debug);
}

static void test_each_driver_file_is_a_driver(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	struct place *p = *state;

	put_text(p, "root/etc/modulus/nvidia.conf", MINIMAL);
	put_text(p, "root/usr/lib/modulus/virtio-gpu.conf", MINIMAL);
	put_text(p, "root/etc/modulus/nvidia.conf.bak", "no\n");
	put_text(p, "root/etc/modulus/.hidden.conf", "no\n");
	put_text(p, "root/etc/modulus/keys/x.pub", "no\n");
	c = read_all(p, "");
	assert_int_equal(c.n_drivers, 2);
	assert_string_equal(driver(&c, "nvidia")->path, "/etc/modulus/nvidia.conf");
	assert_string_equal(driver(&c, "virtio-gpu")->path, "/usr/lib/modulus/virtio-gpu.conf");
	assert_int_equal(driver(&c, "nvidia")->error.code, 0);
}

static void test_what_the_file_does_not_say_has_its_default(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	const struct driver *d;

	put_text(*state, "root/etc/modulus/gpu.conf", MINIMAL);
	c = read_all(*state, "");
	d = driver(&c, "gpu");
	assert_int_equal(d->budget_us, DEFAULT_BUDGET_US);
	assert_int_equal(d->min_serial, 0);
	assert_null(d->digest);
	assert_false(d->trust_usr);
	assert_int_equal(d->load.n, 0);
	assert_int_equal(d->from.n, 2);
	assert_string_equal(d->from.v[0], "cache:");
	assert_string_equal(d->from.v[1], "usr:");
}

static void test_a_file_in_etc_replaces_the_one_of_the_same_name_in_usr(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	struct place *p = *state;

	put_text(p, "root/usr/lib/modulus/gpu.conf", MINIMAL "[Trust]\nMinSerial=9\n");
	put_text(p, "root/etc/modulus/gpu.conf", "[Driver]\nVersion=2\nMatch=pci:v*\n");
	c = read_all(p, "");
	assert_int_equal(c.n_drivers, 1);
	assert_string_equal(c.drivers[0].version, "2");
	assert_int_equal(c.drivers[0].min_serial, 0); /* replaces, does not add to */
}

static void test_an_empty_file_masks(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	struct place *p = *state;

	put_text(p, "root/usr/lib/modulus/gpu.conf", MINIMAL);
	put_text(p, "root/usr/lib/modulus/other.conf", MINIMAL);
	put_text(p, "root/etc/modulus/gpu.conf", "");
	c = read_all(p, "");
	assert_int_equal(c.n_drivers, 1);
	assert_string_equal(c.drivers[0].name, "other");
	assert_int_equal(c.drivers[0].error.code, 0);
}

static void test_a_link_to_dev_null_masks_and_other_links_do_not(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	struct place *p = *state;

	put_text(p, "root/usr/lib/modulus/gpu.conf", MINIMAL);
	put_text(p, "root/usr/lib/modulus/other.conf", MINIMAL);
	put_text(p, "root/usr/lib/modulus/third.conf", MINIMAL);
	put_link(p, "root/etc/modulus/gpu.conf", "/dev/null");
	put_link(p, "root/etc/modulus/other.conf", "/dev/nul");
	put_link(p, "root/etc/modulus/third.conf", "/dev/null2");
	c = read_all(p, "");
	assert_int_equal(c.n_drivers, 2);
	assert_contains(driver(&c, "other")->error.text, "a dangling link");
	assert_contains(driver(&c, "third")->error.text, "a dangling link");
}

static void test_modulus_conf_holds_defaults_for_all_drivers(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	struct place *p = *state;
	const struct driver *d;

	put_text(p, "root/etc/modulus/modulus.conf", "[Driver]\nOptions=drm debug=1\n[Source]\nFrom=cache:\n"
						     "[Trust]\nMinSerial=5\n[Policy]\nBudget=2min\n");
	put_text(p, "root/etc/modulus/one.conf", MINIMAL);
	put_text(p, "root/etc/modulus/two.conf", MINIMAL "Options=drm debug=0\n[Source]\nFrom=usr:\nFrom=cache:\n"
							 "[Trust]\nMinSerial=1\n[Policy]\nBudget=3s\n");
	c = read_all(p, "");
	assert_int_equal(c.n_drivers, 2);
	d = driver(&c, "one");
	assert_int_equal(d->options.n, 1);
	assert_int_equal(d->from.n, 1);
	assert_int_equal(d->min_serial, 5);
	assert_int_equal(d->budget_us, 120000000);
	d = driver(&c, "two"); /* a list in the driver's file replaces the default, it does not go on with it */
	assert_int_equal(d->options.n, 1);
	assert_string_equal(d->options.v[0], "drm debug=0");
	assert_int_equal(d->from.n, 2);
	assert_string_equal(d->from.v[0], "usr:");
	assert_int_equal(d->min_serial, 1);
	assert_int_equal(d->budget_us, 3000000);
}

static void test_each_key_but_cache_has_a_default_in_modulus_conf(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	struct place *p = *state;
	const struct driver *d;

	put_text(p, "root/etc/modulus/modulus.conf",
		 "[Driver]\nVersion=7\nFlavor=open\nMatch=pci:a*\nLoad=x\nOptions=x y=1\nEvict=z\n"
		 "[Source]\nFrom=usr:\nRuntime=cache:\n[Network]\nCA=/ca\nProxy=http://p\nCredentials=/c\n"
		 "[Trust]\nMinSerial=5\nDigest=" SHA256_TEXT "\nTrustOnly=usr\n"
		 "[Policy]\nBudget=2s\nTrial=required\nSysext=yes\nGate=3s\nRequired=yes\nOnFailure=reboot\n"
		 "[Build]\nCommand=/b\nTimeout=4s\n");
	put_text(p, "root/etc/modulus/one.conf", "# all of it\n");
	c = read_all(p, "");
	d = driver(&c, "one");
	assert_int_equal(d->error.code, 0);
	assert_string_equal(d->version, "7");
	assert_string_equal(d->flavors.v[0], "open");
	assert_string_equal(d->match.v[0], "pci:a*");
	assert_string_equal(d->load.v[0], "x");
	assert_string_equal(d->options.v[0], "x y=1");
	assert_string_equal(d->evict.v[0], "z");
	assert_string_equal(d->from.v[0], "usr:");
	assert_string_equal(d->runtime.v[0], "cache:");
	assert_string_equal(d->ca, "/ca");
	assert_string_equal(d->proxy, "http://p");
	assert_string_equal(d->credentials, "/c");
	assert_int_equal(d->min_serial, 5);
	assert_string_equal(d->digest, SHA256_TEXT);
	assert_int_equal(d->trust_usr, 1);
	assert_int_equal(d->budget_us, 2000000);
	assert_int_equal(d->trial, TRIAL_REQUIRED);
	assert_int_equal(d->sysext, 1);
	assert_int_equal(d->gate_us, 3000000);
	assert_int_equal(d->required, 1);
	assert_int_equal(d->on_failure, FAIL_REBOOT);
	assert_string_equal(d->build.v[0], "/b");
	assert_int_equal(d->build_us, 4000000);
}

static void test_modulus_conf_in_etc_replaces_the_one_in_usr(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	struct place *p = *state;

	put_text(p, "root/usr/lib/modulus/modulus.conf", "[Trust]\nMinSerial=5\n[Policy]\nBudget=1s\n");
	put_text(p, "root/etc/modulus/gpu.conf", MINIMAL);
	c = read_all(p, "");
	assert_int_equal(driver(&c, "gpu")->min_serial, 5);
	config_free(&c);
	put_text(p, "root/etc/modulus/modulus.conf", "[Trust]\nMinSerial=6\n");
	c = read_all(p, "");
	assert_int_equal(driver(&c, "gpu")->min_serial, 6);
	assert_int_equal(driver(&c, "gpu")->budget_us, DEFAULT_BUDGET_US);
}

static void test_where_the_cache_is_is_said_in_modulus_conf(void **state)
{
	static const char *const places[] = { "/srv/gpu", "/dev/vdb1", "LABEL=x", "UUID=x", "PARTLABEL=x", "PARTUUID=x" };
	struct place *p = *state;

	put_text(p, "root/etc/modulus/one.conf", MINIMAL);
	put_text(p, "root/etc/modulus/two.conf", MINIMAL "[Source]\nCache=/elsewhere\n");
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		_cleanup_free_ char *text = str_printf("[Source]\nCache=%s\n[Build]\nCommand=/bin/x\n", places[i]);
		_cleanup_config_ struct config c = { 0 };

		put_text(p, "root/etc/modulus/modulus.conf", text);
		c = read_all(p, "");
		assert_string_equal(c.cache, places[i]);
		assert_int_equal(c.warnings.n, 1);
		assert_contains(c.warnings.v[0], "two.conf: Cache= counts in modulus.conf only");
		assert_int_equal(driver(&c, "two")->error.code, 0);
		assert_string_equal(driver(&c, "one")->build.v[0], "/bin/x");
		assert_int_equal(driver(&c, "one")->build_us, DEFAULT_BUILD_US);
	}
}

static void test_etc_cannot_lift_the_vendors_trust_only(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	struct place *p = *state;

	put_text(p, "root/usr/lib/modulus/modulus.conf", "[Trust]\nTrustOnly=usr\nMinSerial=5\n");
	put_text(p, "root/etc/modulus/modulus.conf", "[Policy]\nBudget=1s\n");
	put_text(p, "root/etc/modulus/gpu.conf", MINIMAL);
	c = read_all(p, "");
	assert_true(driver(&c, "gpu")->trust_usr);
	assert_int_equal(driver(&c, "gpu")->min_serial, 0); /* the rest of the vendor's file is replaced */
	assert_int_equal(driver(&c, "gpu")->budget_us, 1000000);
	config_free(&c);
	put_text(p, "root/usr/lib/modulus/modulus.conf", "[Trust]\nTrustOnly=maybe\n");
	c = read_all(p, "");
	assert_int_equal(driver(&c, "gpu")->error.code, -E_BAD_CONFIG); /* what the vendor meant is not known */
}

static void test_etc_cannot_lift_the_trust_only_of_a_vendors_driver_either(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	struct place *p = *state;

	put_text(p, "root/usr/lib/modulus/gpu.conf", MINIMAL "[Trust]\nTrustOnly=usr\nMinSerial=5\n");
	put_text(p, "root/usr/lib/modulus/other.conf", MINIMAL "[Trust]\nMinSerial=5\n");
	put_text(p, "root/usr/lib/modulus/broken.conf", "nonsense\n");
	put_text(p, "root/etc/modulus/gpu.conf", MINIMAL);
	put_text(p, "root/etc/modulus/other.conf", MINIMAL);
	put_text(p, "root/etc/modulus/broken.conf", MINIMAL);
	c = read_all(p, "");
	assert_int_equal(c.n_drivers, 3);
	assert_true(driver(&c, "gpu")->trust_usr);
	assert_int_equal(driver(&c, "gpu")->min_serial, 0);
	assert_false(driver(&c, "other")->trust_usr);
	assert_int_equal(driver(&c, "broken")->error.code, 0); /* which is how an operator mends a vendor's file */
	assert_int_equal(c.warnings.n, 0);
}

static void test_a_bad_modulus_conf_makes_every_driver_bad(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	struct place *p = *state;

	put_text(p, "root/etc/modulus/modulus.conf", "[Trust]\nMinSerial=many\n");
	put_text(p, "root/etc/modulus/one.conf", MINIMAL);
	put_text(p, "root/etc/modulus/two.conf", "nonsense\n");
	c = read_all(p, "");
	assert_int_equal(driver(&c, "one")->error.code, -E_BAD_CONFIG);
	assert_contains(driver(&c, "one")->error.text, "/etc/modulus/modulus.conf:2: MinSerial=");
	assert_contains(driver(&c, "two")->error.text, "/etc/modulus/two.conf:1:"); /* its own fault is nearer */
}

static void test_a_bad_driver_file_spoils_that_driver_alone(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	_cleanup_blob_ struct blob big = { 0 };
	struct place *p = *state;
	static const struct {
		const char *name, *says;
	} bad[] = {
		{ "dangling", "/etc/modulus/dangling.conf: a dangling link" },
		{ "dir", "/etc/modulus/dir.conf: not a regular file" },
		{ "fifo", "/etc/modulus/fifo.conf: not a regular file" },
		{ "loop", "/etc/modulus/loop.conf: Too many levels of symbolic links" },
		{ "big", "/etc/modulus/big.conf: larger than 65536 bytes" },
		{ "text", "/etc/modulus/text.conf:1: neither" },
	};

	put_text(p, "root/etc/modulus/good.conf", MINIMAL);
	put_link(p, "root/etc/modulus/dangling.conf", "nowhere");
	put_dir(p, "root/etc/modulus/dir.conf");
	put_fifo(p, "root/etc/modulus/fifo.conf");
	put_link(p, "root/etc/modulus/loop.conf", "loop.conf");
	put_text(p, "root/etc/modulus/text.conf", "hello\n");
	blob_fill(&big, ';', LIMIT_CONFIG_BYTES + 1);
	put_blob(p, "root/etc/modulus/big.conf", big.v, big.n);
	must_not_block();
	c = read_all(p, "");
	assert_did_not_block();
	assert_int_equal(c.n_drivers, 1 + ARRAY_SIZE(bad));
	assert_int_equal(driver(&c, "good")->error.code, 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_case(bad[i].name, driver(&c, bad[i].name)->error.code == -E_BAD_CONFIG);
		assert_contains(driver(&c, bad[i].name)->error.text, bad[i].says);
	}
}

static void test_a_file_of_64_kib_is_read(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	_cleanup_blob_ struct blob big = { 0 };
	struct place *p = *state;

	blob_add_text(&big, MINIMAL);
	while (big.n < LIMIT_CONFIG_BYTES)
		blob_add_text(&big, big.n % 2 ? "\n" : ";");
	put_blob(p, "root/etc/modulus/gpu.conf", big.v, big.n);
	c = read_all(p, "");
	assert_int_equal(driver(&c, "gpu")->error.code, 0);
}

static void test_links_resolve_inside_the_target_root(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	struct place *p = *state;

	put_text(p, "root/usr/share/gpu.conf", MINIMAL);
	put_link(p, "root/etc/modulus/gpu.conf", "/usr/share/gpu.conf");
	put_link(p, "root/etc/modulus/up.conf", "../../../../../usr/share/gpu.conf");
	c = read_all(p, "");
	assert_int_equal(driver(&c, "gpu")->error.code, 0);
	assert_int_equal(driver(&c, "up")->error.code, 0);
}

static void test_a_drivers_name_has_few_characters(void **state)
{
	static const struct {
		const char *name;
		int code;
	} cases[] = {
		{ "a", 0 },
		{ "a_b-9", 0 },
		{ "0", 0 },
		{ "-a", -E_BAD_CONFIG },
		{ "_a", -E_BAD_CONFIG },
		{ "NVIDIA", -E_BAD_CONFIG },
		{ "a b", -E_BAD_CONFIG },
		{ "a.b", -E_BAD_CONFIG },
		{ "gpu@1", -E_BAD_CONFIG },
		{ "gp\xc3\xbc", -E_BAD_CONFIG },
		{ "0123456789012345678901234567890123456789012345678901234567890123", 0 },
		{ "01234567890123456789012345678901234567890123456789012345678901234", -E_BAD_CONFIG },
	};
	_cleanup_config_ struct config c = { 0 };
	struct place *p = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *path = str_printf("root/etc/modulus/%s.conf", cases[i].name);

		put_text(p, path, MINIMAL);
	}
	c = read_all(p, "");
	assert_int_equal(c.n_drivers, ARRAY_SIZE(cases));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_case(cases[i].name, driver(&c, cases[i].name)->error.code == cases[i].code);
}

static void put_drivers(const struct place *p, const char *dir, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		_cleanup_free_ char *path = str_printf("root%s/gpu%02u.conf", dir, i);

		put_text(p, path, MINIMAL);
	}
}

static void test_32_drivers_are_taken_and_the_33rd_is_ignored_with_a_warning(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	struct place *p = *state;

	put_drivers(p, "/etc/modulus", LIMIT_DRIVERS);
	c = read_all(p, "");
	assert_int_equal(c.n_drivers, LIMIT_DRIVERS);
	put_drivers(p, "/etc/modulus", LIMIT_DRIVERS + 1);
	config_free(&c);
	c = read_all(p, "");
	assert_int_equal(c.n_drivers, LIMIT_DRIVERS);
	assert_int_equal(c.warnings.n, 1);
	assert_string_equal(c.warnings.v[0], "/etc/modulus/gpu32.conf: ignored, there are 32 drivers already");
}

static void test_a_replaced_file_is_not_counted_again(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	struct place *p = *state;

	put_drivers(p, "/etc/modulus", LIMIT_DRIVERS);
	put_drivers(p, "/usr/lib/modulus", LIMIT_DRIVERS);
	c = read_all(p, "");
	assert_int_equal(c.n_drivers, LIMIT_DRIVERS);
}

static void test_a_directory_that_cannot_be_read_is_a_failure(void **state)
{
	struct config c = { 0 };
	struct err err;

	put_text(*state, "root/etc/modulus", "a file");
	read_code(*state, "", -ENOTDIR, &c, &err);
	assert_contains(err.text, "/etc/modulus");
}

static void test_the_command_line_switches_off_and_to_debug(void **state)
{
	static const struct {
		const char *cmdline;
		bool off, debug;
	} cases[] = {
		{ "modulus=off", true, false },
		{ "modulus=off modulus=on", false, false },
		{ "modulus", false, false },
		{ "modulus=offline", false, false },
		{ "modulus.debug", false, true },
		{ "modulus.debug=1 modulus=off", true, true },
		{ "quiet -- modulus=off", false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_config_ struct config c = read_all(*state, cases[i].cmdline);

		assert_case(cases[i].cmdline, c.off == cases[i].off);
		assert_case(cases[i].cmdline, c.debug == cases[i].debug);
	}
}

static void test_sources_on_the_command_line_go_first(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	struct place *p = *state;
	const struct driver *d;

	put_text(p, "root/etc/modulus/one.conf", MINIMAL);
	put_text(p, "root/etc/modulus/two.conf", MINIMAL "[Source]\nFrom=cache:\n");
	c = read_all(p, "modulus.from=usr: x modulus.from=https://example.com/{name}");
	d = driver(&c, "one");
	assert_int_equal(d->from.n, 4);
	assert_string_equal(d->from.v[0], "usr:");
	assert_string_equal(d->from.v[1], "https://example.com/{name}");
	assert_string_equal(d->from.v[2], "cache:");
	assert_string_equal(d->from.v[3], "usr:");
	assert_int_equal(driver(&c, "two")->from.n, 3);
}

static void test_the_budget_on_the_command_line_wins(void **state)
{
	_cleanup_config_ struct config c = { 0 };
	struct place *p = *state;

	put_text(p, "root/etc/modulus/gpu.conf", MINIMAL "[Policy]\nBudget=3s\n");
	put_text(p, "root/etc/modulus/other.conf", MINIMAL);
	c = read_all(p, "modulus.budget=7s");
	assert_int_equal(driver(&c, "gpu")->budget_us, 7000000);
	assert_int_equal(driver(&c, "other")->budget_us, 7000000);
}

static void test_a_budget_that_is_no_duration_is_one_warning_and_changes_nothing(void **state)
{
	static const char *const bad[] = { "modulus.budget=soon", "modulus.budget=", "modulus.budget=2d",
					   "modulus.budget=0" };
	struct place *p = *state;

	put_text(p, "root/etc/modulus/gpu.conf", MINIMAL "[Policy]\nBudget=3s\n");
	put_text(p, "root/etc/modulus/other.conf", MINIMAL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_config_ struct config c = read_all(p, bad[i]);

		assert_case(bad[i], driver(&c, "gpu")->budget_us == 3000000);
		assert_case(bad[i], driver(&c, "other")->budget_us == DEFAULT_BUDGET_US);
		assert_case(bad[i], c.warnings.n == 1);
		assert_contains(c.warnings.v[0], "modulus.budget=");
	}
}

static void test_module_blacklists_of_the_command_line_are_collected(void **state)
{
	_cleanup_config_ struct config c =
		read_all(*state, "rd.driver.blacklist=nouveau,nova_core modprobe.blacklist=a module_blacklist=b,c "
				 "rd.driver.blacklist=d blacklist=e");

	assert_int_equal(c.blacklist.n, 6);
	assert_true(strv_has(&c.blacklist, "nouveau"));
	assert_true(strv_has(&c.blacklist, "nova_core"));
	assert_true(strv_has(&c.blacklist, "a"));
	assert_true(strv_has(&c.blacklist, "c"));
	assert_true(strv_has(&c.blacklist, "d"));
	assert_false(strv_has(&c.blacklist, "e"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_key_is_understood),
		cmocka_unit_test(test_a_list_goes_on_with_the_key_repeated_or_on_an_indented_line),
		cmocka_unit_test(test_blanks_comments_and_line_ends_of_other_systems_do_not_matter),
		cmocka_unit_test(test_unknown_keys_and_sections_are_warnings_with_file_and_line),
		cmocka_unit_test(test_warnings_of_one_file_end_at_their_limit),
		cmocka_unit_test(test_a_section_that_is_not_closed_is_one_failure),
		cmocka_unit_test(test_an_odd_name_is_escaped_in_its_warning),
		cmocka_unit_test(test_values_that_cannot_be_used_are_named_with_file_line_and_key),
		cmocka_unit_test(test_a_nul_byte_is_not_text),
		cmocka_unit_test(test_a_line_of_199_bytes_is_read_whole),
		cmocka_unit_test(test_a_line_of_200_bytes_is_refused_never_split),
		cmocka_unit_test(test_lists_have_their_limits),
		cmocka_unit_test(test_a_version_has_64_bytes_at_most),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_module_names_differ_not_by_dash_and_underscore),
		at_place(test_no_configuration_is_no_failure),
		at_place(test_each_driver_file_is_a_driver),
		at_place(test_what_the_file_does_not_say_has_its_default),
		at_place(test_a_file_in_etc_replaces_the_one_of_the_same_name_in_usr),
		at_place(test_an_empty_file_masks),
		at_place(test_a_link_to_dev_null_masks_and_other_links_do_not),
		at_place(test_etc_cannot_lift_the_trust_only_of_a_vendors_driver_either),
		at_place(test_modulus_conf_holds_defaults_for_all_drivers),
		at_place(test_each_key_but_cache_has_a_default_in_modulus_conf),
		at_place(test_modulus_conf_in_etc_replaces_the_one_in_usr),
		at_place(test_where_the_cache_is_is_said_in_modulus_conf),
		at_place(test_etc_cannot_lift_the_vendors_trust_only),
		at_place(test_a_bad_modulus_conf_makes_every_driver_bad),
		at_place(test_a_bad_driver_file_spoils_that_driver_alone),
		at_place(test_a_file_of_64_kib_is_read),
		at_place(test_links_resolve_inside_the_target_root),
		at_place(test_a_drivers_name_has_few_characters),
		at_place(test_32_drivers_are_taken_and_the_33rd_is_ignored_with_a_warning),
		at_place(test_a_replaced_file_is_not_counted_again),
		at_place(test_a_directory_that_cannot_be_read_is_a_failure),
		at_place(test_the_command_line_switches_off_and_to_debug),
		at_place(test_sources_on_the_command_line_go_first),
		at_place(test_the_budget_on_the_command_line_wins),
		at_place(test_a_budget_that_is_no_duration_is_one_warning_and_changes_nothing),
		at_place(test_module_blacklists_of_the_command_line_are_collected),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
