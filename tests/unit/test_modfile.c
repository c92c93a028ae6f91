// SPDX-License-Identifier: Apache-2.0
#include <elf.h>
#include <stddef.h>

#include "fakekernel.h"
#include "modfile.h"

static const struct fake_import imports[] = { { "module_layout", 0x11223344 },
					      { "drm_dev_register", 0xdeadbeef },
					      { NULL, 0 } };

static struct blob sample_module(void)
{
	return fake_module_bytes(&(struct fake_module){ .name = "nvidia_drm",
							.depends = "nvidia-modeset,drm_kms_helper,drm",
							.softdep = "pre: i2c-core",
							.more = "alias=pci:v*\nalias=pci:w*\nempty=\naliasx=no\n",
							.imports = imports,
							.exports = "nvidia_drm_probe\nnvidia_drm_remove\n",
							.needs = "drm_dev_register\nprintk\n",
							.may_need = "perhaps\n" });
}

/* The ELF header inside the bytes. */
static Elf64_Ehdr *header(struct blob *b)
{
	return (Elf64_Ehdr *)(void *)b->v;
}

static Elf64_Shdr *section(struct blob *b, unsigned int i)
{
	return (Elf64_Shdr *)(void *)(b->v + header(b)->e_shoff) + i;
}

/* Parses a copy in memory of exactly that size, and walks everything that came out. */
static int parse_and_walk(const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);
	char name[MODFILE_SYMBOL_BYTES];
	struct modfile m;
	size_t cursor = 0;
	uint32_t crc;
	int r;

	assert_non_null(copy);
	memcpy(copy, bytes, n);
	r = modfile_parse(copy, n, &m);
	if (r == 0) {
		while (modfile_info(&m, "alias", &cursor))
			;
		cursor = 0;
		while (modfile_import(&m, &cursor, name, &crc))
			assert_true(strlen(name) < sizeof(name));
		cursor = 0;
		while (modfile_export(&m, &cursor))
			;
		cursor = 0;
		for (const char *undefined; (undefined = modfile_undefined(&m, &cursor));)
			assert_true(strlen(undefined) < n);
	}
	free(copy);
	return r;
}

static void test_a_module_says_what_it_is(void **state)
{
	_cleanup_blob_ struct blob b = sample_module();
	struct modfile m;
	size_t cursor = 0;

	(void)state;
	assert_int_equal(modfile_parse(b.v, b.n, &m), 0);
	assert_string_equal(m.machine, machine_here());
	assert_false(m.is_signed);
	assert_string_equal(modfile_info_first(&m, "name"), "nvidia_drm");
	assert_string_equal(modfile_info_first(&m, "depends"), "nvidia-modeset,drm_kms_helper,drm");
	assert_string_equal(modfile_info_first(&m, "vermagic"), VERMAGIC);
	assert_string_equal(modfile_info_first(&m, "empty"), "");
	assert_string_equal(modfile_info_first(&m, "missing"), "");
	assert_string_equal(modfile_info(&m, "alias", &cursor), "pci:v*");
	assert_string_equal(modfile_info(&m, "alias", &cursor), "pci:w*");
	assert_null(modfile_info(&m, "alias", &cursor));
	assert_null(modfile_info(&m, "alias", &cursor));
}

static void test_imports_and_exports_are_listed(void **state)
{
	_cleanup_blob_ struct blob b = sample_module();
	char name[MODFILE_SYMBOL_BYTES];
	struct modfile m;
	size_t cursor = 0;
	uint32_t crc;

	(void)state;
	assert_int_equal(modfile_parse(b.v, b.n, &m), 0);
	assert_true(modfile_import(&m, &cursor, name, &crc));
	assert_string_equal(name, "module_layout");
	assert_int_equal(crc, 0x11223344);
	assert_true(modfile_import(&m, &cursor, name, &crc));
	assert_string_equal(name, "drm_dev_register");
	assert_int_equal(crc, 0xdeadbeef);
	assert_false(modfile_import(&m, &cursor, name, &crc));
	cursor = 0;
	assert_string_equal(modfile_export(&m, &cursor), "nvidia_drm_probe");
	assert_string_equal(modfile_export(&m, &cursor), "nvidia_drm_remove");
	assert_null(modfile_export(&m, &cursor));
}

