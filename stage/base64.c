// SPDX-License-Identifier: Apache-2.0
/*
 * base64.c - keys and signatures as text. Pure.
 */
#include "base64.h"

#include <openssl/evp.h>

void base64_encode(const uint8_t *bytes, size_t len, char *out)
{
	EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
}

int base64_decode(const char *text, size_t len, uint8_t *bytes, size_t size)
{
	size_t encoded = 4 * ((size + 2) / 3);
	_cleanup_bytes_ uint8_t *buf = NULL;
	_cleanup_free_ char *again = NULL;

	if (len != encoded)
		return -EINVAL;
	buf = malloc(encoded); /* EVP_DecodeBlock writes 3 bytes for each 4, padding included */
	again = malloc(encoded + 1);
	if (!buf || !again)
		return -ENOMEM;
	if (EVP_DecodeBlock(buf, (const unsigned char *)text, (int)len) < 0)
		return -EINVAL;
	/* the library is lenient about blanks and spare bits; the one right spelling is not */
	base64_encode(buf, size, again);
	if (memcmp(again, text, len) != 0)
		return -EINVAL;
	memcpy(bytes, buf, size);
	return 0;
}
