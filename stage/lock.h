/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock.h - one at a time: the commands that load drivers or change the cache, and the writers of one
 * file. Locks of the open file (F_OFD_SETLK, fcntl(2)): record locks would be gone as soon as the process closes any
 * other descriptor of that file. A second one in the same process waits like everybody else's. Whatever ends the
 * process ends them, also where a child hangs in a module's init: it has closed what it inherited (child.h).
 */
#ifndef MODULUS_LOCK_H
#define MODULUS_LOCK_H

#include "host.h"

/*
 * The lock of this machine, for boot, fetch and what changes the cache; closing *ret_fd gives it
 * up. Waits at most wait_us for the one that holds it, and says so in one line.
 * -EBUSY: it still does; -errno: /run/modulus/lock cannot be made. Both with a sentence.
 */
int lock_machine(const struct host *h, uint64_t wait_us, int *ret_fd, struct err *err) _must_check_;

/*
 * That of status.json, between reading and writing it: for moments, so that nobody waits for who has the machine's for
 * minutes. -EBUSY: not even in LIMIT_LOCK_STATUS_US; -errno.
 */
int lock_status(const struct host *h, int *ret_fd) _must_check_;

/* A file open for writing is ours alone, until this descriptor is closed. -EBUSY: somebody else's; -errno. */
int lock_file(int fd) _must_check_;

#endif
