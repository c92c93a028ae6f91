// SPDX-License-Identifier: Apache-2.0
/*
 * bundle.c - the container format, read side. Input: any reader. Output: verified manifest,
 * then tar bytes whose hash held before they were decompressed. Memory: one stored and one
 * decompressed chunk (LIMIT_CHUNK_BYTES each), the manifest, the zstd context.
 */
#include "bundle.h"

#include <endian.h>
#include <openssl/evp.h>
#define ZSTD_STATIC_LINKING_ONLY /* ZSTD_getFrameHeader */
#include <zstd.h>

#include "limit.h"

struct bundle {
	struct reader *reader;
	struct verified *verified;
	struct manifest *manifest;
	uint8_t *header;
	size_t header_len, signatures_at;
	size_t next; /* chunk */
	uint8_t *stored, *plain;
	bool have_chunk;		/* `stored` is that of `next`, and good */
	size_t stored_done, plain_done; /* of the chunk under way; both 0: none is */
	ZSTD_DCtx *zstd;
	bundle_tee_fn tee;
	void *tee_ctx;
	int partial;	     /* or negative */
	uint64_t partial_at; /* where the next chunk begins in it */
};

bool bundle_begins_chunk(const struct bundle *b)
{
	return b->stored_done == 0;
}

/* Whatever a disk fails with (EUCLEAN of erofs, ESTALE of NFS) is -EIO to those who then look elsewhere. */
static int read_failed(const struct bundle *b, struct err *err, ssize_t n)
{
	if (b->reader->why.code == (int)n)
		return err_set(err, (int)n, "%s", b->reader->why.text);
	(void)err_sys(err, (int)n, "reading");
	if (n > -E_BASE_ && n != -ENOMEM && n != -EINTR)
		err->code = -EIO;
	return err->code;
}

/* Appends one skippable frame, its own header included, to b->header. */
static int read_frame(struct bundle *b, uint32_t magic, size_t max, const char *what, struct err *err)
{
	uint32_t head[2];
	uint8_t *bigger;
	uint32_t len;
	ssize_t n;

	n = reader_read_full(b->reader, head, sizeof(head));
	if (n < 0)
		return read_failed(b, err, n);
	if (n != (ssize_t)sizeof(head) || le32toh(head[0]) != magic)
		return err_set(err, -E_CORRUPT, "not a bundle: no %s frame", what);
	len = le32toh(head[1]);
	if (len > max)
		return err_set(err, -E_CORRUPT, "%s of %u bytes; the limit is %zu", what, len, max);
	bigger = realloc(b->header, b->header_len + sizeof(head) + len);
	if (!bigger)
		return err_sys(err, -ENOMEM, "%s", what);
	b->header = bigger;
	memcpy(b->header + b->header_len, head, sizeof(head));
	n = reader_read_full(b->reader, b->header + b->header_len + sizeof(head), len);
	if (n < 0)
		return read_failed(b, err, n);
	if ((size_t)n != len)
		return err_set(err, -E_CORRUPT, "truncated inside the %s", what);
	b->header_len += sizeof(head) + len;
	return 0;
}

static int verify_header(struct bundle *b, const struct keyring *ring, struct err *err)
{
	size_t len = b->signatures_at - 2 * BUNDLE_FRAME_HEADER_BYTES, signatures_len;
	const char *signatures = bundle_signatures(b, &signatures_len);
	uint8_t *bytes = malloc(len + 1);

	if (!bytes)
		return err_sys(err, -ENOMEM, "manifest");
	memcpy(bytes, b->header + BUNDLE_FRAME_HEADER_BYTES, len);
	if (!ring) {
		int r = trust_show_unverified(bytes, len, &b->verified);

		return r < 0 ? err_sys(err, r, "manifest") : 0;
	}
	return trust_verify(ring, bytes, len, signatures, signatures_len, &b->verified, err);
}

