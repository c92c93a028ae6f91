// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include "fixture.h"

static void test_a_root_that_is_not_there_is_named(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *none = place_path(p, "none"), *root = place_path(p, "root");
	struct host h = { .root_fd = -7 };
	struct err err;

	assert_int_equal(host_open(none, NULL, &h, &err), -ENOENT);
	assert_contains(err.text, none);
	assert_int_equal(host_open(root, none, &h, &err), -ENOENT);
	assert_contains(err.text, none);
	assert_int_equal(h.root_fd, -7);
}

static void test_without_names_both_are_the_systems_own(void **state)
{
	_cleanup_host_ struct host h;
	struct err err;

	(void)state;
	assert_int_equal(host_open(NULL, NULL, &h, &err), 0);
	assert_string_equal(h.root_path, "/");
	assert_string_equal(h.live_path, "/");
	assert_ptr_equal(h.ops, &sysops_kernel);
}

static void test_another_live_root_never_reaches_the_kernel(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *live = place_path(p, "live");
	_cleanup_host_ struct host h;
	struct err err;

	assert_int_equal(host_open(NULL, live, &h, &err), 0);
	assert_ptr_equal(h.ops, &sysops_refuse);
	assert_int_equal(h.ops->finit_module(-1, ""), -EPERM);
	assert_int_equal(h.ops->probe_insert(NULL), -EPERM);
	assert_int_equal(h.ops->mknod_char(h.live_fd, "x", 0600, 0), -EPERM);
	assert_false(is_there(p, "live/x"));
}

static void test_another_root_has_what_is_live_only_where_that_was_moved_too(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *root = place_path(p, "root"), *live = place_path(p, "live");
	const struct {
		const char *root, *live;
		bool is;
	} cases[] = { { NULL, NULL, true }, { root, NULL, false }, { root, live, true }, { NULL, live, true } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_host_ struct host h;
		struct err err;

		assert_int_equal(host_open(cases[i].root, cases[i].live, &h, &err), 0);
		assert_int_equal(host_root_is_live(&h), cases[i].is);
	}
}

static void test_links_of_the_target_stay_in_the_target(void **state)
{
	struct place *p = *state;
	_cleanup_close_ int absolute = -EBADF, upwards = -EBADF;
	char text[8] = "";

	put_text(p, "root/usr/target", "inside");
	put_text(p, "target", "outside");
	put_link(p, "root/etc/absolute", "/usr/target");
	put_link(p, "root/etc/upwards", "../../../../../../usr/target");
	put_link(p, "root/etc/out", "../../target");
	absolute = host_root_open(&p->host, "/etc/absolute", O_RDONLY);
	upwards = host_root_open(&p->host, "/etc/upwards", O_RDONLY);
	assert_int_equal(read(absolute, text, sizeof(text)), 6);
	assert_string_equal(text, "inside");
	assert_true(upwards >= 0);
	assert_int_equal(host_root_open(&p->host, "/etc/out", O_RDONLY), -ENOENT);
	assert_int_equal(host_root_open(&p->host, "/../target", O_RDONLY), -ENOENT);
}

static void test_live_files_are_read_whole_and_live_directories_made(void **state)
{
	struct place *p = *state;
	_cleanup_close_ int fd = -EBADF;
	_cleanup_free_ char *text = NULL;
	size_t n;

	put_text(p, "live/proc/cmdline", "quiet\n");
	assert_int_equal(host_live_read(&p->host, "/proc/cmdline", 100, &text, &n), 0);
	assert_string_equal(text, "quiet\n");
	assert_int_equal(host_live_read(&p->host, "/proc/cmdline", 5, &text, &n), -EFBIG);
	assert_int_equal(host_live_read(&p->host, "/proc/version", 5, &text, &n), -ENOENT);
	assert_int_equal(host_live_mkdir(&p->host, "/run/modulus/bin", &fd), 0);
	assert_true(is_there(p, "live/run/modulus/bin"));
}

static void test_making_a_directory_follows_links_inside_the_root(void **state)
{
	const struct place *p = *state;
	_cleanup_close_ int fd = -EBADF;
	int no = -EBADF;

	put_dir(p, "root/var/opt"); /* as on Fedora CoreOS */
	put_link(p, "root/opt", "var/opt");
	assert_int_equal(host_root_mkdir(&p->host, "/opt/drivers/gpu", &fd), 0);
	assert_true(is_there(p, "root/var/opt/drivers/gpu"));
	put_link(p, "root/absolute", "/var/opt/drivers");
	close_fdp(&fd);
	assert_int_equal(host_root_mkdir(&p->host, "/absolute/other", &fd), 0);
	assert_true(is_there(p, "root/var/opt/drivers/other"));
	put_link(p, "root/out", "../../../nowhere"); /* leads to /nowhere of the root, which is not there */
	assert_int_equal(host_root_mkdir(&p->host, "/out/x", &no), -ENOENT);
	put_text(p, "root/file", "");
	assert_int_equal(host_root_mkdir(&p->host, "/file/x", &no), -ENOTDIR);
	assert_int_equal(no, -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_making_a_directory_follows_links_inside_the_root),
		at_place(test_a_root_that_is_not_there_is_named),
		cmocka_unit_test(test_without_names_both_are_the_systems_own),
		at_place(test_another_live_root_never_reaches_the_kernel),
		at_place(test_another_root_has_what_is_live_only_where_that_was_moved_too),
		at_place(test_links_of_the_target_stay_in_the_target),
		at_place(test_live_files_are_read_whole_and_live_directories_made),
	};

	return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
