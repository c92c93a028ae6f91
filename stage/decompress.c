// SPDX-License-Identifier: Apache-2.0
/*
 * decompress.c - libarchive's raw format with its decompression filters. Builder only.
 */
#include "decompress.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>

static void close_archive(struct archive **a)
{
	archive_read_free(*a);
}

static int new_reader(struct archive **ret)
{
	struct archive *a = archive_read_new();

	if (!a)
		return -ENOMEM;
	archive_read_support_format_raw(a);
	archive_read_support_format_empty(a);
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_zstd(a);
	*ret = a;
	return 0;
}

/* Block by block: a read that asked for more would lose what came before an error. */
static int drain(struct archive *a, size_t max_bytes, uint8_t **ret, size_t *ret_len)
{
	_cleanup_bytes_ uint8_t *buf = NULL;
	struct archive_entry *e;
	size_t len = 0, room = 0;

	if (archive_read_next_header(a, &e) != ARCHIVE_OK)
		return -EBADMSG;
	for (;;) {
		const void *block;
		la_int64_t offset;
		size_t n;
		int r = archive_read_data_block(a, &block, &n, &offset);

		if (r != ARCHIVE_OK && r != ARCHIVE_EOF && len == 0)
			return -EBADMSG;
		if (r != ARCHIVE_OK) /* after data, an error is what follows the stream: a kernel appends its size */
			break;
		if (n > max_bytes - len)
			return -EFBIG;
		if (len + n > room) {
			uint8_t *bigger;

			room = (len + n) * 2;
			bigger = realloc(buf, room);
			if (!bigger)
				return -ENOMEM;
			buf = bigger;
		}
		memcpy(buf + len, block, n);
		len += n;
	}
	if (!buf) { /* an empty file is no failure */
		buf = malloc(1);
		if (!buf)
			return -ENOMEM;
	}
	*ret = TAKE_PTR(buf);
	*ret_len = len;
	return 0;
}

int decompress_bytes(const void *bytes, size_t len, size_t max_bytes, uint8_t **ret, size_t *ret_len)
{
	_cleanup_(close_archive) struct archive *a = NULL;
	int r = new_reader(&a);

	if (r < 0)
		return r;
	if (archive_read_open_memory(a, bytes, len) != ARCHIVE_OK)
		return -EBADMSG;
	return drain(a, max_bytes, ret, ret_len);
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
