// SPDX-License-Identifier: Apache-2.0
/*
 * kernelimage.c - vmlinuz -> vmlinux -> .notes. Runs where bundles are built, and where those of the next
 * kernel are judged. Reads only; the input is the operator's own kernel, yet every offset is checked.
 */
#include "kernelimage.h"

#include <elf.h>
#include <endian.h>

#include "decompress.h"

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

/* An ELF file begins here: where it ends, by its section headers, which are the last of it. */
static size_t elf_end(const uint8_t *bytes, size_t len, size_t at)
{
	uint64_t end;

	if (len - at >= sizeof(Elf64_Ehdr) && bytes[at + EI_CLASS] == ELFCLASS64) {
		Elf64_Ehdr eh;

		memcpy(&eh, bytes + at, sizeof(eh));
		end = (uint64_t)eh.e_shnum * eh.e_shentsize;
		end = eh.e_shoff > UINT64_MAX - end ? UINT64_MAX : end + eh.e_shoff;
	} else if (len - at >= sizeof(Elf32_Ehdr) && bytes[at + EI_CLASS] == ELFCLASS32) {
		Elf32_Ehdr eh;

		memcpy(&eh, bytes + at, sizeof(eh));
		end = (uint64_t)eh.e_shoff + (uint64_t)eh.e_shnum * eh.e_shentsize;
	} else {
		return at + SELFMAG;
	}
	return end < SELFMAG || end > len - at ? at + SELFMAG : at + (size_t)end;
}

/*
 * arm64's Image has no headers that lead to the notes. What looks like a build-id is the kernel's, unless
 * it is in one of the ELF files that are inside (the vDSOs); two of them are none.
 */
static int flat_build_id(const uint8_t *bytes, size_t len, char *ret_hex)
{
	static const uint8_t name[] = { 3, 0, 0, 0, 'G', 'N', 'U', 0 }; /* NT_GNU_BUILD_ID, its name */
	char found[2 * LIMIT_BUILD_ID_BYTES + 1] = "", hex[2 * LIMIT_BUILD_ID_BYTES + 1];

	for (size_t at = 0; at + sizeof(Elf64_Nhdr) + 4 <= len; at += 4) {
		if (memcmp(bytes + at, ELFMAG, SELFMAG) == 0) {
			at = (elf_end(bytes, len, at) - 1) & ~(size_t)3; /* the loop adds 4 */
			continue;
		}
		if (le32_at(bytes, at) != 4 || memcmp(bytes + at + 8, name, sizeof(name)) != 0 ||
		    kernel_notes_build_id(bytes + at, len - at, hex) < 0)
			continue;
		if (found[0] && !streq(found, hex))
			return -ENOENT;
		memcpy(found, hex, sizeof(found));
	}
	if (!found[0])
		return -ENOENT;
	memcpy(ret_hex, found, sizeof(found));
	return 0;
}

/* Documentation/arch/arm64/booting: "ARM\x64" at 56. */
static bool is_flat(const uint8_t *bytes, size_t len)
{
	return len >= 64 && memcmp(bytes + 56, "ARM\x64", 4) == 0;
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

/* The same in an image that EFI starts. */
static bool zboot_payload(const uint8_t *bytes, size_t len, const uint8_t **ret, size_t *ret_len)
{
	uint32_t at, size;

	if (len < 16 || memcmp(bytes, "MZ\0\0zimg", 8) != 0)
		return false;
	at = le32_at(bytes, 8);
	size = le32_at(bytes, 12);
	if (at > len || size > len - at)
		return false;
	*ret = bytes + at;
	*ret_len = size;
	return true;
}

/* "kernel_version": from 0x200 on, a text that begins with the release. */
static bool is_of_release(const uint8_t *bytes, size_t len, const char *release)
{
	size_t at = (size_t)bytes[0x20e] + ((size_t)bytes[0x20f] << 8) + 0x200, n = strlen(release);

	return at == 0x200 || (at < len && len - at > n && memcmp(bytes + at, release, n) == 0 && bytes[at + n] <= ' ');
}

/*
 * linux_banner of init/version-timestamp.c, which every kernel has: "Linux version 6.1.0-56-arm64 (". What has
 * none tells no release.
 */
static bool banner_is_of_release(const uint8_t *bytes, size_t len, const char *release)
{
	static const char banner[] = "Linux version ";
	size_t n = strlen(release);
	bool other = false;

	for (const uint8_t *end = bytes + len, *at = bytes; (at = memmem(at, (size_t)(end - at), banner, strlen(banner)));) {
		at += strlen(banner);
		if ((size_t)(end - at) > n && memcmp(at, release, n) == 0 && at[n] == ' ')
			return true;
		other = true;
	}
	return !other;
}

static int plain_build_id(const uint8_t *bytes, size_t len, const char *release, char *ret_hex)
{
	if (release && !banner_is_of_release(bytes, len, release))
		return -ESTALE;
	return is_flat(bytes, len) ? flat_build_id(bytes, len, ret_hex) : elf_build_id(bytes, len, ret_hex);
}

/* release: NULL, where the image around it has told that. */
static int payload_build_id(const uint8_t *payload, size_t len, const char *release, char *ret_hex)
{
	_cleanup_bytes_ uint8_t *vmlinux = NULL;
	size_t vmlinux_len;
	int r = decompress_bytes(payload, len, LIMIT_KERNEL_IMAGE_BYTES, &vmlinux, &vmlinux_len);

	return r < 0 ? r : plain_build_id(vmlinux, vmlinux_len, release, ret_hex);
}

int kernel_image_build_id(int fd, const char *shown, const char *release, char ret_hex[2 * LIMIT_BUILD_ID_BYTES + 1],
			  struct err *err)
{
	_cleanup_free_ char *file = NULL;
	_cleanup_bytes_ uint8_t *image = NULL;
	const uint8_t *payload;
	size_t len, payload_len;
	int r;

	r = read_whole(fd, LIMIT_KERNEL_IMAGE_BYTES, &file, &len);
	if (r == 0)
		r = decompress_bytes(file, len, LIMIT_KERNEL_IMAGE_BYTES, &image, &len);
	if (r == -EBADMSG)
		return err_set(err, r, "%s: damaged", shown);
	if (r < 0)
		return err_sys(err, r, "%s", shown);
	if (bzimage_payload(image, len, &payload, &payload_len)) {
		r = release && !is_of_release(image, len, release) ? -ESTALE :
								     payload_build_id(payload, payload_len, NULL, ret_hex);
		/* the build appends the size of vmlinux, except to gzip, which ends with it anyway */
		if (r < 0 && r != -ESTALE && payload_len > SIZE_BYTES)
			r = payload_build_id(payload, payload_len - SIZE_BYTES, NULL, ret_hex);
	} else if (zboot_payload(image, len, &payload, &payload_len)) {
		r = payload_build_id(payload, payload_len, release, ret_hex);
	} else {
		r = plain_build_id(image, len, release, ret_hex);
	}
	if (r == -ESTALE)
		return err_set(err, r, "%s: is not of kernel %s", shown, release);
	if (r == -EBADMSG)
		return err_set(err, -ENOENT, "%s: compressed in a way that is not gzip, xz or zstd", shown);
	return r < 0 ? err_set(err, r, "%s: holds no GNU build-id that can be read", shown) : 0;
}
