// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include "fixture.h"
#include "installed.h"

static int tree(const struct place *p)
{
	int fd = openat(p->fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void test_what_a_kernel_cannot_be_called_is_no_release(void **state)
{
	char longest[LIMIT_RELEASE_BYTES + 2];

	(void)state;
	memset(longest, '6', sizeof(longest));
	longest[LIMIT_RELEASE_BYTES] = '\0';
	assert_true(installed_is_release(longest));
	longest[LIMIT_RELEASE_BYTES] = '6';
	longest[LIMIT_RELEASE_BYTES + 1] = '\0';
	assert_false(installed_is_release(longest));
	assert_true(installed_is_release("6.12~rc1-1+b1_amd64"));
	assert_false(installed_is_release(""));
	assert_false(installed_is_release("."));
	assert_false(installed_is_release("../6.1"));
	assert_false(installed_is_release("6.1\x1b[2J"));
}

static void test_the_kernels_of_a_tree_are_listed_newest_first(void **state)
{
	struct place *p = *state;
	_cleanup_close_ int top = tree(p);
	_cleanup_strv_ struct strv none = { 0 }, all = { 0 }, real = { 0 };

	assert_int_equal(installed_releases(top, &none), 0);
	assert_int_equal(none.n, 0);
	put_dir(p, "root/usr/lib/modules/6.9.0");
	put_dir(p, "root/usr/lib/modules/6.10.0");
	put_text(p, "root/usr/lib/modules/6.11.0", "a file");
	put_link(p, "root/usr/lib/modules/6.12.0", "/usr");
	assert_int_equal(installed_releases(top, &all), 0);
	assert_int_equal(all.n, 2);
	assert_string_equal(all.v[0], "6.10.0");
	assert_string_equal(all.v[1], "6.9.0");
	put_text(p, "root/usr/lib/modules/6.9.0/modules.order", "");
	assert_int_equal(installed_releases(top, &real), 0);
	assert_int_equal(real.n, 1);
	assert_string_equal(real.v[0], "6.9.0");
}

static void test_a_tree_that_is_a_usr_itself_has_them_too(void **state)
{
	struct place *p = *state;
	_cleanup_close_ int top = tree(p);
	_cleanup_strv_ struct strv all = { 0 };

	put_dir(p, "root/lib/modules/6.9.0");
	assert_int_equal(installed_releases(top, &all), 0);
	assert_int_equal(all.n, 1);
}

static void test_an_image_that_cannot_be_read_has_no_build_id(void **state)
{
	struct place *p = *state;
	_cleanup_close_ int top = tree(p);
	char hex[2 * LIMIT_BUILD_ID_BYTES + 1] = "x";

	put_text(p, "root/boot/vmlinuz-6.9.0", "rubbish");
	put_fifo(p, "root/boot/vmlinuz");
	must_not_block();
	assert_false(installed_build_id(top, "6.9.0", hex));
	assert_did_not_block();
	assert_string_equal(hex, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_kernel_cannot_be_called_is_no_release),
		at_place(test_the_kernels_of_a_tree_are_listed_newest_first),
		at_place(test_a_tree_that_is_a_usr_itself_has_them_too),
		at_place(test_an_image_that_cannot_be_read_has_no_build_id),
	};

	return cmocka_run_group_tests_name("installed", tests, NULL, NULL);
}
