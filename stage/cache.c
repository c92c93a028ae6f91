// SPDX-License-Identifier: Apache-2.0
/*
 * cache.c - the cache as a whole. Reads only; a power cut finds nothing half done.
 */
#include "cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include "installed.h"
#include "limit.h"

/* --- what is there --- */

void cache_list_free(struct cache_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].folder);
		free(l->v[i].file);
	}
	free(l->v);
	free(l->shown);
	*l = (struct cache_list){ 0 };
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_folder(const struct dirent *e)
{
	return installed_is_release(e->d_name);
}

static int is_file(const struct dirent *e)
{
	struct store_name name;

	return e->d_name[0] != '.' && store_parse_name(e->d_name, &name);
}

static void free_entries(struct dirent **list, int n)
{
	for (int i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

static int add_file(struct cache_list *l, const char *folder, int dirfd, const char *file)
{
	struct cache_file *v, *f;
	struct stat st;

	/* one that is gone by now, and what is no file */
	if (fstatat(dirfd, file, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0;
	if (l->n == LIMIT_CACHE_FILES)
		return -EOVERFLOW;
	v = reallocarray(l->v, l->n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	l->v = v;
	f = &v[l->n++];
	*f = (struct cache_file){ .folder = strdup(folder), .file = strdup(file), .size_bytes = (uint64_t)st.st_size,
				  .changed = st.st_mtim.tv_sec };
	return f->folder && f->file && store_parse_name(file, &f->name) ? 0 : -ENOMEM;
}

static int read_folder(struct cache_list *l, int base, const char *folder)
{
	_cleanup_close_ int fd = open_resolve(base, folder, O_RDONLY | O_DIRECTORY, 0,
					      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	struct dirent **list = NULL;
	int n = fd < 0 ? 0 : scandirat(fd, ".", &list, is_file, by_name), r = 0;

	if (n < 0)
		return -errno;
	for (int i = 0; r == 0 && i < n; i++)
		r = add_file(l, folder, fd, list[i]->d_name);
	free_entries(list, n);
	return r;
}

static size_t count_files(int base, const char *folder)
{
	_cleanup_close_ int fd = open_resolve(base, folder, O_RDONLY | O_DIRECTORY, 0,
					      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	struct dirent **list = NULL;
	int n = fd < 0 ? 0 : scandirat(fd, ".", &list, is_file, NULL);

	free_entries(list, n);
	return n < 0 ? 0 : (size_t)n;
}

int cache_read(const struct host *h, const char *where, struct cache_list *ret, struct err *err)
{
	_cleanup_rootfs_dir_ struct rootfs_dir dir = ROOTFS_DIR_NONE;
	_cleanup_cache_list_ struct cache_list l = { 0 };
	_cleanup_close_ int base = -EBADF;
	struct dirent **list = NULL;
	int n = 0, r = store_find(h, where, &dir, err);

	if (r < 0)
		return r;
	l.shown = strdup(dir.shown);
	base = rootfs_dir_open(&dir, "", O_RDONLY | O_DIRECTORY);
	if (!l.shown || (base < 0 && base != -ENOENT))
		return err_sys(err, l.shown ? base : -ENOMEM, "%s", dir.shown);
	if (base >= 0)
		n = scandirat(base, ".", &list, is_folder, by_name);
	if (n < 0)
		return err_sys(err, -errno, "%s", dir.shown);
	for (int i = 0; r == 0 && i < n; i++)
		r = read_folder(&l, base, list[i]->d_name);
	free_entries(list, n);
	if (r == 0 && base >= 0)
		l.quarantined = count_files(base, STORE_QUARANTINE);
	if (r == -EOVERFLOW)
		return err_set(err, r, "%s: more than %u files", dir.shown, LIMIT_CACHE_FILES);
	if (r < 0)
		return err_sys(err, r, "%s", dir.shown);
	*ret = l;
	l = (struct cache_list){ 0 };
	return 0;
}

/* --- one bundle --- */

/* Does the manifest, which is the one that the name tells, belong at this place? */
static int check_place(const struct cache_file *f, const struct bundle *b, struct err *err)
{
	const struct manifest *m = bundle_manifest(b);
	_cleanup_free_ char *folder = store_folder(m), *file = store_file(m);

	if (!folder || !file)
		return err_sys(err, -ENOMEM, "%s", f->file);
	if (!streq(folder, f->folder) || !streq(file, f->file))
		return err_set(err, -E_CORRUPT, "it is %s/%s by what it holds", folder, file);
	if (store_size(b) != f->size_bytes)
		return err_set(err, -E_CORRUPT, "it has %llu bytes; its manifest tells of %llu",
			       (unsigned long long)f->size_bytes, (unsigned long long)store_size(b));
	return 0;
}

int cache_open_bundle(const struct host *h, const char *where, const struct cache_file *f, const struct keyring *ring,
		      struct bundle **ret, struct err *err)
{
	_cleanup_rootfs_dir_ struct rootfs_dir dir = ROOTFS_DIR_NONE;
	_cleanup_free_ char *below = str_printf("%s/%s", f->folder, f->file);
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_close_ int fd = -EBADF;
	struct reader *reader;
	int r = store_find(h, where, &dir, err);

	if (r < 0)
		return r;
	if (!below)
		return err_sys(err, -ENOMEM, "%s", f->file);
	fd = rootfs_dir_open(&dir, below, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return err_sys(err, fd, "opening");
	r = store_check_name(fd, f->file, err);
	if (r < 0)
		return r;
	r = reader_new_fd(TAKE_FD(fd), &reader);
	if (r < 0)
		return err_sys(err, r, "%s", f->file);
	r = bundle_open(reader, ring, &b, err);
	if (r == 0)
		r = check_place(f, b, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(b);
	return 0;
}

int cache_check_serial(const struct host *h, const char *where, const struct manifest *m, const struct keyring *ring,
		       struct err *err)
{
	_cleanup_cache_list_ struct cache_list l = { 0 };
	_cleanup_free_ char *folder = store_folder(m);
	struct err unsaid;

	if (!folder)
		return err_sys(err, -ENOMEM, "cache");
	if (cache_read(h, where, &l, &unsaid) < 0)
		return 0;
	for (size_t i = 0; i < l.n; i++) {
		_cleanup_bundle_ struct bundle *b = NULL;
		const struct manifest *have;

		if (!streq(l.v[i].folder, folder) || !streq(l.v[i].name.name, m->name) || l.v[i].name.kind != m->kind ||
		    streq(l.v[i].name.digest, m->digest) || cache_open_bundle(h, where, &l.v[i], ring, &b, &unsaid) < 0)
			continue;
		have = bundle_manifest(b);
		if (have->serial == m->serial && streq(have->flavor, m->flavor) && streq(have->version, m->version))
			return err_set(err, -E_EQUIVOCATION, "has serial %llu as %s/%s, and differs",
				       (unsigned long long)m->serial, folder, l.v[i].file);
	}
	return 0;
}

/* --- removing --- */

static int remove_files(const struct rootfs_dir *dir, const struct cache_list *l, const bool *surplus, struct err *err)
{
	for (size_t i = 0; i < l->n; i++) {
		_cleanup_close_ int folder = -EBADF;

		if (!surplus[i])
			continue;
		folder = rootfs_dir_open(dir, l->v[i].folder, O_RDONLY | O_DIRECTORY);
		if (folder < 0)
			return err_sys(err, folder, "%s/%s", dir->shown, l->v[i].folder);
		if ((unlinkat(folder, l->v[i].file, 0) < 0 && errno != ENOENT) || fsync(folder) < 0)
			return err_sys(err, -errno, "%s/%s/%s", dir->shown, l->v[i].folder, l->v[i].file);
	}
	return 0;
}

int cache_remove(const struct host *h, const char *where, const struct cache_list *l, const bool *surplus,
		 struct err *err)
{
	_cleanup_rootfs_dir_ struct rootfs_dir dir = ROOTFS_DIR_NONE;
	_cleanup_close_ int base = -EBADF;
	struct dirent **list = NULL;
	int n, r = store_find(h, where, &dir, err);

	if (r < 0)
		return r;
	base = rootfs_dir_open(&dir, "", O_RDONLY | O_DIRECTORY);
	if (base < 0)
		return base == -ENOENT ? 0 : err_sys(err, base, "%s", dir.shown);
	r = rootfs_dir_writable(&dir, err);
	if (r == 0)
		r = remove_files(&dir, l, surplus, err);
	n = r < 0 ? 0 : scandirat(base, ".", &list, is_folder, by_name);
	for (int i = 0; i < n; i++) {
		_cleanup_close_ int folder = rootfs_dir_open(&dir, list[i]->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

		if (folder >= 0)
			store_sweep(folder);
		(void)unlinkat(base, list[i]->d_name, AT_REMOVEDIR); /* when it is empty */
	}
	free_entries(list, n);
	if (r == 0 && fsync(base) < 0)
		r = err_sys(err, -errno, "%s", dir.shown);
	return r;
}
