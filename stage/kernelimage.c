// SPDX-License-Identifier: Apache-2.0
/*
 * kernelimage.c - vmlinuz -> vmlinux -> .notes. Builder only; the input is the operator's own
 * kernel, yet every offset is checked.
 */
#include "kernelimage.h"

#include <elf.h>
#include <endian.h>
#include <fcntl.h>

#include "decompress.h"

/* Debian's vmlinux is 45 MiB; a kernel with everything built in is below 200. */
#define IMAGE_MAX_BYTES ((size_t)512 << 20)

/* arch/x86/boot/compressed/Makefile, "size_append" */
#define SIZE_BYTES 4u

static int elf_build_id(const uint8_t *bytes, size_t len, char *ret_hex)
{
	Elf64_Ehdr eh;

	if (len < sizeof(eh))
		return -ENOENT;
	memcpy(&eh, bytes, sizeof(eh));
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh.e_phentsize != sizeof(Elf64_Phdr))
		return -ENOENT;
	for (size_t i = 0; i < eh.e_phnum; i++) {
		uint64_t at = eh.e_phoff + i * sizeof(Elf64_Phdr);
		Elf64_Phdr ph;

		if (at > len || len - at < sizeof(ph))
			return -ENOENT;
		memcpy(&ph, bytes + at, sizeof(ph));
		if (ph.p_type != PT_NOTE || ph.p_offset > len || ph.p_filesz > len - ph.p_offset)
			continue;
		if (kernel_notes_build_id(bytes + ph.p_offset, ph.p_filesz, ret_hex) == 0)
			return 0;
	}
	return -ENOENT;
}

static uint32_t le32_at(const uint8_t *bytes, size_t at)
{
	uint32_t v;

	memcpy(&v, bytes + at, sizeof(v));
	return le32toh(v);
}

/* The compressed kernel inside a bzImage. */
static bool bzimage_payload(const uint8_t *bytes, size_t len, const uint8_t **ret, size_t *ret_len)
{
	uint64_t setup, at, size;

	if (len < 0x250 || memcmp(bytes + 0x202, "HdrS", 4) != 0)
		return false;
	setup = (uint64_t)(bytes[0x1f1] ? bytes[0x1f1] : 4) + 1;
	at = setup * 512 + le32_at(bytes, 0x248);
	size = le32_at(bytes, 0x24c);
	if (at > len || size > len - at)
		return false;
	*ret = bytes + at;
	*ret_len = size;
	return true;
}

static int payload_build_id(const uint8_t *payload, size_t len, char *ret_hex)
{
	_cleanup_bytes_ uint8_t *vmlinux = NULL;
	size_t vmlinux_len;
	int r = decompress_bytes(payload, len, IMAGE_MAX_BYTES, &vmlinux, &vmlinux_len);

	return r < 0 ? r : elf_build_id(vmlinux, vmlinux_len, ret_hex);
}

int kernel_image_build_id(const char *path, char ret_hex[2 * LIMIT_BUILD_ID_BYTES + 1], struct err *err)
{
	_cleanup_bytes_ uint8_t *image = NULL;
	const uint8_t *payload;
	size_t len, payload_len;
	int r;

	r = decompress_file(AT_FDCWD, path, IMAGE_MAX_BYTES, &image, &len, err);
	if (r < 0)
		return r;
	if (bzimage_payload(image, len, &payload, &payload_len)) {
		r = payload_build_id(payload, payload_len, ret_hex);
		/* the build appends the size of vmlinux, except to gzip, which ends with it anyway */
		if (r < 0 && payload_len > SIZE_BYTES)
			r = payload_build_id(payload, payload_len - SIZE_BYTES, ret_hex);
		if (r == -EBADMSG)
			return err_set(err, -ENOENT, "%s: compressed in a way that is not gzip, xz or zstd", path);
	} else {
		r = elf_build_id(image, len, ret_hex);
	}
	return r < 0 ? err_set(err, r, "%s: holds no GNU build-id that can be read", path) : 0;
}
