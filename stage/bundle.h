/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle.h - reading a bundle front to back: header, signature, manifest, then one chunk at a
 * time. docs/bundle.md is the format.
 *
 * Order of trust: signature over the manifest's bytes -> manifest parsed -> a chunk's stored
 * bytes hashed -> decompressed -> handed out. Bytes that did not match are never handed out.
 */
#ifndef MODULUS_BUNDLE_H
#define MODULUS_BUNDLE_H

#include "manifest.h"
#include "reader.h"

/* zstd skippable frames (RFC 8878, 3.1.2): magic and length, little-endian 32-bit each. */
#define BUNDLE_MAGIC_MANIFEST 0x184D2A50u
#define BUNDLE_MAGIC_SIGNATURES 0x184D2A51u
#define BUNDLE_FRAME_HEADER_BYTES 8

struct bundle;

/*
 * Reads header and manifest, verifies, parses. Takes the reader in every case.
 * ring == NULL: nothing is verified; only for showing a bundle (see trust_show_unverified).
 * 0, -E_UNTRUSTED, -E_CORRUPT, -ENOMEM, or what the reader said.
 */
int bundle_open(struct reader *r, const struct keyring *ring, struct bundle **ret, struct err *err) _must_check_;
void bundle_close(struct bundle *b);
static inline void bundle_closep(struct bundle **b) { bundle_close(*b); }
#define _cleanup_bundle_ _cleanup_(bundle_closep)

/* Borrowed; lives as long as the bundle. */
const struct manifest *bundle_manifest(const struct bundle *b);

/* Everything that comes before the first chunk, as stored. Borrowed. */
const void *bundle_header(const struct bundle *b, size_t *ret_len);
/* The signature frame's content. Borrowed. */
const char *bundle_signatures(const struct bundle *b, size_t *ret_len);

/*
 * Gets the stored bytes of each chunk right after its hash held: for keeping a copy in the same
 * pass. A negative return does not stop the reading, it ends the copying.
 */
typedef int (*bundle_tee_fn)(void *ctx, const void *stored, size_t len);
void bundle_set_tee(struct bundle *b, bundle_tee_fn fn, void *ctx);

/*
 * A file that may hold the beginning of this very bundle, from a transfer that broke. Its chunks are
 * hashed like any others, and where they hold the reader is told to skip them; the last one always
 * comes from the reader, which so is read to its end. Borrowed.
 */
void bundle_set_partial(struct bundle *b, int fd);

/*
 * The next tar bytes, some of one chunk, 128 KiB at most: one goes on with them while they are in the CPU's cache.
 * 1: *ret is filled, valid until a call that begins another chunk; 0: all chunks were read and nothing
 * follows them; -E_CORRUPT, or what the reader said.
 */
int bundle_next(struct bundle *b, const void **ret, size_t *ret_len, struct err *err) _must_check_;
/* Will the next call begin another chunk, or find the end? */
bool bundle_begins_chunk(const struct bundle *b);
/*
 * Where that is so: reads and checks the chunk now, and what bundle_next() gave stays as it is. For whoever is not done
 * with that yet; bundle_next() does it itself where nobody did. 0, or what bundle_next() would return.
 */
int bundle_read_chunk(struct bundle *b, struct err *err) _must_check_;

#endif
