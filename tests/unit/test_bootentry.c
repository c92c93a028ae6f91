// SPDX-License-Identifier: Apache-2.0
#include "bootentry.h"
#include "fixture.h"

static void add(struct boot_entries *l, const char *file, const char *text)
{
	assert_int_equal(boot_entries_add(l, file, text, strlen(text)), 0);
}

static void test_an_entry_is_read_as_the_specification_has_it(void **state)
{
	_cleanup_boot_entries_ struct boot_entries l = { 0 };

	(void)state;
	add(&l, "ostree-2.conf",
	    "# linux /no\ntitle  A title\nversion\t2\nsort-key fedora\nmachine-id 01ab\noptions root=/dev/vda1 \r\n"
	    "  linux   /ostree/x/vmlinuz-6.1\t\noptions ostree=/ostree/boot.1/os/x/0\noptionsx no\nlinuxefi /no\nversion\n");
	assert_string_equal(l.v[0].id, "ostree-2");
	assert_string_equal(l.v[0].version, "2");
	assert_string_equal(l.v[0].sort_key, "fedora");
	assert_string_equal(l.v[0].machine_id, "01ab");
	assert_string_equal(l.v[0].linux_path, "/ostree/x/vmlinuz-6.1");
	assert_string_equal(l.v[0].options, "root=/dev/vda1 ostree=/ostree/boot.1/os/x/0");
}

static void test_what_starts_no_kernel_is_no_entry(void **state)
{
	static const struct {
		const char *file, *text;
	} cases[] = { { "a.conf", "title x\nefi /EFI/shell.efi\n" }, { "a.txt", "linux /x\n" },
		      { ".conf", "linux /x\n" }, { ".a.conf", "linux /x\n" }, { "a.conf", "linux\n" }, { "a.conf", "" } };
	_cleanup_boot_entries_ struct boot_entries l = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_case(cases[i].text, boot_entries_add(&l, cases[i].file, cases[i].text, strlen(cases[i].text)) == -EINVAL);
	assert_int_equal(l.n, 0);
}

static void test_counts_of_tries_are_no_part_of_the_id(void **state)
{
	static const struct {
		const char *file, *id;
		bool out;
	} cases[] = { { "a-6.1+3.conf", "a-6.1", false }, { "a-6.1+0.conf", "a-6.1", true },
		      { "a-6.1+0-3.conf", "a-6.1", true }, { "a-6.1+2-1.conf", "a-6.1", false },
		      { "a-6.1+bpo.conf", "a-6.1+bpo", false }, { "a-6.1+3-.conf", "a-6.1+3-", false },
		      { "+3.conf", "+3", false }, { "a+10.conf", "a", false }, { "a+00.conf", "a", true } };
	_cleanup_boot_entries_ struct boot_entries l = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		add(&l, cases[i].file, "linux /x\n");
		assert_string_equal(l.v[i].id, cases[i].id);
		assert_case(cases[i].file, l.v[i].out_of_tries == cases[i].out);
	}
}

static void assert_order(const struct boot_entries *l, const char *ids)
{
	char text[200] = "";

	for (size_t i = 0; i < l->n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "", l->v[i].id);
	assert_string_equal(text, ids);
}

static void test_entries_are_in_the_order_of_the_loader(void **state)
{
	_cleanup_boot_entries_ struct boot_entries l = { 0 };

	(void)state;
	add(&l, "m-6.9.conf", "linux /x\nversion 6.9\n");
	add(&l, "m-6.10.conf", "linux /x\nversion 6.10\n");
	add(&l, "a-old.conf", "linux /x\nsort-key b\nversion 6.1\n");
	add(&l, "a-new.conf", "linux /x\nsort-key b\nversion 6.2\n");
	add(&l, "z.conf", "linux /x\nsort-key a\nversion 1\n");
	add(&l, "bad+0-3.conf", "linux /x\nsort-key a\nversion 99\n");
	boot_entries_sort_systemd(&l);
	assert_order(&l, "z a-new a-old m-6.10 m-6.9 bad");
	boot_entries_sort_version(&l);
	assert_order(&l, "bad m-6.10 m-6.9 a-new a-old z");
	assert_string_equal(boot_entries_find(&l, "m-*")->id, "m-6.10");
	assert_string_equal(boot_entries_find(&l, "m-6.9.conf")->id, "m-6.9");
	assert_string_equal(boot_entries_find(&l, "m-6.9")->id, "m-6.9");
	assert_null(boot_entries_find(&l, "m-6"));
}

