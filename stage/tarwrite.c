// SPDX-License-Identifier: Apache-2.0
/*
 * tarwrite.c - libarchive writes ustar, we cut it every CHUNK_BYTES and compress each piece by
 * itself, so that a reader needs one piece in memory and can check it before decompressing.
 */
#include "tarwrite.h"

#include <archive.h>
#include <archive_entry.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <zstd.h>

#include "limit.h"

/*
 * Below the limit by what zstd may add to data that does not compress (ZSTD_COMPRESSBOUND), so
 * that stored and plain size both stay within it.
 */
#define CHUNK_BYTES (LIMIT_CHUNK_BYTES - (32u << 10))
_Static_assert(ZSTD_COMPRESSBOUND(CHUNK_BYTES) <= LIMIT_CHUNK_BYTES, "an incompressible chunk must fit");

/* 17 MB of modules: 19 gives 4.60 MB, 22 gives 4.60 MB and needs twice the memory to read. */
#define LEVEL 19

struct tarwrite {
	struct archive *archive;
	ZSTD_CCtx *zstd;
	uint8_t *plain, *stored;
	size_t used;
	uint64_t mtime, unpacked;
	int out;
	struct manifest_chunk *chunks;
	size_t n_chunks;
	int failed;
};

static int flush_chunk(struct tarwrite *t)
{
	struct manifest_chunk *v, *c;
	size_t n;

	if (t->used == 0)
		return 0;
	v = reallocarray(t->chunks, t->n_chunks + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	t->chunks = v;
	c = &v[t->n_chunks];
	n = ZSTD_compress2(t->zstd, t->stored, LIMIT_CHUNK_BYTES, t->plain, t->used);
	if (ZSTD_isError(n))
		return -EIO;
	*c = (struct manifest_chunk){ .stored = (uint32_t)n, .size = (uint32_t)t->used };
	if (EVP_Digest(t->stored, n, c->sha256, NULL, EVP_sha256(), NULL) != 1)
		return -EIO;
	t->n_chunks++;
	t->unpacked += t->used;
	t->used = 0;
	return write_full(t->out, t->stored, n);
}

static la_ssize_t take_bytes(struct archive *a, void *ctx, const void *buffer, size_t len)
{
	struct tarwrite *t = ctx;
	size_t done = 0;

	while (done < len && t->failed == 0) {
		size_t n = MIN(len - done, CHUNK_BYTES - t->used);

		memcpy(t->plain + t->used, (const uint8_t *)buffer + done, n);
		t->used += n;
		done += n;
		if (t->used == CHUNK_BYTES)
			t->failed = flush_chunk(t);
	}
	if (t->failed) {
		archive_set_error(a, EIO, "chunk");
		return -1;
	}
	return (la_ssize_t)len;
}

static int tar_failed(const struct tarwrite *t, struct err *err)
{
	if (t->failed)
		return err_sys(err, t->failed, "writing the payload");
	return err_set(err, -EIO, "tar: %s", archive_error_string(t->archive));
}

int tarwrite_new(int out_fd, uint64_t mtime, struct tarwrite **ret, struct err *err)
{
	_cleanup_(tarwrite_freep) struct tarwrite *t = calloc(1, sizeof(*t));

	if (!t)
		return err_sys(err, -ENOMEM, "payload");
	t->out = out_fd;
	t->mtime = mtime;
	t->archive = archive_write_new();
	t->zstd = ZSTD_createCCtx();
	t->plain = malloc(CHUNK_BYTES);
	t->stored = malloc(LIMIT_CHUNK_BYTES);
	if (!t->archive || !t->zstd || !t->plain || !t->stored ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(t->zstd, ZSTD_c_compressionLevel, LEVEL)))
		return err_sys(err, -ENOMEM, "payload");
	if (archive_write_set_format_ustar(t->archive) != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(t->archive, 0) != ARCHIVE_OK ||
	    archive_write_open(t->archive, t, NULL, take_bytes, NULL) != ARCHIVE_OK)
		return tar_failed(t, err);
	*ret = TAKE_PTR(t);
	return 0;
}

int tarwrite_file(struct tarwrite *t, const struct manifest_file *f, const void *bytes, struct err *err)
{
	struct archive_entry *e = archive_entry_new();
	bool good;

	if (!e)
		return err_sys(err, -ENOMEM, "%s", f->path);
	archive_entry_set_pathname(e, f->path);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, (__LA_MODE_T)f->mode);
	archive_entry_set_size(e, (la_int64_t)f->size);
	archive_entry_set_mtime(e, (time_t)t->mtime, 0);
	archive_entry_set_uname(e, "root");
	archive_entry_set_gname(e, "root");
	good = archive_write_header(t->archive, e) == ARCHIVE_OK &&
	       archive_write_data(t->archive, bytes, f->size) == (la_ssize_t)f->size;
	archive_entry_free(e);
	return good ? 0 : tar_failed(t, err);
}

int tarwrite_finish(struct tarwrite *t, struct manifest_chunk **ret_chunks, size_t *ret_n, uint64_t *ret_unpacked,
		    struct err *err)
{
	if (archive_write_close(t->archive) != ARCHIVE_OK)
		return tar_failed(t, err);
	t->failed = flush_chunk(t);
	if (t->failed)
		return tar_failed(t, err);
	*ret_chunks = TAKE_PTR(t->chunks);
	*ret_n = t->n_chunks;
	*ret_unpacked = t->unpacked;
	return 0;
}

void tarwrite_free(struct tarwrite *t)
{
	if (!t)
		return;
	archive_write_free(t->archive);
	ZSTD_freeCCtx(t->zstd);
	free(t->plain);
	free(t->stored);
	free(t->chunks);
	free(t);
}
