// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_gvariant.c - ostree's record of a staged deployment. What is found lies within the bytes, is a string
 * that ends there, and its key is in them before it.
 */
#include "fuzz.h"
#include "gvariant.h"

static void look_for(const uint8_t *bytes, size_t len, const char *key)
{
	const char *text;
	const void *value;
	size_t n;
	int r = gvariant_find(bytes, len, key, "a{sv}", &value, &n);

	must(r == 0 || r == -ENOENT || r == -EBADMSG);
	if (r == 0)
		must((const uint8_t *)value >= bytes && (size_t)((const uint8_t *)value - bytes) + n <= len &&
		     memmem(bytes, (size_t)((const uint8_t *)value - bytes), key, strlen(key) + 1));
	r = gvariant_find_string(bytes, len, key, &text);
	must(r == 0 || r == -ENOENT || r == -EBADMSG);
	if (r == 0)
		must((const uint8_t *)text >= bytes && (const uint8_t *)text + strlen(text) < bytes + len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const void *target;
	size_t n;

	look_for(data, size, "target");
	look_for(data, size, "name");
	look_for(data, size, "");
	if (gvariant_find(data, size, "target", "a{sv}", &target, &n) == 0) {
		look_for(target, n, "name");
		look_for(target, n, "osname");
	}
	return 0;
}
