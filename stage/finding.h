/* SPDX-License-Identifier: Apache-2.0 */
/*
 * finding.h - what `modulus check` found out: rows of how good, about what, why, and what to do.
 */
#ifndef MODULUS_FINDING_H
#define MODULUS_FINDING_H

#include <jansson.h>

#include "err.h"

enum finding_level { FINDING_OK, FINDING_WARN, FINDING_FAIL };

/* Findings that are about no driver. */
#define FINDING_SYSTEM "system"

struct finding {
	enum finding_level level;
	char *about;      /* a driver's name, or FINDING_SYSTEM */
	const char *what; /* what was looked at: "modules", "device"; static */
	struct err why;   /* code 0: all is well, or no reason has that name; the text says what was found in any case */
	const char *command; /* that mends it, static; NULL: the reason's advice has to do */
};

struct findings {
	struct finding *v;
	size_t n;
};

/* -ENOMEM */
int findings_add(struct findings *l, enum finding_level level, const char *about, const char *what,
		 const struct err *why) _must_check_;
/* The same with a text of its own. */
int findings_addf(struct findings *l, enum finding_level level, const char *about, const char *what, int code,
		  const char *fmt, ...) _printf_(6, 7) _must_check_;
/* What mends the one that was added last. 0, so that it ends a chain of calls. */
void findings_set_command(struct findings *l, const char *command);
void findings_free(struct findings *l);
#define _cleanup_findings_ _cleanup_(findings_free)

/* The first that failed; NULL: none did. about: only those of it; NULL: all. */
const struct finding *findings_failed(const struct findings *l, const char *about);

/* "ok", "warn", "fail" */
const char *finding_word(enum finding_level level);
/* What to do about it: the command, or the advice of the reason; NULL when all is well. */
const char *finding_remedy(const struct finding *f);
/* An array of objects. NULL: no memory. */
json_t *findings_json(const struct findings *l);

#endif
