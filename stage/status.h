/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.h - status.json for a person.
 */
#ifndef MODULUS_STATUS_H
#define MODULUS_STATUS_H

#include "host.h"

enum status_form { STATUS_TEXT, STATUS_JSON, STATUS_TIMELINE };

/* Prints what happened at this boot to stdout, STATUS_JSON: the file as it is; the exit code. */
int status_run(const struct host *h, enum status_form form);

#endif
