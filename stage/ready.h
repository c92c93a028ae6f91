/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ready.h - one word for units of others: this machine has the GPUs that it is to have.
 */
#ifndef MODULUS_READY_H
#define MODULUS_READY_H

#include "report.h"

/* Is there while it is so: what modulus-ready.target asserts. */
#define READY_NAME "ready"

/*
 * The second half of the boot has run, and of every driver in the report the modules are live, with the libraries that were
 * asked for, or no device here needs it. Pure.
 */
bool ready_is(const json_t *status);

/* Makes the file beside status.json, or removes it. -errno. */
int ready_tell(int dir, const json_t *status) _must_check_;

#endif
