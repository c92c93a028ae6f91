/* SPDX-License-Identifier: Apache-2.0 */
/*
 * minisignkey.h - secret keys in minisign's format, and signing. Builder only.
 *
 * Files are what `minisign -G -W` writes (unencrypted; kdf algorithm 0) and what it reads.
 */
#ifndef MODULUS_MINISIGNKEY_H
#define MODULUS_MINISIGNKEY_H

#include "trust.h"

struct secret_key {
	uint8_t id[TRUST_KEY_ID_BYTES];
	uint8_t seed[32];
	uint8_t public[TRUST_PUBLIC_KEY_BYTES];
};

int secret_key_generate(struct secret_key *ret, struct err *err) _must_check_;

/* Writes both files; the secret one with mode 0600. -EEXIST: neither is ever overwritten. */
int secret_key_save(const struct secret_key *k, const char *secret_path, const char *public_path, struct err *err)
	_must_check_;

/* -EINVAL: not such a file, or one that is encrypted. */
int secret_key_load(const char *path, struct secret_key *ret, struct err *err) _must_check_;

/* The four lines of a prehashed minisign signature. Caller frees. comment: one line. */
int secret_key_sign(const struct secret_key *k, const uint8_t *bytes, size_t len, const char *comment, char **ret,
		    struct err *err) _must_check_;

/* Forgets it. */
void secret_key_wipe(struct secret_key *k);
#define _cleanup_secret_key_ _cleanup_(secret_key_wipe)

#endif
