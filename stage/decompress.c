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

static int drain(struct archive *a, size_t max_bytes, uint8_t **ret, size_t *ret_len)
{
	_cleanup_bytes_ uint8_t *buf = NULL;
	struct archive_entry *e;
	size_t len = 0, room = 0;

	if (archive_read_next_header(a, &e) != ARCHIVE_OK)
		return -EBADMSG;
	for (;;) {
		la_ssize_t n;

		if (len == room) {
			uint8_t *bigger;

			if (room > max_bytes)
				return -EFBIG;
			room = room ? room * 2 : (size_t)1 << 20;
			bigger = realloc(buf, room);
			if (!bigger)
				return -ENOMEM;
			buf = bigger;
		}
		n = archive_read_data(a, buf + len, room - len);
		if (n < 0 && len == 0)
			return -EBADMSG;
		if (n <= 0) /* after data, an error is what follows the stream: a kernel appends its size */
			break;
		len += (size_t)n;
	}
	if (len > max_bytes)
		return -EFBIG;
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
