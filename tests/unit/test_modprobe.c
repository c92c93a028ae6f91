// SPDX-License-Identifier: Apache-2.0
/*
 * What modprobe is told, as text. tests/cli/test_load.py asks the real modprobe what it makes of such a file.
 */
#include <sys/mman.h>

#include "fakekernel.h"
#include "modprobe.h"

static void add_module(struct module_set *set, const struct fake_module *like)
{
	_cleanup_blob_ struct blob b = fake_module_bytes(like);
	struct module_bytes *m;

	set->v = reallocarray(set->v, set->n + 1, sizeof(*set->v));
	assert_non_null(set->v);
	m = &set->v[set->n++];
	*m = (struct module_bytes){ .fd = memfd_create(like->name, MFD_CLOEXEC), .size = b.n };
	snprintf(m->name, sizeof(m->name), "%s", like->name);
	assert_int_equal(write_full(m->fd, b.v, b.n), 0);
}

struct telling {
	struct driver d;
	struct module_set set;
	char *text;
	size_t left_out;
	struct err err;
};

static void telling_done(struct telling *t)
{
	strv_free(&t->d.evict);
	module_set_free(&t->set);
	free(t->text);
}

#define _cleanup_telling_ _cleanup_(telling_done)

static int tell(struct telling *t)
{
	t->d.name = (char *)(uintptr_t)"gpu";
	return modprobe_text(&t->d, &t->set, &t->text, &t->left_out, &t->err);
}

#define RUN(name) "install " name " /run/modulus/bin/modulus load --quiet --module " name " -- $CMDLINE_OPTS\n"

static void test_modules_are_found_by_name_and_by_alias_and_rivals_not(void **state)
{
	_cleanup_telling_ struct telling t = { 0 };

	(void)state;
	add_text(&t.d.evict, "nouveau");
	add_module(&t.set, &(struct fake_module){ .name = "nvidia", .more = "alias=char-major-195-*\n"
									    "alias=pci:v000010DEd*sv*sd*bc03sc02i00*\n" });
	add_module(&t.set, &(struct fake_module){ .name = "nvidia_uvm" });
	assert_int_equal(tell(&t), 0);
	assert_string_equal(t.text, "# modulus: the driver gpu, of this boot\n"
				    "blacklist nouveau\n" RUN("nvidia") RUN("nvidia_uvm")
				    "alias char-major-195-* nvidia\n"
				    "alias pci:v000010DEd*sv*sd*bc03sc02i00* nvidia\n");
	assert_int_equal(t.left_out, 0);
}

static void test_an_alias_that_would_take_everything_or_write_lines_is_left_out(void **state)
{
	_cleanup_telling_ struct telling t = { 0 };
	char longest[LIMIT_ALIAS_BYTES + 2], more[3 * sizeof(longest)];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[LIMIT_ALIAS_BYTES + 1] = '\0';
	snprintf(more, sizeof(more), "alias=*\nalias=[p]ci:*\nalias=pci:a b\nalias=pci:a\\\nalias=pci:\x80\nalias=\nalias=%s\nalias=%s\n",
		 longest, longest + 1);
	add_module(&t.set, &(struct fake_module){ .name = "gpu", .more = more });
	assert_int_equal(tell(&t), 0);
	assert_int_equal(t.left_out, 7);
	assert_contains(t.text, longest + 1); /* the longest that may be */
	assert_null(strstr(t.text, longest));
	assert_null(strstr(t.text, "alias *"));
}

static void test_aliases_are_bounded_and_names_are_not_lost_to_them(void **state)
{
	_cleanup_telling_ struct telling t = { 0 };
	_cleanup_blob_ struct blob more = { 0 };
	size_t lines = 0;

	(void)state;
	for (unsigned int i = 0; i <= LIMIT_MODPROBE_ALIASES; i++) {
		char line[32];

		snprintf(line, sizeof(line), "alias=pci:v%08X*\n", i);
		blob_add_text(&more, line);
	}
	blob_add(&more, "", 1);
	add_module(&t.set, &(struct fake_module){ .name = "first", .more = (const char *)more.v });
	add_module(&t.set, &(struct fake_module){ .name = "second" });
	assert_int_equal(tell(&t), 0);
	assert_int_equal(t.left_out, 1);
	assert_contains(t.text, RUN("second"));
	for (const char *p = t.text; (p = strstr(p, "\nalias ")); p++)
		lines++;
	assert_int_equal(lines, LIMIT_MODPROBE_ALIASES);
}

static void test_it_is_one_file_for_each_driver_and_replaced_whole(void **state)
{
	const struct place *p = *state;
	_cleanup_strv_ struct strv warnings = { 0 };
	_cleanup_telling_ struct telling t = { .d.name = (char *)(uintptr_t)"gpu" };
	_cleanup_free_ char *text = NULL;

	put_text(p, "live/run/modprobe.d/modulus-gpu.conf", "of an earlier run\n");
	add_module(&t.set, &(struct fake_module){ .name = "gpu" });
	assert_int_equal(modprobe_tell(&p->host, &t.d, &t.set, &warnings), 0);
	assert_int_equal(warnings.n, 0);
	text = get_text(p, "live/run/modprobe.d/modulus-gpu.conf");
	assert_string_equal(text, "# modulus: the driver gpu, of this boot\n" RUN("gpu"));
	assert_int_equal(count_entries(p, "live/run/modprobe.d"), 1);
}

static void test_what_cannot_be_written_is_a_warning(void **state)
{
	const struct place *p = *state;
	_cleanup_strv_ struct strv warnings = { 0 };
	_cleanup_telling_ struct telling t = { .d.name = (char *)(uintptr_t)"gpu" };

	put_text(p, "live/run/modprobe.d", "a file\n");
	assert_int_equal(modprobe_tell(&p->host, &t.d, &t.set, &warnings), 0);
	assert_int_equal(warnings.n, 1);
	assert_contains(warnings.v[0], "/run/modprobe.d/modulus-gpu.conf: ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modules_are_found_by_name_and_by_alias_and_rivals_not),
		cmocka_unit_test(test_an_alias_that_would_take_everything_or_write_lines_is_left_out),
		cmocka_unit_test(test_aliases_are_bounded_and_names_are_not_lost_to_them),
		at_place(test_it_is_one_file_for_each_driver_and_replaced_whole),
		at_place(test_what_cannot_be_written_is_a_warning),
	};

	return cmocka_run_group_tests_name("modprobe", tests, NULL, NULL);
}
