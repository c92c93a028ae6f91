// SPDX-License-Identifier: Apache-2.0
/*
 * The walk against the kernel's own openat2: the same file or the same error for each path, flag and way to resolve
 * it; what the kernel cannot show (its limits, what changes meanwhile) by cases.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include "fixture.h"
#include "limit.h"
#include "walk.h"

#define BENEATH RESOLVE_BENEATH
#define NO_LINKS (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
#define IN_ROOT RESOLVE_IN_ROOT

static const struct {
	const char *name;
	uint64_t how;
} ways[] = {
	{ "beneath", BENEATH },
	{ "beneath, no links", NO_LINKS },
	{ "in root", IN_ROOT },
	{ "in root, no links", IN_ROOT | RESOLVE_NO_SYMLINKS },
};

static const struct {
	const char *name;
	int flags;
} opens[] = {
	{ "read", O_RDONLY | O_NONBLOCK },
	{ "write", O_WRONLY | O_NONBLOCK },
	{ "directory", O_RDONLY | O_DIRECTORY },
	{ "path", O_PATH },
	{ "path of a directory", O_PATH | O_DIRECTORY },
	{ "no link", O_RDONLY | O_NOFOLLOW | O_NONBLOCK },
	{ "the link", O_PATH | O_NOFOLLOW },
	{ "directory, no link", O_RDONLY | O_DIRECTORY | O_NOFOLLOW },
	{ "new", O_WRONLY | O_CREAT | O_EXCL },
};

/* root/ is the top; what is beside it must never be reached. */
static int plant(const struct place *p)
{
	put_text(p, "outside", "outside");
	put_text(p, "root/file", "file");
	put_text(p, "root/a/b/c/file", "deep");
	put_text(p, "root/etc/passwd", "inside");
	put_fifo(p, "root/a/fifo");
	put_link(p, "root/to-file", "file");
	put_link(p, "root/to-a", "a");
	put_link(p, "root/a/up", "..");
	put_link(p, "root/a/b/up-and-down", "../../a/b/c/file");
	put_link(p, "root/absolute", "/a/b");
	put_link(p, "root/passwd", "/etc/passwd");
	put_link(p, "root/escape", "../outside");
	put_link(p, "root/a/b/escape", "../../../outside");
	put_link(p, "root/a/top", "/");
	put_link(p, "root/dangling", "nothing/here");
	put_link(p, "root/chain", "to-a/b/../up/to-file");
	put_link(p, "root/self", "self");
	put_link(p, "root/trailing", "a//b/./");
	put_link(p, "root/to-fifo", "a/fifo");
	return openat(p->fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* What a descriptor leads to, or the error. */
struct found {
	int error;
	dev_t dev;
	ino_t ino;
	mode_t mode;
};

static bool is_same(const struct found *a, const struct found *b)
{
	return a->error == b->error && a->dev == b->dev && a->ino == b->ino && a->mode == b->mode;
}

/* Takes the descriptor; a file that the call made goes again. */
static struct found look(int fd, int flags)
{
	struct found f = { .error = fd < 0 ? fd : 0 };
	char proc[32], path[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return f;
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	f.dev = st.st_dev;
	f.ino = st.st_ino;
	f.mode = st.st_mode;
	if (flags & O_CREAT) {
		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
		n = readlink(proc, path, sizeof(path) - 1);
		assert_true(n > 0);
		path[n] = '\0';
		assert_int_equal(unlink(path), 0);
		f.ino = 0; /* each time another one */
	}
	close(fd);
	return f;
}

static void assert_same(int top, const char *path, size_t way, size_t how)
{
	int flags = opens[how].flags;
	struct found kernel = look(open_resolve(top, path, flags, 0640, ways[way].how), flags);
	struct found ours = look(walk_open(top, path, flags, 0640, ways[way].how), flags);

	if (!is_same(&kernel, &ours))
		fail_msg("\"%s\", %s, %s: the kernel: %s, inode %lu; we: %s, inode %lu", path, ways[way].name,
			 opens[how].name, strerror(-kernel.error), (unsigned long)kernel.ino, strerror(-ours.error),
			 (unsigned long)ours.ino);
}

/* Any path made of these. From a generator that begins the same way each time, so that a failure can be repeated. */
static void test_any_path_leads_where_the_kernel_leads_it(void **state)
{
	static const char *const parts[] = { "a", "b", "c", "file", "..", "..", ".", "", "to-a", "up", "up-and-down", "top",
					     "absolute", "escape", "chain", "missing", "fifo", "etc", "passwd", "self",
					     "trailing", "to-file", "dangling", "to-fifo" };
	_cleanup_close_ int top = -1;
	unsigned int seed = 1, opened = 0;

	if (!has_openat2())
		skip();
	top = plant(*state);
	for (unsigned int i = 0; i < 40000; i++) {
		char path[256] = "";
		unsigned int n = 1 + (unsigned int)rand_r(&seed) % 6;
		size_t how = (size_t)rand_r(&seed) % ARRAY_SIZE(opens), way = (size_t)rand_r(&seed) % ARRAY_SIZE(ways);
		bool slash = rand_r(&seed) % 4 == 0;

		if (rand_r(&seed) % 4 == 0)
			strcat(path, "/");
		for (unsigned int j = 0; j < n; j++) {
			strcat(path, parts[(size_t)rand_r(&seed) % ARRAY_SIZE(parts)]);
			/* nobody makes a new file by a name that ends in a slash */
			if (j + 1 < n || (slash && !(opens[how].flags & O_CREAT)))
				strcat(path, "/");
		}
		if (opens[how].flags & O_CREAT && str_suffix(path, "/"))
			continue;
		assert_same(top, path, way, how);
		opened += look(walk_open(top, path, O_PATH, 0, ways[way].how), O_PATH).error == 0;
	}
	assert_true(opened > 1000); /* they are not all errors */
}

static void test_what_a_link_leads_to_is_beneath_or_refused(void **state)
{
	static const struct {
		const char *path;
		uint64_t how;
		int flags, expected; /* 0: it is opened */
	} cases[] = {
		{ "escape", BENEATH, O_RDONLY, -EXDEV },
		{ "escape", IN_ROOT, O_RDONLY, -ENOENT }, /* the root has no such file */
		{ "a/b/escape", BENEATH, O_RDONLY, -EXDEV },
		{ "passwd", BENEATH, O_RDONLY, -EXDEV },
		{ "passwd", IN_ROOT, O_RDONLY, 0 },
		{ "a/../../outside", BENEATH, O_RDONLY, -EXDEV },
		{ "a/../../file", IN_ROOT, O_RDONLY, 0 },
		{ "/file", BENEATH, O_RDONLY, -EXDEV },
		{ "/file", IN_ROOT, O_RDONLY, 0 },
		{ "chain", BENEATH, O_RDONLY, 0 },
		{ "chain", NO_LINKS, O_RDONLY, -ELOOP },
		{ "to-a/b/c/file", NO_LINKS, O_RDONLY, -ELOOP },
		{ "to-file", NO_LINKS, O_PATH | O_NOFOLLOW, 0 },
		{ "dangling", NO_LINKS, O_WRONLY | O_CREAT | O_EXCL, -EEXIST },
		{ "self", BENEATH, O_RDONLY, -ELOOP },
		{ "", BENEATH, O_RDONLY, -ENOENT },
		{ "file/x", BENEATH, O_RDONLY, -ENOTDIR },
		{ "file/", IN_ROOT, O_RDONLY, -ENOTDIR },
	};
	_cleanup_close_ int top = plant(*state);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = walk_open(top, cases[i].path, cases[i].flags, 0600, cases[i].how);
		int got = MIN(fd, 0);

		if (fd >= 0)
			close(fd);
		if (got != cases[i].expected)
			fail_msg("%s: %s, expected %s", cases[i].path, strerror(-got), strerror(-cases[i].expected));
	}
}

static void test_a_new_file_has_its_mode_and_its_place(void **state)
{
	struct place *p = *state;
	_cleanup_close_ int top = plant(p), fd = walk_open(top, "a/b/new", O_WRONLY | O_CREAT | O_EXCL, 0640, NO_LINKS);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstatat(p->fd, "root/a/b/new", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(walk_open(top, "a/b/new", O_WRONLY | O_CREAT | O_EXCL, 0640, NO_LINKS), -EEXIST);
}

/* The top may be open for its path only, as host.h has it. */
static void test_the_limits_hold(void **state)
{
	struct place *p = *state;
	_cleanup_close_ int top = plant(p);
	char path[PATH_MAX + 16] = "";
	int fd;

	put_link(p, "root/dot", ".");
	for (unsigned int links = 40; links <= 41; links++) {
		path[0] = '\0';
		for (unsigned int i = 0; i < links; i++)
			strcat(path, "dot/");
		strcat(path, "file");
		for (size_t way = 0; way < ARRAY_SIZE(ways); way++)
			assert_same(top, path, way, 0);
		fd = walk_open(top, path, O_RDONLY, 0, BENEATH);
		assert_true(links == 40 ? fd >= 0 : fd == -ELOOP);
		if (fd >= 0)
			close(fd);
	}
	path[0] = '\0';
	for (unsigned int i = 0; i <= LIMIT_WALK_DEPTH; i++) {
		fd = i ? walk_open(top, path, O_PATH, 0, BENEATH) : 0;
		assert_true(fd >= 0);
		if (fd > 0)
			close(fd);
		strcat(path, i ? "/d" : "d");
		assert_int_equal(mkdirat(top, path, 0755), 0);
	}
	/* one directory more than fits is below the last one */
	strcat(path, "/file");
	assert_int_equal(walk_open(top, path, O_RDONLY, 0, BENEATH), -ENAMETOOLONG);

	memset(path, '/', PATH_MAX);
	path[PATH_MAX - 1] = '\0';
	assert_same(top, path, 2, 2);
	path[PATH_MAX - 1] = '/';
	path[PATH_MAX] = '\0';
	assert_same(top, path, 2, 2);
	assert_int_equal(walk_open(top, path, O_RDONLY, 0, IN_ROOT), -ENAMETOOLONG);
	memset(path, 'n', NAME_MAX + 1);
	path[NAME_MAX + 1] = '\0';
	assert_same(top, path, 0, 0);
	path[NAME_MAX] = '\0';
	assert_same(top, path, 0, 0);
}

static void test_what_it_does_not_do_it_does_not_pretend_to_do(void **state)
{
	_cleanup_close_ int top = plant(*state);
	static const uint64_t others[] = { RESOLVE_NO_SYMLINKS, BENEATH | IN_ROOT, BENEATH | RESOLVE_NO_XDEV,
					   IN_ROOT | RESOLVE_NO_MAGICLINKS, BENEATH | RESOLVE_CACHED };

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_int_equal(walk_open(top, "file", O_RDONLY, 0, others[i]), -ENOSYS);
}

static void test_nobody_is_kept_where_nobody_asked_for_it(void **state)
{
	_cleanup_close_ int top = plant(*state);
	struct found kernel = look(open_resolve(top, "a/b/escape", O_RDONLY, 0, 0), 0);
	struct found ours = look(walk_open(top, "a/b/escape", O_RDONLY, 0, 0), 0);

	assert_int_equal(kernel.error, 0);
	assert_true(is_same(&kernel, &ours));
}

/* --- while somebody changes the tree --- */

struct changer {
	int fd;
	bool stop;
};

static void *exchange(void *ctx)
{
	struct changer *c = ctx;

	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		(void)renameat2(c->fd, "root/now", c->fd, "then", RENAME_EXCHANGE);
		(void)renameat2(c->fd, "root/last", c->fd, "link", RENAME_EXCHANGE);
	}
	return NULL;
}

/* A directory that is moved out and in, and a file; in their places links that lead out of the root. */
static void test_nothing_that_is_exchanged_meanwhile_leads_outside(void **state)
{
	static const char *const paths[] = { "now/file", "last", "now/../outside", "now/../now/../../outside" };
	struct place *p = *state;
	_cleanup_close_ int top = plant(p);
	struct changer c = { .fd = p->fd };
	struct stat outside, st;
	unsigned int inside[ARRAY_SIZE(paths)] = { 0 }, leaked = 0;
	pthread_t thread;

	put_text(p, "root/now/file", "inside");
	put_text(p, "root/last", "inside");
	put_link(p, "then", "..");
	put_text(p, "file", "outside");
	put_link(p, "link", "../file");
	assert_int_equal(fstatat(p->fd, "file", &outside, 0), 0);
	assert_int_equal(thread_start(&thread, exchange, &c), 0);
	for (unsigned int i = 0; i < 40000; i++) {
		_cleanup_close_ int fd = walk_open(top, paths[i % ARRAY_SIZE(paths)], O_RDONLY, 0, ways[i / 7 % 4].how);

		if (fd < 0)
			continue;
		inside[i % ARRAY_SIZE(paths)]++;
		leaked += fstat(fd, &st) < 0 || st.st_ino == outside.st_ino;
	}
	__atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(leaked, 0);
	assert_true(inside[0] > 0 && inside[1] > 0);
	assert_true(inside[2] == 0 && inside[3] == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_any_path_leads_where_the_kernel_leads_it),
		at_place(test_what_a_link_leads_to_is_beneath_or_refused),
		at_place(test_a_new_file_has_its_mode_and_its_place),
		at_place(test_the_limits_hold),
		at_place(test_nobody_is_kept_where_nobody_asked_for_it),
		at_place(test_what_it_does_not_do_it_does_not_pretend_to_do),
		at_place(test_nothing_that_is_exchanged_meanwhile_leads_outside),
	};

	return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
