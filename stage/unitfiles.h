/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unitfiles.h - the units and updaters' hooks that snippets and operators put on a host for us, and their removal. Ours
 * is what says so of itself: others may have units and hooks of such a name.
 */
#ifndef MODULUS_UNITFILES_H
#define MODULUS_UNITFILES_H

#include "config.h"
#include "sweep.h"

struct unit_files {
	const struct config *config;	/* whose drivers instances are of */
	struct sweep sweep;		/* its ctx is set here */
	const struct strv *names;	/* drivers; NULL: all */
	struct strv kept;		/* "PATH: why"; the caller frees it */
	bool changed;			/* systemd has something to read again */
};

/* What enables units: of the named drivers their instances only. 0, -ENOMEM, -errno, as of the others. */
int unit_files_disable(struct unit_files *u) _must_check_;
/* All units. */
int unit_files_remove(struct unit_files *u) _must_check_;
/* All hooks, under the names that updaters want (docs/updates.md). One that an operator calls by another name is his. */
int unit_files_remove_hooks(struct unit_files *u) _must_check_;

#endif
