// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_notes.c - an ELF note section as /sys/kernel/notes has it, and kernel images (the way to the build-id
 * of a kernel that does not run). What is found is 8 to 32 bytes that are in the input.
 */
#include <elf.h>
#include <sys/mman.h>

#include "fuzz.h"
#include "kernelimage.h"

static void check_id(const char *hex)
{
	size_t n = strlen(hex);

	must(n % 2 == 0 && n >= 16 && n <= 2 * (size_t)LIMIT_BUILD_ID_BYTES && strspn(hex, "0123456789abcdef") == n);
}

static void fuzz_image(const uint8_t *data, size_t size)
{
	static int fd = -1;
	char id[2 * LIMIT_BUILD_ID_BYTES + 1];
	struct err err = { 0 };

	if (fd < 0)
		fd = memfd_create("image", MFD_CLOEXEC);
	must(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	must(lseek(fd, 0, SEEK_SET) == 0);
	if (fuzz_outcome(kernel_image_build_id(fd, "image", NULL, id, &err), &err) == 0)
		check_id(id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char id[2 * LIMIT_BUILD_ID_BYTES + 1];
	uint8_t bytes[LIMIT_BUILD_ID_BYTES];

	if (size > 0x206 && (memcmp(data, ELFMAG, SELFMAG) == 0 || memcmp(data + 0x202, "HdrS", 4) == 0 ||
			     memcmp(data + 4, "zimg", 4) == 0 || memcmp(data + 56, "ARM\x64", 4) == 0)) {
		fuzz_image(data, size);
		return 0;
	}
	if (kernel_notes_build_id(data, size, id) == 0) {
		check_id(id);
		must(hex_decode(id, bytes, strlen(id) / 2) == 0 && memmem(data, size, bytes, strlen(id) / 2));
	}
	return 0;
}
