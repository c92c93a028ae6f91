// SPDX-License-Identifier: Apache-2.0
/*
 * store.c - writing the cache. Runs while a bundle from elsewhere is unpacked and gets the same
 * bytes. Power loss: before the rename there is a ".NAME.part", whose chunks the next copy of the
 * same bundle takes where their hashes hold; after it the file is complete, since it was fsynced
 * first.
 */
#include "store.h"

#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "limit.h"
#include "lock.h"
#include "log.h"

#define SUFFIX ".tar.zst"

struct store_copy {
	struct rootfs_dir dir;
	int dirfd, fd;
	char *folder, *name, *part;
	uint64_t header, written;
	int failed;
};

int store_find(const struct host *h, const char *where, struct rootfs_dir *ret, struct err *err)
{
	if (where && (*where != '/' || str_prefix(where, "/dev/", NULL)))
		return rootfs_dir_find_on(h, where, STORE_DIR_ON_PARTITION, ret, err);
	return rootfs_dir_find(h, where ? where : STORE_DIR, ret, err);
}

/* --- names --- */

char *store_folder(const struct manifest *m)
{
	return strdup(m->kind == KIND_MODULES ? m->kernel.release : STORE_ANY);
}

char *store_file(const struct manifest *m)
{
	return str_printf("%s-%s-%s" SUFFIX, m->name, manifest_kind_word(m->kind), m->digest);
}

bool store_parse_name(const char *file, struct store_name *ret)
{
	static const enum bundle_kind kinds[] = { KIND_MODULES, KIND_FIRMWARE, KIND_RUNTIME };
	size_t n = strlen(file), hex = sizeof(ret->digest) - 1, tail = 1 + hex + strlen(SUFFIX);
	uint8_t digest[SHA256_BYTES];

	if (n <= tail || !str_suffix(file, SUFFIX) || file[n - tail] != '-')
		return false;
	memcpy(ret->digest, file + n - tail + 1, hex);
	ret->digest[hex] = '\0';
	if (hex_decode(ret->digest, digest, sizeof(digest)) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const char *word = manifest_kind_word(kinds[i]);
		size_t name = n - tail - strlen(word) - 1;

		if (n - tail < strlen(word) + 2 || name > LIMIT_NAME_BYTES || file[name] != '-' ||
		    strncmp(file + name + 1, word, strlen(word)) != 0 ||
		    strspn(file, "abcdefghijklmnopqrstuvwxyz0123456789-_") < name) /* docs/bundle.md, 3: "name" */
			continue;
		memcpy(ret->name, file, name);
		ret->name[name] = '\0';
		ret->kind = kinds[i];
		return true;
	}
	return false;
}

