// SPDX-License-Identifier: Apache-2.0
/*
 * reader.c - bytes from a descriptor, in order, once.
 */
#include "reader.h"

#include <fcntl.h>

struct fd_reader {
	struct reader base;
	int fd;
};

static ssize_t fd_read(struct reader *r, void *buf, size_t len)
{
	struct fd_reader *f = (struct fd_reader *)r;
	ssize_t n;

	do {
		n = read(f->fd, buf, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static void fd_close(struct reader *r)
{
	struct fd_reader *f = (struct fd_reader *)r;

	close(f->fd);
	free(f);
}

static const struct reader_ops fd_ops = { .read = fd_read, .close = fd_close };

int reader_new_fd(int fd, struct reader **ret)
{
	struct fd_reader *f = malloc(sizeof(*f));

	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	*f = (struct fd_reader){ .base.ops = &fd_ops, .fd = fd };
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	*ret = &f->base;
	return 0;
}

void reader_close(struct reader *r)
{
	if (r)
		r->ops->close(r);
}

ssize_t reader_read_full(struct reader *r, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = r->ops->read(r, (char *)buf + done, len - done);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}