static void test_what_is_needed_from_elsewhere_is_listed(void **state)
{
	_cleanup_blob_ struct blob b = sample_module();
	struct modfile m;
	size_t cursor = 0;

	(void)state;
	assert_int_equal(modfile_parse(b.v, b.n, &m), 0);
	assert_string_equal(modfile_undefined(&m, &cursor), "drm_dev_register");
	assert_string_equal(modfile_undefined(&m, &cursor), "printk");
	assert_null(modfile_undefined(&m, &cursor)); /* the weak one is not needed */
	b.v[section(&b, 4)->sh_offset + sizeof(Elf64_Sym) + offsetof(Elf64_Sym, st_shndx)] = 1; /* defined here */
	cursor = 0;
	assert_string_equal(modfile_undefined(&m, &cursor), "printk");
}

static void test_a_table_of_symbols_that_is_damaged_gives_whole_names_only(void **state)
{
	static const uint32_t links[] = { 7, 1000, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		_cleanup_blob_ struct blob b = sample_module();
		struct modfile m;
		size_t cursor = 0;

		section(&b, 4)->sh_link = links[i];
		assert_int_equal(modfile_parse(b.v, b.n, &m), 0);
		assert_null(modfile_undefined(&m, &cursor));
	}
	for (uint64_t cut = 0; cut < 48; cut++) { /* two names and the none before them are 72 bytes */
		_cleanup_blob_ struct blob b = sample_module();
		struct modfile m;
		size_t cursor = 0, found = 0;

		section(&b, 4)->sh_size -= cut + 24; /* the weak one */
		assert_int_equal(modfile_parse(b.v, b.n, &m), 0);
		while (modfile_undefined(&m, &cursor))
			found++;
		assert_int_equal(found, 2 - (cut + 23) / 24);
	}
	for (uint64_t left = 0; left < 26; left++) { /* "\0drm_dev_register\0printk\0" */
		_cleanup_blob_ struct blob b = sample_module();
		struct modfile m;
		size_t cursor = 0, found = 0;

		section(&b, 5)->sh_size = left;
		assert_int_equal(modfile_parse(b.v, b.n, &m), 0);
		while (modfile_undefined(&m, &cursor))
			found++;
		assert_int_equal(found, left < 18 ? 0 : left < 25 ? 1 : 2);
	}
}

static void test_a_module_without_versions_and_exports_has_none(void **state)
{
	_cleanup_blob_ struct blob b = fake_module_bytes(&(struct fake_module){ .name = "x" });
	char name[MODFILE_SYMBOL_BYTES];
	struct modfile m;
	size_t cursor = 0;
	uint32_t crc;

	(void)state;
	/* not even the sections */
	section(&b, 2)->sh_type = SHT_NULL;
	section(&b, 3)->sh_type = SHT_NULL;
	assert_int_equal(modfile_parse(b.v, b.n, &m), 0);
	assert_false(modfile_import(&m, &cursor, name, &crc));
	assert_null(modfile_export(&m, &cursor));
}

static void test_the_kernels_signature_is_seen_at_the_very_end_only(void **state)
{
	_cleanup_blob_ struct blob b = fake_module_bytes(&(struct fake_module){ .name = "x", .is_signed = true });
	struct modfile m;

	(void)state;
	assert_int_equal(modfile_parse(b.v, b.n, &m), 0);
	assert_true(m.is_signed);
	assert_int_equal(modfile_parse(b.v, b.n - 1, &m), 0);
	assert_false(m.is_signed);
	blob_add(&b, "", 1);
	assert_int_equal(modfile_parse(b.v, b.n, &m), 0);
	assert_false(m.is_signed);
}

