// SPDX-License-Identifier: Apache-2.0
/*
 * timed.c - how long a program takes, from fork to exit, in a guest whose shell cannot tell.
 *
 * timed NAME PROGRAM [ARGUMENT...]    prints "NAME NANOSECONDS EXIT"
 */
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int main(int argc, char **argv)
{
	int64_t began = now_ns();
	int status = 0;
	pid_t pid;

	if (argc < 3) {
		fprintf(stderr, "usage: timed NAME PROGRAM [ARGUMENT...]\n");
		return 2;
	}
	pid = fork();
	if (pid == 0) {
		execv(argv[2], argv + 2);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return 1;
	printf("%s %lld %d\n", argv[1], (long long)(now_ns() - began), WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	return 0;
}
