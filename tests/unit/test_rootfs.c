// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include "fixture.h"
#include "rootfs.h"

#define CACHE "/var/lib/modulus/bundles"

/* Looks for it; the error, if any. */
static int find(const struct place *p, const char *path)
{
	_cleanup_rootfs_dir_ struct rootfs_dir d = ROOTFS_DIR_NONE;
	struct err err;

	return rootfs_dir_find(&p->host, path, &d, &err);
}

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
		{ "UUID=1 /var ext4 noauto 0 2\n", false },
	};
	struct place *p = *state;

	assert_int_equal(find(p, CACHE), 0); /* no fstab at all */
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put_text(p, "root/etc/fstab", cases[i].fstab);
		assert_case(cases[i].fstab, find(p, CACHE) == (cases[i].hidden ? -E_CACHE_UNREACHABLE : 0));
	}
}

static void test_what_is_mounted_already_hides_nothing(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *var = NULL;
	int found;

	if (!can_mount(p))
		skip();
	var = place_path(p, "root/var");
	put_text(p, "root/etc/fstab", "UUID=1 /var ext4 defaults 0 2\n");
	put_dir(p, "root/var");
	assert_int_equal(mount("tmpfs", var, "tmpfs", 0, "size=1m"), 0);
	found = find(p, CACHE);
	(void)umount2(var, MNT_DETACH);
	assert_int_equal(found, 0);
}

static void test_a_bind_mount_from_the_same_file_system_hides_nothing_once_it_is_there(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *from = NULL, *var = NULL;
	int before, during;

	if (!can_mount(p))
		skip();
	from = place_path(p, "root/data/var");
	var = place_path(p, "root/var");
	put_text(p, "root/etc/fstab", "/data/var /var none bind 0 0\n");
	put_dir(p, "root/data/var");
	put_dir(p, "root/var");
	before = find(p, CACHE);
	assert_int_equal(mount(from, var, NULL, MS_BIND, NULL), 0);
	during = find(p, CACHE);
	(void)umount2(var, MNT_DETACH);
	assert_int_equal(before, -E_CACHE_UNREACHABLE);
	assert_int_equal(during, 0);
}

static void test_a_device_of_fstab_that_is_no_block_device_is_unreachable(void **state)
{
	static const char *const specs[] = { "/dev/null", "/etc", "tmpfs", "overlay", "LABEL=modulus-no-such", "/data/var" };
	struct place *p = *state;
	_cleanup_rootfs_dir_ struct rootfs_dir d = ROOTFS_DIR_NONE;
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		_cleanup_free_ char *line = str_printf("%s /var ext4 defaults 0 2\n", specs[i]);

		put_text(p, "root/etc/fstab", line);
		assert_case(specs[i], rootfs_dir_find(&p->host, CACHE, &d, &err) == -E_CACHE_UNREACHABLE);
		assert_contains(err.text, specs[i]);
	}
	put_text(p, "root/etc/fstab", "UUID=1 /var btrfs defaults,subvol=var 0 2\n");
	assert_int_equal(rootfs_dir_find(&p->host, CACHE, &d, &err), -E_CACHE_UNREACHABLE);
	assert_contains(err.text, "subvolume");
}

#define VAR "root/sysroot/ostree/deploy/the-os/var"

static void test_the_var_of_an_ostree_host_is_its_stateroots(void **state)
{
	struct place *p = *state;
	_cleanup_rootfs_dir_ struct rootfs_dir d = ROOTFS_DIR_NONE;
	_cleanup_close_ int made = -EBADF;
	struct err err;

	put_dir(p, "root/var");
	put_dir(p, VAR);
	put_text(p, "live/run/ostree-booted", "");
	put_text(p, "live/proc/cmdline", "quiet ostree=/ostree/boot.1/the-os/0123abcd/0 rw\n");
	assert_int_equal(rootfs_dir_find(&p->host, CACHE, &d, &err), 0);
	assert_string_equal(d.shown, CACHE); /* as the real root will call it */
	assert_int_equal(rootfs_dir_open(&d, "", O_RDONLY), -ENOENT);
	assert_int_equal(rootfs_dir_writable(&d, &err), 0);
	assert_int_equal(rootfs_dir_make(&d, "6.1", &made), 0);
	assert_true(is_there(p, VAR "/lib/modulus/bundles/6.1"));
	assert_int_equal(count_entries(p, "root/var"), 0);
	rootfs_dir_done(&d);
	/* what is not below /var is where it is */
	assert_int_equal(rootfs_dir_find(&p->host, "/etc/modulus", &d, &err), 0);
	assert_false(d.stateroot);
}

