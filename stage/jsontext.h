/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsontext.h - a member of a JSON object that is read as text.
 */
#ifndef MODULUS_JSONTEXT_H
#define MODULUS_JSONTEXT_H

#include <jansson.h>

/* "" when it is not there, or is no text; o may be NULL. Borrowed. */
static inline const char *json_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

#endif
