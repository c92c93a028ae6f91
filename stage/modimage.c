// SPDX-License-Identifier: Apache-2.0
/*
 * modimage.c - layers of an image -> the modules that somebody who runs it would see. libarchive reads
 * everything twice: once for the names, bottom to top, as layers are applied, then for the bytes of
 * those that are left. Nothing is written anywhere.
 */
#include "modimage.h"

#include <archive.h>
#include <archive_entry.h>

#include "modsource.h"

#define BLOCK_BYTES ((size_t)1 << 16)

const char *const modimage_trees[3] = { "opt/lib/modules", "usr/lib/modules", "lib/modules" };

/* A module, and where it is: the at-th entry of that layer. */
struct found {
	char *path;
	size_t layer, at;
};

struct image {
	const struct strv *layers;
	const char *release;
	struct found *v;
	size_t n;
	size_t layer, at; /* what is being read */
	modimage_fn fn;
	void *ctx;
	struct err *err;
};

typedef int (*entry_fn)(struct image *im, struct archive *a, struct archive_entry *e, const char *path);

/* --- what is visible --- */

static void drop(struct image *im, size_t i)
{
	free(im->v[i].path);
	im->v[i] = im->v[--im->n];
}

enum reach {
	THE_FILE,
	ALL_BELOW,
	BOTH,
};

/* Nothing of the layers below this one is left at this path (len bytes of it; 0: the root), or below. */
static void hide(struct image *im, const char *path, size_t len, enum reach reach)
{
	for (size_t i = im->n; i-- > 0;) {
		const char *p = im->v[i].path;
		bool inside = strncmp(p, path, len) == 0;
		bool hidden = inside && ((reach != ALL_BELOW && p[len] == '\0') ||
					 (reach != THE_FILE && (len == 0 || p[len] == '/')));

		if (hidden && im->v[i].layer < im->layer)
			drop(im, i);
	}
}

/* In a tree of a whole image or package, only this kernel's modules count. */
static bool for_release(const struct image *im, const char *path)
{
	const char *at = strstr(path, "lib/modules/"), *rest;
	size_t n = strlen(im->release);

	if (!at)
		return true;
	rest = at + strlen("lib/modules/");
	return strncmp(rest, im->release, n) == 0 && rest[n] == '/';
}

static int add(struct image *im, const char *path)
{
	struct found *v;

	for (size_t i = 0; i < im->n; i++)
		if (im->v[i].layer == im->layer && streq(im->v[i].path, path)) { /* the later entry wins */
			im->v[i].at = im->at;
			return 0;
		}
	v = reallocarray(im->v, im->n + 1, sizeof(*v));
	if (!v)
		return err_sys(im->err, -ENOMEM, "%s", path);
	im->v = v;
	v[im->n] = (struct found){ .path = strdup(path), .layer = im->layer, .at = im->at };
	if (!v[im->n].path)
		return err_sys(im->err, -ENOMEM, "%s", path);
	im->n++;
	return 0;
}

/* One entry of a layer is applied to what the layers below left. */
static int apply(struct image *im, struct archive *a, struct archive_entry *e, const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *hidden;
	size_t dir = slash ? (size_t)(slash - path) : 0;
	_cleanup_free_ char *name = modsource_plain_name(path), *whited_out = NULL;

	(void)a;
	if (streq(base, ".wh..wh..opq")) {
		hide(im, path, dir, ALL_BELOW);
		return 0;
	}
	if (str_prefix(base, ".wh.", &hidden)) {
		whited_out = str_printf("%.*s%s", (int)(base - path), path, hidden);
		if (!whited_out)
			return err_sys(im->err, -ENOMEM, "%s", path);
		hide(im, whited_out, strlen(whited_out), BOTH);
		return 0;
	}
	if (archive_entry_filetype(e) == AE_IFDIR) {
		hide(im, path, strlen(path), THE_FILE);
		return 0;
	}
	hide(im, path, strlen(path), BOTH);
	if (!name || !for_release(im, path))
		return 0;
	if (archive_entry_hardlink(e))
		return err_set(im->err, -EINVAL, "%s is a hard link to %s: bundle a file", path, archive_entry_hardlink(e));
	return archive_entry_filetype(e) == AE_IFREG ? add(im, path) : 0;
}

/* Where there is such a tree, modules elsewhere are something else. */
static int choose_tree(struct image *im)
{
	for (size_t i = 0; i < ARRAY_SIZE(modimage_trees); i++) {
		_cleanup_free_ char *tree = str_printf("%s/%s/", modimage_trees[i], im->release);
		bool is_there = false;

		if (!tree)
			return err_sys(im->err, -ENOMEM, "%s", im->release);
		for (size_t n = 0; n < im->n; n++)
			is_there |= str_prefix(im->v[n].path, tree, NULL);
		for (size_t n = im->n; is_there && n-- > 0;)
			if (!str_prefix(im->v[n].path, tree, NULL))
				drop(im, n);
		if (is_there)
			return 0;
	}
	return 0;
}

/* --- what is in it --- */

