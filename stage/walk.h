/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.h - what openat2(2) does for us, step by step, for where a sandbox refuses that call: a filter cannot look
 * into its argument, so that RestrictSUIDSGID= of systemd, which systemd-udevd.service has, refuses it always.
 */
#ifndef MODULUS_WALK_H
#define MODULUS_WALK_H

#include "base.h"

/*
 * Opens path as openat2(2) does with RESOLVE_BENEATH or RESOLVE_IN_ROOT, and RESOLVE_NO_SYMLINKS, and with its
 * errors; with none of them as openat(2) does. No step leaves what is below dirfd, whatever is renamed or replaced
 * meanwhile. A link that is exchanged for something else at that moment may be -ELOOP or -ENOTDIR; procfs's links are
 * the text in them, beneath too. -ENAMETOOLONG also for more than LIMIT_WALK_DEPTH directories. -ENOSYS: any other
 * resolve.
 */
int walk_open(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve) _must_check_;

#endif
