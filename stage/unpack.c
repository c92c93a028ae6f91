// SPDX-License-Identifier: Apache-2.0
/*
 * unpack.c - verified tar bytes -> files, one pass. libarchive reads the tar; this file decides
 * that each entry is exactly the one the manifest names next, hashes what it writes, and says
 * so before anybody uses the file. Power loss: whatever the sink did with unfinished files;
 * done() is called for complete ones only.
 */
#include "unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <sys/stat.h>

/* ustar (POSIX.1, pax, "ustar Interchange Format"): header and content in blocks, two of zeros at the end. */
#define TAR_BLOCK 512u
#define TAR_END (2 * TAR_BLOCK)

struct tar {
	struct bundle *bundle;
	struct archive *archive;
	EVP_MD_CTX *sha256;
	struct err *err;
	uint64_t seen; /* bytes of tar handed out */
	int failed; /* what bundle_next() said: libarchive only knows "error" */
};

static void tar_done(struct tar *t)
{
	archive_read_free(t->archive);
	EVP_MD_CTX_free(t->sha256);
}

/* The last blocks must be zeros: then headers and files fill all before them, and nothing else can be there. */
static bool end_is_dirty(struct tar *t, const uint8_t *bytes, size_t len)
{
	uint64_t end = bundle_manifest(t->bundle)->unpacked - TAR_END;
	size_t i = t->seen >= end ? 0 : (size_t)MIN(end - t->seen, (uint64_t)len);

	t->seen += len;
	for (; i < len; i++)
		if (bytes[i] != 0)
			return true;
	return false;
}

static la_ssize_t next_chunk(struct archive *a, void *ctx, const void **buffer)
{
	struct tar *t = ctx;
	size_t len;
	int r = bundle_next(t->bundle, buffer, &len, t->err);

	if (r < 0) {
		t->failed = r;
		archive_set_error(a, EIO, "bundle");
		return -1;
	}
	if (r > 0 && end_is_dirty(t, *buffer, len)) {
		t->failed = err_set(t->err, -E_CORRUPT, "tar: something where its end should be");
		archive_set_error(a, EIO, "bundle");
		return -1;
	}
	return r == 0 ? 0 : (la_ssize_t)len;
}

static int tar_error(struct tar *t)
{
	if (t->failed)
		return t->failed;
	return err_set(t->err, -E_CORRUPT, "tar: %s", archive_error_string(t->archive));
}

/* The tar's entry must be what the manifest says comes next. */
static int check_entry(struct tar *t, struct archive_entry *e, const struct manifest_file *f)
{
	const char *path = archive_entry_pathname(e);

	if (!path || !streq(path, f->path))
		return err_set(t->err, -E_CORRUPT, "tar: an entry that is not %s, which the manifest names here",
			       f->path);
	if (archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e) || archive_entry_symlink(e))
		return err_set(t->err, -E_CORRUPT, "tar: %s is not a regular file", f->path);
	if (!archive_entry_size_is_set(e) || archive_entry_size(e) < 0 || (uint64_t)archive_entry_size(e) != f->size)
		return err_set(t->err, -E_CORRUPT, "tar: %s has another size than the manifest says", f->path);
	if ((archive_entry_perm(e) & 07777) != f->mode)
		return err_set(t->err, -E_CORRUPT, "tar: %s has another mode than the manifest says", f->path);
	if (archive_entry_uid(e) != 0 || archive_entry_gid(e) != 0)
		return err_set(t->err, -E_CORRUPT, "tar: %s does not belong to root", f->path);
	if (archive_entry_xattr_count(e) > 0 || archive_entry_acl_types(e) != 0 || archive_entry_sparse_count(e) > 0)
		return err_set(t->err, -E_CORRUPT, "tar: %s has attributes that the format does not know", f->path);
	if (archive_format(t->archive) != ARCHIVE_FORMAT_TAR_USTAR)
		return err_set(t->err, -E_CORRUPT, "tar: %s has a header that is not plain ustar", f->path);
	return 0;
}

static int write_failed(struct tar *t, const struct manifest_file *f, int r)
{
	if (r == -ENOSPC || r == -EDQUOT || r == -EFBIG || r == -ENOMEM)
		return err_set(t->err, -E_NO_SPACE, "writing %s: %s", f->path, strerror(-r));
	return err_sys(t->err, r, "writing %s", f->path);
}

/* Copies the current entry's bytes to fd (or nowhere, fd < 0) and checks their hash. */
static int copy_entry(struct tar *t, const struct manifest_file *f, int fd)
{
	uint8_t digest[SHA256_BYTES];
	uint64_t done = 0;

	if (EVP_DigestInit_ex(t->sha256, EVP_sha256(), NULL) != 1)
		return err_sys(t->err, -ENOMEM, "SHA-256");
	for (;;) {
		const void *block;
		la_int64_t offset;
		size_t len;
		int r = archive_read_data_block(t->archive, &block, &len, &offset);

		if (r == ARCHIVE_EOF)
			break;
		if (r != ARCHIVE_OK)
			return tar_error(t);
		if ((uint64_t)offset != done || len > f->size - done)
			return err_set(t->err, -E_CORRUPT, "tar: %s has holes or is too long", f->path);
		if (EVP_DigestUpdate(t->sha256, block, len) != 1)
			return err_sys(t->err, -ENOMEM, "SHA-256");
		if (fd >= 0) {
			r = write_full(fd, block, len);
			if (r < 0)
				return write_failed(t, f, r);
		}
		done += len;
	}
	if (done != f->size)
		return err_set(t->err, -E_CORRUPT, "tar: %s is too short", f->path);
	if (EVP_DigestFinal_ex(t->sha256, digest, NULL) != 1)
		return err_sys(t->err, -ENOMEM, "SHA-256");
	if (memcmp(digest, f->sha256, sizeof(digest)) != 0)
		return err_set(t->err, -E_CORRUPT, "%s does not match its hash", f->path);
	return 0;
}

