// SPDX-License-Identifier: Apache-2.0
/*
 * sweep.c - see sweep.h. Runs on a running host. Power loss: each name is gone for good before the next one goes.
 */
#include "sweep.h"

#include <fcntl.h>

#include "removetree.h"

static int cannot(const struct sweep *s, const char *path, int r)
{
	return r == -ENOMEM ? r : strv_addf(s->failed, "%s: %s", path, strerror(-r));
}

static int remove_name(const struct sweep *s, int dir, const char *where, const char *entry)
{
	_cleanup_free_ char *path = str_printf("%s/%s", where, entry);

	if (!path)
		return -ENOMEM;
	/* EINVAL: a file system that knows no fsync of a directory */
	if (!s->dry && (unlinkat(dir, entry, 0) < 0 || (fsync(dir) < 0 && errno != EINVAL)))
		return cannot(s, path, -errno);
	return strv_add(s->removed, path);
}

int sweep_dir(const struct sweep *s, const char *where, bool live, sweep_is_ours_fn is_ours)
{
	_cleanup_close_ int dir = -EBADF;
	_cleanup_strv_ struct strv names = { 0 };
	int r;

	if (live && !host_root_is_live(s->host))
		return 0;
	dir = live ? host_live_open(s->host, where, O_RDONLY | O_DIRECTORY) :
		     host_root_open(s->host, where, O_RDONLY | O_DIRECTORY);
	r = dir < 0 ? dir : tree_names(dir, &names);
	if (r < 0)
		return r == -ENOENT ? 0 : cannot(s, where, r);
	for (size_t i = 0; r == 0 && i < names.n; i++)
		if (is_ours(s->ctx, dir, where, names.v[i]))
			r = remove_name(s, dir, where, names.v[i]);
	return r;
}
