// SPDX-License-Identifier: Apache-2.0
/*
 * A vmlinux of a header and one note, plain, compressed, and inside a bzImage.
 */
#include <archive.h>
#include <archive_entry.h>
#include <elf.h>
#include <fcntl.h>

#include "decompress.h"
#include "kernelimage.h"
#include "sample.h"

#define ID_HEX "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3"

static struct blob vmlinux(void)
{
	const Elf64_Nhdr note = { .n_namesz = 4, .n_descsz = 20, .n_type = NT_GNU_BUILD_ID };
	Elf64_Ehdr eh = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB },
			  .e_type = ET_EXEC,
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 2,
			  .e_phoff = sizeof(Elf64_Ehdr) };
	const Elf64_Phdr ph[2] = { { .p_type = PT_LOAD },
				   { .p_type = PT_NOTE,
				     .p_offset = sizeof(Elf64_Ehdr) + sizeof(ph),
				     .p_filesz = sizeof(note) + 4 + 20 } };
	struct blob b = { 0 };

	blob_add(&b, &eh, sizeof(eh));
	blob_add(&b, ph, sizeof(ph));
	blob_add(&b, &note, sizeof(note));
	blob_add(&b, "GNU", 4);
	for (unsigned int i = 0; i < 20; i++)
		blob_add(&b, &(uint8_t){ (uint8_t)(0xa0 + i) }, 1);
	return b;
}

/* The bytes through one of libarchive's compressors. */
static struct blob compressed(const struct blob *plain, int (*filter)(struct archive *))
{
	const size_t room = plain->n + 4096;
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();
	struct blob out = { 0 };
	size_t used = 0;

	assert_true(a && e);
	out.v = malloc(room);
	assert_non_null(out.v);
	assert_int_equal(archive_write_set_format_raw(a), ARCHIVE_OK);
	assert_int_equal(filter(a), ARCHIVE_OK);
	assert_int_equal(archive_write_open_memory(a, out.v, room, &used), ARCHIVE_OK);
	archive_entry_set_filetype(e, AE_IFREG);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	assert_int_equal(archive_write_data(a, plain->v, plain->n), (la_ssize_t)plain->n);
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
	archive_entry_free(e);
	out.n = used;
	return out;
}

/* Documentation/arch/x86/boot: one setup sector, then the payload, with its size behind it. */
static struct blob bzimage(const struct blob *payload)
{
	const uint32_t offset = 0, n = (uint32_t)payload->n + 4;
	struct blob b = { 0 };

	blob_fill(&b, 0, 1024);
	b.v[0x1f1] = 1;
	memcpy(b.v + 0x202, "HdrS", 4);
	memcpy(b.v + 0x248, &offset, 4);
	memcpy(b.v + 0x24c, &n, 4);
	blob_add(&b, payload->v, payload->n);
	blob_add(&b, "\1\2\3\4", 4);
	blob_fill(&b, 'x', 100);
	return b;
}

static int build_id_of(const struct place *p, const struct blob *image, char *ret, struct err *err)
{
	_cleanup_close_ int fd = -EBADF;

	put_blob(p, "vmlinuz", image->v, image->n);
	fd = openat(p->fd, "vmlinuz", O_RDONLY | O_CLOEXEC);
	return kernel_image_build_id(fd, "vmlinuz", NULL, ret, err);
}

static int (*const filters[])(struct archive *) = { archive_write_add_filter_gzip, archive_write_add_filter_xz,
						    archive_write_add_filter_zstd };

static void test_the_build_id_is_found_in_every_kind_of_image(void **state)
{
	_cleanup_blob_ struct blob plain = vmlinux();
	char hex[2 * LIMIT_BUILD_ID_BYTES + 1] = "";
	struct err err;

	assert_int_equal(build_id_of(*state, &plain, hex, &err), 0);
	assert_string_equal(hex, ID_HEX);
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		_cleanup_blob_ struct blob c = compressed(&plain, filters[i]), bz = bzimage(&c);

		hex[0] = '\0';
		assert_int_equal(build_id_of(*state, &c, hex, &err), 0);
		assert_string_equal(hex, ID_HEX);
		hex[0] = '\0';
		assert_int_equal(build_id_of(*state, &bz, hex, &err), 0);
		assert_string_equal(hex, ID_HEX);
	}
}

