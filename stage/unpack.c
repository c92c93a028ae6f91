// SPDX-License-Identifier: Apache-2.0
/*
 * unpack.c - in the initramfs: a bundle's chunks -> its files; by hand: -> a directory. Where each
 * header, file and filling block stands in the tar follows from the manifest (docs/bundle.md, 5), so
 * the tar is not parsed but compared: nothing in it says what comes next, and no block is passed over.
 * Files that were given to the sink before something turned out wrong are the caller's to drop; a
 * power loss leaves what the sink has on disk, without a claim that it is whole.
 */
#include "unpack.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include "hasher.h"

/* A header (POSIX.1-2017, pax, "ustar Interchange Format"). */
struct ustar {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6], version[2];
	char uname[32], gname[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct ustar) == TAR_BLOCK, "a block of a tar");

struct tar {
	struct bundle *bundle;
	struct hasher *hasher;
	struct err *err;
	const uint8_t *next; /* in the current chunk */
	size_t left;
};

static void tar_done(struct tar *t)
{
	hasher_free(t->hasher);
}

/* The next 1 to max bytes, as many as are there; good until the next call, and until they are hashed. */
static int take_some(struct tar *t, uint64_t max, const uint8_t **ret, size_t *ret_len)
{
	if (t->left == 0) {
		const void *bytes;
		int r;

		if (bundle_begins_chunk(t->bundle)) { /* its own hash, while those of the files catch up */
			r = bundle_read_chunk(t->bundle, t->err);
			if (r < 0)
				return r;
			hasher_wait(t->hasher);
		}
		r = bundle_next(t->bundle, &bytes, &t->left, t->err);
		if (r < 0)
			return r;
		if (r == 0) { /* not with a manifest whose sizes add up */
			(void)err_set(t->err, -E_CORRUPT, "tar: too short");
			return -E_CORRUPT;
		}
		t->next = bytes;
	}
	*ret = t->next;
	*ret_len = (size_t)MIN(max, (uint64_t)t->left);
	t->next += *ret_len;
	t->left -= *ret_len;
	return 0;
}

static int take_header(struct tar *t, struct ustar *ret)
{
	for (size_t done = 0, len; done < sizeof(*ret); done += len) {
		const uint8_t *bytes;
		int r = take_some(t, sizeof(*ret) - done, &bytes, &len);

		if (r < 0)
			return r;
		memcpy((char *)ret + done, bytes, len);
	}
	return 0;
}

static bool is_zero(const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n > 0 && *p == '\0') {
		p++;
		n--;
	}
	return n == 0;
}

/* So many zeros come next. */
static int take_zeros(struct tar *t, size_t n, const char *where)
{
	for (size_t len; n > 0; n -= len) {
		const uint8_t *bytes;
		int r = take_some(t, n, &bytes, &len);

		if (r < 0)
			return r;
		if (!is_zero(bytes, len))
			return err_set(t->err, -E_CORRUPT, "tar: something where %s should be", where);
	}
	return 0;
}

/* Octal digits between blanks and NULs; UINT64_MAX for anything else. A field has 12 bytes at most. */
static uint64_t number(const char *field, size_t size)
{
	uint64_t v = 0;
	size_t i = 0, first;

	while (i < size && field[i] == ' ')
		i++;
	for (first = i; i < size && field[i] >= '0' && field[i] <= '7'; i++)
		v = v * 8 + (uint64_t)(field[i] - '0');
	if (i == first)
		return UINT64_MAX;
	for (; i < size; i++)
		if (field[i] != ' ' && field[i] != '\0')
			return UINT64_MAX;
	return v;
}
#define NUMBER(field) number(field, sizeof(field))

/* Over all bytes, those of the field itself taken for blanks. */
static uint64_t checksum(const struct ustar *h)
{
	const uint8_t *bytes = (const uint8_t *)h;
	uint64_t sum = sizeof(h->checksum) * ' ';

	for (size_t i = 0; i < sizeof(*h); i++)
		sum += bytes[i];
	for (size_t i = 0; i < sizeof(h->checksum); i++)
		sum -= (uint8_t)h->checksum[i];
	return sum;
}

/* The path, cut at any '/' between prefix and name, and nothing in the rest of their fields. */
static bool path_is(const struct ustar *h, const char *path)
{
	size_t prefix = strnlen(h->prefix, sizeof(h->prefix));
	struct ustar want = { 0 };

	if (prefix > 0) {
		if (strlen(path) <= prefix || path[prefix] != '/')
			return false;
		memcpy(want.prefix, path, prefix);
		path += prefix + 1;
	}
	if (strlen(path) > sizeof(want.name))
		return false;
	memcpy(want.name, path, strlen(path));
	return memcmp(h->name, want.name, sizeof(want.name)) == 0 &&
	       memcmp(h->prefix, want.prefix, sizeof(want.prefix)) == 0;
}