int bundle_open(struct reader *r, const struct keyring *ring, struct bundle **ret, struct err *err)
{
	_cleanup_reader_ struct reader *reader = r;
	_cleanup_bundle_ struct bundle *b = calloc(1, sizeof(*b));
	int q;

	if (!b)
		return err_sys(err, -ENOMEM, "bundle");
	b->reader = TAKE_PTR(reader);
	b->partial = -EBADF;
	q = read_frame(b, BUNDLE_MAGIC_MANIFEST, LIMIT_MANIFEST_BYTES, "manifest", err);
	if (q < 0)
		return q;
	b->signatures_at = b->header_len + BUNDLE_FRAME_HEADER_BYTES;
	q = read_frame(b, BUNDLE_MAGIC_SIGNATURES, LIMIT_SIGNATURES_BYTES, "signatures", err);
	if (q < 0)
		return q;
	q = verify_header(b, ring, err);
	if (q < 0)
		return q;
	q = manifest_parse(b->verified, &b->manifest, err);
	if (q < 0)
		return q;
	*ret = TAKE_PTR(b);
	return 0;
}

static void drop_buffers(struct bundle *b)
{
	free(b->stored);
	free(b->plain);
	ZSTD_freeDCtx(b->zstd);
	b->stored = b->plain = NULL;
	b->zstd = NULL;
}

void bundle_close(struct bundle *b)
{
	if (!b)
		return;
	reader_close(b->reader);
	verified_free(b->verified);
	manifest_free(b->manifest);
	free(b->header);
	drop_buffers(b);
	free(b);
}

const struct manifest *bundle_manifest(const struct bundle *b)
{
	return b->manifest;
}

const void *bundle_header(const struct bundle *b, size_t *ret_len)
{
	*ret_len = b->header_len;
	return b->header;
}

const char *bundle_signatures(const struct bundle *b, size_t *ret_len)
{
	*ret_len = b->header_len - b->signatures_at;
	return (const char *)b->header + b->signatures_at;
}

void bundle_set_tee(struct bundle *b, bundle_tee_fn fn, void *ctx)
{
	b->tee = fn;
	b->tee_ctx = ctx;
}

void bundle_set_partial(struct bundle *b, int fd)
{
	b->partial = b->reader->ops->skip ? fd : -EBADF;
	b->partial_at = b->header_len;
}

/*
 * Buffers are there from the first chunk, since many bundles are opened for their header only, to the last:
 * each module is inserted by a fork, which takes the longer the more memory there is.
 */
static int prepare(struct bundle *b, struct err *err)
{
	uint32_t stored = 0, size = 0;

	if (b->zstd)
		return 0;
	for (size_t i = 0; i < b->manifest->n_chunks; i++) {
		const struct manifest_chunk *c = &b->manifest->chunks[i];

		stored = c->stored > stored ? c->stored : stored;
		size = c->size > size ? c->size : size;
	}
	b->stored = malloc(stored);
	b->plain = malloc(size);
	b->zstd = ZSTD_createDCtx();
	if (!b->stored || !b->plain || !b->zstd)
		return err_sys(err, -ENOMEM, "chunk buffers");
	return 0;
}

static int at_end(struct bundle *b, struct err *err)
{
	char extra;
	ssize_t n = reader_read_full(b->reader, &extra, 1);

	if (n < 0)
		return read_failed(b, err, n);
	return n == 0 ? 0 : err_set(err, -E_CORRUPT, "data after the last chunk");
}

/*
 * Exactly one frame of RFC 8878: ZSTD_decompressDCtx would go on into a second one, and knows
 * the formats that came before. The window does not matter to us, but to those who stream.
 */
static int check_frame(const struct bundle *b, const struct manifest_chunk *c, struct err *err)
{
	ZSTD_frameHeader h;
	uint32_t magic = 0;

	if (c->stored >= sizeof(magic))
		memcpy(&magic, b->stored, sizeof(magic));
	if (le32toh(magic) != ZSTD_MAGICNUMBER || ZSTD_findFrameCompressedSize(b->stored, c->stored) != c->stored ||
	    ZSTD_getFrameHeader(&h, b->stored, c->stored) != 0)
		return err_set(err, -E_CORRUPT, "chunk %zu is not one zstd frame", b->next + 1);
	if (h.frameContentSize != ZSTD_CONTENTSIZE_UNKNOWN && h.frameContentSize != c->size)
		return err_set(err, -E_CORRUPT, "chunk %zu does not decompress to %u bytes", b->next + 1, c->size);
	if (h.windowSize > LIMIT_WINDOW_BYTES)
		return err_set(err, -E_CORRUPT, "chunk %zu has a window of %llu bytes; the limit is %u", b->next + 1, h.windowSize, LIMIT_WINDOW_BYTES);
	return 0;
}

