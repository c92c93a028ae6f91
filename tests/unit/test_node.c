// SPDX-License-Identifier: Apache-2.0
/*
 * One node, really made: only root can, and not in every container. Elsewhere these tests are skipped.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "fixture.h"
#include "node.h"

static const struct node gpu = { .path = "/dev/nvidia0", .major_no = 195, .minor_no = 0, .uid = 12, .gid = 44,
				 .mode = 0660, .modify = true };
static const struct node cap = { .path = "/dev/nvidia-caps/nvidia-cap1", .major_no = 234, .minor_no = 1,
				 .mode = 0400, .modify = true };

static bool ready(struct place *p)
{
	if (!can_make_nodes(p))
		return false;
	put_dir(p, "live/dev");
	p->host.ops = &sysops_kernel;
	return true;
}

static struct stat stat_of(const struct place *p, const struct node *n)
{
	struct stat st;

	assert_int_equal(fstatat(p->host.live_fd, n->path + 1, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

static void assert_as_wanted(const struct place *p, const struct node *n)
{
	const struct stat st = stat_of(p, n);

	assert_true(S_ISCHR(st.st_mode));
	assert_true(st.st_rdev == makedev(n->major_no, n->minor_no));
	assert_int_equal(st.st_mode & ALLPERMS, n->mode);
	assert_int_equal(st.st_uid, n->uid);
	assert_int_equal(st.st_gid, n->gid);
}

static void test_a_node_is_made_as_wanted_whatever_the_umask(void **state)
{
	struct place *p = *state;
	mode_t before;

	if (!ready(p))
		skip();
	before = umask(0077);
	assert_int_equal(node_put(&p->host, &gpu), 0);
	(void)umask(before);
	assert_int_equal(node_put(&p->host, &cap), 0);
	assert_as_wanted(p, &gpu);
	assert_as_wanted(p, &cap);
	assert_int_equal(count_entries(p, "live/dev"), 2); /* nothing of ours beside them */
	assert_int_equal(count_entries(p, "live/dev/nvidia-caps"), 1);
}

static void test_the_right_node_is_kept_and_gets_owner_and_mode(void **state)
{
	struct place *p = *state;
	struct stat before, after, again;

	if (!ready(p))
		skip();
	assert_int_equal(mknodat(p->host.live_fd, "dev/nvidia0", S_IFCHR | 0600, makedev(195, 0)), 0);
	before = stat_of(p, &gpu);
	assert_int_equal(node_put(&p->host, &gpu), 0);
	assert_as_wanted(p, &gpu);
	after = stat_of(p, &gpu);
	assert_true(before.st_ino == after.st_ino); /* whoever has it open has the same one */
	assert_int_equal(node_put(&p->host, &gpu), 0);
	again = stat_of(p, &gpu);
	assert_memory_equal(&again.st_ctim, &after.st_ctim, sizeof(after.st_ctim)); /* untouched */
}

static void put_other(const struct place *p, unsigned int which)
{
	put_text(p, "live/dev/elsewhere", "");
	switch (which) {
	case 0:
		put_text(p, "live/dev/nvidia0", "a file");
		break;
	case 1: /* would be followed by chmod(2) and chown(2) */
		put_link(p, "live/dev/nvidia0", "elsewhere");
		break;
	case 2:
		assert_int_equal(mknodat(p->host.live_fd, "dev/nvidia0", S_IFCHR | 0666, makedev(195, 1)), 0);
		break;
	case 3:
		assert_int_equal(mknodat(p->host.live_fd, "dev/nvidia0", S_IFBLK | 0666, makedev(195, 0)), 0);
		break;
	default:
		put_fifo(p, "live/dev/nvidia0");
	}
}

static void test_anything_else_of_that_name_is_replaced(void **state)
{
	struct place *p = *state;
	struct stat st;

	if (!ready(p))
		skip();
	for (unsigned int i = 0; i < 5; i++) {
		put_other(p, i);
		assert_int_equal(node_put(&p->host, &gpu), 0);
		assert_as_wanted(p, &gpu);
		assert_int_equal(fstatat(p->host.live_fd, "dev/elsewhere", &st, 0), 0);
		assert_true(S_ISREG(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & ALLPERMS) == 0644);
		assert_int_equal(unlinkat(p->host.live_fd, "dev/nvidia0", 0), 0);
	}
}

