/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owncopy.h - leaves our own executable where the real root finds it: the same build runs in both
 * halves, and no other copy is needed on the host.
 */
#ifndef MODULUS_OWNCOPY_H
#define MODULUS_OWNCOPY_H

#include <pthread.h>

#include "host.h"

#define OWN_COPY_PATH "/run/modulus/bin/modulus"

struct own_copy {
	int dir, from, to;
	uint64_t size;
	int result;
	bool running; /* in its thread */
	pthread_t thread;
};

#define OWN_COPY_NONE { .dir = -EBADF, .from = -EBADF, .to = -EBADF }

/*
 * Begins to copy, in a thread of its own: a boot waits for networks and disks, and meanwhile six megabytes
 * cost nobody anything. A failure is told by the end.
 */
void own_copy_begin(const struct host *h, struct own_copy *ret);

/* Waits until it is there, whole and by its name. 0, also where none was begun, or -errno. */
int own_copy_end(struct own_copy *c) _must_check_;

#endif
