/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep.h - removes those names of a directory that somebody knows as ours, durably.
 */
#ifndef MODULUS_SWEEP_H
#define MODULUS_SWEEP_H

#include "host.h"

/* Borrowed, all of it. */
struct sweep {
	const struct host *host;
	bool dry;		/* only say what would go */
	struct strv *removed;	/* the paths that went, or would */
	struct strv *failed;	/* "PATH: why" of those that could not; a failure does not keep the others */
	void *ctx;		/* for is_ours() */
};

/* Is dir/entry, which is where/entry on the host, to go? */
typedef bool (*sweep_is_ours_fn)(void *ctx, int dir, const char *where, const char *entry);

/*
 * In that directory of the root, or with live of the live system, where that is the root's (host_root_is_live()); one
 * that does not exist has none. 0 or -ENOMEM.
 */
int sweep_dir(const struct sweep *s, const char *where, bool live, sweep_is_ours_fn is_ours) _must_check_;

#endif