static void test_a_directory_of_that_name_is_a_failure_that_leaves_nothing(void **state)
{
	struct place *p = *state;

	if (!ready(p))
		skip();
	put_text(p, "live/dev/nvidia0/x", "");
	assert_int_equal(node_put(&p->host, &gpu), -EISDIR);
	assert_int_equal(count_entries(p, "live/dev"), 1);
}

static void test_what_an_interrupted_run_left_is_no_obstacle(void **state)
{
	struct place *p = *state;

	if (!ready(p))
		skip();
	put_text(p, "live/dev/.nvidia0.new", "");
	put_link(p, "live/dev/char/.195:0.new", "nowhere");
	assert_int_equal(node_put(&p->host, &gpu), 0);
	assert_int_equal(node_link(&p->host, &gpu), 0);
	assert_as_wanted(p, &gpu);
	assert_int_equal(count_entries(p, "live/dev"), 2);
	assert_int_equal(count_entries(p, "live/dev/char"), 1);
}

static void test_what_may_not_be_modified_is_left_as_it_is(void **state)
{
	struct node n = gpu;
	struct place *p = *state;
	struct stat st;

	if (!ready(p))
		skip();
	n.modify = false;
	assert_int_equal(node_put(&p->host, &n), -ENOENT);
	assert_int_equal(count_entries(p, "live/dev"), 0);
	put_text(p, "live/dev/nvidia0", "");
	assert_int_equal(node_put(&p->host, &n), -ENODEV);
	assert_true(S_ISREG(stat_of(p, &n).st_mode));
	assert_int_equal(unlinkat(p->host.live_fd, "dev/nvidia0", 0), 0);
	assert_int_equal(mknodat(p->host.live_fd, "dev/nvidia0", S_IFCHR | 0600, makedev(195, 0)), 0);
	assert_int_equal(node_put(&p->host, &n), 0);
	st = stat_of(p, &n);
	assert_true((st.st_mode & ALLPERMS) == 0600 && st.st_uid == geteuid());
}

static void test_links_are_relative_and_mended(void **state)
{
	static const char *const before[] = { NULL, "../nvidia7", "/dev/nvidia-caps/nvidia-cap1", "../nvidia-caps/nvidia-cap12" };
	struct place *p = *state;

	put_dir(p, "live/dev");
	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		char target[64] = "";

		if (before[i])
			put_link(p, "live/dev/char/234:1", before[i]);
		for (unsigned int times = 0; times < 2; times++) {
			assert_int_equal(node_link(&p->host, &cap), 0);
			assert_true(readlinkat(p->host.live_fd, "dev/char/234:1", target, sizeof(target) - 1) > 0);
			assert_string_equal(target, "../nvidia-caps/nvidia-cap1");
		}
		assert_int_equal(count_entries(p, "live/dev/char"), 1);
		assert_int_equal(unlinkat(p->host.live_fd, "dev/char/234:1", 0), 0);
	}
}

static void test_a_node_goes_with_its_link_and_nothing_else_does(void **state)
{
	struct place *p = *state;
	struct node other = gpu;

	if (!ready(p))
		skip();
	assert_int_equal(node_put(&p->host, &gpu), 0);
	assert_int_equal(node_link(&p->host, &gpu), 0);
	other.minor_no = 7; /* another device has the name by now */
	node_remove(&p->host, &other);
	assert_as_wanted(p, &gpu);
	node_remove(&p->host, &gpu);
	assert_false(is_there(p, "live/dev/nvidia0"));
	assert_int_equal(count_entries(p, "live/dev/char"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_a_node_is_made_as_wanted_whatever_the_umask),
		at_place(test_the_right_node_is_kept_and_gets_owner_and_mode),
		at_place(test_anything_else_of_that_name_is_replaced),
		at_place(test_a_directory_of_that_name_is_a_failure_that_leaves_nothing),
		at_place(test_what_an_interrupted_run_left_is_no_obstacle),
		at_place(test_what_may_not_be_modified_is_left_as_it_is),
		at_place(test_links_are_relative_and_mended),
		at_place(test_a_node_goes_with_its_link_and_nothing_else_does),
	};

	return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
