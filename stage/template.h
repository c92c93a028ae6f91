/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.h - the placeholders in a network source: {name} {version} {flavor} {kind} {machine}
 * {kernel}. Pure.
 */
#ifndef MODULUS_TEMPLATE_H
#define MODULUS_TEMPLATE_H

#include "source.h"

enum template_style {
	TEMPLATE_URL, /* values percent-encoded (RFC 3986, 2.3: unreserved characters stay) */
	TEMPLATE_OCI, /* in the tag, what is not [A-Za-z0-9._-] becomes '_' */
};

/* -E_BAD_CONFIG: an unknown placeholder, an open brace, longer than LIMIT_URL_BYTES. Caller frees. */
int template_expand(const char *text, enum template_style style, const struct source_request *req, char **ret,
		    struct err *err) _must_check_;

#endif
