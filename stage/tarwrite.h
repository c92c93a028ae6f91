/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tarwrite.h - the payload of a bundle: one tar, cut into chunks, each its own zstd frame.
 * Builder only. The same files give the same bytes.
 */
#ifndef MODULUS_TARWRITE_H
#define MODULUS_TARWRITE_H

#include "manifest.h"

struct tarwrite;

/* Chunks go to out_fd, one behind the other. mtime: seconds since 1970, of every entry. */
int tarwrite_new(int out_fd, uint64_t mtime, struct tarwrite **ret, struct err *err) _must_check_;
int tarwrite_file(struct tarwrite *t, const struct manifest_file *f, const void *bytes, struct err *err) _must_check_;
/* Ends the tar; *ret_chunks (caller frees) and *ret_unpacked describe what was written. */
int tarwrite_finish(struct tarwrite *t, struct manifest_chunk **ret_chunks, size_t *ret_n, uint64_t *ret_unpacked,
		    struct err *err) _must_check_;
void tarwrite_free(struct tarwrite *t);
static inline void tarwrite_freep(struct tarwrite **t) { tarwrite_free(*t); }

#endif
