// SPDX-License-Identifier: Apache-2.0
/*
 * store.c - writing the cache. Runs while a bundle from elsewhere is unpacked and gets the same
 * bytes. Power loss: before the rename there is a ".NAME.part", whose chunks the next copy of the
 * same bundle takes where their hashes hold; after it the file is complete, since it was fsynced
 * first.
 */
#include "store.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "limit.h"
#include "lock.h"
#include "log.h"

struct store_copy {
	struct rootfs_writable writable;
	int dirfd, fd;
	char *dir, *name, *part;
	uint64_t header, written;
	int failed;
};

void store_abandon(struct store_copy *c)
{
	if (!c)
		return;
	close_fdp(&c->fd);
	if (c->part && c->dirfd >= 0)
		(void)unlinkat(c->dirfd, c->part, 0);
	close_fdp(&c->dirfd);
	if (c->writable.host && rootfs_writable_end(&c->writable) < 0)
		log_warning("%s could not be made read-only again", c->writable.host->root_path);
	free(c->dir);
	free(c->name);
	free(c->part);
	free(c);
}

void store_suspend(struct store_copy *c)
{
	if (c && c->written > c->header) /* a header alone is no help */
		free(TAKE_PTR(c->part));
	store_abandon(c);
}

static void store_abandonp(struct store_copy **c)
{
	store_abandon(*c);
}

static uint64_t bundle_size(const struct bundle *b)
{
	const struct manifest *m = bundle_manifest(b);
	size_t header;
	uint64_t size;

	(void)bundle_header(b, &header);
	size = header;
	for (size_t i = 0; i < m->n_chunks; i++)
		size += m->chunks[i].stored;
	return size;
}

/*
 * The file that becomes the bundle, ours alone. What it holds already stays: the copy overwrites it
 * with the same bytes, or with better ones.
 */
