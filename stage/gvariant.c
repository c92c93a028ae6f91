// SPDX-License-Identifier: Apache-2.0
/*
 * gvariant.c - see gvariant.h. Reads bytes, nothing else.
 */
#include "gvariant.h"

#define ALIGNMENT 8u /* of {sv}: that of v */

/* A container's offsets are as wide as its own length needs ("Framing Offsets"). */
static size_t offset_size(size_t len)
{
	return len <= UINT8_MAX ? 1 : len <= UINT16_MAX ? 2 : len <= UINT32_MAX ? 4 : 8;
}

static size_t offset_at(const uint8_t *at, size_t size)
{
	uint64_t wide;
	uint32_t word;
	uint16_t half;

	switch (size) {
	case 1:
		return *at;
	case 2:
		memcpy(&half, at, sizeof(half));
		return half;
	case 4:
		memcpy(&word, at, sizeof(word));
		return word;
	default:
		memcpy(&wide, at, sizeof(wide));
		return (size_t)wide;
	}
}

static size_t aligned(size_t at)
{
	return (at + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

/* "content NUL type": is it of that type? */
static bool variant_holds(const uint8_t *v, size_t len, const char *type, size_t *ret_len)
{
	size_t n = strlen(type);

	if (len < n + 1 || v[len - n - 1] != '\0' || memcmp(v + len - n, type, n) != 0)
		return false;
	*ret_len = len - n - 1;
	return true;
}

/* {sv}: 1 when it is the one. */
static int look_at_entry(const uint8_t *e, size_t len, const char *key, const char *type, const void **ret,
			 size_t *ret_len)
{
	size_t width = offset_size(len), key_end, at;

	if (len < width)
		return -EBADMSG;
	key_end = offset_at(e + len - width, width);
	if (key_end == 0 || key_end > len - width || e[key_end - 1] != '\0')
		return -EBADMSG;
	at = aligned(key_end);
	if (at > len - width)
		return -EBADMSG;
	if (strlen(key) != key_end - 1 || memcmp(e, key, key_end) != 0 ||
	    !variant_holds(e + at, len - width - at, type, ret_len))
		return 0;
	*ret = e + at;
	return 1;
}

int gvariant_find(const void *bytes, size_t len, const char *key, const char *type, const void **ret, size_t *ret_len)
{
	const uint8_t *a = bytes;
	size_t width = offset_size(len), end, start = 0;

	if (len == 0)
		return -ENOENT;
	if (len < width)
		return -EBADMSG;
	end = offset_at(a + len - width, width); /* of the last entry, where the offsets begin */
	if (end > len - width || (len - end) % width != 0)
		return -EBADMSG;
	for (size_t at = end; at < len; at += width) {
		size_t stop = offset_at(a + at, width);
		int r;

		if (stop < start || stop > end)
			return -EBADMSG;
		r = look_at_entry(a + start, stop - start, key, type, ret, ret_len);
		if (r != 0)
			return r < 0 ? r : 0;
		start = aligned(stop);
	}
	return -ENOENT;
}

int gvariant_find_string(const void *bytes, size_t len, const char *key, const char **ret)
{
	const void *value;
	size_t n;
	int r = gvariant_find(bytes, len, key, "s", &value, &n);

	if (r < 0)
		return r;
	if (n == 0 || memchr(value, '\0', n) != (const char *)value + n - 1)
		return -EBADMSG;
	*ret = value;
	return 0;
}