/* The header must be that of the file that the manifest names here. */
static int check_header(struct tar *t, const struct ustar *h, const struct manifest_file *f)
{
	if (memcmp(h->magic, "ustar", sizeof(h->magic)) != 0 || memcmp(h->version, "00", sizeof(h->version)) != 0)
		return err_set(t->err, -E_CORRUPT, "tar: no ustar header where that of %s should be", f->path);
	if (NUMBER(h->checksum) != checksum(h))
		return err_set(t->err, -E_CORRUPT, "tar: the header of %s has a wrong checksum", f->path);
	if (!path_is(h, f->path))
		return err_set(t->err, -E_CORRUPT, "tar: an entry that is not %s, which the manifest names here",
			       f->path);
	if (!is_zero(h->pad, sizeof(h->pad)))
		return err_set(t->err, -E_CORRUPT, "tar: something behind the header of %s", f->path);
	if (h->type != '0')
		return err_set(t->err, -E_CORRUPT, "tar: %s is not a regular file", f->path);
	if (NUMBER(h->size) != f->size)
		return err_set(t->err, -E_CORRUPT, "tar: %s has another size than the manifest says", f->path);
	if (NUMBER(h->mode) != f->mode)
		return err_set(t->err, -E_CORRUPT, "tar: %s has another mode than the manifest says", f->path);
	if (NUMBER(h->uid) != 0 || NUMBER(h->gid) != 0)
		return err_set(t->err, -E_CORRUPT, "tar: %s does not belong to root", f->path);
	return 0;
}

static int write_failed(struct tar *t, const struct manifest_file *f, int r)
{
	if (r == -ENOSPC || r == -EDQUOT || r == -EFBIG || r == -ENOMEM)
		return err_set(t->err, -E_NO_SPACE, "writing %s: %s", f->path, strerror(-r));
	return err_sys(t->err, r, "writing %s", f->path);
}

/* Copies the file's bytes to fd (or nowhere, fd < 0) and checks their hash. */
static int copy_content(struct tar *t, const struct manifest_file *f, int fd)
{
	uint8_t digest[SHA256_BYTES];
	size_t len;

	for (uint64_t done = 0; done < f->size; done += len) {
		const uint8_t *bytes;
		int r = take_some(t, f->size - done, &bytes, &len);

		if (r < 0)
			return r;
		hasher_add(t->hasher, bytes, len);
		r = fd >= 0 ? write_full(fd, bytes, len) : 0;
		if (r < 0)
			return write_failed(t, f, r);
	}
	if (hasher_end(t->hasher, digest) < 0)
		return err_sys(t->err, -ENOMEM, "SHA-256");
	if (memcmp(digest, f->sha256, sizeof(digest)) != 0)
		return err_set(t->err, -E_CORRUPT, "%s does not match its hash", f->path);
	return take_zeros(t, (TAR_BLOCK - f->size % TAR_BLOCK) % TAR_BLOCK, "the filling of a block");
}

static int unpack_file(struct tar *t, const struct manifest_file *f, const struct unpack_sink *sink)
{
	struct ustar header;
	int fd = -EBADF, r;

	r = take_header(t, &header);
	if (r < 0)
		return r;
	r = check_header(t, &header, f);
	if (r < 0)
		return r;
	if (sink) {
		fd = sink->begin(sink->ctx, f, t->err);
		if (fd < 0)
			return fd;
	}
	r = copy_content(t, f, fd);
	if (!sink)
		return r;
	if (r < 0) {
		sink->abandon(sink->ctx, fd);
		return r;
	}
	return sink->done(sink->ctx, f, fd, t->err);
}

/* After the last file: the end of the tar, of the last chunk and of the bundle. */
static int expect_end(struct tar *t)
{
	const void *rest;
	int r = take_zeros(t, TAR_END, "its end");

	if (r < 0)
		return r;
	if (t->left == 0)
		r = bundle_next(t->bundle, &rest, &t->left, t->err);
	return t->left > 0 ? err_set(t->err, -E_CORRUPT, "tar: longer than its files") : r;
}

int unpack_bundle(struct bundle *b, const struct unpack_sink *sink, struct err *err)
{
	_cleanup_(tar_done) struct tar t = { .bundle = b, .err = err };
	const struct manifest *m = bundle_manifest(b);
	int r;

	if (hasher_new(&t.hasher) < 0)
		return err_sys(err, -ENOMEM, "SHA-256");
	for (size_t i = 0; i < m->n_files; i++) {
		r = unpack_file(&t, &m->files[i], sink);
		if (r < 0)
			return r;
	}
	return expect_end(&t);
}

