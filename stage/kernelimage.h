/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernelimage.h - the build-id of a kernel that is not running, from its image.
 */
#ifndef MODULUS_KERNELIMAGE_H
#define MODULUS_KERNELIMAGE_H

#include "kernel.h"

/*
 * An x86 bzImage (Documentation/arch/x86/boot, "payload_offset"), an EFI image that decompresses itself
 * (drivers/firmware/efi/libstub/zboot-header.S), an ELF vmlinux, or an arm64 Image; all of it, or what
 * is inside, may be compressed by gzip, xz or zstd. fd stands at its beginning and stays the caller's;
 * shown is its name. release: NULL, or what it must be of: a bzImage tells that in its header, the others in
 * the text that they print first; one that does not is believed.
 * 0; -ENOENT: holds no build-id that can be told, or is another kind of image; -ESTALE: of another
 * release; -errno of reading.
 */
int kernel_image_build_id(int fd, const char *shown, const char *release, char ret_hex[2 * LIMIT_BUILD_ID_BYTES + 1],
			  struct err *err) _must_check_;

#endif
