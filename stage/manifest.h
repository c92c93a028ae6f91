/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.h - verified bytes -> struct manifest. docs/bundle.md, section "Manifest", is the
 * specification; the reader is strict: what that page does not allow is refused, by field name.
 */
#ifndef MODULUS_MANIFEST_H
#define MODULUS_MANIFEST_H

#include "err.h"
#include "trust.h"

#define MANIFEST_FORMAT 1
#define SHA256_BYTES 32

/* The tar of a bundle: header and content in blocks, two blocks of zeros behind the last file. */
#define TAR_BLOCK 512u
#define TAR_END (2 * TAR_BLOCK)

enum bundle_kind {
	KIND_MODULES,  /* kernel modules for one kernel build, and firmware that goes with them */
	KIND_FIRMWARE, /* firmware for one driver version */
	KIND_RUNTIME,  /* libraries and programs for one driver version */
};

struct manifest_file {
	char *path;    /* relative, "usr/lib/modules/..." */
	uint64_t size; /* bytes */
	uint32_t mode; /* 0644 or 0755 */
	uint8_t sha256[SHA256_BYTES];
};

/* A link that the reader makes itself: path -> target, both in one directory. */
struct manifest_link {
	char *path;
	char *target; /* a sibling's name, no '/' */
};

struct manifest_chunk {
	uint32_t stored; /* bytes in the bundle: one zstd frame */
	uint32_t size;   /* bytes of tar that it decompresses to */
	uint8_t sha256[SHA256_BYTES]; /* of the stored bytes */
};

struct manifest {
	char *name, *version;
	char *flavor; /* "" for the only one */
	uint64_t serial;
	uint64_t created; /* seconds since 1970 */
	enum bundle_kind kind;
	struct {
		char *release, *machine;
		char *build_id; /* hex, NULL when the builder did not know it */
		char *vermagic;
	} kernel; /* all NULL unless kind is KIND_MODULES */
	struct strv load, match, options;
	char *requires; /* digest of another bundle (hex), or NULL */
	struct manifest_file *files; /* in the order of the tar */
	size_t n_files;
	struct manifest_link *links;
	size_t n_links;
	uint64_t unpacked; /* bytes of tar: of the chunks together, and what the files make */
	struct manifest_chunk *chunks;
	size_t n_chunks;
	char digest[2 * SHA256_BYTES + 1]; /* hex, of the manifest's bytes: the bundle's identity */
	char key_id[TRUST_KEY_ID_HEX];     /* who signed; "" when shown unverified */
};

/*
 * Parses what trust.c verified. 0, -E_CORRUPT naming the field, -ENOMEM.
 * *ret is the caller's, manifest_free().
 */
int manifest_parse(const struct verified *v, struct manifest **ret, struct err *err) _must_check_;
void manifest_free(struct manifest *m);
static inline void manifest_freep(struct manifest **m) { manifest_free(*m); }
#define _cleanup_manifest_ _cleanup_(manifest_freep)

/*
 * The canonical JSON of *m (digest and key_id are not part of it). Caller frees. NULL: no memory.
 * Builder only (manifestwrite.c).
 */
char *manifest_format(const struct manifest *m);

const char *manifest_kind_word(enum bundle_kind kind);
/* -EINVAL: no such kind. */
int manifest_kind_from_word(const char *word, enum bundle_kind *ret) _must_check_;

/* What a bundle may be called ("flavor" too, where it is not empty), and a version or a release. */
bool manifest_is_name(const char *s);
bool manifest_is_version(const char *s);
/* A module, spelt with "-" or "_". */
bool manifest_is_module(const char *s);

/*
 * The rules of a file's place: characters, components, and the trees that the kind allows.
 * 0 or -E_CORRUPT. Used by the reader and by the builder, so that both have one rule.
 */
int manifest_check_path(const struct manifest *m, const char *path, struct err *err) _must_check_;

/* "usr/lib/modules/R/modulus/N/x-y.ko" -> "x_y" in buf; false when it is not a module's path. */
bool manifest_module_name(const char *path, char *buf, size_t size);

#endif
