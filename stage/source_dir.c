// SPDX-License-Identifier: Apache-2.0
/*
 * source_dir.c - what the sources that are a directory of bundles have in common, and the cache,
 * which is nothing but that. Layout: BASE/<release>/x.tar.zst and BASE/any/x.tar.zst.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include "limit.h"
#include "source.h"
#include "store.h"

/* Names go into reports as they are: one with blanks or bytes outside ASCII is no bundle's. */
static int is_bundle(const struct dirent *e)
{
	for (const char *p = e->d_name; *p; p++)
		if (*p <= 0x20 || *p > 0x7e)
			return 0;
	return e->d_name[0] != '.' && str_suffix(e->d_name, ".tar.zst");
}

static int list_one(struct source *s, const char *dir, const char *prefix)
{
	struct dirent **list = NULL;
	int n, r = 0;

	n = scandirat(s->base, dir, &list, is_bundle, alphasort);
	if (n < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		if (r == 0 && s->names.n <= LIMIT_CANDIDATES && str_prefix(list[i]->d_name, prefix, NULL))
			r = strv_addf(&s->names, "%s/%s", dir, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return r;
}

int source_dir_list(struct source *s, const char *prefix)
{
	int r = s->req->kind == KIND_MODULES ? list_one(s, s->req->kernel->release, prefix) : 0;

	return r < 0 ? r : list_one(s, "any", prefix);
}

int source_dir_next(struct source *s, struct reader **ret_reader, char **ret_origin, struct err *err)
{
	_cleanup_free_ char *origin = NULL;
	_cleanup_close_ int fd = -EBADF;
	const char *name;
	struct stat st;
	int r;

	if (s->at == s->names.n)
		return 0;
	name = s->names.v[s->at++];
	origin = str_printf("%s:%s/%s", s->ops->scheme, s->base_path, name);
	if (!origin)
		return err_sys(err, -ENOMEM, "%s", name);
	/* an image may link one bundle to several releases, but not out of its directory */
	fd = open_resolve(s->base, name, O_RDONLY | O_NONBLOCK, 0, RESOLVE_BENEATH);
	if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
		close(fd);
		fd = -EINVAL;
	}
	if (fd < 0) {
		r = err_sys(err, fd, "opening");
		*ret_origin = TAKE_PTR(origin);
		return r;
	}
	r = reader_new_fd(TAKE_FD(fd), ret_reader);
	if (r < 0)
		return err_sys(err, r, "%s", name);
	*ret_origin = TAKE_PTR(origin);
	return 1;
}

void source_dir_close(struct source *s)
{
	close_fdp(&s->base);
	free(s->base_path);
	strv_free(&s->names);
}

/* --- cache: --- */

static int cache_open(struct source *s, struct err *err)
{
	_cleanup_free_ char *prefix = NULL;
	int r;

	s->base = host_root_open(s->req->host, STORE_DIR, O_RDONLY | O_DIRECTORY);
	if (s->base < 0)
		return s->base == -ENOENT ? -ENOENT : err_sys(err, s->base, "%s", STORE_DIR);
	s->base_path = strdup(STORE_DIR);
	prefix = str_printf("%s-%s-", s->req->driver->name, manifest_kind_word(s->req->kind));
	r = s->base_path && prefix ? source_dir_list(s, prefix) : -ENOMEM;
	return r < 0 ? err_sys(err, r, "%s", STORE_DIR) : 0;
}

const struct source_ops source_cache = {
	.scheme = "cache", .open = cache_open, .next = source_dir_next, .close = source_dir_close
};
