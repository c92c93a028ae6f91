/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.h - kernel modules, firmware or libraries in, signed bundle out. Builder only.
 */
#ifndef MODULUS_BUILD_H
#define MODULUS_BUILD_H

#include "manifest.h"
#include "minisignkey.h"
#include "modsign.h"
#include "limit.h"

struct build_request {
	const char *name, *version, *flavor;
	enum bundle_kind kind;
	const char *tree; /* firmware, runtime: files and links as in the bundle, usr/... */
	uint64_t serial;
	uint64_t created; /* seconds since 1970: SOURCE_DATE_EPOCH, or now */
	/* from here to module_key: of modules only */
	const char *release;
	const char *kernel_dir;   /* the directory that is lib/modules/<release> */
	const char *kernel_image; /* NULL: looked for near kernel_dir */
	const char *build_id;     /* NULL: from the image */
	const char *symvers;      /* Module.symvers; NULL: looked for near kernel_dir */
	const char *modules_dir;  /* a place that modsource.c reads; or NULL */
	const char *source_dir;   /* kbuild source to compile; or NULL */
	const char *kernel_build; /* for that: the kernel's build tree; NULL: kernel_dir/build */
	struct strv from_kernel;  /* in-tree modules by name, when neither is given */
	bool with_deps;           /* ... and all they depend on */
	const char *firmware_dir; /* its content goes to usr/lib/firmware; or NULL */
	struct strv load, options, match;
	const char *strip;        /* program that removes debug sections */
	const struct modsign_key *module_key; /* gives modules the kernel's signature; or NULL */
	const struct secret_key *key;
	const char *output;
};

/*
 * Makes the bundle, verifies it as a reader would, and only then gives it its name: an existing
 * file is replaced by a complete one or stays. Warnings (no build-id found) go to `warnings`.
 * -EINVAL with the sentence for everything that the input does wrong; -E_CORRUPT for what the
 * format does not allow; -errno.
 */
int build_bundle(const struct build_request *req, struct strv *warnings, struct err *err) _must_check_;

/*
 * Signs an existing bundle again: its signatures are replaced, or (add) one is added; one by the
 * same key is replaced in both cases. The payload is copied as it is. "-": from standard input to
 * standard output, once all of it was verified. -E_CORRUPT, -errno.
 */
int build_sign(const char *path, const struct secret_key *key, bool add, struct err *err) _must_check_;

#endif