static void test_a_bind_mount_of_the_stateroots_var_is_still_the_stateroots(void **state)
{
	struct place *p = *state;
	_cleanup_rootfs_dir_ struct rootfs_dir d = ROOTFS_DIR_NONE;
	_cleanup_free_ char *from = NULL, *var = NULL;
	struct err err;
	int r;

	if (!can_mount(p))
		skip();
	from = place_path(p, VAR);
	var = place_path(p, "root/var");
	put_dir(p, VAR);
	put_dir(p, "root/var");
	put_text(p, "live/run/ostree-booted", "");
	put_text(p, "live/proc/cmdline", "ostree=/ostree/boot.1/the-os/0123abcd/0\n");
	assert_int_equal(mount(from, var, NULL, MS_BIND, NULL), 0);
	r = rootfs_dir_find(&p->host, CACHE, &d, &err);
	(void)umount2(var, MNT_DETACH);
	assert_int_equal(r, 0);
	assert_true(d.stateroot);
}

static void test_a_stateroot_that_cannot_be_told_is_unreachable(void **state)
{
	static const char *const arguments[] = { "", "ostree=", "ostree=/ostree/boot.1", "ostree=/ostree/boot.1/",
						 "ostree=/ostree/boot.1//x/0", "ostree=/ostree/boot.1/../x/0",
						 "ostree=/ostree/boot.1/other-os/x/0", "ostree=/other/the-os/x/0" };
	struct place *p = *state;

	put_dir(p, VAR);
	put_text(p, "live/run/ostree-booted", "");
	for (size_t i = 0; i < ARRAY_SIZE(arguments); i++) {
		put_text(p, "live/proc/cmdline", arguments[i]);
		assert_case(arguments[i], find(p, CACHE) == -E_CACHE_UNREACHABLE);
	}
}

static void test_a_writable_root_is_left_alone(void **state)
{
	_cleanup_rootfs_dir_ struct rootfs_dir d = ROOTFS_DIR_NONE;
	struct place *p = *state;
	struct err err;

	assert_int_equal(rootfs_dir_find(&p->host, CACHE, &d, &err), 0);
	assert_int_equal(rootfs_dir_writable(&d, &err), 0);
	assert_null(d.remounted);
	assert_int_equal(rootfs_dir_release(&d), 0);
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
	_cleanup_rootfs_dir_ struct rootfs_dir d = ROOTFS_DIR_NONE;
	unsigned long before, during, after;
	struct err err;
	int begun, ended;

	if (!can_mount(p))
		skip();
	root = place_path(p, "root");
	assert_int_equal(mount("tmpfs", root, "tmpfs", flags, "size=1m"), 0);
	assert_int_equal(host_open(root, p->path, &h, &err), 0);
	before = flags_of(root);
	begun = rootfs_dir_find(&h, CACHE, &d, &err);
	if (begun == 0)
		begun = rootfs_dir_writable(&d, &err);
	during = flags_of(root);
	ended = begun == 0 ? rootfs_dir_release(&d) : -1;
	after = flags_of(root);
	(void)umount2(root, MNT_DETACH);
	assert_int_equal(begun, 0);
	assert_int_equal(ended, 0);
	assert_int_equal(before, after);
	assert_int_equal(during, before & ~(unsigned long)ST_RDONLY);
	assert_int_equal(rootfs_dir_release(&d), 0); /* twice is once */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_a_line_in_fstab_on_the_way_hides_what_is_below),
		at_place(test_what_is_mounted_already_hides_nothing),
		at_place(test_a_bind_mount_from_the_same_file_system_hides_nothing_once_it_is_there),
		at_place(test_a_device_of_fstab_that_is_no_block_device_is_unreachable),
		at_place(test_the_var_of_an_ostree_host_is_its_stateroots),
		at_place(test_a_bind_mount_of_the_stateroots_var_is_still_the_stateroots),
		at_place(test_a_stateroot_that_cannot_be_told_is_unreachable),
		at_place(test_a_writable_root_is_left_alone),
		at_place(test_a_read_only_root_is_writable_for_a_moment_and_as_before_then),
	};

	return cmocka_run_group_tests_name("rootfs", tests, NULL, NULL);
}
