// SPDX-License-Identifier: Apache-2.0
/*
 * without-sync.c - test only: runs a program whose system calls for durability do nothing and say that all is well, as
 * SystemCallFilter=~fsync:0 makes it for a unit. Usage: without-sync PROGRAM [ARGUMENT...]
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOTHING_FOR(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO)

int main(int argc, char **argv)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		NOTHING_FOR(SYS_fsync),
		NOTHING_FOR(SYS_fdatasync),
		NOTHING_FOR(SYS_sync),
		NOTHING_FOR(SYS_syncfs),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = { .len = sizeof(code) / sizeof(*code), .filter = code };

	if (argc > 1 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0)
		execv(argv[1], argv + 1);
	perror("without-sync");
	return 127;
}
