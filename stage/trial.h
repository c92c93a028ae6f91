/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trial.h - attempts, so that a bundle that brings the machine down is not tried for ever: the
 * boot counting of systemd (Automatic Boot Assessment), for a bundle on a kernel build.
 *
 * An attempt is recorded, durably, before the first insert. It is over when `finish` or an orderly
 * shutdown is reached. One that a later boot finds open is a miss: the machine went down in it.
 * An init that hangs or kills its process is a miss at once. After LIMIT_TRIAL_MISSES the bundle is
 * blocked for that kernel build. `bless` forgets the misses; so does a person (`modulus cache`).
 *
 * One file for each (bundle digest, kernel build): TRIAL_DIR/<release>/<digest>-<build-id>.json.
 */
#ifndef MODULUS_TRIAL_H
#define MODULUS_TRIAL_H

#include "host.h"
#include "limit.h"

#define TRIAL_DIR "/var/lib/modulus/trials"
/* In the name of a file, for a kernel that carries no build-id. */
#define TRIAL_NO_BUILD_ID "unknown"

/* Which attempts; all of them the caller's strings. */
struct trial {
	const char *name;     /* of the driver: for people */
	const char *digest;   /* of the bundle */
	const char *release;  /* of the kernel */
	const char *build_id; /* "": not known */
};

/* Misses so far; an open attempt of an earlier boot counts. 0 when nothing can be read. */
unsigned int trial_misses(const struct host *h, const struct trial *t);

/* What is recorded, owned. "" as a build: one without a build-id. */
struct trial_record {
	char name[LIMIT_NAME_BYTES + 1]; /* of the driver; "" where the file is none of ours */
	char *digest, *release, *build_id;
	unsigned int misses; /* as trial_misses() */
};

struct trial_list {
	struct trial_record *v;
	size_t n;
};

/* All records, of every kernel; none where they cannot be had now. -ENOMEM. */
int trial_list_read(const struct host *h, struct trial_list *ret) _must_check_;
void trial_list_free(struct trial_list *l);

/* 0, or -E_BLOCKED with the number of misses in err. Changes nothing. */
int trial_check(const struct host *h, const struct trial *t, struct err *err) _must_check_;

/*
 * Records an attempt of this boot. When it returns 0 the record survives a crash.
 * -E_CACHE_UNREACHABLE, -E_NO_SPACE, -EROFS, ...: it could not be recorded, or nothing on this
 * machine would ever close it.
 */
int trial_begin(const struct host *h, const struct trial *t, struct err *err) _must_check_;

/* The open attempt did harm. */
int trial_miss(const struct host *h, const struct trial *t, struct err *err) _must_check_;
/* The open attempt did none. Without a record there is nothing to do: 0. */
int trial_end(const struct host *h, const struct trial *t, struct err *err) _must_check_;
/* What was attempted is good: misses are forgotten. Without a record: 0. */
int trial_bless(const struct host *h, const struct trial *t, struct err *err) _must_check_;

#endif
