/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gate.h - may an update go on? Gate= of a driver holds it until the next kernel would get that driver, for
 * a time that is counted from when it first held for that kernel. GATE_OPEN lets it through at once.
 */
#ifndef MODULUS_GATE_H
#define MODULUS_GATE_H

#include "config.h"
#include "finding.h"
#include "hold.h"
#include "kernel.h"

/* Somebody made this file: updates go on, until the next boot. */
#define GATE_OPEN "/run/modulus/gate-open"
/* What was decided last, for `status`. */
#define GATE_NOTE "next.json"

/* Since when it holds. Times of the wall are for what spans a boot, the others for all else. */
struct gate_count {
	int64_t since; /* seconds since 1970, for people */
	uint64_t held_us;
	char boot_id[40];
	uint64_t at_us; /* CLOCK_BOOTTIME of that boot, when held_us was right */
	int64_t at;     /* the wall's clock then */
};

/*
 * The count when it is read again, at the times of `now` (boot_id, at_us, at). Within a boot a clock that is
 * set changes nothing; over a boot a clock that went back, or was before the time of this build, adds
 * nothing. Pure.
 */
void gate_count_on(struct gate_count *c, const struct gate_count *now);

struct gate {
	bool hold;
	int64_t since, until; /* seconds since 1970; 0: it never held; until 0: no end */
	char why[300];
	enum hold lock; /* what holds a staged deployment of ostree now */
};

/*
 * Decides, and remembers since when it holds (/var/lib/modulus/gate.json). One that cannot remember it does
 * not hold for a time that would then have no end. kernel: the next one; release "" when it is not known.
 */
void gate_decide(const struct host *h, const struct config *c, const struct kernel *kernel,
		 const struct findings *found, struct gate *ret);

/* {"hold": ..., "why": ..., "since": ..., "until": ..., "lock": ...}. NULL: no memory. */
json_t *gate_json(const struct gate *g);

#endif
