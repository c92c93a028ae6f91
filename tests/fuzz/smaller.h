/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smaller.h - comes before everything in the fuzzers' build: some of stage/limit.h made so small
 * that inputs of a few KiB meet them, and that a chunk's buffers cost little to make. The rules are
 * the same; the real values are tested in tests/cli, by bundles on both sides of each.
 */
#include "limit.h"

#undef LIMIT_MANIFEST_BYTES
#define LIMIT_MANIFEST_BYTES (12u << 10)
#undef LIMIT_SIGNATURES_BYTES
#define LIMIT_SIGNATURES_BYTES (3u << 10)
#undef LIMIT_CHUNK_BYTES
#define LIMIT_CHUNK_BYTES (64u << 10)
#undef LIMIT_FILES
#define LIMIT_FILES 24u
#undef LIMIT_LINKS
#define LIMIT_LINKS 16u
#undef LIMIT_LOAD_NAMES
#define LIMIT_LOAD_NAMES 8u
#undef LIMIT_MATCH_GLOBS
#define LIMIT_MATCH_GLOBS 8u
#undef LIMIT_DRIVER_GLOBS
#define LIMIT_DRIVER_GLOBS 8u
#undef LIMIT_OPTIONS
#define LIMIT_OPTIONS 8u
#undef LIMIT_OPTION_BYTES
#define LIMIT_OPTION_BYTES 512u
#undef LIMIT_SOURCES
#define LIMIT_SOURCES 8u
#undef LIMIT_UNPACKED_BYTES
#define LIMIT_UNPACKED_BYTES (2ull << 20)
#undef LIMIT_HTTP_HEADER_BYTES
#define LIMIT_HTTP_HEADER_BYTES (2u << 10)
#undef LIMIT_URL_BYTES
#define LIMIT_URL_BYTES 512u
#undef LIMIT_KERNEL_IMAGE_BYTES
#define LIMIT_KERNEL_IMAGE_BYTES (8u << 20)
#undef LIMIT_XZ_BYTES
#define LIMIT_XZ_BYTES (32u << 20)
#undef LIMIT_ZSTD_WINDOW_LOG
#define LIMIT_ZSTD_WINDOW_LOG 23
#undef LIMIT_GRUB_ENTRIES
#define LIMIT_GRUB_ENTRIES 64u
