// SPDX-License-Identifier: Apache-2.0
/*
 * kmsg.c - reads the kernel log between two moments. For reports only: nothing is decided by it.
 */
#include "kmsg.h"

#include <fcntl.h>

#include "limit.h"

/* One record is at most this long (kernel/printk: CONSOLE_EXT_LOG_MAX). */
#define RECORD_MAX_BYTES 8192

int kmsg_mark(const struct host *h)
{
	int fd = host_live_open(h, "/dev/kmsg", O_RDONLY | O_NONBLOCK);

	if (fd >= 0 && lseek(fd, 0, SEEK_END) < 0) {
		close(fd);
		return -EINVAL;
	}
	return fd;
}

/* The kernel writes what is not printable, line ends and "\" too, as \xNN: undone, in place. Returns the length. */
static size_t unescape(char *text, size_t len)
{
	size_t to = 0;

	for (size_t at = 0; at < len; to++) {
		char digits[3] = { 0 };
		uint8_t byte;

		if (len - at >= 4 && text[at] == '\\' && text[at + 1] == 'x')
			memcpy(digits, text + at + 2, 2);
		if (digits[0] && hex_decode(digits, &byte, 1) == 0) {
			text[to] = (char)byte;
			at += 4;
		} else {
			text[to] = text[at++];
		}
	}
	return to;
}

/* The lines of one record's text that are not empty. */
static int add_lines(struct strv *lines, const char *text, size_t len)
{
	char line[1024];

	while (len > 0 && lines->n < LIMIT_KERNEL_LOG_LINES) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len;
		int r = 0;

		if (n > 0) {
			escape_text(text, n, line, sizeof(line));
			r = strv_add(lines, line);
		}
		if (r < 0)
			return r;
		n += end != NULL;
		text += n;
		len -= n;
	}
	return 0;
}

int kmsg_collect(int mark, struct strv *lines)
{
	char record[RECORD_MAX_BYTES];

	if (mark < 0)
		return 0;
	while (lines->n < LIMIT_KERNEL_LOG_LINES) {
		ssize_t n = read(mark, record, sizeof(record));
		char *body, *end;
		int r;

		if (n < 0 && (errno == EPIPE || errno == EINTR)) /* the ring went round: go on from there */
			continue;
		if (n <= 0)
			return 0;
		/* "priority,sequence,time,flags;text\n KEY=value\n" */
		body = memchr(record, ';', (size_t)n);
		if (!body++)
			continue;
		end = memchr(body, '\n', (size_t)(record + n - body));
		r = add_lines(lines, body, unescape(body, (size_t)((end ? end : record + n) - body)));
		if (r < 0)
			return r;
	}
	return 0;
}
