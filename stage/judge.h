/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.h - of the bundles that a source has: which answer, and which is the best. See source.h.
 */
#ifndef MODULUS_JUDGE_H
#define MODULUS_JUDGE_H

#include "source.h"

/* Is what is of this driver and of this kind wanted at all? 0, or -E_NO_BUNDLE. */
int judge_whose(const struct source_request *req, const char *name, enum bundle_kind kind, struct err *err) _must_check_;

/* Does the bundle answer the request? 0, or the reason why not. */
int judge_bundle(const struct source_request *req, const struct manifest *m, struct err *err) _must_check_;

/* Fills in where it stands among others, beside its serial. */
void judge_rank(const struct source_request *req, struct candidate *c);

/* The best first. */
void judge_sort(struct candidates *c);

/*
 * One serial, one bundle: otherwise somebody signed two truths, and neither is taken. Of candidates that
 * are sorted. The best of each flavour counts, since it may be the next that is tried. -E_EQUIVOCATION: of the
 * first choice there are two; those of another flavour become rejections. -ENOMEM.
 */
int judge_equivocation(struct candidates *c, const struct driver *d, struct rejections *rejected, struct err *err) _must_check_;

#endif