static void test_the_machine_is_named_as_uname_names_it(void **state)
{
	static const struct {
		uint16_t elf;
		const char *name;
	} cases[] = { { EM_X86_64, "x86_64" }, { EM_AARCH64, "aarch64" }, { EM_RISCV, "riscv64" },
		      { EM_PPC64, "ppc64le" }, { EM_S390, "s390x" },	  { EM_386, NULL },
		      { EM_ARM, NULL } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_blob_ struct blob b =
			fake_module_bytes(&(struct fake_module){ .name = "x", .machine = cases[i].elf });
		struct modfile m;

		assert_int_equal(modfile_parse(b.v, b.n, &m), cases[i].name ? 0 : -ENOEXEC);
		if (cases[i].name)
			assert_string_equal(m.machine, cases[i].name);
	}
}

static void test_what_is_not_a_relocatable_64_bit_elf_file_is_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} cases[] = {
		{ 0, 0 },
		{ EI_MAG3, 'G' },
		{ EI_CLASS, ELFCLASS32 },
		{ EI_CLASS, ELFCLASSNONE },
		{ EI_DATA, __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2MSB : ELFDATA2LSB },
		{ offsetof(Elf64_Ehdr, e_type), ET_EXEC },
		{ offsetof(Elf64_Ehdr, e_type), ET_DYN },
		{ offsetof(Elf64_Ehdr, e_shentsize), 40 },
		{ offsetof(Elf64_Ehdr, e_shnum), 0 },
		{ offsetof(Elf64_Ehdr, e_shnum), 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_blob_ struct blob b = sample_module();

		b.v[cases[i].at] = cases[i].value;
		assert_int_equal(parse_and_walk(b.v, b.n), -ENOEXEC);
	}
	assert_int_equal(parse_and_walk((const uint8_t *)"#!/bin/sh\n", 10), -ENOEXEC);
	assert_int_equal(parse_and_walk((const uint8_t *)"", 0), -ENOEXEC);
}

static void test_places_that_lie_outside_the_file_are_refused(void **state)
{
	static const uint64_t far[] = { UINT64_MAX, UINT64_MAX - 63, (uint64_t)INT64_MAX, 1u << 31 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(far); i++) {
		_cleanup_blob_ struct blob table = sample_module(), offset = sample_module(), size = sample_module(),
					   names = sample_module(), names_size = sample_module();

		header(&table)->e_shoff = far[i];
		assert_int_equal(parse_and_walk(table.v, table.n), -ENOEXEC);
		section(&offset, 1)->sh_offset = far[i];
		assert_int_equal(parse_and_walk(offset.v, offset.n), -ENOEXEC);
		section(&size, 1)->sh_size = far[i];
		assert_int_equal(parse_and_walk(size.v, size.n), -ENOEXEC);
		section(&names, 6)->sh_offset = far[i];
		assert_int_equal(parse_and_walk(names.v, names.n), -ENOEXEC);
		section(&names_size, 6)->sh_size = far[i];
		assert_int_equal(parse_and_walk(names_size.v, names_size.n), -ENOEXEC);
	}
}

static void test_a_name_outside_the_table_of_names_is_no_name(void **state)
{
	static const uint32_t names[] = { UINT32_MAX, 64, 65, 1000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_blob_ struct blob b = sample_module(), index = sample_module();

		section(&b, 1)->sh_name = names[i];
		assert_int_equal(parse_and_walk(b.v, b.n), -ENOEXEC);
		header(&index)->e_shstrndx = 0xffff;
		assert_int_equal(parse_and_walk(index.v, index.n), -ENOEXEC);
	}
}

static void test_a_modinfo_that_never_ends_gives_whole_strings_only(void **state)
{
	_cleanup_blob_ struct blob b = fake_module_bytes(&(struct fake_module){ .name = "abc", .depends = "de" });
	struct modfile m;

	(void)state;
	/* cut inside "depends=de" */
	section(&b, 1)->sh_size = strlen("name=abc") + 1 + 5;
	assert_int_equal(modfile_parse(b.v, b.n, &m), 0);
	assert_string_equal(modfile_info_first(&m, "name"), "abc");
	assert_string_equal(modfile_info_first(&m, "depends"), "");
	section(&b, 1)->sh_size = 3; /* not one whole string */
	assert_int_equal(modfile_parse(b.v, b.n, &m), 0);
	assert_string_equal(modfile_info_first(&m, "name"), "");
	section(&b, 1)->sh_size = 0;
	assert_int_equal(modfile_parse(b.v, b.n, &m), 0);
	assert_string_equal(modfile_info_first(&m, "name"), "");
}

