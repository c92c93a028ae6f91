/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.h - a call that may never return, or a program, in a child with a deadline.
 */
#ifndef MODULUS_CHILD_H
#define MODULUS_CHILD_H

#include "err.h"

/*
 * Runs fn(ctx) in a child and returns what it returned (0 or negative). Of our descriptors the
 * child has the standard three and keep_fd (-1: none).
 * -E_INIT_HUNG: no answer until until_us (CLOCK_BOOTTIME); the child was sent SIGKILL and is left
 * to itself, since one that hangs in the kernel does not die. -E_INIT_FAILED: it was killed (a
 * kernel oops ends the process that caused it). Neither is an errno: fn may return any of those. -errno: no child could be made.
 */
int child_call(int (*fn)(void *ctx), void *ctx, int keep_fd, uint64_t until_us) _must_check_;

/*
 * Runs a program (argv[0] is looked for on PATH) until then. 0: it ended with exit code 0;
 * -ENOENT: it cannot be started; -ETIMEDOUT: it was killed; -EIO: it failed.
 */
int child_program(const char *const argv[], uint64_t until_us) _must_check_;

#endif
