/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernelimage.h - the build-id of a kernel that is not running, from its image.
 */
#ifndef MODULUS_KERNELIMAGE_H
#define MODULUS_KERNELIMAGE_H

#include "kernel.h"

/*
 * An x86 bzImage (Documentation/arch/x86/boot, "payload_offset"; gzip, xz or zstd inside) or an
 * ELF vmlinux, itself compressed or not. 0; -ENOENT: holds no build-id, or is another kind of
 * image; -errno of reading.
 */
int kernel_image_build_id(const char *path, char ret_hex[2 * LIMIT_BUILD_ID_BYTES + 1], struct err *err) _must_check_;

#endif
