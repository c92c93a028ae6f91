/* SPDX-License-Identifier: Apache-2.0 */
/*
 * minisignkey.h - secret keys in minisign's format, and signing. Builder only.
 *
 * Files are what `minisign -G -W` writes (unencrypted; kdf algorithm 0). Encrypted ones (scrypt,
 * what `minisign -G` writes) are read.
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

/* Asks for a password: fills buf with a line, without its newline. -errno. */
typedef int (*secret_key_password_fn)(const char *path, char *buf, size_t size);

/*
 * ask is called for an encrypted key only. -EINVAL: not such a file, or damaged; -EACCES: wrong
 * password; what ask returned.
 */
int secret_key_load(const char *path, secret_key_password_fn ask, struct secret_key *ret, struct err *err)
	_must_check_;

/* The four lines of a prehashed minisign signature. Caller frees. comment: one line. */
int secret_key_sign(const struct secret_key *k, const uint8_t *bytes, size_t len, const char *comment, char **ret,
		    struct err *err) _must_check_;

/* Forgets it. */
void secret_key_wipe(struct secret_key *k);
#define _cleanup_secret_key_ _cleanup_(secret_key_wipe)

#endif
