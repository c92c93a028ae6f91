/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample.h - bundles for tests: right ones in one call, wrong ones by changing one thing between
 * the steps. Keys are made when they are first asked for.
 */
#ifndef MODULUS_TEST_SAMPLE_H
#define MODULUS_TEST_SAMPLE_H

#include "bundle.h"
#include "fixture.h"
#include "kernel.h"
#include "minisignkey.h"

/* The kernel that everything in the samples is for. Its machine is that of this machine. */
#define RELEASE "6.1.0-56-amd64"
#define VERMAGIC RELEASE " SMP preempt mod_unload modversions "
#define BUILD_ID "0123456789abcdef0123456789abcdef01234567"
struct kernel sample_kernel(void);
const char *machine_here(void); /* as uname -m says */

/* --- keys --- */

#define SAMPLE_KEYS 10u
const struct secret_key *sample_key(unsigned int i);
/* The ring that holds public key i alone. Static. */
const struct keyring *sample_ring(unsigned int i);
/* The .pub file of key i, and the four lines of its signature over bytes. Caller frees. */
char *sample_public_text(unsigned int i);
char *sample_signature(unsigned int i, const void *bytes, size_t n, const char *comment);

/* --- tar --- */

struct tar_entry {
	const char *path;
	const void *bytes;
	size_t n;
	unsigned int mode, uid, gid; /* mode 0: 0644 */
	char type;                   /* of ustar; 0: '0', a regular file */
	const char *link;
	const char *pax; /* "uid=1000\nsize=9": records of a pax header before it */
};

void tar_add(struct blob *tar, const struct tar_entry *e);
/* Two blocks of zeroes. */
void tar_end(struct blob *tar);

/* --- bundles --- */

#define SAMPLE_NAME "virtio-gpu"
#define SAMPLE_TREE "usr/lib/modules/" RELEASE "/modulus/" SAMPLE_NAME "/"

struct sample {
	struct manifest *m; /* free to be changed until sample_seal() */
	struct blob tar;    /* what goes into the chunks */
	size_t chunk_bytes; /* tar bytes in each chunk */
	unsigned int key;   /* who signs */
	struct blob stored; /* the chunks as they are in the file */
	struct blob bundle; /* the file */
};

/* virtio-gpu 1.0 for RELEASE, serial 7, no files yet. */
void sample_begin(struct sample *s);
/* A file, mode 0644: into manifest and tar. A name without '/' goes to SAMPLE_TREE; *.ko is to be loaded. */
void sample_file(struct sample *s, const char *path, const void *bytes, size_t n);
/* The manifest only. */
void sample_promise(struct sample *s, const char *path, const void *bytes, size_t n, unsigned int mode);
void sample_link(struct sample *s, const char *path, const char *target);
/* Ends the tar, cuts and compresses it, signs, and writes s->bundle. */
void sample_seal(struct sample *s);
/* Steps of sample_seal() for those who change something in between. */
void sample_cut(struct sample *s);
void sample_write(struct sample *s);
void sample_free(struct sample *s);
#define _cleanup_sample_ _cleanup_(sample_free)

/* One chunk more: these stored bytes, which claim to be `size` bytes of tar. */
void sample_add_chunk(struct manifest *m, const void *stored, size_t n, size_t size);
/* A zstd frame of the bytes. */
void add_zstd(struct blob *out, const void *bytes, size_t n);
/* A skippable frame around the bytes. */
void add_frame(struct blob *out, uint32_t magic, const void *bytes, size_t n);

/* --- reading them back --- */

/* Hands out `step` bytes at a time (0: all that is asked for); read number fail_at (from 0) is -EIO; -1: none. */
struct reader *memory_reader(const void *bytes, size_t n, size_t step, int fail_at);
/* How often the last memory_reader() was read, and whether it was closed. */
unsigned int memory_reads(void);
bool memory_closed(void);

/* Opens a bundle in memory with ring 0. */
int open_sample(const struct blob *bundle, struct bundle **ret, struct err *err);

#endif
