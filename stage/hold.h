/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold.h - holding back the deployment that ostree has staged.
 *
 * ostree makes it the next one at shutdown, unless it is locked: by a file beside it, or from 2023.8 on by a word
 * in what ostree wrote of it (ostree, src/libostree/ostree-sysroot-deploy.c, finalize_staged). The file may be
 * anybody's; ours has our name in it, and only that one is ever removed.
 */
#ifndef MODULUS_HOLD_H
#define MODULUS_HOLD_H

#include "host.h"

#define HOLD_STAGED "/run/ostree/staged-deployment"
#define HOLD_LOCK "/run/ostree/staged-deployment-locked"

enum hold {
	HOLD_NONE,   /* nothing is staged, or nobody locked it */
	HOLD_OURS,   /* locked by our file */
	HOLD_OTHERS, /* locked by somebody else, whose business it stays */
};

enum hold hold_look(const struct host *h);
/* Is our file there, also one that outlived what was staged? */
bool hold_is_ours(const struct host *h);

/*
 * Locks what is staged, or takes our lock away; without anything staged the latter always. Idempotent. When somebody
 * else has locked it, nothing is done. ret: what holds it now. -errno.
 */
int hold_set(const struct host *h, bool locked, enum hold *ret, struct err *err) _must_check_;

/* "ours", "other"; NULL: HOLD_NONE. */
const char *hold_word(enum hold hold);

#endif