static void test_the_release_is_told_by_path_or_by_what_is_installed(void **state)
{
	static const struct {
		const char *path, *version, *release; /* NULL: cannot be told */
	} cases[] = {
		{ "/vmlinuz-6.1.0-99-amd64", NULL, "6.1.0-99-amd64" },
		{ "/boot/vmlinuz-6.1.0-99-amd64", "Debian 12", "6.1.0-99-amd64" },
		{ "/0123abcd/6.6.8-200.fc39.x86_64/linux", "6.6.8-200.fc39.x86_64", "6.6.8-200.fc39.x86_64" },
		{ "/ostree/os-1234/vmlinuz", "6.6.8-200.fc39.x86_64", "6.6.8-200.fc39.x86_64" },
		{ "/vmlinuz-linux", NULL, NULL },
		{ "/vmlinuz-linux", "6.6.7", NULL },
		{ "/x/6.6.7/linux", NULL, NULL },
		{ "/vmlinuz-", NULL, NULL },
		{ "/vmlinuz-6.1 \x1b[2J", NULL, NULL },
		{ "", NULL, NULL },
	};
	_cleanup_strv_ struct strv installed = { 0 };

	(void)state;
	add_text(&installed, "6.6.8-200.fc39.x86_64");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char release[LIMIT_RELEASE_BYTES + 1];
		bool told = boot_path_release(cases[i].path, cases[i].version, &installed, release);

		assert_case(cases[i].path, told == (cases[i].release != NULL));
		assert_case(cases[i].path, !told || streq(release, cases[i].release));
	}
}

static void test_the_last_default_of_loader_conf_counts(void **state)
{
	static const char text[] = "#default no\ntimeout 3\ndefault old-*\n default\t@saved \n";
	_cleanup_free_ char *value = NULL;

	(void)state;
	assert_int_equal(loader_conf_get(text, strlen(text), "default", &value), 0);
	assert_string_equal(value, "@saved");
	assert_int_equal(loader_conf_get(text, strlen(text), "editor", &value), -ENOENT);
}

static void test_a_variable_of_grubs_environment_is_read(void **state)
{
	static const char text[] = "# GRUB Environment Block\n# WARNING: =no\nxsaved_entry=no\nescaped=a\\\nsaved_entry=no\\\\\n"
				   "saved_entry=gnulinux\\>6.1\nnext_entry=\nlast=1>2\n#########";
	_cleanup_free_ char *saved = NULL, *last = NULL, *other = NULL;

	(void)state;
	assert_int_equal(grubenv_get(text, strlen(text), "saved_entry", &saved), 0);
	assert_string_equal(saved, "gnulinux>6.1");
	assert_int_equal(grubenv_get(text, strlen(text), "last", &last), 0);
	assert_string_equal(last, "1>2");
	assert_int_equal(grubenv_get(text, strlen(text), "next_entry", &other), -ENOENT);
	assert_int_equal(grubenv_get(text, strlen(text), "none", &other), -ENOENT);
	assert_int_equal(grubenv_get(text + 1, strlen(text) - 1, "last", &other), -EBADMSG);
	assert_int_equal(grubenv_get("", 0, "last", &other), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_entry_is_read_as_the_specification_has_it),
		cmocka_unit_test(test_what_starts_no_kernel_is_no_entry),
		cmocka_unit_test(test_counts_of_tries_are_no_part_of_the_id),
		cmocka_unit_test(test_entries_are_in_the_order_of_the_loader),
		cmocka_unit_test(test_the_release_is_told_by_path_or_by_what_is_installed),
		cmocka_unit_test(test_the_last_default_of_loader_conf_counts),
		cmocka_unit_test(test_a_variable_of_grubs_environment_is_read),
	};

	return cmocka_run_group_tests_name("bootentry", tests, NULL, NULL);
}
