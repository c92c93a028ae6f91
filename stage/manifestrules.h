/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifestrules.h - the last step of manifest_parse(): the rules over several fields.
 */
#ifndef MODULUS_MANIFESTRULES_H
#define MODULUS_MANIFESTRULES_H

#include "manifest.h"

/*
 * One place for one file, none below another; modules first, in one spelling each, and those to load among them; sizes that
 * add up to the tar. 0, -E_CORRUPT with the field in the text, or -ENOMEM.
 */
int manifest_check_rules(const struct manifest *m, struct err *err) _must_check_;

#endif
