// SPDX-License-Identifier: Apache-2.0
/*
 * manifestrules.c - what the fields of a manifest must be together (docs/bundle.md), each being right by itself. Pure.
 */
#include "manifestrules.h"

#include "limit.h"

/* Compares as strcmp(3) does, with `odd` counted as another character. */
static int compare_with(const char *a, const char *b, char odd, char counts_as)
{
	int x, y;

	do {
		x = (unsigned char)(*a == odd ? counts_as : *a);
		y = (unsigned char)(*b == odd ? counts_as : *b);
		a++;
		b++;
	} while (x == y && x != 0);
	return x - y;
}

/* With "/" before all characters of a name, "a" is next to what is below it. */
static int by_place(const void *a, const void *b)
{
	return compare_with(*(const char *const *)a, *(const char *const *)b, '/', 1);
}

/* No two files or links in one place, and none below another: "a" and "a/b". */
static int check_places(const struct manifest *m, struct err *err)
{
	size_t n = m->n_files + m->n_links;
	const char **paths = calloc(n + 1, sizeof(*paths)), *rest;
	int r = 0;

	if (!paths)
		return err_sys(err, -ENOMEM, "manifest");
	for (size_t i = 0; i < m->n_files; i++)
		paths[i] = m->files[i].path;
	for (size_t i = 0; i < m->n_links; i++)
		paths[m->n_files + i] = m->links[i].path;
	qsort(paths, n, sizeof(*paths), by_place);
	for (size_t i = 0; r == 0 && i + 1 < n; i++) {
		if (!str_prefix(paths[i + 1], paths[i], &rest))
			continue;
		if (*rest == '\0')
			r = err_set(err, -E_CORRUPT, "manifest: files: %s is named twice", paths[i]);
		else if (*rest == '/')
			r = err_set(err, -E_CORRUPT, "manifest: files: %s is both a file and a directory", paths[i]);
	}
	free(paths);
	return r;
}

/* The kernel takes "-" and "_" for the same. */
static int by_module(const void *a, const void *b)
{
	return compare_with(*(const char *const *)a, *(const char *const *)b, '-', '_');
}

/* The first n files are modules, all in one directory. */
static int check_modules_differ(const struct manifest *m, size_t n, struct err *err)
{
	const char **paths = calloc(n + 1, sizeof(*paths));
	char name[LIMIT_NAME_BYTES + 1];
	int r = 0;

	if (!paths)
		return err_sys(err, -ENOMEM, "manifest");
	for (size_t i = 0; i < n; i++)
		paths[i] = m->files[i].path;
	qsort(paths, n, sizeof(*paths), by_module);
	for (size_t i = 0; r == 0 && i + 1 < n; i++)
		if (by_module(&paths[i], &paths[i + 1]) == 0 && manifest_module_name(paths[i], name, sizeof(name)))
			r = err_set(err, -E_CORRUPT, "manifest: files: module %s is there twice", name);
	free(paths);
	return r;
}

static const struct manifest_file *find_module(const struct manifest *m, const char *name)
{
	char wanted[LIMIT_NAME_BYTES + 1], have[LIMIT_NAME_BYTES + 1];

	snprintf(wanted, sizeof(wanted), "%s", name);
	for (char *p = wanted; *p; p++)
		if (*p == '-')
			*p = '_';
	for (size_t i = 0; i < m->n_files; i++)
		if (manifest_module_name(m->files[i].path, have, sizeof(have)) && streq(have, wanted))
			return &m->files[i];
	return NULL;
}

/*
 * Order: modules first (in an order that suits loading), the rest bytewise. No module twice
 * under two spellings; every name to load is there.
 */
static int check_modules(const struct manifest *m, struct err *err)
{
	char name[LIMIT_NAME_BYTES + 1];
	size_t modules = 0;
	int r;

	for (size_t i = 0; i < m->n_files; i++) {
		const char *path = m->files[i].path;

		if (!str_prefix(path, "usr/lib/modules/", NULL)) {
			if (i > modules && strcmp(m->files[i - 1].path, path) > 0)
				return err_set(err, -E_CORRUPT, "manifest: files: %s is out of order", path);
			continue;
		}
		if (i > modules)
			return err_set(err, -E_CORRUPT, "manifest: files: %s is out of order, modules come first",
				       path);
		if (!manifest_module_name(path, name, sizeof(name)) || !manifest_is_module(name))
			return err_set(err, -E_CORRUPT, "manifest: files: %s is not a module's name", path);
		modules++;
	}
	r = check_modules_differ(m, modules, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < m->load.n; i++)
		if (!find_module(m, m->load.v[i]))
			return err_set(err, -E_CORRUPT, "manifest: load: no module %s in files", m->load.v[i]);
	if (m->kind == KIND_MODULES && m->load.n == 0)
		return err_set(err, -E_CORRUPT, "manifest: load: empty");
	if (m->kind != KIND_MODULES && m->load.n + m->match.n + m->options.n > 0)
		return err_set(err, -E_CORRUPT, "manifest: load: only a bundle of modules loads anything");
	return 0;
}

/* With nothing between the files and nothing behind them, there is one size that the tar can have. */
static int check_sizes(const struct manifest *m, struct err *err)
{
	uint64_t chunks = 0, tar = TAR_END;

	for (size_t i = 0; i < m->n_chunks; i++)
		chunks += m->chunks[i].size; /* 2^20 entries of 2^22 at most: no overflow */
	for (size_t i = 0; i < m->n_files; i++)
		tar += TAR_BLOCK + (m->files[i].size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK; /* 2^12 of 2^31 */
	if (chunks != m->unpacked)
		return err_set(err, -E_CORRUPT, "manifest: unpacked: is not the sum of the chunks' sizes");
	if (tar != m->unpacked)
		return err_set(err, -E_CORRUPT, "manifest: unpacked: is not the size of a tar of these files");
	return 0;
}

int manifest_check_rules(const struct manifest *m, struct err *err)
{
	int r = check_places(m, err);

	if (r == 0)
		r = check_modules(m, err);
	return r < 0 ? r : check_sizes(m, err);
}
