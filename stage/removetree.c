// SPDX-License-Identifier: Apache-2.0
/*
 * removetree.c - see removetree.h. Interrupted, it leaves a smaller tree, which the next run removes.
 */
#include "removetree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "limit.h"

static void close_dirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int tree_names(int dirfd, struct strv *ret)
{
	_cleanup_(close_dirp) DIR *d = NULL;
	_cleanup_strv_ struct strv names = { 0 };
	const struct dirent *e;
	int r = dir_open_at(dirfd, ".", &d);

	if (r < 0)
		return r;
	for (errno = 0; (e = readdir(d)); errno = 0) {
		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		if (strv_add(&names, e->d_name) < 0)
			return -ENOMEM;
	}
	if (errno != 0)
		return -errno;
	if (names.n > 1)
		qsort(names.v, names.n, sizeof(*names.v), by_name);
	*ret = names;
	names = (struct strv){ 0 };
	return 0;
}

static int remove_below(int dirfd, const char *name, dev_t device, unsigned int depth)
{
	_cleanup_strv_ struct strv names = { 0 };
	_cleanup_close_ int fd = -EBADF;
	struct stat st;
	int r;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (depth == 0)
		return -ELOOP;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != device)
		return -EXDEV;
	r = tree_names(fd, &names);
	for (size_t i = 0; r == 0 && i < names.n; i++)
		r = remove_below(fd, names.v[i], device, depth - 1);
	return r == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 ? -errno : r;
}

int remove_tree(int dirfd, const char *name)
{
	struct stat st;

	if (fstat(dirfd, &st) < 0)
		return -errno;
	return remove_below(dirfd, name, st.st_dev, LIMIT_REMOVE_DEPTH);
}
