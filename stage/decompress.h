/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decompress.h - a file that may be compressed (gzip, xz, zstd) as plain bytes.
 * For trusted input: kernels' own modules and images.
 */
#ifndef MODULUS_DECOMPRESS_H
#define MODULUS_DECOMPRESS_H

#include "err.h"

/* Caller frees *ret. -EFBIG: more than max_bytes. -EBADMSG: damaged. */
int decompress_file(int dirfd, const char *path, size_t max_bytes, uint8_t **ret, size_t *ret_len, struct err *err)
	_must_check_;
/* The same for bytes in memory; what follows the compressed stream is ignored. */
int decompress_bytes(const void *bytes, size_t len, size_t max_bytes, uint8_t **ret, size_t *ret_len) _must_check_;

#endif