static int archive_failed(const struct image *im, struct archive *a)
{
	return err_set(im->err, -EINVAL, "%s: %s", im->layers->v[im->layer], archive_error_string(a));
}

/* All bytes of the current entry. */
static int slurp(const struct image *im, struct archive *a, struct archive_entry *e, const char *path, uint8_t **ret,
		 size_t *ret_len)
{
	la_int64_t size = archive_entry_size(e);
	_cleanup_bytes_ uint8_t *bytes = NULL;

	if (size < 0 || (uint64_t)size > MODULE_MAX_BYTES)
		return err_set(im->err, -EINVAL, "%s: %s is too large", im->layers->v[im->layer], path);
	bytes = malloc((size_t)size + 1);
	if (!bytes)
		return err_sys(im->err, -ENOMEM, "%s", path);
	if (archive_read_data(a, bytes, (size_t)size) != size)
		return archive_failed(im, a);
	*ret = TAKE_PTR(bytes);
	*ret_len = (size_t)size;
	return 0;
}

static int deliver(struct image *im, struct archive *a, struct archive_entry *e, const char *path)
{
	for (size_t i = 0; i < im->n; i++) {
		_cleanup_bytes_ uint8_t *bytes = NULL;
		size_t len;
		int r;

		if (im->v[i].layer != im->layer || im->v[i].at != im->at)
			continue;
		r = slurp(im, a, e, path, &bytes, &len);
		return r < 0 ? r : im->fn(im->ctx, path, bytes, len, im->err);
	}
	return 0;
}

/* --- archives --- */

static int new_archive(struct image *im, struct archive **ret)
{
	struct archive *a = archive_read_new();

	if (!a)
		return err_sys(im->err, -ENOMEM, "%s", im->layers->v[im->layer]);
	archive_read_support_format_tar(a);
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_zstd(a);
	*ret = a;
	return 0;
}

static int read_archive(struct image *im, struct archive *a, entry_fn fn);

/* data.tar.* inside a Debian package (deb(5)). */
static int read_nested(struct image *im, struct archive *outer, struct archive_entry *e, const char *path, entry_fn fn)
{
	_cleanup_bytes_ uint8_t *bytes = NULL;
	struct archive *a;
	size_t len;
	int r = slurp(im, outer, e, path, &bytes, &len);

	if (r == 0)
		r = new_archive(im, &a);
	if (r != 0)
		return r;
	r = archive_read_open_memory(a, bytes, len) == ARCHIVE_OK ? read_archive(im, a, fn) : archive_failed(im, a);
	archive_read_free(a);
	return r;
}

static int read_entry(struct image *im, struct archive *a, struct archive_entry *e, entry_fn fn)
{
	const char *path = archive_entry_pathname(e);
	_cleanup_free_ char *plain = NULL;

	if (!path) /* not ASCII: no module of a bundle has such a name */
		return 0;
	while (*path == '/' || str_prefix(path, "./", NULL))
		path += *path == '/' ? 1 : 2;
	if ((archive_format(a) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_AR)
		return str_prefix(path, "data.tar", NULL) ? read_nested(im, a, e, path, fn) : 0;
	plain = strdup(path);
	if (!plain)
		return err_sys(im->err, -ENOMEM, "%s", path);
	while (str_suffix(plain, "/"))
		plain[strlen(plain) - 1] = '\0';
	im->at++;
	return fn(im, a, e, plain);
}

static int read_archive(struct image *im, struct archive *a, entry_fn fn)
{
	struct archive_entry *e;
	int r;

	/* a warning is a name that has no form in this locale */
	while ((r = archive_read_next_header(a, &e)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
		int q = read_entry(im, a, e, fn);

		if (q < 0)
			return q;
	}
	return r == ARCHIVE_EOF ? 0 : archive_failed(im, a);
}

static int read_layer(struct image *im, entry_fn fn)
{
	const char *file = im->layers->v[im->layer];
	struct archive *a;
	int r = new_archive(im, &a);

	if (r < 0)
		return r;
	archive_read_support_format_ar(a);
	im->at = 0;
	r = archive_read_open_filename(a, file, BLOCK_BYTES) == ARCHIVE_OK ? read_archive(im, a, fn) : archive_failed(im, a);
	archive_read_free(a);
	return r;
}

static bool layer_has_modules(const struct image *im)
{
	for (size_t i = 0; i < im->n; i++)
		if (im->v[i].layer == im->layer)
			return true;
	return false;
}

int modimage_read(const struct strv *layers, const char *release, modimage_fn fn, void *ctx, struct err *err)
{
	struct image im = { .layers = layers, .release = release, .fn = fn, .ctx = ctx, .err = err };
	int r = 0;

	for (im.layer = 0; r == 0 && im.layer < layers->n; im.layer++)
		r = read_layer(&im, apply);
	if (r == 0)
		r = choose_tree(&im);
	for (im.layer = 0; r == 0 && im.layer < layers->n; im.layer++)
		if (layer_has_modules(&im))
			r = read_layer(&im, deliver);
	while (im.n > 0)
		drop(&im, im.n - 1);
	free(im.v);
	return r;
}
