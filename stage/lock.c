// SPDX-License-Identifier: Apache-2.0
/*
 * lock.c - taken at the beginning of every command that writes. Out: a file below /run with the number of the process
 * that holds it or held it last, which nothing removes: another process may wait for it. Power loss: no lock outlives
 * its process.
 */
#include "lock.h"

#include <fcntl.h>

#include "log.h"
#include "report.h"

#define LOCK_NAME "lock"
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

int lock_machine(const struct host *h, uint64_t wait_us, int *ret_fd, struct err *err)
{
	_cleanup_close_ int dir = -EBADF, fd = -EBADF;
	uint64_t until_us = now_us() + wait_us;
	bool said = false;
	int r = host_live_mkdir(h, STATUS_DIR, &dir);

	if (r == 0)
		fd = openat(dir, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (r < 0 || fd < 0)
		return err_sys(err, r < 0 ? r : -errno, "%s/%s", STATUS_DIR, LOCK_NAME);
	while ((r = lock_file(fd)) == -EBUSY && now_us() < until_us) {
		if (!said)
			log_info("waiting for another modulus that is at work (process %d)", holder(fd));
		said = true;
		(void)usleep(LOCK_POLL_US);
	}
	if (r == -EBUSY)
		return err_set(err, r, "another modulus is at work (process %d) and was not done in %llu s", holder(fd),
			       (unsigned long long)(wait_us / 1000000));
	if (r < 0)
		return err_sys(err, r, "%s/%s", STATUS_DIR, LOCK_NAME);
	say_holder(fd);
	*ret_fd = TAKE_FD(fd);
	return 0;
}
