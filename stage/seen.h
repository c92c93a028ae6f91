/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seen.h - files whose header was verified in this run, and whose bundles they are: drivers that share a directory
 * need not read and verify each other's files again. Only ever a reason to leave a file alone: what is used is read
 * and verified by whoever uses it. Of one keyring, since another one may not trust what this one did.
 */
#ifndef MODULUS_SEEN_H
#define MODULUS_SEEN_H

#include <sys/stat.h>

#include "limit.h"
#include "manifest.h"

/* A file, and what its verified manifest says of it. It is still that file as long as none of its stat changes. */
struct seen_file {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
	enum bundle_kind kind;
	char name[LIMIT_NAME_BYTES + 1];
};

/* Starts as all zeros. */
struct seen {
	struct seen_file *v;
	size_t n;
};

/*
 * st: as the file was before it was read, so that one that was changed meanwhile is not taken for what was read.
 * What is beyond LIMIT_SEEN or memory is not remembered, and so read again.
 */
void seen_add(struct seen *s, const struct stat *st, const struct manifest *m);

/* NULL: not seen, or changed since. Valid until the next seen_add(). */
const struct seen_file *seen_find(const struct seen *s, const struct stat *st);

void seen_free(struct seen *s);

#endif