static void test_an_image_without_one_says_so(void **state)
{
	_cleanup_blob_ struct blob no_note = vmlinux(), other_class = vmlinux(), text = { 0 }, strange = { 0 }, bz = { 0 };
	char hex[2 * LIMIT_BUILD_ID_BYTES + 1] = "";
	const struct blob *const images[] = { &no_note, &other_class, &text, &bz };

	no_note.v[sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr)] = PT_LOAD;
	other_class.v[EI_CLASS] = ELFCLASS32;
	blob_add_text(&text, "this is not a kernel image at all");
	blob_add_text(&strange, "LZ4 or something");
	bz = bzimage(&strange);
	for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
		struct err err;

		assert_int_equal(build_id_of(*state, images[i], hex, &err), -ENOENT);
		assert_contains(err.text, "vmlinuz");
	}
}

static void test_an_image_cut_or_changed_anywhere_is_read_within_it(void **state)
{
	_cleanup_blob_ struct blob plain = vmlinux(), c = compressed(&plain, archive_write_add_filter_gzip),
				   bz = bzimage(&c);
	char hex[2 * LIMIT_BUILD_ID_BYTES + 1];
	struct err err;

	for (size_t n = 0; n <= plain.n; n++) {
		const struct blob cut = { .v = plain.v, .n = n };
		int r = build_id_of(*state, &cut, hex, &err);

		assert_true(n == plain.n ? r == 0 : r < 0);
	}
	for (size_t i = 0; i < plain.n; i++) {
		plain.v[i] ^= 0xff;
		(void)!build_id_of(*state, &plain, hex, &err);
		plain.v[i] ^= 0xff;
	}
	for (size_t i = 0x240; i < 0x250; i++) { /* offset and size of the payload */
		bz.v[i] ^= 0xff;
		(void)!build_id_of(*state, &bz, hex, &err);
		bz.v[i] ^= 0xff;
	}
}

/* An EFI image that decompresses itself: where the payload is, and how long. */
static struct blob zboot(const struct blob *payload)
{
	const uint32_t offset = 64, n = (uint32_t)payload->n;
	struct blob b = { 0 };

	blob_add(&b, "MZ\0\0zimg", 8);
	blob_add(&b, &offset, 4);
	blob_add(&b, &n, 4);
	blob_fill(&b, 0, 48);
	blob_add(&b, payload->v, payload->n);
	blob_fill(&b, 'x', 100);
	return b;
}

/* arm64's Image: code, a vDSO with a build-id of its own, and the kernel's note, `notes` times. */
static struct blob flat(unsigned int notes)
{
	_cleanup_blob_ struct blob vdso = vmlinux();
	const size_t note = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr);
	struct blob b = { 0 };
	Elf64_Ehdr eh;

	blob_fill(&b, 0, 56);
	blob_add(&b, "ARM\x64", 4);
	blob_fill(&b, 0, 68);
	memcpy(&eh, vdso.v, sizeof(eh));
	eh.e_shoff = vdso.n; /* no sections, and yet the end of the file */
	memcpy(vdso.v, &eh, sizeof(eh));
	vdso.v[vdso.n - 1] ^= 0xff;
	blob_add(&b, vdso.v, vdso.n);
	for (unsigned int i = 0; i < notes; i++) {
		vdso.v[vdso.n - 1] = (uint8_t)(0xb3 + i);
		blob_fill(&b, 0, 64);
		blob_add(&b, vdso.v + note, vdso.n - note);
	}
	blob_fill(&b, 0, 64);
	return b;
}

static void test_images_of_arm64_are_read_too_and_what_is_ambiguous_is_not_known(void **state)
{
	_cleanup_blob_ struct blob one = flat(1), none = flat(0), two = flat(2),
				   c = compressed(&one, archive_write_add_filter_gzip), efi = zboot(&c);
	const struct blob *const good[] = { &one, &c, &efi }, *const bad[] = { &none, &two };
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		char hex[2 * LIMIT_BUILD_ID_BYTES + 1] = "";

		assert_int_equal(build_id_of(*state, good[i], hex, &err), 0);
		assert_string_equal(hex, ID_HEX);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char hex[2 * LIMIT_BUILD_ID_BYTES + 1] = "";

		assert_int_equal(build_id_of(*state, bad[i], hex, &err), -ENOENT);
	}
}

