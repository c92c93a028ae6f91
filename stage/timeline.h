/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timeline.h - where the time of a boot went, for a person.
 */
#ifndef MODULUS_TIMELINE_H
#define MODULUS_TIMELINE_H

#include <jansson.h>

/* Prints to stdout, for each driver of status.json, its phases and each module's insert as bars of one scale. */
void timeline_print(const json_t *status);

#endif
