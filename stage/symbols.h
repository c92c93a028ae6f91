/* SPDX-License-Identifier: Apache-2.0 */
/*
 * symbols.h - symbol versions: the CRC that a module recorded for each symbol that it imports
 * (CONFIG_MODVERSIONS; kernel Documentation/kbuild/modules, "Module Versioning"). A table of
 * them, and one module held against it.
 */
#ifndef MODULUS_SYMBOLS_H
#define MODULUS_SYMBOLS_H

#include "err.h"
#include "modfile.h"

struct symbol {
	char *name;
	uint32_t crc;
};

struct symbols {
	struct symbol *v; /* sorted by name once symbols_sort() ran */
	size_t n;
};

int symbols_add(struct symbols *s, const char *name, size_t name_len, uint32_t crc) _must_check_;
/* Sorts; names that came twice with one CRC are kept once. Before any look-up. */
void symbols_sort(struct symbols *s);
/* NULL: not there. */
const struct symbol *symbols_find(const struct symbols *s, const char *name);
void symbols_free(struct symbols *s);
#define _cleanup_symbols_ _cleanup_(symbols_free)

/*
 * Module.symvers ("0xCRC symbol module export"; kernel Documentation/kbuild/modules). Pure.
 * -EINVAL: a line that is not so. The caller sorts.
 */
int symbols_parse_symvers(const char *text, size_t len, struct symbols *ret) _must_check_;

/*
 * Every import of the module that the table knows must have the table's CRC; what it does not know
 * is accepted. -E_WRONG_KERNEL naming the symbol. *ret_compared (may be NULL): how many were compared.
 */
int symbols_check(const struct symbols *s, const struct modfile *m, const char *module, size_t *ret_compared,
		  struct err *err) _must_check_;

/*
 * The same against a whole kernel's table: everything that the module needs, with a CRC or without
 * (a kernel without MODVERSIONS records none), is in it or in `exports`. -E_WRONG_KERNEL likewise.
 */
int symbols_check_all(const struct symbols *s, const struct modfile *m, const char *module,
		      const struct symbols *exports, struct err *err) _must_check_;

#endif
