/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - small files that outlive a boot, below /var/lib/modulus of the target root. Each is
 * replaced whole: a power cut leaves the old one or the new one.
 */
#ifndef MODULUS_STATE_H
#define MODULUS_STATE_H

#include <jansson.h>

#include "host.h"

#define STATE_DIR "/var/lib/modulus"

/*
 * The JSON object in dir/name; *ret is the caller's. -ENOENT: none, or not where it can be had now; -EBADMSG: not an object, or no file;
 * -EFBIG: more than LIMIT_STATE_BYTES; -errno.
 */
int state_read(const struct host *h, const char *dir, const char *name, json_t **ret) _must_check_;

/*
 * Replaces dir/name, makes the directories on the way, and makes a file system that is mounted
 * read-only writable for that moment (rootfs.h). When it returns 0 the file survives a power cut.
 * -E_CACHE_UNREACHABLE: the place cannot be had now; -E_NO_SPACE; -errno.
 */
int state_write(const struct host *h, const char *dir, const char *name, const json_t *state, struct err *err)
	_must_check_;

#endif
