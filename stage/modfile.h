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
	bool is_signed; /* "~Module signature appended~" at the end (Documentation/admin-guide/module-signing) */
};

/* 0, or -ENOEXEC: not a module of a 64-bit machine that we know. */
int modfile_parse(const void *bytes, size_t len, struct modfile *ret) _must_check_;

/* The next value of a modinfo key; *cursor starts at 0. NULL after the last. Borrowed. */
const char *modfile_info(const struct modfile *m, const char *key, size_t *cursor);

/* The first value, "" when absent. Borrowed. */
const char *modfile_info_first(const struct modfile *m, const char *key);

#endif
