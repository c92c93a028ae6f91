/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gvariant.h - one value of a serialised dictionary, as ostree writes its state (GVariant Specification,
 * "Serialisation Format"). Only what that takes: type a{sv}, bytes in the machine's own order.
 */
#ifndef MODULUS_GVARIANT_H
#define MODULUS_GVARIANT_H

#include "base.h"

/*
 * The value of that key, of that type: bytes within the given ones. Pure; every offset is checked.
 * 0; -ENOENT: no such key, or of another type; -EBADMSG: not such a dictionary.
 */
int gvariant_find(const void *bytes, size_t len, const char *key, const char *type, const void **ret, size_t *ret_len)
	_must_check_;
/* The same for a string ("s"): NUL-terminated within the bytes. */
int gvariant_find_string(const void *bytes, size_t len, const char *key, const char **ret) _must_check_;

#endif
