/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust.h - minisign keys and signatures (jedisct1/minisign, its manual's "Signature format"),
 * Ed25519 over the exact bytes. No clock, no certificates.
 *
 * struct verified is opaque and made here only; the manifest parser takes nothing else, so
 * nothing is parsed before its signature held.
 */
#ifndef MODULUS_TRUST_H
#define MODULUS_TRUST_H

#include "host.h"

/* 16 upper-case hex digits as minisign prints them, and the NUL. */
#define TRUST_KEY_ID_HEX 17
#define TRUST_KEY_ID_BYTES 8
#define TRUST_PUBLIC_KEY_BYTES 32
#define TRUST_SIGNATURE_BYTES 64

struct public_key {
	uint8_t id[TRUST_KEY_ID_BYTES];
	uint8_t key[TRUST_PUBLIC_KEY_BYTES];
	char *origin; /* file it came from */
};

struct keyring {
	struct public_key *keys;
	size_t n;
	struct strv revoked;  /* key ids that are never accepted, 16 upper-case hex digits each */
	struct strv warnings; /* files that hold no usable key */
};

/*
 * All *.pub in /etc/modulus/keys and /usr/lib/modulus/keys below the root, and in the initramfs'
 * own /usr/lib/modulus/keys; vendor_only: without /etc. A file "revoked" in any of these, and
 * always the one in /etc, holds ids of keys (one a line, ';' comments) that are not accepted
 * although their files are there. An empty ring is no error.
 */
int keyring_load(const struct host *h, bool vendor_only, struct keyring *ret, struct err *err) _must_check_;
/* All *.pub (and "revoked") in one directory, for verify --keys. -errno when it cannot be read. */
int keyring_load_dir(const char *dir, struct keyring *ret, struct err *err) _must_check_;
void keyring_free(struct keyring *k);
#define _cleanup_keyring_ _cleanup_(keyring_free)

/* One public key file's text. 0 or -EINVAL. Pure. */
int trust_parse_public_key(const char *text, size_t len, struct public_key *ret) _must_check_;

void trust_key_id_text(const uint8_t id[TRUST_KEY_ID_BYTES], char ret[TRUST_KEY_ID_HEX]);

struct verified;

/*
 * Verifies that one of the signatures (minisign's text form, one after another) over bytes was
 * made by a key in the ring, its trusted comment included. Takes ownership of bytes in every
 * case (they are freed on failure).
 * 0; -E_UNTRUSTED: no signature by a known key, or a wrong one by a known key; -E_CORRUPT: not
 * the text of signatures; -ENOMEM.
 */
int trust_verify(const struct keyring *ring, uint8_t *bytes, size_t len, const char *signatures, size_t signatures_len,
		 struct verified **ret, struct err *err) _must_check_;

/*
 * For `inspect` alone, which shows a bundle and never uses it: wraps bytes whose signature
 * nobody checked. verified_key_id() of it is "". Takes ownership of bytes.
 */
int trust_show_unverified(uint8_t *bytes, size_t len, struct verified **ret) _must_check_;

void verified_free(struct verified *v);
const uint8_t *verified_bytes(const struct verified *v, size_t *ret_len);
const char *verified_digest(const struct verified *v); /* hex SHA-256 of the bytes */
const char *verified_key_id(const struct verified *v);

/* --- the format, shared with the signer --- */

enum signature_algorithm {
	SIGNATURE_LEGACY, /* "Ed": over the bytes */
	SIGNATURE_PREHASHED, /* "ED": over BLAKE2b-512 of the bytes; what minisign writes by default */
};

struct signature {
	enum signature_algorithm algorithm;
	uint8_t key_id[TRUST_KEY_ID_BYTES];
	uint8_t signature[TRUST_SIGNATURE_BYTES];
	const char *trusted_comment; /* borrowed from the text, not terminated */
	size_t trusted_comment_len;
	uint8_t global[TRUST_SIGNATURE_BYTES]; /* over signature and trusted comment */
};

/*
 * The next signature of a text. 1: *ret is filled and *text, *len moved past it; 0: the text is
 * at its end; -EINVAL: not a signature. Pure.
 */
int trust_next_signature(const char **text, size_t *len, struct signature *ret) _must_check_;

/* What Ed25519 signs: the bytes themselves, or their BLAKE2b-512 in buf. -EIO: OpenSSL failed. */
#define TRUST_PREHASH_BYTES 64
int trust_message(enum signature_algorithm algorithm, const uint8_t *bytes, size_t len,
		  uint8_t buf[TRUST_PREHASH_BYTES], const uint8_t **ret, size_t *ret_len) _must_check_;

#endif
