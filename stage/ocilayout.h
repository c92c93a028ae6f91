/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ocilayout.h - a bundle as an OCI image layout, which skopeo and oras push to any registry.
 * Builder only.
 */
#ifndef MODULUS_OCILAYOUT_H
#define MODULUS_OCILAYOUT_H

#include "err.h"

/* Makes the directory, or takes an empty one. -EEXIST with the sentence when there is something in it. */
int oci_layout_prepare(const char *dir, struct err *err) _must_check_;

/*
 * Writes the layout into a prepared directory: one image, called `tag`, with the bundle as its only
 * layer, called `title`. The same bundle and words give the same bytes. index.json comes last: without it
 * there is no image. -errno.
 */
int oci_layout_write(const char *dir, const char *bundle, const char *tag, const char *title,
		     struct err *err) _must_check_;

#endif
