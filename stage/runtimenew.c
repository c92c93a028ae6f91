// SPDX-License-Identifier: Apache-2.0
/*
 * runtimenew.c - see runtimenew.h. Runs early in the real root. Power loss: the name of a tree stands for a
 * whole one, since all of it was on disk before the rename. A half made one is called .VERSION.part, which
 * nobody reads and the next run removes.
 */
#include "runtimenew.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "library.h"
#include "receive.h"
#include "removetree.h"
#include "store.h"

#define EXTENSION_DIR "usr/lib/extension-release.d"

static const char *const bases[] = { RUNTIME_DIR, RUNTIME_DIR_LIVE };

/* What interrupted runs left; nobody else is at work, the lock is ours. */
static void sweep(int dir)
{
	_cleanup_strv_ struct strv names = { 0 };

	if (tree_names(dir, &names) < 0)
		return;
	for (size_t i = 0; i < names.n; i++)
		if (names.v[i][0] == '.' && str_suffix(names.v[i], RUNTIME_PART))
			(void)remove_tree(dir, names.v[i]);
}

/* Is it memory, however it is called? Then there must be twice as much as the tree needs, as for modules. */
static int check_room(const struct runtime_new *n, const struct manifest *m, struct err *err)
{
	struct statfs s;
	int r = 0;

	if (fstatfs(n->dir, &s) < 0)
		return err_sys(err, -errno, "%s", n->dir_path);
	if (s.f_type == TMPFS_MAGIC || s.f_type == RAMFS_MAGIC)
		r = receive_check_memory(n->host, 2 * m->unpacked, err);
	return r < 0 ? r : store_check_space(n->dir, m->unpacked, n->dir_path, err);
}

/* -EROFS, -EACCES: not here, for one that can be written and whose programs can be run. */
static int open_place(const struct host *h, const char *path, int *ret)
{
	_cleanup_close_ int dir = -EBADF;
	struct statvfs v;
	int r = runtime_is_live(path) ? host_live_mkdir(h, path, &dir) : host_root_mkdir(h, path, &dir);

	if (r < 0)
		return r;
	if (fstatvfs(dir, &v) < 0)
		return -errno;
	if (v.f_flag & (ST_RDONLY | ST_NOEXEC))
		return v.f_flag & ST_RDONLY ? -EROFS : -EACCES;
	*ret = TAKE_FD(dir);
	return 0;
}

static int begin_in(struct runtime_new *n, const struct manifest *m, struct err *err)
{
	int r;

	r = n->lock = runtime_lock(n->dir);
	if (r < 0)
		return err_sys(err, r, "%s/" RUNTIME_LOCK, n->dir_path);
	sweep(n->dir);
	r = check_room(n, m, err);
	if (r == 0)
		r = mkdir_beneath(n->dir, n->part, 0755, &n->fd);
	n->unpacking.dirfd = n->fd;
	return r == -E_NO_SPACE || r == 0 ? r : err_sys(err, r, "%s/%s", n->dir_path, n->part);
}

int runtime_new_begin(const struct host *h, const struct manifest *m, struct runtime_new *ret, struct err *err)
{
	int r = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		struct runtime_new n = RUNTIME_NEW_NONE;

		n.host = h;
		n.dir_path = str_printf("%s/%s", bases[i], m->name);
		n.part = str_printf(".%s" RUNTIME_PART, m->version);
		r = n.dir_path && n.part ? open_place(h, n.dir_path, &n.dir) : -ENOMEM;
		r = r < 0 ? err_sys(err, r, "%s/%s", bases[i], m->name) : begin_in(&n, m, err);
		if (r == 0) {
			*ret = n;
			return 0;
		}
		runtime_new_done(&n);
		if (r != -EROFS && r != -EACCES && r != -EPERM)
			return r;
	}
	return r;
}

struct unpack_sink runtime_new_sink(struct runtime_new *n)
{
	return unpack_dir_sink(&n->unpacking);
}

void runtime_new_done(struct runtime_new *n)
{
	strv_free(&n->unpacking.dirs);
	if (n->fd >= 0)
		(void)remove_tree(n->dir, n->part);
	close_fdp(&n->fd);
	close_fdp(&n->lock);
	close_fdp(&n->dir);
	free(n->dir_path);
	free(n->part);
	*n = (struct runtime_new)RUNTIME_NEW_NONE;
}

/*
 * lib/libcuda.so.1 -> ../usr/lib64/libcuda.so.1: of whatever directory, all in one; the first of a name wins, of
 * those that programs of 64 bits can use.
 */
