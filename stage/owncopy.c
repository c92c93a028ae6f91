// SPDX-License-Identifier: Apache-2.0
/*
 * owncopy.c - /proc/self/exe -> /run/modulus/bin/modulus, begun at the start of a boot and waited for at its
 * end. Memory only: nothing is left to a power cut.
 */
#include "owncopy.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#define DIR_PATH "/run/modulus/bin"
#define NAME "modulus"
#define NEW_NAME ".new"

struct own_copy {
	int dir, from, to;
	uint64_t size;
	int result;
	bool running; /* in its thread */
	pthread_t thread;
};

#define OWN_COPY_NONE { .dir = -EBADF, .from = -EBADF, .to = -EBADF }

static struct own_copy ours = OWN_COPY_NONE;

/* Nothing but system calls: this thread holds no lock when the other one forks. */
static void *copy(void *ctx)
{
	struct own_copy *c = ctx;
	off_t at = 0;

	while (c->result == 0 && (uint64_t)at < c->size) {
		ssize_t n = sendfile(c->to, c->from, &at, (size_t)(c->size - (uint64_t)at));

		if (n <= 0)
			c->result = n < 0 ? -errno : -EIO;
	}
	close_fdp(&c->to);
	if (c->result == 0 && renameat(c->dir, NEW_NAME, c->dir, NAME) < 0)
		c->result = -errno;
	return NULL;
}

/* 1: there is something to copy; 0: what runs is that file. */
static int open_both(const struct host *h, struct own_copy *c)
{
	struct stat st, have;
	int r;

	c->from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (c->from < 0)
		return -errno;
	r = host_live_mkdir(h, DIR_PATH, &c->dir);
	if (r < 0)
		return r;
	if (fstat(c->from, &st) < 0)
		return -errno;
	if (fstatat(c->dir, NAME, &have, 0) == 0 && have.st_dev == st.st_dev && have.st_ino == st.st_ino)
		return 0;
	c->size = (uint64_t)st.st_size;
	c->to = openat(c->dir, NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0755);
	return c->to < 0 ? -errno : 1;
}

void own_copy_begin(const struct host *h)
{
	int r;

	ours = (struct own_copy)OWN_COPY_NONE;
	r = open_both(h, &ours);
	ours.result = MIN(r, 0);
	if (r <= 0)
		return;
	ours.running = thread_start(&ours.thread, copy, &ours) == 0;
	if (!ours.running)
		copy(&ours);
}

int own_copy_end(void)
{
	if (ours.running)
		(void)pthread_join(ours.thread, NULL);
	ours.running = false;
	close_fdp(&ours.from);
	close_fdp(&ours.to);
	close_fdp(&ours.dir);
	return ours.result;
}
