// SPDX-License-Identifier: Apache-2.0
/*
 * decompress.c - zlib, liblzma and libzstd behind one face, by the magic of each. Whole, in memory: for
 * kernels and modules of the operator's own machine, never for bundles.
 */
#include "decompress.h"

#include <fcntl.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "limit.h"

#define FIRST_BYTES ((size_t)1 << 20)

struct output {
	uint8_t *v;
	size_t len, room, max;
};

static void output_free(struct output *o)
{
	free(o->v);
}

/* Room for more, or -EFBIG: one byte above max is asked for, so that the end of max bytes is seen. */
static int grow(struct output *o)
{
	size_t room = o->room == 0 ? FIRST_BYTES : o->room * 2;
	uint8_t *bigger;

	if (o->len > o->max)
		return -EFBIG;
	room = MIN(room, o->max + 1);
	bigger = realloc(o->v, room);
	if (!bigger)
		return -ENOMEM;
	o->v = bigger;
	o->room = room;
	return 0;
}

/* Each of these: 0 at the end of the stream, whatever follows it; -EBADMSG when it has none. */

static int gzip(const uint8_t *bytes, size_t len, struct output *o)
{
	z_stream z = { .next_in = (z_const Bytef *)(uintptr_t)bytes, .avail_in = (uInt)MIN(len, (size_t)UINT32_MAX) };
	int r = inflateInit2(&z, 15 + 16) == Z_OK ? 0 : -ENOMEM, q = Z_OK; /* 16: gzip alone */

	while (r == 0 && q == Z_OK) {
		if (o->len == o->room && (r = grow(o)) < 0)
			break;
		z.next_out = o->v + o->len;
		z.avail_out = (uInt)(o->room - o->len);
		q = inflate(&z, Z_NO_FLUSH);
		o->len = (size_t)(z.next_out - o->v);
	}
	(void)inflateEnd(&z);
	return r == 0 && q != Z_STREAM_END ? -EBADMSG : r;
}

static int xz(const uint8_t *bytes, size_t len, struct output *o)
{
	lzma_stream s = LZMA_STREAM_INIT;
	lzma_ret q = lzma_stream_decoder(&s, LIMIT_XZ_BYTES, 0);
	int r = q == LZMA_OK ? 0 : -ENOMEM;

	s.next_in = bytes;
	s.avail_in = len;
	while (r == 0 && q == LZMA_OK) {
		if (o->len == o->room && (r = grow(o)) < 0)
			break;
		s.next_out = o->v + o->len;
		s.avail_out = o->room - o->len;
		q = lzma_code(&s, LZMA_RUN);
		o->len = (size_t)(s.next_out - o->v);
		if (s.avail_in == 0 && s.avail_out > 0) /* cut: liblzma would say so at the next call only */
			break;
	}
	lzma_end(&s);
	return r == 0 && q != LZMA_STREAM_END ? -EBADMSG : r;
}

static int zstd(const uint8_t *bytes, size_t len, struct output *o)
{
	ZSTD_DCtx *d = ZSTD_createDCtx();
	ZSTD_inBuffer in = { .src = bytes, .size = len };
	int r = d && !ZSTD_isError(ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, LIMIT_ZSTD_WINDOW_LOG)) ? 0 : -ENOMEM;
	size_t left = 1; /* of the frame, as far as it is known */

	while (r == 0 && left > 0 && !ZSTD_isError(left)) {
		ZSTD_outBuffer out;
		size_t before = in.pos;

		if (o->len == o->room && (r = grow(o)) < 0)
			break;
		out = (ZSTD_outBuffer){ .dst = o->v, .size = o->room, .pos = o->len };
		left = ZSTD_decompressStream(d, &out, &in);
		if (in.pos == before && out.pos == o->len) /* cut */
			break;
		o->len = out.pos;
	}
	ZSTD_freeDCtx(d);
	return r == 0 && left != 0 ? -EBADMSG : r;
}

static int plain(const uint8_t *bytes, size_t len, struct output *o)
{
	int r = 0;

	while (r == 0 && o->len < len) {
		size_t n;

		if (o->len == o->room && (r = grow(o)) < 0)
			break;
		n = MIN(o->room - o->len, len - o->len);
		memcpy(o->v + o->len, bytes + o->len, n);
		o->len += n;
	}
	return r;
}

static const struct format {
	const char *magic;
	size_t len;
	int (*read)(const uint8_t *bytes, size_t len, struct output *o);
} formats[] = {
	{ "\x1f\x8b", 2, gzip },
	{ "\xfd" "7zXZ\0", 6, xz },
	{ "\x28\xb5\x2f\xfd", 4, zstd },
	{ "", 0, plain },
};

int decompress_bytes(const void *bytes, size_t len, size_t max_bytes, uint8_t **ret, size_t *ret_len)
{
	_cleanup_(output_free) struct output o = { .max = max_bytes };
	const struct format *f = formats;
	int r;

	while (len < f->len || memcmp(bytes, f->magic, f->len) != 0)
		f++;
	r = f->read(bytes, len, &o);
	if (r == 0 && o.len > max_bytes)
		r = -EFBIG;
	if (r == 0 && !o.v) /* an empty file is no failure */
		r = grow(&o);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(o.v);
	*ret_len = o.len;
	return 0;
}

int decompress_file(int dirfd, const char *path, size_t max_bytes, uint8_t **ret, size_t *ret_len, struct err *err)
{
	_cleanup_free_ char *bytes = NULL;
	size_t len;
	int r;

	r = read_whole_at(dirfd, path, max_bytes, &bytes, &len);
	if (r == 0)
		r = decompress_bytes(bytes, len, max_bytes, ret, ret_len);
	if (r == -EBADMSG)
		return err_set(err, r, "%s: damaged", path);
	return r < 0 ? err_sys(err, r, "%s", path) : 0;
}