/* --- into a directory --- */

/* Opens the directory that holds path, making it below dirfd; *ret_name points into path. */
static int open_parent(int dirfd, const char *path, const char **ret_name, int *ret_fd)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *parent = strndup(path, slash ? (size_t)(slash - path) : 0);

	if (!parent)
		return -ENOMEM;
	*ret_name = slash ? slash + 1 : path;
	return mkdir_beneath(dirfd, parent, 0755, ret_fd);
}

int unpack_create_file(int dirfd, const char *path, uint32_t mode, struct err *err)
{
	_cleanup_close_ int parent = -EBADF;
	const char *name;
	int r = open_parent(dirfd, path, &name, &parent);

	if (r == 0)
		r = open_resolve(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode,
				 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	if (r == -ENOSPC)
		return err_set(err, -E_NO_SPACE, "making %s: %s", path, strerror(-r));
	return r < 0 ? err_sys(err, r, "making %s", path) : r;
}

/* Notes the directories above path that are not there yet. */
static int note_missing(struct unpack_dir *d, const char *path)
{
	_cleanup_free_ char *dir = strdup(path);
	int r = dir ? 0 : -ENOMEM;

	for (char *slash = dir; r == 0 && (slash = strchr(slash + 1, '/'));) {
		_cleanup_close_ int fd = -EBADF;

		*slash = '\0';
		fd = open_resolve(d->dirfd, dir, O_PATH, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
		if (fd < 0)
			r = fd == -ENOENT ? strv_add(&d->dirs, dir) : fd;
		*slash = '/';
	}
	return r;
}

static int dir_begin(void *ctx, const struct manifest_file *f, struct err *err)
{
	struct unpack_dir *d = ctx;
	int fd = note_missing(d, f->path);

	if (fd < 0)
		return err_sys(err, fd, "making %s", f->path);
	fd = unpack_create_file(d->dirfd, f->path, f->mode, err);
	d->files += fd >= 0;
	return fd;
}

static int remove_beneath(int dirfd, const char *path, int flags)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *parent = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
	_cleanup_close_ int fd = parent ? open_resolve(dirfd, parent, O_PATH | O_DIRECTORY, 0,
						       RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS) : -ENOMEM;

	return fd < 0 ? fd : unlinkat(fd, slash ? slash + 1 : path, flags);
}

static void remove_ours(const struct unpack_dir *d, const struct manifest *m)
{
	for (size_t i = 0; i < d->files; i++)
		(void)remove_beneath(d->dirfd, m->files[i].path, 0);
	for (size_t i = 0; i < d->links; i++)
		(void)remove_beneath(d->dirfd, m->links[i].path, 0);
	for (size_t i = d->dirs.n; i-- > 0;)
		(void)remove_beneath(d->dirfd, d->dirs.v[i], AT_REMOVEDIR);
}

static int dir_done(void *ctx, const struct manifest_file *f, int fd, struct err *err)
{
	int r = fchmod(fd, f->mode) < 0 ? -errno : 0; /* whatever the umask was */

	(void)ctx;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r < 0 ? err_sys(err, r, "%s", f->path) : 0;
}

static void dir_abandon(void *ctx, int fd)
{
	(void)ctx;
	close(fd);
}

static int make_link(struct unpack_dir *d, const struct manifest_link *l, struct err *err)
{
	_cleanup_close_ int parent = -EBADF;
	const char *name;
	int r = note_missing(d, l->path);

	if (r == 0)
		r = open_parent(d->dirfd, l->path, &name, &parent);
	if (r == 0 && symlinkat(l->target, parent, name) < 0)
		r = -errno;
	d->links += r == 0;
	return r < 0 ? err_sys(err, r, "%s", l->path) : 0;
}

struct unpack_sink unpack_dir_sink(struct unpack_dir *d)
{
	return (struct unpack_sink){ .ctx = d, .begin = dir_begin, .done = dir_done, .abandon = dir_abandon };
}

int unpack_dir_finish(struct unpack_dir *d, const struct manifest *m, int r, struct err *err)
{
	for (size_t i = 0; r == 0 && i < m->n_links; i++)
		r = make_link(d, &m->links[i], err);
	if (r < 0)
		remove_ours(d, m);
	strv_free(&d->dirs);
	return r;
}

int unpack_to_dir(struct bundle *b, int dirfd, struct err *err)
{
	struct unpack_dir d = { .dirfd = dirfd };
	const struct unpack_sink sink = unpack_dir_sink(&d);

	return unpack_dir_finish(&d, bundle_manifest(b), unpack_bundle(b, &sink, err), err);
}
