// SPDX-License-Identifier: Apache-2.0
#include <sys/mount.h>
#include <sys/statvfs.h>

#include "fixture.h"
#include "rootfs.h"

#define CACHE "/var/lib/modulus/bundles"

static void test_a_line_in_fstab_on_the_way_hides_what_is_below(void **state)
{
	static const struct {
		const char *fstab;
		bool hidden;
	} cases[] = {
		{ "", false },
		{ "UUID=1 / ext4 ro 0 1\n", false },
		{ "UUID=1 /var ext4 defaults 0 2\n", true },
		{ "UUID=1 /var/ ext4 defaults 0 2\n", true },
		{ "UUID=1 /var/lib btrfs subvol=lib 0 0\n", true },
		{ "UUID=1 /var/lib/modulus/bundles ext4 defaults 0 2\n", true },
		{ "UUID=1 /var/lib/modulus/bundles/6.1 ext4 defaults 0 2\n", false },
		{ "UUID=1 /va ext4 defaults 0 2\n", false },
		{ "UUID=1 /variable ext4 defaults 0 2\n", false },
		{ "UUID=1 /var/lib/modulusx ext4 defaults 0 2\n", false },
		{ "# UUID=1 /var ext4 defaults 0 2\n", false },
		{ "UUID=1 none swap sw 0 0\nUUID=2 /home ext4 defaults 0 2\nUUID=3 /var ext4 defaults 0 2", true },
		{ "not a line\n", false },
	};
	struct place *p = *state;

	assert_false(rootfs_is_hidden(&p->host, CACHE)); /* no fstab at all */
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put_text(p, "root/etc/fstab", cases[i].fstab);
		assert_case(cases[i].fstab, rootfs_is_hidden(&p->host, CACHE) == cases[i].hidden);
	}
}

static void test_what_is_mounted_already_hides_nothing(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *var = NULL;
	bool hidden;

	if (!can_mount(p))
		skip();
	var = place_path(p, "root/var");
	put_text(p, "root/etc/fstab", "UUID=1 /var ext4 defaults 0 2\n");
	put_dir(p, "root/var");
	assert_int_equal(mount("tmpfs", var, "tmpfs", 0, "size=1m"), 0);
	hidden = rootfs_is_hidden(&p->host, CACHE);
	(void)umount2(var, MNT_DETACH);
	assert_false(hidden);
}

static void test_the_var_of_an_ostree_host_is_not_mounted_yet(void **state)
{
	struct place *p = *state;

	put_dir(p, "root/var");
	put_text(p, "live/run/ostree-booted", "");
	assert_true(rootfs_is_hidden(&p->host, CACHE));
	assert_false(rootfs_is_hidden(&p->host, "/etc/modulus"));
}

static void test_a_writable_root_is_left_alone(void **state)
{
	struct rootfs_writable w = { 0 };
	struct place *p = *state;

	assert_int_equal(rootfs_writable_begin(&p->host, &w), 0);
	assert_false(w.remounted);
	assert_int_equal(rootfs_writable_end(&w), 0);
}

static unsigned long flags_of(const char *path)
{
	struct statvfs v;

	assert_int_equal(statvfs(path, &v), 0);
	return v.f_flag & (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME);
}

static void test_a_read_only_root_is_writable_for_a_moment_and_as_before_then(void **state)
{
	const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOATIME;
	struct place *p = *state;
	_cleanup_free_ char *root = NULL;
	_cleanup_host_ struct host h = { .root_fd = -EBADF, .live_fd = -EBADF };
	struct rootfs_writable w = { 0 };
	unsigned long before, during, after;
	struct err err;
	int begun, ended;

	if (!can_mount(p))
		skip();
	root = place_path(p, "root");
	assert_int_equal(mount("tmpfs", root, "tmpfs", flags, "size=1m"), 0);
	assert_int_equal(host_open(root, p->path, &h, &err), 0);
	before = flags_of(root);
	begun = rootfs_writable_begin(&h, &w);
	during = flags_of(root);
	ended = begun == 0 ? rootfs_writable_end(&w) : -1;
	after = flags_of(root);
	(void)umount2(root, MNT_DETACH);
	assert_int_equal(begun, 0);
	assert_int_equal(ended, 0);
	assert_int_equal(before, after);
	assert_int_equal(during, before & ~(unsigned long)ST_RDONLY);
	assert_int_equal(rootfs_writable_end(&w), 0); /* twice is once */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_a_line_in_fstab_on_the_way_hides_what_is_below),
		at_place(test_what_is_mounted_already_hides_nothing),
		at_place(test_the_var_of_an_ostree_host_is_not_mounted_yet),
		at_place(test_a_writable_root_is_left_alone),
		at_place(test_a_read_only_root_is_writable_for_a_moment_and_as_before_then),
	};

	return cmocka_run_group_tests_name("rootfs", tests, NULL, NULL);
}