static int open_part(struct store_copy *c)
{
	for (;;) {
		_cleanup_close_ int fd = open_resolve(c->dirfd, c->part, O_RDWR | O_CREAT | O_NOFOLLOW, 0644,
						      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
		struct stat ours, named;
		int r = fd < 0 ? fd : lock_file(fd);

		if (r < 0)
			return r;
		if (fstat(fd, &ours) < 0)
			return -errno;
		if (!S_ISREG(ours.st_mode))
			return -EINVAL;
		/* who had it may have given it its name, or removed it, before we had the lock */
		if (fstatat(c->dirfd, c->part, &named, AT_SYMLINK_NOFOLLOW) < 0 || named.st_ino != ours.st_ino)
			continue;
		return TAKE_FD(fd);
	}
}

/*
 * What transfers of other bundles of this driver left behind: the server has a newer one now. So one
 * such file at most stays for each driver, kind and release.
 */
static void remove_other_parts(const struct store_copy *c)
{
	size_t len = strlen(c->part), prefix = len - strlen(".tar.zst.part") - 2 * SHA256_BYTES;
	_cleanup_close_ int fd = openat(c->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!dir)
		return;
	(void)TAKE_FD(fd);
	while ((e = readdir(dir))) {
		_cleanup_close_ int other = -EBADF;

		if (strlen(e->d_name) != len || strncmp(e->d_name, c->part, prefix) != 0 ||
		    !str_suffix(e->d_name, ".tar.zst.part") || streq(e->d_name, c->part))
			continue;
		other = openat(c->dirfd, e->d_name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (other >= 0 && lock_file(other) == 0)
			(void)unlinkat(c->dirfd, e->d_name, 0);
	}
	closedir(dir);
}

static int check_space(int dirfd, uint64_t size, struct err *err)
{
	struct statvfs v;
	uint64_t available, reserve;

	if (fstatvfs(dirfd, &v) < 0)
		return err_sys(err, -errno, "cache");
	available = (uint64_t)v.f_bavail * v.f_frsize;
	reserve = (uint64_t)v.f_blocks * v.f_frsize / 100 * CACHE_RESERVE_PERCENT;
	/* the fixed part is for real disks; it must not make a small one useless */
	if (reserve < CACHE_RESERVE_BYTES)
		reserve = MIN((uint64_t)CACHE_RESERVE_BYTES, (uint64_t)v.f_blocks * v.f_frsize / 4);
	if (available < size + reserve)
		return err_set(err, -E_NO_SPACE, "cache: %llu MiB free, %llu MiB and a reserve of %llu MiB needed",
			       (unsigned long long)(available >> 20), (unsigned long long)(size >> 20) + 1,
			       (unsigned long long)(reserve >> 20));
	return 0;
}

int store_begin(const struct host *h, const struct bundle *b, bool replace, struct store_copy **ret, struct err *err)
{
	_cleanup_(store_abandonp) struct store_copy *c = calloc(1, sizeof(*c));
	const struct manifest *m = bundle_manifest(b);
	const void *header;
	struct stat st;
	uint64_t size;
	size_t len;
	int r;

	if (!c)
		return err_sys(err, -ENOMEM, "cache");
	c->dirfd = c->fd = -EBADF;
	c->dir = str_printf("%s/%s", STORE_DIR, m->kind == KIND_MODULES ? m->kernel.release : "any");
	c->name = str_printf("%s-%s-%s.tar.zst", m->name, manifest_kind_word(m->kind), m->digest);
	if (!c->dir || !c->name)
		return err_sys(err, -ENOMEM, "cache");
	if (rootfs_is_hidden(h, STORE_DIR))
		return err_set(err, -E_CACHE_UNREACHABLE, "%s is on a file system that is not mounted yet", STORE_DIR);
	if (!replace) {
		_cleanup_free_ char *path = str_printf("%s/%s", c->dir, c->name);
		_cleanup_close_ int have = path ? host_root_open(h, path, O_PATH) : -ENOMEM;

		if (have >= 0 && fstat(have, &st) == 0 && (uint64_t)st.st_size == bundle_size(b)) {
			*ret = NULL;
			return 0;
		}
	}
	r = rootfs_writable_begin(h, &c->writable);
	if (r < 0)
		return err_sys(err, r, "cache: %s is read-only", h->root_path);
	r = mkdir_beneath(h->root_fd, c->dir, 0755, &c->dirfd);
	if (r < 0)
		return err_sys(err, r, "%s", c->dir);
	c->part = str_printf(".%s.part", c->name);
	if (!c->part)
		return err_sys(err, -ENOMEM, "cache");
	c->fd = open_part(c);
	if (c->fd < 0) {
		free(TAKE_PTR(c->part)); /* not ours to remove */
		return c->fd == -EBUSY ? err_set(err, c->fd, "cache: another process is writing %s/%s", c->dir, c->name) :
					 err_sys(err, c->fd, "%s/.%s.part", c->dir, c->name);
	}
	remove_other_parts(c);
	if (fstat(c->fd, &st) < 0)
		return err_sys(err, -errno, "cache");
	size = bundle_size(b);
	r = check_space(c->dirfd, size - MIN(size, (uint64_t)st.st_blocks * 512), err);
	if (r < 0)
		return r;
	header = bundle_header(b, &len);
	(void)store_append(c, header, len);
	c->header = len;
	*ret = TAKE_PTR(c);
	return 0;
}

int store_partial(const struct store_copy *copy)
{
	return copy->fd;
}

int store_append(void *copy, const void *bytes, size_t len)
{
	struct store_copy *c = copy;

	if (c->failed == 0)
		c->failed = write_full(c->fd, bytes, len);
	if (c->failed == 0)
		c->written += len;
	return c->failed;
}

int store_publish(struct store_copy *copy, char **ret_path, struct err *err)
{
	_cleanup_(store_abandonp) struct store_copy *c = copy;
	_cleanup_free_ char *path = str_printf("%s/%s", c->dir, c->name);
	int r = c->failed;

	if (!path)
		return err_sys(err, -ENOMEM, "cache");
	if (r == 0 && ftruncate(c->fd, (off_t)c->written) < 0)
		r = -errno;
	if (r == 0 && fsync(c->fd) < 0)
		r = -errno;
	if (r == 0 && renameat(c->dirfd, c->part, c->dirfd, c->name) < 0)
		r = -errno;
	if (r == 0) {
		free(TAKE_PTR(c->part)); /* it has its name now */
		if (fsync(c->dirfd) < 0)
			r = -errno;
	}
	if (r == -ENOSPC || r == -EDQUOT)
		return err_set(err, -E_NO_SPACE, "cache: writing %s: %s", path, strerror(-r));
	if (r < 0)
		return err_sys(err, r, "cache: writing %s", path);
	close_fdp(&c->fd);
	close_fdp(&c->dirfd);
	r = rootfs_writable_end(&c->writable);
	if (r < 0)
		return err_sys(err, r, "cache: %s could not be made read-only again", c->writable.host->root_path);
	*ret_path = TAKE_PTR(path);
	return 0;
}