static void test_an_image_that_says_it_is_of_another_release_is_refused(void **state)
{
	_cleanup_blob_ struct blob plain = vmlinux(), bz = bzimage(&plain);
	struct place *p = *state;
	static const struct {
		const char *release;
		int r;
	} cases[] = { { "6.1.0-99-test", 0 }, { "6.1.0-9", -ESTALE }, { "6.1.0-100-test", -ESTALE }, { NULL, 0 } };

	bz.v[0x20e] = 0x80; /* 0x280 and after it */
	memcpy(bz.v + 0x280, "6.1.0-99-test (who@where) #1 SMP", 33);
	put_blob(p, "vmlinuz", bz.v, bz.n);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_close_ int fd = openat(p->fd, "vmlinuz", O_RDONLY | O_CLOEXEC);
		char hex[2 * LIMIT_BUILD_ID_BYTES + 1];
		struct err err;

		assert_int_equal(kernel_image_build_id(fd, "vmlinuz", cases[i].release, hex, &err), cases[i].r);
	}
}

/* The text that a kernel prints first is all that an Image, or what an EFI image holds, tells of it. */
static void test_an_image_of_arm64_is_of_the_release_that_it_prints(void **state)
{
	struct place *p = *state;
	static const struct {
		const char *text;
		int r;
	} cases[] = { { "Linux version 6.1.0-99-test (who@where) #1 SMP", 0 },
		      { "Linux version %s (%s)\nLinux version 6.1.0-99-test (who@where) #1 SMP", 0 },
		      { "Linux version 6.1.0-9 (who@where) #1 SMP", -ESTALE },
		      { "Linux version 6.1.0-99-tester (who@where) #1 SMP", -ESTALE },
		      { "Linux version 6.1.0-99-test", -ESTALE }, /* it ends there */
		      { "Linux version ", -ESTALE },
		      { "", 0 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_blob_ struct blob image = flat(1), c = { 0 }, efi = { 0 };
		const struct blob *const kinds[] = { &image, &c, &efi };

		blob_add_text(&image, cases[i].text);
		c = compressed(&image, archive_write_add_filter_gzip);
		efi = zboot(&c);
		for (size_t j = 0; j < ARRAY_SIZE(kinds); j++) {
			_cleanup_close_ int fd = -EBADF;
			char hex[2 * LIMIT_BUILD_ID_BYTES + 1] = "";
			struct err err;

			put_blob(p, "vmlinuz", kinds[j]->v, kinds[j]->n);
			fd = openat(p->fd, "vmlinuz", O_RDONLY | O_CLOEXEC);
			assert_int_equal(kernel_image_build_id(fd, "vmlinuz", "6.1.0-99-test", hex, &err), cases[i].r);
			if (cases[i].r < 0)
				assert_string_equal(err.text, "vmlinuz: is not of kernel 6.1.0-99-test");
			else
				assert_string_equal(hex, ID_HEX);
		}
	}
}

/* --- the files it reads --- */

static void test_files_are_decompressed_up_to_a_limit(void **state)
{
	_cleanup_blob_ struct blob plain = { 0 };
	struct place *p = *state;

	blob_fill(&plain, 'x', 3000000);
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		_cleanup_blob_ struct blob c = compressed(&plain, filters[i]);
		_cleanup_bytes_ uint8_t *bytes = NULL;
		struct err err;
		size_t n;

		put_blob(p, "c", c.v, c.n);
		assert_int_equal(decompress_file(p->fd, "c", plain.n, &bytes, &n, &err), 0);
		assert_int_equal(n, plain.n);
		assert_memory_equal(bytes, plain.v, n);
		assert_int_equal(decompress_file(p->fd, "c", plain.n - 1, &bytes, &n, &err), -EFBIG);
		assert_contains(err.text, "c: ");
	}
}

static void test_a_damaged_file_is_said_to_be(void **state)
{
	struct place *p = *state;
	uint8_t *bytes = NULL;
	struct err err;
	size_t n;

	put_blob(p, "c", "\x1f\x8b\x08\0\0\0\0\0\0\3damaged", 17);
	assert_int_equal(decompress_file(p->fd, "c", 1000, &bytes, &n, &err), -EBADMSG);
	assert_string_equal(err.text, "c: damaged");
	assert_int_equal(decompress_file(p->fd, "none", 1000, &bytes, &n, &err), -ENOENT);
	assert_null(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_the_build_id_is_found_in_every_kind_of_image),
		at_place(test_an_image_without_one_says_so),
		at_place(test_images_of_arm64_are_read_too_and_what_is_ambiguous_is_not_known),
		at_place(test_an_image_that_says_it_is_of_another_release_is_refused),
		at_place(test_an_image_of_arm64_is_of_the_release_that_it_prints),
		at_place(test_an_image_cut_or_changed_anywhere_is_read_within_it),
		at_place(test_files_are_decompressed_up_to_a_limit),
		at_place(test_a_damaged_file_is_said_to_be),
	};

	return cmocka_run_group_tests_name("kernelimage", tests, NULL, NULL);
}
