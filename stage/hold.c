// SPDX-License-Identifier: Apache-2.0
/*
 * hold.c - see hold.h. Runs on a running ostree host, between the staging of an update and the shutdown. All of it is
 * in /run: what power loss leaves is the deployment that runs.
 */
#include "hold.h"

#include <fcntl.h>

#include "gvariant.h"
#include "limit.h"

#define STAGED &HOLD_STAGED[1]
#define LOCK &HOLD_LOCK[1]
#define MARK "modulus\n"

const char *hold_word(enum hold hold)
{
	static const char *const words[] = { [HOLD_OURS] = "ours", [HOLD_OTHERS] = "other" };

	return words[hold];
}

static bool has(const struct host *h, const char *path)
{
	return faccessat(h->live_fd, path, F_OK, 0) == 0;
}

bool hold_is_ours(const struct host *h)
{
	char mark[sizeof(MARK)];

	return read_line_at(h->live_fd, LOCK, mark, sizeof(mark)) == 0 && streq(mark, "modulus");
}

/* The word that ostree 2023.8 and later write instead of the file, or beside it. */
static bool is_locked_within(const struct host *h)
{
	_cleanup_free_ char *bytes = NULL;
	const void *value;
	size_t len, n;

	return read_whole_at(h->live_fd, STAGED, LIMIT_STAGED_BYTES, &bytes, &len) == 0 &&
	       gvariant_find(bytes, len, "locked", "b", &value, &n) == 0 && n == 1 && *(const char *)value;
}

enum hold hold_look(const struct host *h)
{
	if (!has(h, STAGED))
		return HOLD_NONE;
	if (hold_is_ours(h))
		return HOLD_OURS;
	return has(h, LOCK) || is_locked_within(h) ? HOLD_OTHERS : HOLD_NONE;
}

/* Appears with our name in it, or not at all: one that is empty would be somebody else's. */
static int make_lock(const struct host *h)
{
	_cleanup_close_ int dir = -EBADF, fd = -EBADF;
	char proc[40];
	int r;

	dir = host_live_open(h, "/run/ostree", O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		return dir;
	fd = openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0640);
	if (fd < 0)
		return -errno;
	r = write_full(fd, MARK, strlen(MARK));
	if (r < 0)
		return r;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, proc, dir, strrchr(HOLD_LOCK, '/') + 1, AT_SYMLINK_FOLLOW) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

int hold_set(const struct host *h, bool locked, enum hold *ret, struct err *err)
{
	int r = 0;

	if (locked && has(h, STAGED))
		r = make_lock(h);
	else if (hold_is_ours(h) && unlinkat(h->live_fd, LOCK, 0) < 0 && errno != ENOENT)
		r = -errno;
	if (r < 0)
		return err_sys(err, r, HOLD_LOCK);
	*ret = hold_look(h);
	return 0;
}
