// SPDX-License-Identifier: Apache-2.0
/*
 * walk.c - see walk.h. One directory after the other is opened without following a link; the text of a link takes
 * its place in the path. Runs where modprobe or udev run `modulus load`, and under any other such filter.
 */
#include "walk.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>

#include "limit.h"

/* As many links as the kernel follows (MAXSYMLINKS in include/linux/namei.h). */
#define LINKS_MAX 40u

struct walk {
	/* from the top to where the walk is; ".." goes back along them, wherever these directories are by then */
	int dirs[LIMIT_WALK_DEPTH + 1];
	size_t n;
	char *path; /* what is still to be walked, from `at` on; owned */
	const char *at;
	unsigned int links;
};

static int here(const struct walk *w)
{
	return w->dirs[w->n - 1];
}

static void back_to(struct walk *w, size_t n)
{
	while (w->n > n)
		close_fdp(&w->dirs[--w->n]);
}

static void walk_done(struct walk *w)
{
	back_to(w, 0);
	free(w->path);
}

static int open_at(int dirfd, const char *name, int flags, mode_t mode)
{
	int fd;

	do {
		fd = openat(dirfd, name, flags | O_CLOEXEC, mode);
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

static int step(struct walk *w, const char *name)
{
	int fd;

	if (w->n == ARRAY_SIZE(w->dirs))
		return -ENAMETOOLONG;
	/* O_DIRECTORY: mounts what is mounted on demand, as the kernel's own walk does */
	fd = open_at(here(w), name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	w->dirs[w->n++] = fd;
	return 0;
}

/* An absolute path begins at the top, or nowhere. */
static int begin(struct walk *w, uint64_t resolve)
{
	if (*w->at != '/')
		return 0;
	if (!(resolve & RESOLVE_IN_ROOT))
		return -EXDEV;
	back_to(w, 1);
	return 0;
}

static int up(struct walk *w, uint64_t resolve)
{
	if (w->n == 1)
		return resolve & RESOLVE_IN_ROOT ? 0 : -EXDEV;
	back_to(w, w->n - 1);
	return 0;
}

/* 1: name is a link, and its text has taken its place; `at` is behind the name before, in the text after. */
static int follow(struct walk *w, const char *name, uint64_t resolve)
{
	char target[PATH_MAX];
	ssize_t len = readlinkat(here(w), name, target, sizeof(target));
	char *path;
	int r;

	if (len < 0)
		return 0; /* no link, or not even there: whoever opens it is told */
	if (resolve & RESOLVE_NO_SYMLINKS || ++w->links > LINKS_MAX)
		return -ELOOP;
	if (len == (ssize_t)sizeof(target) || (size_t)len + strlen(w->at) >= PATH_MAX)
		return -ENAMETOOLONG;
	path = str_printf("%.*s%s", (int)len, target, w->at);
	if (!path)
		return -ENOMEM;
	free(w->path);
	w->at = w->path = path;
	r = begin(w, resolve);
	return r < 0 ? r : 1;
}

static int walk_to_end(struct walk *w, int flags, mode_t mode, uint64_t resolve)
{
	bool keeps_link = flags & O_NOFOLLOW || (flags & O_CREAT && flags & O_EXCL);
	int r = begin(w, resolve);

	while (r >= 0) {
		char name[NAME_MAX + 1];
		bool last;
		size_t n;

		w->at += strspn(w->at, "/");
		if (!*w->at)
			return open_at(here(w), ".", flags, mode);
		n = strcspn(w->at, "/");
		if (n >= sizeof(name))
			return -ENAMETOOLONG;
		memcpy(name, w->at, n);
		name[n] = '\0';
		w->at += n;
		last = !*w->at;
		if (streq(name, "."))
			continue;
		if (streq(name, "..")) {
			r = up(w, resolve);
			continue;
		}
		r = last && keeps_link ? 0 : follow(w, name, resolve);
		if (r == 0 && last)
			return open_at(here(w), name, flags | O_NOFOLLOW, mode);
		if (r == 0)
			r = step(w, name);
	}
	return r;
}

int walk_open(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	_cleanup_(walk_done) struct walk w = { 0 };
	uint64_t scope = resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT);

	if (resolve == 0)
		return open_at(dirfd, path, flags, mode);
	if ((scope != RESOLVE_BENEATH && scope != RESOLVE_IN_ROOT) || resolve & ~(scope | RESOLVE_NO_SYMLINKS))
		return -ENOSYS;
	if (!*path)
		return -ENOENT;
	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	w.at = w.path = strdup(path);
	if (!w.path)
		return -ENOMEM;
	w.dirs[0] = openat(dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (w.dirs[0] < 0)
		return -errno;
	w.n = 1;
	return walk_to_end(&w, flags, mode, resolve);
}
