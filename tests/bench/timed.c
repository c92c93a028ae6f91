// SPDX-License-Identifier: Apache-2.0
/*
 * timed.c - how long a program takes, from fork to exit, in a guest whose shell cannot tell.
 *
 * timed NAME PROGRAM [ARGUMENT...]    prints "timed NAME NANOSECONDS EXIT CPU RESIDENT": microseconds of CPU, its
 *                                     children's too, and the most KiB that one of them had in memory
 */
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
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
	int64_t began = now_ns(), took;
	struct rusage used;
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
	if (pid < 0 || wait4(pid, &status, 0, &used) < 0)
		return 1;
	took = now_ns() - began;
	printf("timed %s %lld %d %lld %ld\n", argv[1], (long long)took, WIFEXITED(status) ? WEXITSTATUS(status) : -1,
	       (long long)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 + used.ru_utime.tv_usec + used.ru_stime.tv_usec,
	       used.ru_maxrss);
	return 0;
}