static void test_a_table_of_versions_that_is_cut_gives_whole_entries_only(void **state)
{
	static const struct {
		size_t bytes;
		unsigned int entries;
	} cases[] = { { 0, 0 }, { 1, 0 }, { 63, 0 }, { 64, 1 }, { 127, 1 }, { 128, 2 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_blob_ struct blob b = sample_module();
		char name[MODFILE_SYMBOL_BYTES];
		unsigned int n = 0;
		struct modfile m;
		size_t cursor = 0;
		uint32_t crc;

		section(&b, 2)->sh_size = cases[i].bytes;
		assert_int_equal(modfile_parse(b.v, b.n, &m), 0);
		while (modfile_import(&m, &cursor, name, &crc))
			n++;
		assert_int_equal(n, cases[i].entries);
	}
}

static void test_a_symbol_that_fills_its_field_is_ended(void **state)
{
	static const char longest[] = "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffff"; /* 56 */
	_cleanup_blob_ struct blob b = sample_module();
	char name[MODFILE_SYMBOL_BYTES];
	struct modfile m;
	size_t cursor = 0;
	uint32_t crc;

	(void)state;
	memcpy(b.v + section(&b, 2)->sh_offset + 8, longest, MODFILE_SYMBOL_BYTES);
	assert_int_equal(modfile_parse(b.v, b.n, &m), 0);
	assert_true(modfile_import(&m, &cursor, name, &crc));
	assert_int_equal(strlen(name), 55);
}

static void test_a_module_cut_at_any_length_is_read_within_it(void **state)
{
	_cleanup_blob_ struct blob b = sample_module();

	(void)state;
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(parse_and_walk(b.v, n), -ENOEXEC); /* the names of the sections are at the end */
	assert_int_equal(parse_and_walk(b.v, b.n), 0);
}

static void test_a_changed_byte_anywhere_is_survived(void **state)
{
	_cleanup_blob_ struct blob b = sample_module();

	(void)state;
	for (size_t i = 0; i < b.n; i++) {
		static const uint8_t masks[] = { 0x01, 0x80, 0xff };

		for (size_t m = 0; m < ARRAY_SIZE(masks); m++) {
			b.v[i] ^= masks[m];
			(void)parse_and_walk(b.v, b.n);
			b.v[i] ^= masks[m];
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_module_says_what_it_is),
		cmocka_unit_test(test_imports_and_exports_are_listed),
		cmocka_unit_test(test_what_is_needed_from_elsewhere_is_listed),
		cmocka_unit_test(test_a_table_of_symbols_that_is_damaged_gives_whole_names_only),
		cmocka_unit_test(test_a_module_without_versions_and_exports_has_none),
		cmocka_unit_test(test_the_kernels_signature_is_seen_at_the_very_end_only),
		cmocka_unit_test(test_the_machine_is_named_as_uname_names_it),
		cmocka_unit_test(test_what_is_not_a_relocatable_64_bit_elf_file_is_refused),
		cmocka_unit_test(test_places_that_lie_outside_the_file_are_refused),
		cmocka_unit_test(test_a_name_outside_the_table_of_names_is_no_name),
		cmocka_unit_test(test_a_modinfo_that_never_ends_gives_whole_strings_only),
		cmocka_unit_test(test_a_table_of_versions_that_is_cut_gives_whole_entries_only),
		cmocka_unit_test(test_a_symbol_that_fills_its_field_is_ended),
		cmocka_unit_test(test_a_module_cut_at_any_length_is_read_within_it),
		cmocka_unit_test(test_a_changed_byte_anywhere_is_survived),
	};

	return cmocka_run_group_tests_name("modfile", tests, NULL, NULL);
}