static int link_library(int fd, int lib, const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	_cleanup_close_ int file = -EBADF;
	_cleanup_free_ char *target = NULL;

	if (!str_prefix(path, "usr/lib", NULL) || !(strstr(name, ".so.") || str_suffix(name, ".so")))
		return 0;
	file = open_resolve(fd, path, O_RDONLY, 0, RESOLVE_BENEATH);
	if (library_kind(file) == LIBRARY_OTHER_WORD)
		return 0;
	target = str_printf("../%s", path);
	if (!target)
		return -ENOMEM;
	return symlinkat(target, lib, name) < 0 && errno != EEXIST ? -errno : 0;
}

/* What others know the tree by, and nothing of it leads out of it but lib/modules. */
static int add_layout(int fd, const struct manifest *m)
{
	_cleanup_close_ int lib = -EBADF;
	int r = mkdir_beneath(fd, "lib", 0755, &lib);

	for (size_t i = 0; r == 0 && i < m->n_files; i++)
		r = link_library(fd, lib, m->files[i].path);
	for (size_t i = 0; r == 0 && i < m->n_links; i++)
		r = link_library(fd, lib, m->links[i].path);
	if (r < 0)
		return r;
	if (symlinkat("usr/bin", fd, "bin") < 0 || symlinkat("lib", fd, "lib64") < 0 ||
	    symlinkat("/usr/lib/modules", lib, "modules") < 0)
		return -errno;
	return 0;
}

/* ID=_any: no system is too old or too new for it (os-release is not compared), since the driver's modules decide. */
static int add_extension(int fd, const struct manifest *m)
{
	_cleanup_free_ char *name = str_printf("extension-release." RUNTIME_EXTENSION "%s", m->name);
	static const char text[] = "ID=_any\n";
	_cleanup_close_ int dir = -EBADF;
	int r = name ? mkdir_beneath(fd, EXTENSION_DIR, 0755, &dir) : -ENOMEM;

	return r < 0 ? r : write_file_at(dir, name, text, strlen(text), 0644);
}

static int add_record(int fd, const struct bundle *b)
{
	size_t len;
	const void *header = bundle_header(b, &len);

	return write_file_at(fd, RUNTIME_RECORD, header, len, 0644);
}

/* The tree gets its name. One that has it steps aside, without a moment in which there is none. */
static int take_name(const struct runtime_new *n, const char *version)
{
	_cleanup_free_ char *old = str_printf(".%s" RUNTIME_OLD, version);

	if (!old)
		return -ENOMEM;
	if (renameat2(n->dir, n->part, n->dir, version, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EEXIST && errno != EINVAL)
		return -errno;
	(void)remove_tree(n->dir, old);
	if (renameat2(n->dir, n->part, n->dir, version, RENAME_EXCHANGE) == 0)
		return renameat(n->dir, n->part, n->dir, old) < 0 ? -errno : 0;
	/* a file system that cannot exchange; a power cut in between costs a tree, which is made again */
	if (renameat(n->dir, version, n->dir, old) < 0 && errno != ENOENT)
		return -errno;
	return renameat(n->dir, n->part, n->dir, version) < 0 ? -errno : 0;
}

int runtime_new_publish(struct runtime_new *n, const struct bundle *b, char **ret_path, struct err *err)
{
	const struct manifest *m = bundle_manifest(b);
	_cleanup_free_ char *path = str_printf("%s/%s", n->dir_path, m->version);
	int r = unpack_dir_finish(&n->unpacking, m, path ? 0 : -ENOMEM, err);

	if (r < 0)
		return path ? r : err_sys(err, r, "%s", n->dir_path);
	r = add_layout(n->fd, m);
	if (r == 0)
		r = add_extension(n->fd, m);
	if (r == 0)
		r = add_record(n->fd, b);
	if (r == 0 && syncfs(n->fd) < 0)
		r = -errno;
	if (r == 0)
		r = take_name(n, m->version);
	if (r == 0)
		close_fdp(&n->fd); /* it is not ours to remove any more */
	if (r == 0 && fsync(n->dir) < 0)
		r = -errno;
	if (r == -ENOSPC || r == -EDQUOT)
		return err_set(err, -E_NO_SPACE, "%s: %s", path, strerror(-r));
	if (r < 0)
		return err_sys(err, r, "%s", path);
	*ret_path = TAKE_PTR(path);
	return 0;
}
