// SPDX-License-Identifier: Apache-2.0
/*
 * symbols.c - does this module agree with that kernel about what its symbols look like? Pure.
 * Used by the builder against Module.symvers, and at boot, where no build-id settles it, against
 * what the kernel's own modules recorded.
 */
#include "symbols.h"

int symbols_add(struct symbols *s, const char *name, size_t name_len, uint32_t crc)
{
	struct symbol *v;

	if ((s->n & (s->n - 1)) == 0) { /* at each power of two */
		v = reallocarray(s->v, s->n ? 2 * s->n : 1, sizeof(*v));
		if (!v)
			return -ENOMEM;
		s->v = v;
	}
	s->v[s->n] = (struct symbol){ .name = strndup(name, name_len), .crc = crc };
	if (!s->v[s->n].name)
		return -ENOMEM;
	s->n++;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : (x->crc > y->crc) - (x->crc < y->crc);
}

void symbols_sort(struct symbols *s)
{
	size_t n = 0;

	if (s->n == 0)
		return;
	qsort(s->v, s->n, sizeof(*s->v), by_name);
	for (size_t i = 1; i < s->n; i++) {
		if (by_name(&s->v[n], &s->v[i]) == 0)
			free(s->v[i].name);
		else
			s->v[++n] = s->v[i];
	}
	s->n = n + 1;
}

static int name_only(const void *key, const void *element)
{
	const struct symbol *s = element;

	return strcmp(key, s->name);
}

const struct symbol *symbols_find(const struct symbols *s, const char *name)
{
	return s->n ? bsearch(name, s->v, s->n, sizeof(*s->v), name_only) : NULL;
}

void symbols_free(struct symbols *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].name);
	free(s->v);
	*s = (struct symbols){ 0 };
}

/* "0x" and one to eight hex digits, then a tab. */
static int parse_crc(const char *line, size_t len, uint32_t *ret, size_t *ret_used)
{
	uint32_t crc = 0;
	size_t i = 2;

	if (len < 4 || memcmp(line, "0x", 2) != 0)
		return -EINVAL;
	for (; i < len && line[i] != '\t'; i++) {
		const char *digits = "0123456789abcdef", *d = strchr(digits, line[i]);

		if (!d || i >= 10)
			return -EINVAL;
		crc = crc << 4 | (uint32_t)(d - digits);
	}
	if (i == 2 || i == len)
		return -EINVAL;
	*ret = crc;
	*ret_used = i + 1;
	return 0;
}

int symbols_parse_symvers(const char *text, size_t len, struct symbols *ret)
{
	_cleanup_symbols_ struct symbols s = { 0 };

	if (len > 0 && memchr(text, '\0', len)) /* a name would end at it */
		return -EINVAL;
	while (len > 0) {
		const char *nl = memchr(text, '\n', len), *tab;
		size_t line = nl ? (size_t)(nl - text) : len, used;
		uint32_t crc;
		int r;

		if (line > 0) {
			r = parse_crc(text, line, &crc, &used);
			if (r < 0)
				return r;
			tab = memchr(text + used, '\t', line - used);
			if (!tab || tab == text + used)
				return -EINVAL;
			r = symbols_add(&s, text + used, (size_t)(tab - text) - used, crc);
			if (r < 0)
				return r;
		}
		text += line + (nl ? 1 : 0);
		len -= line + (nl ? 1 : 0);
	}
	*ret = s;
	s = (struct symbols){ 0 };
	return 0;
}

/* What the linker or the kernel's loader supplies by itself (scripts/mod/modpost.c, ignore_undef_symbol). */
static bool is_supplied(const char *name)
{
	static const char *const prefixes[] = { "_restgpr", "_savegpr", "_rest32gpr_", "_save32gpr_", "_restvr_", "_savevr_" };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (str_prefix(name, prefixes[i], NULL))
			return true;
	return streq(name, "_GLOBAL_OFFSET_TABLE_") || streq(name, ".TOC.");
}

int symbols_check(const struct symbols *s, const struct modfile *m, const char *module, size_t *ret_compared,
		  struct err *err)
{
	char name[MODFILE_SYMBOL_BYTES];
	size_t compared = 0, cursor = 0;
	uint32_t crc;

	while (modfile_import(m, &cursor, name, &crc)) {
		const struct symbol *known = symbols_find(s, name);

		if (!known)
			continue;
		if (known->crc != crc)
			return err_set(err, -E_WRONG_KERNEL, "%s was built for another %s (CRC 0x%08x, the kernel has 0x%08x)",
				       module, name, crc, known->crc);
		compared++;
	}
	if (ret_compared)
		*ret_compared = compared;
	return 0;
}

static int check_one(const struct symbols *s, const struct symbols *exports, const char *module, const char *name,
		     struct err *err)
{
	if (symbols_find(s, name) || symbols_find(exports, name) || is_supplied(name))
		return 0;
	return err_set(err, -E_WRONG_KERNEL, "%s imports %s, which neither the kernel nor the bundle exports", module, name);
}

int symbols_check_all(const struct symbols *s, const struct modfile *m, const char *module,
		      const struct symbols *exports, struct err *err)
{
	char versioned[MODFILE_SYMBOL_BYTES];
	const char *name;
	size_t cursor = 0;
	uint32_t crc;
	int r = symbols_check(s, m, module, NULL, err);

	while (r == 0 && modfile_import(m, &cursor, versioned, &crc))
		r = check_one(s, exports, module, versioned, err);
	cursor = 0;
	while (r == 0 && (name = modfile_undefined(m, &cursor)))
		r = check_one(s, exports, module, name, err);
	return r;
}
