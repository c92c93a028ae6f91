/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz.h - what the harnesses share. A harness is one file for one parser. It hands any bytes to
 * the parser, and states with must() what holds whatever the bytes were: what was accepted obeys
 * the format's rules, what was refused says why in printable characters. The sanitizers watch
 * the memory meanwhile.
 *
 * Where a harness takes two kinds of input it tells them apart as a reader would (an ELF file
 * begins with its magic), so that a corpus file is a file of its kind and nothing else.
 */
#ifndef MODULUS_FUZZ_H
#define MODULUS_FUZZ_H

#include "bundle.h"

/* libFuzzer's names. Initialize and CustomMutator are optional. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* assert(3) that no flag removes. */
#define must(promise)                                          \
	do {                                                   \
		if (!(promise))                                \
			fuzz_broken(__FILE__, __LINE__, #promise); \
	} while (0)
void fuzz_broken(const char *file, int line, const char *promise) __attribute__((noreturn));

/* 1 to 126 bytes each: fit for a log line and a terminal. */
bool fuzz_is_printable(const char *s);
/* A failure has its code and a printable text; success has neither. Returns r. */
int fuzz_outcome(int r, const struct err *err);
/*
 * The libraries are not instrumented: a refusal by one of them is new to the fuzzer when its text
 * is. For harnesses whose texts do not repeat the input.
 */
void fuzz_count_text(const char *text);

/* A NUL-terminated copy. The caller frees. */
char *fuzz_text(const uint8_t *data, size_t size);

/* Hands out the bytes in uneven pieces; borrows them. */
struct reader *fuzz_reader(const void *bytes, size_t len);

/* A bundle with this manifest, no signature, and these stored chunks. The caller frees. */
uint8_t *fuzz_bundle(const struct manifest *m, const void *stored, size_t stored_len, size_t *ret_len);
/* One zstd frame of the bytes, and the entry for it in m->chunks and m->unpacked. Returns its length. */
size_t fuzz_chunk(struct manifest *m, const void *bytes, size_t len, uint8_t *out, size_t room);
void fuzz_sha256(const void *bytes, size_t len, uint8_t ret[SHA256_BYTES]);

/*
 * A directory in memory where that can be had, with "a/b/in" below; removed at exit. fd: of "in".
 * What a harness makes belongs into "in".
 */
struct fuzz_dir {
	char path[64];
	int fd;
};
void fuzz_dir_open(struct fuzz_dir *ret);
/* Puts a file there, making its parents. */
void fuzz_dir_write(const struct fuzz_dir *d, const char *name, const void *bytes, size_t len);
/*
 * Counts the regular files and links in "in", stops when anything else is below the directory, and
 * empties "in".
 */
void fuzz_dir_clean(const struct fuzz_dir *d, size_t *ret_files, size_t *ret_links);

#endif
