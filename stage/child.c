// SPDX-License-Identifier: Apache-2.0
/*
 * child.c - fork, wait with a deadline. The result comes back through a pipe: an exit status has
 * no room for our codes.
 */
#include "child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/*
 * A child that hangs in the kernel is there as long as the machine runs. With our descriptors it
 * would keep file systems busy that the boot wants to remount or to unmount.
 */
static void close_all_but(int a, int b)
{
	unsigned int low = (unsigned int)MIN(a, b), high = (unsigned int)(a > b ? a : b);

	if (low > STDERR_FILENO + 1)
		(void)close_range(STDERR_FILENO + 1, low - 1, 0);
	if (high > low + 1)
		(void)close_range(low + 1, high - 1, 0);
	(void)close_range(high + 1, ~0u, 0);
}

static void run(int (*fn)(void *ctx), void *ctx, int keep_fd, int out)
{
	int result;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	close_all_but(keep_fd > STDERR_FILENO ? keep_fd : out, out);
	result = fn(ctx);
	_exit(write_full(out, &result, sizeof(result)) < 0 ? 1 : 0);
}

int child_call(int (*fn)(void *ctx), void *ctx, int keep_fd, uint64_t until_us)
{
	_cleanup_close_ int in = -EBADF, out = -EBADF;
	struct pollfd p = { .events = POLLIN };
	int pipe_fds[2], result;
	uint64_t now;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	in = pipe_fds[0];
	out = pipe_fds[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		run(fn, ctx, keep_fd, out);
	close_fdp(&out);
	p.fd = in;
	while ((now = now_us()) < until_us) {
		int n = poll(&p, 1, (int)MIN((until_us - now) / 1000 + 1, (uint64_t)60000));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0)
			continue;
		/* the answer, or the end of the pipe because the child died */
		n = read(in, &result, sizeof(result)) == (ssize_t)sizeof(result);
		(void)waitpid(pid, NULL, 0);
		return n ? result : -E_INIT_FAILED;
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, WNOHANG);
	return -E_INIT_HUNG;
}

int child_program(const char *const argv[], uint64_t until_us)
{
	_cleanup_close_ int pidfd = -EBADF;
	struct pollfd p = { .events = POLLIN };
	uint64_t now;
	int status;
	pid_t pid;

	if (posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ) != 0)
		return -ENOENT;
	pidfd = pidfd_open(pid, 0);
	p.fd = pidfd;
	while ((now = now_us()) < until_us)
		if (poll(&p, 1, (int)MIN((until_us - now) / 1000 + 1, (uint64_t)60000)) > 0)
			break;
	if (now >= until_us)
		(void)kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return now >= until_us ? -ETIMEDOUT : -EIO;
	return 0;
}
