/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.h - status.json for a person.
 */
#ifndef MODULUS_STATUS_H
#define MODULUS_STATUS_H

#include "host.h"

/* Prints what happened at this boot (json: the file as it is) to stdout; the exit code. */
int status_run(const struct host *h, bool json);

#endif
