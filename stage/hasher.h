/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hasher.h - SHA-256 of one file after another, beside the work that makes their bytes: in a thread of its own
 * where the machine has a second CPU, and at once where not. Hashing is a third of what unpacking takes.
 */
#ifndef MODULUS_HASHER_H
#define MODULUS_HASHER_H

#include "base.h"

struct hasher;

/* -ENOMEM. *ret is the caller's, hasher_free(). */
int hasher_new(struct hasher **ret) _must_check_;
/* Ends the thread; nothing of it is left, so that a fork afterwards copies one thread only. Accepts NULL. */
void hasher_free(struct hasher *h);

/* Hashes on. The bytes must stay as they are until hasher_wait() or hasher_end(). */
void hasher_add(struct hasher *h, const uint8_t *bytes, size_t len);
/* All bytes that were added are hashed when it returns, and may go. */
void hasher_wait(struct hasher *h);
/* The digest of what was added since the last one, 32 bytes. -ENOMEM: OpenSSL failed. */
int hasher_end(struct hasher *h, uint8_t *ret_digest) _must_check_;

#endif
