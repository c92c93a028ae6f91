// SPDX-License-Identifier: Apache-2.0
/*
 * modsource.c - what others already publish: a directory is walked, the layers of an image or one
 * archive go to modimage.c. The input is the builder's own choice; nothing is written anywhere.
 */
#include "modsource.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

#include "decompress.h"
#include "limit.h"
#include "modimage.h"

struct modsource {
	const char *release;
	modsource_fn fn;
	void *ctx;
	size_t found;
	struct err *err;
};

char *modsource_plain_name(const char *path)
{
	static const char *const suffixes[] = { ".ko", ".ko.xz", ".ko.zst", ".ko.gz" };
	const char *base = strrchr(path, '/');

	base = base ? base + 1 : path;
	for (size_t i = 0; i < ARRAY_SIZE(suffixes) && base[0] != '.'; i++)
		if (str_suffix(base, suffixes[i]))
			return strndup(base, strlen(base) - strlen(suffixes[i]) + strlen(".ko"));
	return NULL;
}

/* Hands over a module file's bytes, decompressed. */
static int deliver(struct modsource *s, const char *path, const void *bytes, size_t len)
{
	_cleanup_free_ char *name = modsource_plain_name(path);
	uint8_t *plain;
	size_t plain_len;
	int r;

	if (!name)
		return 0;
	r = decompress_bytes(bytes, len, MODULE_MAX_BYTES, &plain, &plain_len);
	if (r < 0)
		return err_set(s->err, -EINVAL, "%s: damaged", path);
	s->found++;
	return s->fn(s->ctx, path, plain, plain_len, s->err);
}

/* --- directories --- */

static int walk(struct modsource *s, int dirfd, const char *shown, unsigned int depth);

static int walk_entry(struct modsource *s, int dirfd, const char *shown, const char *name, unsigned int depth)
{
	_cleanup_free_ char *path = str_printf("%s/%s", shown, name), *bytes = NULL;
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	size_t len;
	int r;

	if (!path)
		return err_sys(s->err, -ENOMEM, "%s", shown);
	if (fd < 0 || fstat(fd, &st) < 0) /* "build" and "source" of a module directory often dangle */
		return errno == ENOENT || errno == ELOOP ? 0 : err_sys(s->err, -errno, "%s", path);
	if (S_ISDIR(st.st_mode))
		return streq(name, "build") || streq(name, "source") ? 0 : walk(s, fd, path, depth + 1);
	if (!S_ISREG(st.st_mode))
		return 0;
	r = read_whole(fd, MODULE_MAX_BYTES, &bytes, &len);
	return r < 0 ? err_sys(s->err, r, "%s", path) : deliver(s, path, bytes, len);
}

static int is_interesting(const struct dirent *e)
{
	char *name = NULL;
	int is = e->d_name[0] != '.' &&
		 (e->d_type == DT_DIR || e->d_type == DT_LNK || e->d_type == DT_UNKNOWN ||
		  (name = modsource_plain_name(e->d_name)) != NULL);

	free(name);
	return is;
}

static int walk(struct modsource *s, int dirfd, const char *shown, unsigned int depth)
{
	struct dirent **list = NULL;
	int n, r = 0;

	if (depth > LIMIT_TREE_DEPTH)
		return err_set(s->err, -EINVAL, "%s: directories are more than %u deep", shown, LIMIT_TREE_DEPTH);
	n = scandirat(dirfd, ".", &list, is_interesting, alphasort);
	if (n < 0)
		return err_sys(s->err, -errno, "%s", shown);
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = walk_entry(s, dirfd, shown, list[i]->d_name, depth);
		free(list[i]);
	}
	free(list);
	return r;
}

static int read_dir(struct modsource *s, const char *place, int dirfd)
{
	for (size_t i = 0; i < ARRAY_SIZE(modimage_trees); i++) {
		_cleanup_free_ char *path = str_printf("%s/%s/%s", place, modimage_trees[i], s->release);
		_cleanup_close_ int fd = -EBADF;

		if (!path)
			return err_sys(s->err, -ENOMEM, "%s", place);
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0)
			return walk(s, fd, path, 0);
	}
	return walk(s, dirfd, place, 0);
}

/* --- OCI image layouts --- */

