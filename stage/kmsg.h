/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kmsg.h - the kernel's own words about what we just did (/dev/kmsg, kernel
 * Documentation/ABI/testing/dev-kmsg).
 */
#ifndef MODULUS_KMSG_H
#define MODULUS_KMSG_H

#include "host.h"

/* A descriptor that stands at the end of the log now; negative when there is no /dev/kmsg. */
int kmsg_mark(const struct host *h);
/* Adds what was logged since the mark, at most LIMIT_KERNEL_LOG_LINES, escaped. */
int kmsg_collect(int mark, struct strv *lines) _must_check_;

#endif
