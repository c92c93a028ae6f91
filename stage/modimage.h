/* SPDX-License-Identifier: Apache-2.0 */
/*
 * modimage.h - the kernel modules in the layers of an image, or in one archive (which is an image of
 * one layer): a tar, compressed or not, or a Debian package. Builder only.
 */
#ifndef MODULUS_MODIMAGE_H
#define MODULUS_MODIMAGE_H

#include "err.h"

/* Where kernels and KMM's images keep modules; where one of these has RELEASE, only that counts. */
extern const char *const modimage_trees[3];

/* Gets each module file as it is stored, perhaps compressed. path is without "/" or "./" in front. */
typedef int (*modimage_fn)(void *ctx, const char *path, const void *bytes, size_t len, struct err *err);

/*
 * layers: files, the lowest first. What an upper layer replaces or whites out (opencontainers/image-spec,
 * layer.md) is not there; of trees below lib/modules only that of the release is looked at.
 * -EINVAL: not such a file; -errno; what fn returned.
 */
int modimage_read(const struct strv *layers, const char *release, modimage_fn fn, void *ctx, struct err *err) _must_check_;

#endif
