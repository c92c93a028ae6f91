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
#include "privatemount.h"
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
	/* a link out of the place leads nowhere: EXDEV */
	_cleanup_close_ int fd = open_resolve(s->base, dir, O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH);
	struct dirent **list = NULL;
	struct store_name name;
	int n, r = 0;

	n = fd < 0 ? fd : scandirat(fd, ".", &list, is_bundle, alphasort);
	if (n < 0) {
		r = fd < 0 ? fd : -errno;
		return r == -ENOENT || r == -ENOTDIR || r == -EXDEV ? 0 : r;
	}
	for (int i = 0; i < n; i++) {
		const char *file = list[i]->d_name;
		/* the whole name, since one driver's may be the beginning of another's */
		bool wanted = !prefix || (str_prefix(file, prefix, NULL) && store_parse_name(file, &name) &&
					  strlen(prefix) == strlen(file) - strlen(".tar.zst") - strlen(name.digest));

		if (r == 0 && wanted && s->names.n <= LIMIT_CANDIDATES)
			r = strv_addf(&s->names, "%s/%s", dir, file);
		free(list[i]);
	}
	free(list);
	return r;
}

int source_dir_list(struct source *s, const char *prefix)
{
	int r = s->req->kind == KIND_MODULES ? list_one(s, s->req->kernel->release, prefix) : 0;

	return r < 0 ? r : list_one(s, STORE_ANY, prefix);
}

int source_dir_open(struct source *s, int fd, const char *shown, struct err *err)
{
	int r;

	s->base = fd;
	if (fd < 0)
		return fd == -ENOENT ? fd : err_sys(err, fd, "%s", shown);
	s->base_path = strdup(shown);
	r = s->base_path ? source_dir_list(s, NULL) : -ENOMEM;
	return r < 0 ? err_sys(err, r, "%s", shown) : 0;
}

int source_dir_open_below(struct source *s, int top, const char *shown, const char *below, struct err *err)
{
	_cleanup_free_ char *path = str_printf("%s%s", shown, below);

	if (!path)
		return err_sys(err, -ENOMEM, "%s", shown);
	return source_dir_open(s, open_resolve(top, below, O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH), path, err);
}

int source_dir_open_on(struct source *s, const char *device, const char *shown, const char *below, struct err *err)
{
	_cleanup_free_ char *top = str_printf("%s:%s", device, shown);
	struct private_mount m;
	int r;

	if (!top)
		return err_sys(err, -ENOMEM, "%s", device);
	r = private_mount_open(device, PRIVATE_LOOK, &m, err);
	if (r == -EMEDIUMTYPE)
		r = err->code = -E_NO_BUNDLE;
	if (r < 0)
		return r;
	r = source_dir_open_below(s, m.top, top, below, err);
	private_mount_close(&m); /* s->base keeps it mounted */
	return r;
}

static int next(struct source *s, bool named_by_digest, struct reader **ret_reader, char **ret_origin, struct err *err)
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
	r = fd < 0 ? err_sys(err, fd, "opening") : 0;
	if (r == 0 && named_by_digest)
		r = store_check_name(fd, strrchr(name, '/') + 1, err);
	if (r < 0) {
		*ret_origin = TAKE_PTR(origin);
		return r;
	}
	r = reader_new_fd(TAKE_FD(fd), ret_reader);
	if (r < 0)
		return err_sys(err, r, "%s", name);
	*ret_origin = TAKE_PTR(origin);
	return 1;
}

int source_dir_next(struct source *s, struct reader **ret_reader, char **ret_origin, struct err *err)
{
	return next(s, false, ret_reader, ret_origin, err);
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
	_cleanup_rootfs_dir_ struct rootfs_dir dir = ROOTFS_DIR_NONE;
	_cleanup_free_ char *prefix = NULL;
	int r = store_find(s->req->host, s->req->config->cache, &dir, err);

	if (r < 0)
		return r;
	s->base = rootfs_dir_open(&dir, "", O_RDONLY | O_DIRECTORY);
	if (s->base < 0)
		return s->base == -ENOENT ? -ENOENT : err_sys(err, s->base, "%s", dir.shown);
	s->base_path = strdup(dir.shown);
	prefix = str_printf("%s-%s-", s->req->driver->name, manifest_kind_word(s->req->kind));
	r = s->base_path && prefix ? source_dir_list(s, prefix) : -ENOMEM;
	return r < 0 ? err_sys(err, r, "%s", dir.shown) : 0;
}

/* A file that is not what its name tells was damaged, or is not ours. */
static int cache_next(struct source *s, struct reader **ret_reader, char **ret_origin, struct err *err)
{
	return next(s, true, ret_reader, ret_origin, err);
}

/* "cache:/var/lib/modulus/bundles/REL/FILE": the two last parts, in a copy that is cut for that. */
static bool cut_origin(char *origin, const char **ret_folder, const char **ret_file)
{
	char *file = strrchr(origin, '/'), *folder;

	if (!str_prefix(origin, source_cache.scheme, NULL) || !file)
		return false;
	*file = '\0';
	folder = strrchr(origin, '/');
	if (!folder)
		return false;
	*ret_folder = folder + 1;
	*ret_file = file + 1;
	return true;
}

int source_quarantine(const struct host *h, const struct config *c, const struct rejections *rejected, size_t from,
		      struct strv *said)
{
	int r = 0;

	for (size_t i = from; r == 0 && i < rejected->n; i++) {
		_cleanup_free_ char *origin = strdup(rejected->v[i].origin);
		const char *folder, *file;
		struct err why;
		int q;

		if (!origin)
			return -ENOMEM;
		if (rejected->v[i].why.code != -E_CORRUPT || !cut_origin(origin, &folder, &file))
			continue;
		q = store_quarantine(h, c->cache, folder, file, &why);
		if (q == 0)
			r = strv_addf(said, "%s: %s; moved to quarantine", rejected->v[i].origin, rejected->v[i].why.text);
		else if (q != -ENOENT)
			r = strv_addf(said, "%s", why.text);
	}
	return r;
}

const struct source_ops source_cache = {
	.scheme = "cache", .open = cache_open, .next = cache_next, .close = source_dir_close
};
