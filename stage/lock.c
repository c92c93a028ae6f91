// SPDX-License-Identifier: Apache-2.0
/*
 * lock.c - taken at the beginning of every command that writes. Out: files below /run, the machine's with the number of
 * the process that holds it or held it last. Nothing removes them: another process may wait. Power loss: no lock
 * outlives its process.
 */
#include "lock.h"

#include <fcntl.h>

#include "limit.h"
#include "log.h"
#include "report.h"

#define LOCK_NAME "lock"
#define STATUS_LOCK_NAME "status.lock"
#define LOCK_POLL_US 50000

int lock_file(int fd)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &whole) == 0)
		return 0;
	return errno == EACCES || errno == EAGAIN ? -EBUSY : -errno; /* fcntl(2): either, for another's lock */
}

/* Who waits tells it to a person. A file system that takes no more costs him the number only. */
static void say_holder(int fd)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (ftruncate(fd, 0) == 0)
		(void)!pwrite(fd, text, (size_t)n, 0);
}

/* The process that holds it; 0: none any more, or it has not said so yet. */
static int holder(int fd)
{
	struct flock other = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char text[16] = "";

	if (fcntl(fd, F_OFD_GETLK, &other) < 0 || other.l_type == F_UNLCK)
		return 0;
	if (other.l_pid > 0) /* a record lock, of another program */
		return (int)other.l_pid;
	return pread(fd, text, sizeof(text) - 1, 0) > 0 ? (int)strtol(text, NULL, 10) : 0;
}

static int open_lock(const struct host *h, const char *name, int *ret_fd)
{
	_cleanup_close_ int dir = -EBADF;
	int r = host_live_mkdir(h, STATUS_DIR, &dir);

	if (r < 0)
		return r;
	*ret_fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return *ret_fd < 0 ? -errno : 0;
}

static int wait_for(int fd, uint64_t wait_us, bool say)
{
	const uint64_t until_us = now_us() + wait_us;
	int r;

	while ((r = lock_file(fd)) == -EBUSY && now_us() < until_us) {
		if (say)
			log_info("waiting for another modulus that is at work (process %d)", holder(fd));
		say = false;
		(void)usleep(LOCK_POLL_US);
	}
	return r;
}

int lock_machine(const struct host *h, uint64_t wait_us, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	int r = open_lock(h, LOCK_NAME, &fd);

	if (r == 0)
		r = wait_for(fd, wait_us, true);
	if (r == -EBUSY)
		return err_set(err, r, "another modulus is at work (process %d) and was not done in %llu s", holder(fd),
			       (unsigned long long)(wait_us / 1000000));
	if (r < 0)
		return err_sys(err, r, "%s/%s", STATUS_DIR, LOCK_NAME);
	say_holder(fd);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int lock_status(const struct host *h, int *ret_fd)
{
	_cleanup_close_ int fd = -EBADF;
	int r = open_lock(h, STATUS_LOCK_NAME, &fd);

	if (r == 0)
		r = wait_for(fd, LIMIT_LOCK_STATUS_US, false);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}
