// SPDX-License-Identifier: Apache-2.0
/*
 * node.c - makes device nodes that neither the kernel nor udev makes. Runs after the modules are
 * live. In: which device under which name, whose, and with which mode. Out: the node and its link in
 * /dev/char. All of it is in memory.
 */
#include "node.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Opens (and makes) the directory of a path; *ret_name is the last part of it. */
static int open_parent(const struct host *h, const char *path, int *ret_fd, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *parent = strndup(path, (size_t)(slash - path));

	if (!parent)
		return -ENOMEM;
	*ret_name = slash + 1;
	return host_live_mkdir(h, parent, ret_fd);
}

static int set_owner(int dir, const char *name, const struct node *n)
{
	return fchownat(dir, name, n->uid, n->gid, AT_SYMLINK_NOFOLLOW) < 0 || fchmodat(dir, name, n->mode, 0) < 0 ?
		       -errno : 0;
}

static int make(const struct host *h, const struct node *n)
{
	_cleanup_close_ int dir = -EBADF;
	_cleanup_free_ char *fresh = NULL;
	const char *name;
	int r = open_parent(h, n->path, &dir, &name);

	if (r < 0)
		return r;
	fresh = str_printf(".%s.new", name);
	if (!fresh)
		return -ENOMEM;
	(void)unlinkat(dir, fresh, 0); /* of somebody who was killed */
	r = h->ops->mknod_char(dir, fresh, 0600, makedev(n->major_no, n->minor_no));
	if (r < 0)
		return r;
	r = set_owner(dir, fresh, n);
	if (r == 0 && renameat(dir, fresh, dir, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir, fresh, 0);
	return r;
}

static bool is_right(const struct node *n, const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(n->major_no, n->minor_no);
}

int node_put(const struct host *h, const struct node *n)
{
	struct stat st;
	bool there = fstatat(h->live_fd, n->path + 1, &st, AT_SYMLINK_NOFOLLOW) == 0;
	bool right = there && is_right(n, &st);

	if (!n->modify && !right)
		return there ? -ENODEV : -ENOENT;
	if (!right)
		return make(h, n);
	if (!n->modify || ((st.st_mode & ALLPERMS) == n->mode && st.st_uid == n->uid && st.st_gid == n->gid))
		return 0;
	return set_owner(h->live_fd, n->path + 1, n);
}

int node_link(const struct host *h, const struct node *n)
{
	_cleanup_free_ char *path = str_printf("/dev/char/%u:%u", n->major_no, n->minor_no);
	_cleanup_free_ char *target = str_printf("../%s", n->path + strlen("/dev/"));
	_cleanup_close_ int dir = -EBADF;
	char have[PATH_MAX], fresh[32];
	const char *name;
	ssize_t len;
	int r;

	if (!path || !target)
		return -ENOMEM;
	r = open_parent(h, path, &dir, &name);
	if (r < 0)
		return r;
	len = readlinkat(dir, name, have, sizeof(have));
	if (len == (ssize_t)strlen(target) && memcmp(have, target, (size_t)len) == 0)
		return 0;
	snprintf(fresh, sizeof(fresh), ".%s.new", name);
	(void)unlinkat(dir, fresh, 0);
	if (symlinkat(target, dir, fresh) < 0)
		return -errno;
	if (renameat(dir, fresh, dir, name) == 0)
		return 0;
	r = -errno;
	(void)unlinkat(dir, fresh, 0);
	return r;
}

void node_remove(const struct host *h, const struct node *n)
{
	_cleanup_free_ char *link = str_printf("dev/char/%u:%u", n->major_no, n->minor_no);
	struct stat st;

	if (fstatat(h->live_fd, n->path + 1, &st, AT_SYMLINK_NOFOLLOW) < 0 || !is_right(n, &st))
		return;
	(void)unlinkat(h->live_fd, n->path + 1, 0);
	if (link)
		(void)unlinkat(h->live_fd, link, 0);
}
