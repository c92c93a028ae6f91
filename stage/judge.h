/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.h - of the bundles that a source has: which answer, and which is the best. See source.h.
 */
#ifndef MODULUS_JUDGE_H
#define MODULUS_JUDGE_H

#include "source.h"

/* Does the bundle answer the request? 0, or the reason why not. */
int judge_bundle(const struct source_request *req, const struct manifest *m, struct err *err) _must_check_;

/* The best first. */
void judge_sort(struct candidates *c);

/*
 * One serial, one bundle: otherwise somebody signed two truths, and neither is taken. Of candidates that
 * are sorted. -E_EQUIVOCATION: two of the best differ.
 */
int judge_equivocation(const struct candidates *c, const struct driver *d, struct err *err) _must_check_;

#endif
