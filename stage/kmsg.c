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

int kmsg_collect(int mark, struct strv *lines)
{
	char record[RECORD_MAX_BYTES], text[1024];

	if (mark < 0)
		return 0;
	while (lines->n < LIMIT_KERNEL_LOG_LINES) {
		ssize_t n = read(mark, record, sizeof(record));
		const char *body, *end;
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
		escape_text(body, (size_t)((end ? end : record + n) - body), text, sizeof(text));
		r = strv_add(lines, text);
		if (r < 0)
			return r;
	}
	return 0;
}