/* SHA-256 of len bytes that follow. */
static int hash_next(int fd, size_t len, uint8_t ret[SHA256_BYTES])
{
	_cleanup_bytes_ uint8_t *bytes = malloc(len + 1);
	size_t done = 0;

	if (!bytes)
		return -ENOMEM;
	while (done < len) {
		ssize_t n = read(fd, bytes + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -E_CORRUPT;
		done += (size_t)n;
	}
	return EVP_Digest(bytes, len, ret, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

int store_check_name(int fd, const char *file, struct err *err)
{
	uint8_t wanted[SHA256_BYTES], found[SHA256_BYTES];
	struct store_name name;
	uint32_t head[2];
	ssize_t n = read(fd, head, sizeof(head));
	int r = n < 0 ? -errno : 0;

	if (r == 0 && (n != (ssize_t)sizeof(head) || le32toh(head[0]) != BUNDLE_MAGIC_MANIFEST ||
		       le32toh(head[1]) > LIMIT_MANIFEST_BYTES))
		return err_set(err, -E_CORRUPT, "not a bundle");
	if (r == 0)
		r = hash_next(fd, le32toh(head[1]), found);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r < 0 && r != -E_CORRUPT)
		return err_sys(err, r, "reading");
	if (r < 0 || !store_parse_name(file, &name) || hex_decode(name.digest, wanted, sizeof(wanted)) < 0 ||
	    memcmp(found, wanted, sizeof(wanted)) != 0)
		return err_set(err, -E_CORRUPT, "its manifest is not the one that its name tells");
	return 0;
}

/* --- writing --- */

void store_abandon(struct store_copy *c)
{
	if (!c)
		return;
	if (c->part && c->fd >= 0) /* it is ours */
		(void)unlinkat(c->dirfd, c->part, 0);
	close_fdp(&c->fd);
	close_fdp(&c->dirfd);
	rootfs_dir_done(&c->dir);
	free(c->folder);
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

uint64_t store_size(const struct bundle *b)
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
 * Opens a ".part" and makes it this process' own. What it holds already stays: a copy overwrites it
 * with the same bytes, or with better ones.
 */
static int own_part(int dirfd, const char *part, int flags)
{
	for (;;) {
		_cleanup_close_ int fd = open_resolve(dirfd, part, O_RDWR | O_NOFOLLOW | O_NONBLOCK | flags, 0644,
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
		if (fstatat(dirfd, part, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_ino == ours.st_ino)
			return TAKE_FD(fd);
		if (!(flags & O_CREAT))
			return -ENOENT;
	}
}

/* Unless it is being written, or is none. */
static void remove_part(int dirfd, const char *name)
{
	_cleanup_close_ int part = -EBADF;

	if (name[0] != '.' || !str_suffix(name, SUFFIX ".part"))
		return;
	part = own_part(dirfd, name, 0);
	if (part >= 0)
		(void)unlinkat(dirfd, name, 0);
}

/*
 * What transfers of other bundles of this driver left behind: the server has a newer one now. So one
 * such file at most stays for each driver, kind and release.
 */
static void remove_other_parts(const struct store_copy *c)
{
	size_t len = strlen(c->part), prefix = len - strlen(".tar.zst.part") - 2 * SHA256_BYTES;
	struct dirent *e;
	DIR *dir;

	if (dir_open_at(c->dirfd, ".", &dir) < 0)
		return;
	while ((e = readdir(dir))) {
		if (strlen(e->d_name) == len && strncmp(e->d_name, c->part, prefix) == 0 && !streq(e->d_name, c->part))
			remove_part(c->dirfd, e->d_name);
	}
	closedir(dir);
}

int store_check_space(int dirfd, uint64_t size, const char *what, struct err *err)
{
	struct statvfs v;
	uint64_t available, reserve;

	if (fstatvfs(dirfd, &v) < 0)
		return err_sys(err, -errno, "%s", what);
	available = (uint64_t)v.f_bavail * v.f_frsize;
	reserve = (uint64_t)v.f_blocks * v.f_frsize / 100 * CACHE_RESERVE_PERCENT;
	/* the fixed part is for real disks; it must not make a small one useless */
	if (reserve < CACHE_RESERVE_BYTES)
		reserve = MIN((uint64_t)CACHE_RESERVE_BYTES, (uint64_t)v.f_blocks * v.f_frsize / 4);
	if (available < size + reserve)
		return err_set(err, -E_NO_SPACE, "%s: %llu MiB free, %llu MiB and a reserve of %llu MiB needed",
			       what, (unsigned long long)(available >> 20), (unsigned long long)(size >> 20) + 1,
			       (unsigned long long)(reserve >> 20));
	return 0;
}

void store_sweep(int dirfd)
{
	const struct dirent *e;
	DIR *dir;

	if (dir_open_at(dirfd, ".", &dir) < 0)
		return;
	while ((e = readdir(dir)))
		remove_part(dirfd, e->d_name);
	closedir(dir);
}

static bool is_there(const struct store_copy *c, const struct bundle *b)
{
	_cleanup_free_ char *below = str_printf("%s/%s", c->folder, c->name);
	_cleanup_close_ int fd = below ? rootfs_dir_open(&c->dir, below, O_PATH) : -ENOMEM;
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == store_size(b);
}

int store_begin(const struct host *h, const char *where, const struct bundle *b, bool replace, struct store_copy **ret,
		struct err *err)
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
	c->dir = (struct rootfs_dir)ROOTFS_DIR_NONE;
	c->folder = store_folder(m);
	c->name = store_file(m);
	c->part = c->name ? str_printf(".%s.part", c->name) : NULL;
	if (!c->folder || !c->part)
		return err_sys(err, -ENOMEM, "cache");
	r = store_find(h, where, &c->dir, err);
	if (r < 0)
		return r;
	if (!replace && is_there(c, b)) {
		*ret = NULL;
		return 0;
	}
	r = rootfs_dir_writable(&c->dir, err);
	if (r < 0)
		return r;
	r = rootfs_dir_make(&c->dir, c->folder, &c->dirfd);
	if (r < 0)
		return err_sys(err, r, "%s/%s", c->dir.shown, c->folder);
	c->fd = own_part(c->dirfd, c->part, O_CREAT);
	if (c->fd == -EBUSY)
		return err_set(err, c->fd, "cache: another process is writing %s/%s/%s", c->dir.shown, c->folder, c->name);
	if (c->fd < 0)
		return err_sys(err, c->fd, "%s/%s/%s", c->dir.shown, c->folder, c->part);
	remove_other_parts(c);
	if (fstat(c->fd, &st) < 0)
		return err_sys(err, -errno, "cache");
	size = store_size(b);
	r = store_check_space(c->dirfd, size - MIN(size, (uint64_t)st.st_blocks * 512), "cache", err);
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
	_cleanup_free_ char *path = str_printf("%s/%s/%s", c->dir.shown, c->folder, c->name);
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
	r = rootfs_dir_release(&c->dir);
	if (r < 0)
		return err_sys(err, r, "cache: its file system could not be made read-only again");
	*ret_path = TAKE_PTR(path);
	return 0;
}

/* --- what is damaged --- */

struct kept {
	char *name;
	uint64_t size;
	struct timespec since;
};

static int latest_first(const void *a, const void *b)
{
	const struct timespec *x = &((const struct kept *)a)->since, *y = &((const struct kept *)b)->since;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec > y->tv_sec ? -1 : 1;
	return x->tv_nsec > y->tv_nsec ? -1 : x->tv_nsec < y->tv_nsec;
}

/* Removes the oldest until what is left is within the bounds. */
static void trim_quarantine(int dirfd)
{
	struct dirent **list = NULL;
	struct kept *kept;
	uint64_t bytes = 0;
	size_t n_kept = 0;
	int n = scandirat(dirfd, ".", &list, NULL, NULL);

	kept = n > 0 ? calloc((size_t)n, sizeof(*kept)) : NULL;
	for (int i = 0; i < n; i++) {
		struct stat st;

		/* the change of its name is what renaming it into here was */
		if (kept && fstatat(dirfd, list[i]->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode))
			kept[n_kept++] = (struct kept){ list[i]->d_name, (uint64_t)st.st_size, st.st_ctim };
	}
	if (n_kept > 1)
		qsort(kept, n_kept, sizeof(*kept), latest_first);
	for (size_t i = 0; i < n_kept; i++) {
		bytes += kept[i].size;
		if (i >= CACHE_QUARANTINE_FILES || bytes > CACHE_QUARANTINE_BYTES)
			(void)unlinkat(dirfd, kept[i].name, 0);
	}
	for (int i = 0; i < n; i++)
		free(list[i]);
	free(list);
	free(kept);
}

int store_quarantine(const struct host *h, const char *where, const char *folder, const char *file, struct err *err)
{
	_cleanup_rootfs_dir_ struct rootfs_dir dir = ROOTFS_DIR_NONE;
	_cleanup_close_ int from = -EBADF, to = -EBADF;
	int r = store_find(h, where, &dir, err);

	if (r == 0)
		r = rootfs_dir_writable(&dir, err);
	if (r < 0)
		return r;
	from = rootfs_dir_open(&dir, folder, O_RDONLY | O_DIRECTORY);
	r = from < 0 ? from : rootfs_dir_make(&dir, STORE_QUARANTINE, &to);
	if (r == 0 && renameat(from, file, to, file) < 0)
		r = -errno;
	/* the new place first: a power cut in between leaves both names, never none */
	if (r == 0 && (fsync(to) < 0 || fsync(from) < 0))
		r = -errno;
	if (r < 0)
		return err_sys(err, r, "%s/%s/%s: moving it to " STORE_QUARANTINE, dir.shown, folder, file);
	trim_quarantine(to);
	return 0;
}
