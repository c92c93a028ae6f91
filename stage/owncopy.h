/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owncopy.h - leaves our own executable where the real root finds it: the same build runs in both
 * halves, and no other copy is needed on the host.
 */
#ifndef MODULUS_OWNCOPY_H
#define MODULUS_OWNCOPY_H

#include "host.h"

#define OWN_COPY_PATH "/run/modulus/bin/modulus"

/*
 * Begins to copy, in a thread of its own: a boot waits for networks and disks, and meanwhile six megabytes
 * cost nobody anything. A failure is told by the end. Once in a process, which has one executable.
 */
void own_copy_begin(const struct host *h);

/*
 * Waits until it is there, whole and by its name: before anybody starts it, and before we end. 0, also where none was
 * begun, or -errno; the same each time.
 */
int own_copy_end(void) _must_check_;

#endif
