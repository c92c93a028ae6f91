// SPDX-License-Identifier: Apache-2.0
/*
 * modfile.c - looks into a module without trusting it: every offset is checked before use.
 */
#include "modfile.h"

#include <elf.h>

#define SIGNATURE_MARKER "~Module signature appended~\n"

static const struct {
	uint16_t elf;
	const char *name;
} machines[] = {
	{ EM_X86_64, "x86_64" },   { EM_AARCH64, "aarch64" }, { EM_RISCV, "riscv64" },
	{ EM_PPC64, "ppc64le" },   { EM_S390, "s390x" },
};

static bool in_range(uint64_t offset, uint64_t size, size_t len)
{
	return offset <= len && size <= len - offset;
}

static bool section_header(const uint8_t *bytes, size_t len, const Elf64_Ehdr *eh, uint64_t i, Elf64_Shdr *ret)
{
	uint64_t at;

	if (__builtin_add_overflow(eh->e_shoff, i * sizeof(*ret), &at) || !in_range(at, sizeof(*ret), len))
		return false;
	memcpy(ret, bytes + at, sizeof(*ret));
	return true;
}

/* Is the section's name, a string in the table `names`, this one? */
static bool section_named(const uint8_t *bytes, size_t len, const Elf64_Shdr *names, uint32_t offset, const char *name)
{
	size_t n = strlen(name) + 1;

	if (!in_range(names->sh_offset, names->sh_size, len) || !in_range(offset, n, names->sh_size))
		return false;
	return memcmp(bytes + names->sh_offset + offset, name, n) == 0;
}

/* The first section of that type and name (NULL: any). */
static bool find_section(const uint8_t *bytes, size_t len, const Elf64_Ehdr *eh, uint32_t type, const char *name,
			 Elf64_Shdr *ret)
{
	Elf64_Shdr names, s;

	if (eh->e_shentsize != sizeof(s) || !section_header(bytes, len, eh, eh->e_shstrndx, &names))
		return false;
	for (uint64_t i = 0; i < eh->e_shnum; i++) {
		if (!section_header(bytes, len, eh, i, &s))
			return false;
		if (s.sh_type != type || (name && !section_named(bytes, len, &names, s.sh_name, name)))
			continue;
		if (!in_range(s.sh_offset, s.sh_size, len))
			return false;
		*ret = s;
		return true;
	}
	return false;
}

/* Without a last string that does not end inside the section. */
static size_t whole_strings(const char *text, size_t len)
{
	while (len > 0 && text[len - 1] != '\0')
		len--;
	return len;
}

/* The symbols, and the strings that hold their names. */
static void find_symbols(const uint8_t *bytes, size_t len, const Elf64_Ehdr *eh, struct modfile *m)
{
	Elf64_Shdr symbols, strings;

	if (!find_section(bytes, len, eh, SHT_SYMTAB, NULL, &symbols) || symbols.sh_link >= eh->e_shnum ||
	    !section_header(bytes, len, eh, symbols.sh_link, &strings) ||
	    !in_range(strings.sh_offset, strings.sh_size, len))
		return;
	m->symbols = (const char *)bytes + symbols.sh_offset;
	m->symbols_len = symbols.sh_size;
	m->strings = (const char *)bytes + strings.sh_offset;
	m->strings_len = whole_strings(m->strings, strings.sh_size);
}

int modfile_parse(const void *data, size_t len, struct modfile *ret)
{
	const size_t marker = strlen(SIGNATURE_MARKER);
	const uint8_t *bytes = data;
	struct modfile m = { 0 };
	Elf64_Shdr modinfo, section;
	Elf64_Ehdr eh;

	if (len < sizeof(eh))
		return -ENOEXEC;
	memcpy(&eh, bytes, sizeof(eh));
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh.e_ident[EI_DATA] != (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB) ||
	    eh.e_type != ET_REL)
		return -ENOEXEC;
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
		if (machines[i].elf == eh.e_machine)
			m.machine = machines[i].name;
	if (!m.machine || !find_section(bytes, len, &eh, SHT_PROGBITS, ".modinfo", &modinfo))
		return -ENOEXEC;
	m.modinfo = (const char *)bytes + modinfo.sh_offset;
	m.modinfo_len = modinfo.sh_size;
	m.modinfo_len = whole_strings(m.modinfo, m.modinfo_len);
	if (find_section(bytes, len, &eh, SHT_PROGBITS, "__versions", &section)) {
		m.versions = (const char *)bytes + section.sh_offset;
		m.versions_len = section.sh_size;
	}
	if (find_section(bytes, len, &eh, SHT_PROGBITS, "__ksymtab_strings", &section)) {
		m.exports = (const char *)bytes + section.sh_offset;
		m.exports_len = whole_strings(m.exports, section.sh_size);
	}
	find_symbols(bytes, len, &eh, &m);
	m.is_signed = len > marker && memcmp(bytes + len - marker, SIGNATURE_MARKER, marker) == 0;
	*ret = m;
	return 0;
}

const char *modfile_info(const struct modfile *m, const char *key, size_t *cursor)
{
	size_t n = strlen(key);

	while (*cursor < m->modinfo_len) {
		const char *entry = m->modinfo + *cursor;

		*cursor += strlen(entry) + 1;
		if (strncmp(entry, key, n) == 0 && entry[n] == '=')
			return entry + n + 1;
	}
	return NULL;
}

const char *modfile_info_first(const struct modfile *m, const char *key)
{
	size_t cursor = 0;
	const char *value = modfile_info(m, key, &cursor);

	return value ? value : "";
}

bool modfile_import(const struct modfile *m, size_t *cursor, char ret_name[MODFILE_SYMBOL_BYTES], uint32_t *ret_crc)
{
	uint64_t crc;

	if (m->versions_len - *cursor < sizeof(crc) + MODFILE_SYMBOL_BYTES)
		return false;
	memcpy(&crc, m->versions + *cursor, sizeof(crc));
	memcpy(ret_name, m->versions + *cursor + sizeof(crc), MODFILE_SYMBOL_BYTES);
	ret_name[MODFILE_SYMBOL_BYTES - 1] = '\0';
	*ret_crc = (uint32_t)crc;
	*cursor += sizeof(crc) + MODFILE_SYMBOL_BYTES;
	return true;
}

const char *modfile_export(const struct modfile *m, size_t *cursor)
{
	const char *name;

	if (*cursor >= m->exports_len)
		return NULL;
	name = m->exports + *cursor;
	*cursor += strlen(name) + 1;
	return name;
}

const char *modfile_undefined(const struct modfile *m, size_t *cursor)
{
	Elf64_Sym s;

	while (m->symbols_len - *cursor >= sizeof(s)) {
		memcpy(&s, m->symbols + *cursor, sizeof(s));
		*cursor += sizeof(s);
		if (s.st_shndx == SHN_UNDEF && ELF64_ST_BIND(s.st_info) == STB_GLOBAL && s.st_name > 0 &&
		    s.st_name < m->strings_len)
			return m->strings + s.st_name;
	}
	return NULL;
}
