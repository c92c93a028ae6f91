/* SPDX-License-Identifier: Apache-2.0 */
/*
 * modfile.h - a kernel module as bytes: its modinfo and whether it carries the kernel's own
 * signature. ELF64, either byte order of the host only (elf(5); kernel/module/main.c for what
 * the sections mean). Pure; bounds are checked against hostile files.
 */
#ifndef MODULUS_MODFILE_H
#define MODULUS_MODFILE_H

#include "base.h"

struct modfile {
	const char *machine; /* as uname -m says it: "x86_64"; static */
	const char *modinfo; /* the .modinfo section, NUL-separated "key=value"; borrowed */
	size_t modinfo_len;
	const char *versions; /* the __versions section: 64 bytes for each import; borrowed, may be NULL */
	size_t versions_len;
	const char *exports; /* the __ksymtab_strings section: NUL-separated; borrowed, may be NULL */
	size_t exports_len;
	const char *symbols; /* the symbol table, Elf64_Sym each; borrowed, may be NULL */
	size_t symbols_len;
	const char *strings; /* their names, NUL-separated */
	size_t strings_len;
	bool is_signed; /* "~Module signature appended~" at the end (Documentation/admin-guide/module-signing) */
};

/* 0, or -ENOEXEC: not a module of a 64-bit machine that we know. */
int modfile_parse(const void *data, size_t len, struct modfile *ret) _must_check_;

/* The next value of a modinfo key; *cursor starts at 0. NULL after the last. Borrowed. */
const char *modfile_info(const struct modfile *m, const char *key, size_t *cursor);

/* struct modversion_info (include/linux/module.h): an unsigned long, then the name in 56 bytes. */
#define MODFILE_SYMBOL_BYTES 56

/* The next imported symbol and its CRC; *cursor starts at 0. False after the last. */
bool modfile_import(const struct modfile *m, size_t *cursor, char ret_name[MODFILE_SYMBOL_BYTES], uint32_t *ret_crc);
/* The next exported name (namespaces appear as names too); NULL after the last. Borrowed. */
const char *modfile_export(const struct modfile *m, size_t *cursor);

/*
 * The next name that the module needs from elsewhere, with a version or without; NULL after the
 * last. Weak ones are left out: the kernel loads a module without them. Borrowed.
 */
const char *modfile_undefined(const struct modfile *m, size_t *cursor);

/* The first value, "" when absent. Borrowed. */
const char *modfile_info_first(const struct modfile *m, const char *key);

#endif