static int unpack_entry(struct tar *t, const struct manifest_file *f, const struct unpack_sink *sink)
{
	struct archive_entry *e;
	int fd = -EBADF, r;

	r = archive_read_next_header(t->archive, &e);
	if (r == ARCHIVE_EOF)
		return err_set(t->err, -E_CORRUPT, "tar: ends before %s, which the manifest names", f->path);
	if (r != ARCHIVE_OK)
		return tar_error(t);
	r = check_entry(t, e, f);
	if (r < 0)
		return r;
	if (sink) {
		fd = sink->begin(sink->ctx, f, t->err);
		if (fd < 0)
			return fd;
	}
	r = copy_entry(t, f, fd);
	if (!sink)
		return r;
	if (r < 0) {
		sink->abandon(sink->ctx, fd);
		return r;
	}
	return sink->done(sink->ctx, f, fd, t->err);
}

/* With nothing between the files and nothing behind them, there is one size that the tar can have. */
static int check_size(const struct manifest *m, struct err *err)
{
	uint64_t size = TAR_END;

	for (size_t i = 0; i < m->n_files; i++)
		size += TAR_BLOCK + (m->files[i].size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
	if (size != m->unpacked)
		return err_set(err, -E_CORRUPT, "manifest: unpacked: is not the size of a tar of these files");
	return 0;
}

/* After the last file: the end of the tar, then the end of the bundle. */
static int expect_end(struct tar *t)
{
	struct archive_entry *e;
	const void *rest;
	size_t len;
	int r;

	r = archive_read_next_header(t->archive, &e);
	if (r == ARCHIVE_OK)
		return err_set(t->err, -E_CORRUPT, "tar: holds more files than the manifest names");
	if (r != ARCHIVE_EOF)
		return tar_error(t);
	/* the reader may stop at the tar's end mark: chunks behind it are hashed all the same */
	while ((r = bundle_next(t->bundle, &rest, &len, t->err)) > 0)
		if (end_is_dirty(t, rest, len))
			return err_set(t->err, -E_CORRUPT, "tar: something where its end should be");
	return r < 0 ? r : check_size(bundle_manifest(t->bundle), t->err);
}

int unpack_bundle(struct bundle *b, const struct unpack_sink *sink, struct err *err)
{
	_cleanup_(tar_done) struct tar t = { .bundle = b, .err = err };
	const struct manifest *m = bundle_manifest(b);
	int r;

	t.archive = archive_read_new();
	t.sha256 = EVP_MD_CTX_new();
	if (!t.archive || !t.sha256)
		return err_sys(err, -ENOMEM, "tar");
	if (archive_read_support_format_tar(t.archive) != ARCHIVE_OK ||
	    archive_read_open(t.archive, &t, NULL, next_chunk, NULL) != ARCHIVE_OK)
		return tar_error(&t);
	for (size_t i = 0; i < m->n_files; i++) {
		r = unpack_entry(&t, &m->files[i], sink);
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

struct dir_sink {
	int dirfd;
	size_t made; /* files of ours */
};

static int dir_begin(void *ctx, const struct manifest_file *f, struct err *err)
{
	struct dir_sink *d = ctx;
	int fd = unpack_create_file(d->dirfd, f->path, f->mode, err);

	d->made += fd >= 0;
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

/* Takes away what we wrote, and directories that are empty then; nothing that was there. */
static void remove_ours(int dirfd, const struct manifest *m, size_t files, size_t links)
{
	for (size_t i = 0; i < files + links; i++) {
		_cleanup_free_ char *path = strdup(i < files ? m->files[i].path : m->links[i - files].path);

		if (!path || remove_beneath(dirfd, path, 0) < 0)
			continue;
		for (char *slash; (slash = strrchr(path, '/'));) {
			*slash = '\0';
			if (remove_beneath(dirfd, path, AT_REMOVEDIR) < 0)
				break;
		}
	}
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

int unpack_to_dir(struct bundle *b, int dirfd, struct err *err)
{
	struct dir_sink d = { .dirfd = dirfd };
	const struct unpack_sink sink = { .ctx = &d, .begin = dir_begin, .done = dir_done, .abandon = dir_abandon };
	const struct manifest *m = bundle_manifest(b);
	int r = unpack_bundle(b, &sink, err);
	size_t i = 0;

	for (; r == 0 && i < m->n_links; i++) {
		_cleanup_close_ int parent = -EBADF;
		const char *name;

		r = open_parent(dirfd, m->links[i].path, &name, &parent);
		if (r == 0 && symlinkat(m->links[i].target, parent, name) < 0)
			r = -errno;
		if (r < 0) {
			(void)err_sys(err, r, "%s", m->links[i].path);
			break;
		}
	}
	if (r < 0)
		remove_ours(dirfd, m, d.made, i);
	return r;
}
