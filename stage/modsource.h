/* SPDX-License-Identifier: Apache-2.0 */
/*
 * modsource.h - the places that `build --modules` takes modules from, all as (name, bytes).
 * Builder only.
 *
 *  - a directory with *.ko (compressed or not) at any depth. Where it has a lib/modules/RELEASE
 *    below (or below opt/ or usr/, as KMM's images do), only that counts;
 *  - an OCI image layout (opencontainers/image-spec, image-layout.md) with such a tree, as its
 *    layers leave it when they are applied in order;
 *  - a Debian package, or a tar, compressed or not.
 */
#ifndef MODULUS_MODSOURCE_H
#define MODULUS_MODSOURCE_H

#include "err.h"

/* Gets each module file; owns bytes from then on. path is for messages and for the name. */
typedef int (*modsource_fn)(void *ctx, const char *path, uint8_t *bytes, size_t len, struct err *err);

/* -EINVAL: not such a place, or no modules for this release in it; what fn returned. */
int modsource_read(const char *place, const char *release, modsource_fn fn, void *ctx, struct err *err) _must_check_;

/* "x/nvidia-drm.ko.xz" -> "nvidia-drm.ko"; NULL: not a module's file name. Caller frees. */
char *modsource_plain_name(const char *path);

/* nvidia.ko with DWARF is 185 MB. */
#define MODULE_MAX_BYTES ((size_t)1 << 30)

#endif
