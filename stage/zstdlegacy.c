// SPDX-License-Identifier: Apache-2.0
/*
 * zstdlegacy.c - no decoder for what zstd wrote before its format was fixed. libzstd asks for three of them, of 2015 and
 * 2016: 90 KB of C that no bundle needs and that damaged bytes should not meet. Found here, they stay out of the
 * static program; a frame of that kind is an error, as bundle.c would have said anyway. Shared libraries bring their own.
 */
#include <stddef.h>

/* lib/common/error_private.h: an error is a negative code; this one is "generic" */
#define NO_SUCH_FORMAT ((size_t)-1)
/* lib/zstd.h: ZSTD_CONTENTSIZE_ERROR */
#define NO_SUCH_SIZE (0ull - 2)

/* lib/legacy/zstd_v0X.h, what zstd_decompress.o asks for; contexts are opaque there, so that void * stands for them. */
#define NO_CONTEXT(name)                                                                                              \
	void *name(void);                                                                                             \
	void *name(void)                                                                                              \
	{                                                                                                             \
		return NULL;                                                                                          \
	}
#define NO_DECODER(name, ...)                                                                                         \
	size_t name(__VA_ARGS__);                                                                                     \
	size_t name(__VA_ARGS__)                                                                                      \
	{                                                                                                             \
		return NO_SUCH_FORMAT;                                                                                \
	}
#define NO_FRAME(name)                                                                                                \
	void name(const void *src, size_t size, size_t *ret_frame, unsigned long long *ret_bound);                    \
	void name(const void *src, size_t size, size_t *ret_frame, unsigned long long *ret_bound)                     \
	{                                                                                                             \
		*ret_frame = NO_SUCH_FORMAT;                                                                          \
		*ret_bound = NO_SUCH_SIZE;                                                                            \
	}
#define NO_VERSION(v)                                                                                                 \
	NO_CONTEXT(ZSTDv0##v##_createDCtx)                                                                            \
	NO_DECODER(ZSTDv0##v##_freeDCtx, void *ctx)                                                                   \
	NO_DECODER(ZSTDv0##v##_getFrameParams, void *params, const void *src, size_t size)                            \
	NO_DECODER(ZSTDv0##v##_decompress_usingDict, void *ctx, void *dst, size_t capacity, const void *src, size_t size, \
		   const void *dict, size_t dict_size)                                                                \
	NO_FRAME(ZSTDv0##v##_findFrameSizeInfoLegacy)                                                                 \
	NO_CONTEXT(ZBUFFv0##v##_createDCtx)                                                                           \
	NO_DECODER(ZBUFFv0##v##_freeDCtx, void *ctx)                                                                  \
	NO_DECODER(ZBUFFv0##v##_decompressInitDictionary, void *ctx, const void *dict, size_t size)                   \
	NO_DECODER(ZBUFFv0##v##_decompressContinue, void *ctx, void *dst, size_t *capacity, const void *src, size_t *size)

#pragma GCC diagnostic ignored "-Wunused-parameter"

NO_VERSION(5)
NO_VERSION(6)
NO_VERSION(7)
