/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base64.h - RFC 4648 base64 with padding, canonical form only, by OpenSSL.
 */
#ifndef MODULUS_BASE64_H
#define MODULUS_BASE64_H

#include "base.h"

/* Text that decodes to exactly `size` bytes. -EINVAL: another length, alphabet or padding. */
int base64_decode(const char *text, size_t len, uint8_t *bytes, size_t size) _must_check_;
/* out holds 4 * ((len + 2) / 3) + 1 bytes. */
void base64_encode(const uint8_t *bytes, size_t len, char *out);

#endif
