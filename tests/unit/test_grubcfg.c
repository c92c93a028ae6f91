// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include "fixture.h"
#include "grubcfg.h"
#include "limit.h"

#define NEW "/boot/vmlinuz-6.1.0-100-amd64"
#define OLD "/boot/vmlinuz-6.1.0-99-amd64"
#define ADVANCED "gnulinux-advanced-5e5b"

/* The kernel's path; NULL: it cannot be told. Caller frees. */
static char *kernel_of(const char *text, const char *next, const char *saved)
{
	char *path = NULL;
	bool once;
	int r = grub_default_kernel(text, strlen(text), next, saved, &path, &once);

	if (r == 0)
		assert_int_equal(once, next && *next);
	else
		assert_int_equal(r, -ENOENT);
	return path;
}

/* What grub-mkconfig of Debian 12 writes, with GRUB_DEFAULT=saved. */
static void test_the_default_is_found_as_grub_finds_it(void **state)
{
	static const struct {
		const char *next, *saved, *kernel;
	} cases[] = {
		{ NULL, NULL, NEW },
		{ "", "", NEW },
		{ NULL, "0", NEW },
		{ NULL, "1>1", OLD },
		{ NULL, "1>0", NEW },
		{ NULL, "gnulinux-simple-5e5b", NEW },
		{ NULL, ADVANCED ">gnulinux-6.1.0-99-amd64-advanced-5e5b", OLD },
		{ NULL, "Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux 6.1.0-99-amd64", OLD },
		{ "1>1", "0", OLD },
		{ "0", "1>1", NEW },
		/* what is not there is the first entry */
		{ NULL, "gnulinux-of-another-time", NEW },
		{ NULL, "7", NEW },
		/* a submenu, one that starts no kernel, and one that is not in the submenu */
		{ NULL, "1", NULL },
		{ NULL, "uefi-firmware", NULL },
		{ NULL, "1>9", NULL },
	};
	_cleanup_free_ char *text = NULL;
	size_t len;

	(void)state;
	assert_int_equal(read_whole_at(AT_FDCWD, "tests/fuzz/corpus/grubcfg/debian", 1u << 16, &text, &len), 0);
	assert_false(grub_reads_entries(text, len));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *path = kernel_of(text, cases[i].next, cases[i].saved);

		assert_case(cases[i].saved ? cases[i].saved : "nothing saved",
			    (path == NULL) == (cases[i].kernel == NULL) && (!path || streq(path, cases[i].kernel)));
	}
}

static void test_a_default_that_is_written_down_does_not_ask_the_environment(void **state)
{
	static const char text[] = "set default=\"1\"\nmenuentry \"a\" {\nlinux /vmlinuz-1\n}\nmenuentry b --id c {\n linuxefi '/vmlinuz 2'\n}\n";
	_cleanup_free_ char *path = kernel_of(text, NULL, "a"), *once = kernel_of(text, "a", NULL);

	(void)state;
	assert_string_equal(path, "/vmlinuz 2");
	assert_string_equal(once, "/vmlinuz-1");
}

static void test_what_is_no_entry_or_computed_is_not_known(void **state)
{
	static const char *const texts[] = { "", "linux /vmlinuz-1\n", "menuentry", "menuentry a {\n", "menuentry a {\nlinux\n}\n",
					     "set default=$x\nmenuentry a {\nlinux /vmlinuz-1\n}\n",
					     "menuentry a {\n}\nlinux /vmlinuz-1\n", "blscfg\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_null(kernel_of(texts[i], NULL, NULL));
	assert_true(grub_reads_entries("insmod blscfg\n  blscfg\n", 23));
	assert_false(grub_reads_entries("insmod blscfg\n# blscfg\n", 23));
}

static void test_more_entries_than_the_limit_are_refused(void **state)
{
	_cleanup_blob_ struct blob b = { 0 };
	char *path = NULL;
	bool once;

	(void)state;
	blob_add_text(&b, "menuentry a {\nlinux /vmlinuz-1\n}\n");
	for (unsigned int i = 1; i < LIMIT_GRUB_ENTRIES; i++)
		blob_add_text(&b, "menuentry a {\n}\n");
	assert_int_equal(grub_default_kernel((const char *)b.v, b.n, NULL, NULL, &path, &once), 0);
	free(path);
	blob_add_text(&b, "menuentry a {\n}\n");
	assert_int_equal(grub_default_kernel((const char *)b.v, b.n, NULL, NULL, &path, &once), -EOVERFLOW);
	b.n = 0;
	for (unsigned int i = 0; i <= LIMIT_GRUB_DEPTH; i++)
		blob_add_text(&b, "submenu a {\n");
	assert_int_equal(grub_default_kernel((const char *)b.v, b.n, NULL, NULL, &path, &once), -EOVERFLOW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_default_is_found_as_grub_finds_it),
		cmocka_unit_test(test_a_default_that_is_written_down_does_not_ask_the_environment),
		cmocka_unit_test(test_what_is_no_entry_or_computed_is_not_known),
		cmocka_unit_test(test_more_entries_than_the_limit_are_refused),
	};

	return cmocka_run_group_tests_name("grubcfg", tests, NULL, NULL);
}