static int read_json(struct modsource *s, const char *place, const char *name, json_t **ret)
{
	_cleanup_free_ char *path = str_printf("%s/%s", place, name), *text = NULL;
	size_t len;
	int r;

	if (!path)
		return err_sys(s->err, -ENOMEM, "%s", place);
	r = read_whole_at(AT_FDCWD, path, LIMIT_IMAGE_JSON_BYTES, &text, &len);
	if (r < 0)
		return err_sys(s->err, r, "%s", path);
	*ret = json_loadb(text, len, 0, NULL);
	return *ret ? 0 : err_set(s->err, -EINVAL, "%s: not JSON", path);
}

/* "sha256:HEX" -> "blobs/sha256/HEX". */
static char *blob_name(const json_t *descriptor)
{
	const char *digest = json_string_value(json_object_get(descriptor, "digest")), *hex;

	if (!digest || !str_prefix(digest, "sha256:", &hex) || strlen(hex) != 64 ||
	    strspn(hex, "0123456789abcdef") != 64)
		return NULL;
	return str_printf("blobs/sha256/%s", hex);
}

/* What modimage.c finds. */
static int deliver_entry(void *ctx, const char *path, const void *bytes, size_t len, struct err *err)
{
	(void)err; /* the same */
	return deliver(ctx, path, bytes, len);
}

static int read_layers(struct modsource *s, const char *place, const json_t *manifest)
{
	const json_t *layers = json_object_get(manifest, "layers");
	_cleanup_strv_ struct strv files = { 0 };

	if (json_array_size(layers) > LIMIT_LAYERS)
		return err_set(s->err, -EINVAL, "%s: %zu layers; the limit is %u", place, json_array_size(layers), LIMIT_LAYERS);
	for (size_t i = 0; i < json_array_size(layers); i++) {
		_cleanup_free_ char *name = blob_name(json_array_get(layers, i));

		if (!name)
			return err_set(s->err, -EINVAL, "%s: a layer without a sha256 digest", place);
		if (strv_addf(&files, "%s/%s", place, name) < 0)
			return err_sys(s->err, -ENOMEM, "%s", place);
	}
	return modimage_read(&files, s->release, deliver_entry, s, s->err);
}

static int read_archive(struct modsource *s, const char *place)
{
	_cleanup_strv_ struct strv files = { 0 };
	int r = strv_add(&files, place);

	return r < 0 ? err_sys(s->err, r, "%s", place) : modimage_read(&files, s->release, deliver_entry, s, s->err);
}

/* index.json -> (an index ->) a manifest -> its layers. */
static int read_oci(struct modsource *s, const char *place)
{
	json_t *doc = NULL, *next;
	int r = read_json(s, place, "index.json", &doc);

	for (int level = 0; r == 0 && level < 3 && !json_object_get(doc, "layers"); level++) {
		const json_t *manifests = json_object_get(doc, "manifests");
		_cleanup_free_ char *name = NULL;

		if (json_array_size(manifests) != 1) {
			r = err_set(s->err, -EINVAL, "%s holds %zu images; one is expected", place,
				    json_array_size(manifests));
			break;
		}
		name = blob_name(json_array_get(manifests, 0));
		r = name ? read_json(s, place, name, &next) :
			   err_set(s->err, -EINVAL, "%s: a manifest without a sha256 digest", place);
		if (r == 0) {
			json_decref(doc);
			doc = next;
		}
	}
	if (r == 0)
		r = read_layers(s, place, doc);
	json_decref(doc);
	return r;
}

/* --- all of them --- */

int modsource_read(const char *place, const char *release, modsource_fn fn, void *ctx, struct err *err)
{
	struct modsource s = { .release = release, .fn = fn, .ctx = ctx, .err = err };
	_cleanup_close_ int fd = open(place, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, -errno, "%s", place);
	if (!S_ISDIR(st.st_mode))
		r = read_archive(&s, place);
	else if (faccessat(fd, "oci-layout", F_OK, 0) == 0)
		r = read_oci(&s, place);
	else
		r = read_dir(&s, place, fd);
	if (r == 0 && s.found == 0)
		return err_set(err, -EINVAL, "%s holds no kernel module (*.ko) for %s", place, release);
	return r;
}
