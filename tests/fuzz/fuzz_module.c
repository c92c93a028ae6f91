// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_module.c - a kernel module's ELF (modinfo, imports, exports), and Module.symvers, which is
 * text. Every string that is handed out ends inside the file.
 */
#include <elf.h>

#include "fuzz.h"
#include "symbols.h"

static void inside(const uint8_t *data, size_t size, const char *s)
{
	must((const uint8_t *)s >= data && (const uint8_t *)s + strlen(s) < data + size);
}

static void fuzz_module(const uint8_t *data, size_t size)
{
	_cleanup_symbols_ struct symbols table = { 0 }, exports = { 0 };
	char name[MODFILE_SYMBOL_BYTES];
	size_t cursor, n = 0, compared;
	struct err err = { 0 };
	struct modfile m;
	uint32_t crc;
	const char *s;

	if (modfile_parse(data, size, &m) < 0)
		return;
	must(m.machine && m.modinfo);
	for (cursor = 0; (s = modfile_info(&m, "vermagic", &cursor));)
		inside(data, size, s);
	for (cursor = 0; (s = modfile_info(&m, "", &cursor));)
		inside(data, size, s);
	must(*modfile_info_first(&m, "name") == '\0' || modfile_info_first(&m, "name") > m.modinfo);
	for (cursor = 0; (s = modfile_export(&m, &cursor));) {
		inside(data, size, s);
		must(symbols_add(&exports, s, strlen(s), 0) == 0);
	}
	for (cursor = 0; modfile_import(&m, &cursor, name, &crc); n++)
		must(symbols_add(&table, name, strlen(name), crc) == 0);
	symbols_sort(&table);
	symbols_sort(&exports);
	/* held against itself a module fits, unless it records one name with two versions */
	if (fuzz_outcome(symbols_check(&table, &m, "x", &compared, &err), &err) == 0)
		must(compared == n);
	for (cursor = 0; (s = modfile_undefined(&m, &cursor));)
		inside(data, size, s);
	err = (struct err){ 0 };
	(void)fuzz_outcome(symbols_check_all(&table, &m, "x", &exports, &err), &err);
}

static void fuzz_symvers(const char *text, size_t len)
{
	_cleanup_symbols_ struct symbols table = { 0 };

	if (symbols_parse_symvers(text, len, &table) < 0)
		return;
	symbols_sort(&table);
	for (size_t i = 0; i < table.n; i++) {
		must(*table.v[i].name && symbols_find(&table, table.v[i].name));
		must(i == 0 || strcmp(table.v[i - 1].name, table.v[i].name) <= 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > SELFMAG && memcmp(data, ELFMAG, SELFMAG) == 0)
		fuzz_module(data, size);
	else
		fuzz_symvers((const char *)data, size);
	return 0;
}
