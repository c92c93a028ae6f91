// SPDX-License-Identifier: Apache-2.0
/*
 * reader.c - bytes from a descriptor, in order, once.
 */
#include "reader.h"

#include <fcntl.h>
#include <poll.h>

struct fd_reader {
	struct reader base;
	int fd, stop_fd; /* stop_fd < 0: nothing stops it */
};

/* Waits until there is something to read: 0, or -EINTR when that is the reason to stop. */
static int wait_for_bytes(const struct fd_reader *f)
{
	struct pollfd p[] = { { .fd = f->stop_fd, .events = POLLIN }, { .fd = f->fd, .events = POLLIN } };
	int r;

	do {
		r = poll(p, ARRAY_SIZE(p), -1);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return p[0].revents ? -EINTR : 0;
}

static ssize_t fd_read(struct reader *r, void *buf, size_t len)
{
	struct fd_reader *f = (struct fd_reader *)r;
	ssize_t n = f->stop_fd < 0 ? 0 : wait_for_bytes(f);

	if (n < 0)
		return n;
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
	return reader_new_fd_until(fd, -EBADF, ret);
}

int reader_new_fd_until(int fd, int stop_fd, struct reader **ret)
{
	struct fd_reader *f = malloc(sizeof(*f));

	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	*f = (struct fd_reader){ .base.ops = &fd_ops, .fd = fd, .stop_fd = stop_fd };
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	*ret = &f->base;
	return 0;
}

int reader_stat(const struct reader *r, struct stat *ret)
{
	if (r->ops != &fd_ops)
		return -EOPNOTSUPP;
	return fstat(((const struct fd_reader *)r)->fd, ret) < 0 ? -errno : 0;
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