/* Fills b->stored from the partial file. False: it ends here, or what it holds is not this chunk. */
static bool take_partial(struct bundle *b, const struct manifest_chunk *c)
{
	uint8_t digest[SHA256_BYTES];

	if (b->partial < 0)
		return false;
	if (b->next + 1 < b->manifest->n_chunks &&
	    pread(b->partial, b->stored, c->stored, (off_t)b->partial_at) == (ssize_t)c->stored &&
	    EVP_Digest(b->stored, c->stored, digest, NULL, EVP_sha256(), NULL) == 1 &&
	    memcmp(digest, c->sha256, sizeof(digest)) == 0 &&
	    b->reader->ops->skip(b->reader, b->stored, c->stored) == 0) {
		b->partial_at += c->stored;
		return true;
	}
	b->partial = -EBADF; /* no chunk behind one that is missing */
	return false;
}

static int read_chunk(struct bundle *b, const struct manifest_chunk *c, struct err *err)
{
	uint8_t digest[SHA256_BYTES];
	ssize_t n = reader_read_full(b->reader, b->stored, c->stored);

	if (n < 0)
		return read_failed(b, err, n);
	if ((size_t)n != c->stored)
		return err_set(err, -E_CORRUPT, "truncated in chunk %zu of %zu", b->next + 1, b->manifest->n_chunks);
	if (EVP_Digest(b->stored, c->stored, digest, NULL, EVP_sha256(), NULL) != 1)
		return err_sys(err, -ENOMEM, "SHA-256");
	if (memcmp(digest, c->sha256, sizeof(digest)) != 0)
		return err_set(err, -E_CORRUPT, "chunk %zu of %zu does not match its hash", b->next + 1,
			       b->manifest->n_chunks);
	return 0;
}

static int begin_chunk(struct bundle *b, const struct manifest_chunk *c, struct err *err)
{
	int r = prepare(b, err);

	if (r == 0 && !take_partial(b, c))
		r = read_chunk(b, c, err);
	if (r == 0)
		r = check_frame(b, c, err);
	if (r == 0 && ZSTD_isError(ZSTD_decompressBegin(b->zstd)))
		r = err_sys(err, -ENOMEM, "zstd");
	b->stored_done = b->plain_done = 0;
	return r;
}

/*
 * Decompresses on, block after block, until there are bytes; behind the last ones to the end of the frame, which
 * may have an empty block or a checksum there.
 */
static int decompress_some(struct bundle *b, const struct manifest_chunk *c, size_t *ret_len)
{
	size_t begun = b->plain_done, want;

	while ((want = ZSTD_nextSrcSizeToDecompress(b->zstd)) > 0 &&
	       (b->plain_done == begun || b->plain_done == c->size)) {
		size_t n = want > c->stored - b->stored_done ? (size_t)-1 :
			ZSTD_decompressContinue(b->zstd, b->plain + b->plain_done, c->size - b->plain_done,
						b->stored + b->stored_done, want);

		if (ZSTD_isError(n))
			return -E_CORRUPT;
		b->stored_done += want;
		b->plain_done += n;
	}
	*ret_len = b->plain_done - begun;
	return (want == 0) == (b->plain_done == c->size) ? 0 : -E_CORRUPT;
}

int bundle_read_chunk(struct bundle *b, struct err *err)
{
	int r;

	if (b->have_chunk || b->next == b->manifest->n_chunks)
		return 0;
	r = begin_chunk(b, &b->manifest->chunks[b->next], err);
	b->have_chunk = r == 0;
	return r;
}

int bundle_next(struct bundle *b, const void **ret, size_t *ret_len, struct err *err)
{
	const struct manifest_chunk *c;
	int r;

	if (b->next == b->manifest->n_chunks) {
		drop_buffers(b);
		return at_end(b, err);
	}
	c = &b->manifest->chunks[b->next];
	r = bundle_read_chunk(b, err);
	if (r < 0)
		return r;
	*ret = b->plain + b->plain_done;
	if (decompress_some(b, c, ret_len) < 0)
		return err_set(err, -E_CORRUPT, "chunk %zu does not decompress to %u bytes", b->next + 1, c->size);
	if (b->plain_done < c->size)
		return 1;
	if (b->tee && b->tee(b->tee_ctx, b->stored, c->stored) < 0)
		b->tee = NULL;
	b->plain_done = b->stored_done = 0;
	b->have_chunk = false;
	b->next++;
	return 1;
}
