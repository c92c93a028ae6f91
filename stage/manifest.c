// SPDX-License-Identifier: Apache-2.0
/*
 * manifest.c - the strict reader of the manifest. Input: bytes whose signature held. Output: struct
 * manifest. Pure; a manifest that breaks any rule of docs/bundle.md is refused whole, and the text
 * names the field.
 *
 * jansson parses the JSON (duplicate keys refused); which keys, types and values are allowed is
 * decided here, and what they must be together in manifestrules.c. Every object must hold exactly the keys that were asked for: each getter counts
 * one, and object_done() compares.
 */
#include "manifestrules.h"

#include <jansson.h>

#include "limit.h"

static const char *const kind_words[] = { [KIND_MODULES] = "modules", [KIND_FIRMWARE] = "firmware",
					  [KIND_RUNTIME] = "runtime" };

const char *manifest_kind_word(enum bundle_kind kind)
{
	return kind_words[kind];
}

int manifest_kind_from_word(const char *word, enum bundle_kind *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(kind_words); i++) {
		if (streq(word, kind_words[i])) {
			*ret = (enum bundle_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* --- characters --- */

#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* 1..max bytes of `set`, the first a letter or digit. */
static bool is_word(const char *s, const char *set, size_t max)
{
	size_t n = strlen(s);

	return n > 0 && n <= max && strspn(s, set) == n && strchr(ALNUM, s[0]);
}

bool manifest_is_name(const char *s)
{
	return is_word(s, "abcdefghijklmnopqrstuvwxyz0123456789-_", LIMIT_NAME_BYTES);
}

bool manifest_is_version(const char *s)
{
	return is_word(s, ALNUM "._+~-", LIMIT_NAME_BYTES);
}

bool manifest_is_module(const char *s)
{
	return is_word(s, ALNUM "_-", LIMIT_NAME_BYTES);
}

static bool is_printable(const char *s, size_t max)
{
	size_t n = strlen(s);

	if (n == 0 || n > max)
		return false;
	for (; *s; s++)
		if (*s < 0x20 || *s > 0x7e)
			return false;
	return true;
}

static bool is_hex(const char *s, size_t min_bytes, size_t max_bytes)
{
	size_t n = strlen(s);

	return n % 2 == 0 && n >= 2 * min_bytes && n <= 2 * max_bytes && strspn(s, "0123456789abcdef") == n;
}

/* --- paths --- */

/* Components of [A-Za-z0-9._+@~,:=-], none empty, none beginning with '.' or '-'. */
static bool path_is_plain(const char *path)
{
	size_t n = strlen(path);

	if (n == 0 || n > LIMIT_PATH_BYTES || path[n - 1] == '/')
		return false;
	for (const char *p = path; *p;) {
		size_t part = strcspn(p, "/");

		if (part == 0 || *p == '.' || *p == '-' || strspn(p, ALNUM "._+@~,:=-") < part)
			return false;
		p += part;
		if (*p == '/')
			p++;
	}
	return true;
}

static bool modules_tree(const struct manifest *m, const char *path)
{
	const char *rest;
	size_t n = strlen(m->kernel.release);

	if (str_prefix(path, "usr/lib/firmware/", NULL))
		return true;
	if (!str_prefix(path, "usr/lib/modules/", &rest) || strncmp(rest, m->kernel.release, n) != 0 ||
	    !str_prefix(rest + n, "/modulus/", &rest))
		return false;
	n = strlen(m->name);
	return strncmp(rest, m->name, n) == 0 && rest[n] == '/' && !strchr(rest + n + 1, '/') &&
	       str_suffix(rest, ".ko");
}

/* usr/bin, usr/share, usr/lib*; the kernel's own trees below usr/lib are not a runtime's business. */
static bool runtime_tree(const char *path)
{
	static const char *const not_ours[] = { "usr/lib/modules", "usr/lib/firmware", "usr/lib/systemd", "usr/lib/udev" };
	const char *rest;

	if (str_prefix(path, "usr/bin/", NULL) || str_prefix(path, "usr/share/", NULL))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(not_ours); i++) /* nor in place of one: a link would be a way in */
		if (str_prefix(path, not_ours[i], &rest) && (*rest == '/' || *rest == '\0'))
			return false;
	return str_prefix(path, "usr/lib", &rest) && rest[strspn(rest, "abcdefghijklmnopqrstuvwxyz0123456789")] == '/';
}

int manifest_check_path(const struct manifest *m, const char *path, struct err *err)
{
	bool allowed = false;

	if (!path_is_plain(path))
		return err_set(err, -E_CORRUPT, "a path with odd characters or parts, or above %u bytes",
			       LIMIT_PATH_BYTES);
	switch (m->kind) {
	case KIND_MODULES:
		allowed = modules_tree(m, path);
		break;
	case KIND_FIRMWARE:
		allowed = str_prefix(path, "usr/lib/firmware/", NULL);
		break;
	case KIND_RUNTIME:
		allowed = runtime_tree(path);
		break;
	}
	if (!allowed)
		return err_set(err, -E_CORRUPT, "%s: outside the trees of kind %s", path, kind_words[m->kind]);
	return 0;
}

bool manifest_module_name(const char *path, char *buf, size_t size)
{
	const char *base = strrchr(path, '/');
	size_t n;

	base = base ? base + 1 : path;
	if (!str_prefix(path, "usr/lib/modules/", NULL) || !str_suffix(base, ".ko"))
		return false;
	n = strlen(base) - strlen(".ko");
	if (n == 0 || n >= size)
		return false;
	memcpy(buf, base, n);
	buf[n] = '\0';
	for (char *p = buf; *p; p++)
		if (*p == '-')
			*p = '_';
	return true;
}

/* --- reading JSON strictly --- */

/* One JSON object being read: how many of its keys were asked for, and where we are. */
struct object {
	json_t *json;
	const char *where;
	size_t taken;
	struct err *err;
};

static int bad(const struct object *o, const char *key, const char *what)
{
	return err_set(o->err, -E_CORRUPT, "manifest: %s%s%s: %s", o->where, *o->where ? "." : "", key, what);
}

static json_t *take(struct object *o, const char *key)
{
	json_t *j = json_object_get(o->json, key);

	if (j)
		o->taken++;
	return j;
}

/* Every key of the object must have been taken. */
static int object_done(const struct object *o, const char *const *known)
{
	const char *key;
	json_t *value;

	if (json_object_size(o->json) == o->taken)
		return 0;
	json_object_foreach(o->json, key, value) {
		bool found = false;
		char shown[80];

		for (size_t i = 0; known[i]; i++)
			found = found || streq(known[i], key);
		if (found)
			continue;
		escape_text(key, strlen(key), shown, sizeof(shown));
		return bad(o, shown, "unknown field");
	}
	return bad(o, "", "unknown field");
}

static int get_string(struct object *o, const char *key, char **ret)
{
	json_t *j = take(o, key);

	if (!j)
		return bad(o, key, "missing");
	/* json_string_length differs from strlen when the text holds a NUL */
	if (!json_is_string(j) || json_string_length(j) != strlen(json_string_value(j)))
		return bad(o, key, "not a string");
	*ret = strdup(json_string_value(j));
	return *ret ? 0 : err_sys(o->err, -ENOMEM, "manifest");
}

static int get_checked(struct object *o, const char *key, bool (*check)(const char *), char **ret)
{
	int r = get_string(o, key, ret);

	if (r < 0)
		return r;
	return check(*ret) ? 0 : bad(o, key, "characters or length that are not allowed");
}

static int get_u64(struct object *o, const char *key, uint64_t max, uint64_t *ret)
{
	json_t *j = take(o, key);

	if (!j)
		return bad(o, key, "missing");
	if (!json_is_integer(j) || json_integer_value(j) < 0)
		return bad(o, key, "not a whole number");
	if ((uint64_t)json_integer_value(j) > max)
		return bad(o, key, "above its limit");
	*ret = (uint64_t)json_integer_value(j);
	return 0;
}

static int get_sha256(struct object *o, const char *key, uint8_t ret[SHA256_BYTES])
{
	json_t *j = take(o, key);

	if (!json_is_string(j) || hex_decode(json_string_value(j), ret, SHA256_BYTES) < 0)
		return bad(o, key, "not 64 lower-case hex digits");
	return 0;
}

static int get_array(struct object *o, const char *key, size_t max, json_t **ret)
{
	json_t *j = take(o, key);

	if (!json_is_array(j))
		return bad(o, key, j ? "not a list" : "missing");
	if (json_array_size(j) > max)
		return bad(o, key, "too many entries");
	*ret = j;
	return 0;
}

static int get_strings(struct object *o, const char *key, size_t max, bool (*check)(const char *), struct strv *ret)
{
	json_t *list, *j;
	size_t i;
	int r;

	r = get_array(o, key, max, &list);
	if (r < 0)
		return r;
	json_array_foreach(list, i, j) {
		if (!json_is_string(j) || json_string_length(j) != strlen(json_string_value(j)) ||
		    !check(json_string_value(j)))
			return bad(o, key, "an entry with characters or length that are not allowed");
		r = strv_add(ret, json_string_value(j));
		if (r < 0)
			return err_sys(o->err, r, "manifest");
	}
	return 0;
}

static bool check_release(const char *s) { return is_word(s, ALNUM "._+~-", LIMIT_RELEASE_BYTES); }
static bool check_vermagic(const char *s) { return is_printable(s, LIMIT_VERMAGIC_BYTES); }
static bool check_glob(const char *s) { return is_printable(s, LIMIT_GLOB_BYTES) && strchr(s, ':'); }
static bool check_option(const char *s) { return is_printable(s, LIMIT_OPTION_BYTES) && strchr(ALNUM, s[0]); }
static bool check_build_id(const char *s) { return is_hex(s, 8, LIMIT_BUILD_ID_BYTES); }
static bool check_flavor(const char *s) { return *s == '\0' || manifest_is_name(s); }

static int read_kind(struct object *o, struct manifest *m)
{
	json_t *j = take(o, "kind");

	if (json_is_string(j) && manifest_kind_from_word(json_string_value(j), &m->kind) == 0)
		return 0;
	return bad(o, "kind", "not modules, firmware or runtime");
}

static int read_kernel(struct object *parent, struct manifest *m)
{
	static const char *const known[] = { "release", "machine", "build_id", "vermagic", NULL };
	struct object o = { .json = take(parent, "kernel"), .where = "kernel", .err = parent->err };
	int r;

	if (m->kind != KIND_MODULES)
		return o.json ? bad(parent, "kernel", "only a bundle of modules is for a kernel") : 0;
	if (!json_is_object(o.json))
		return bad(parent, "kernel", "not an object");
	r = get_checked(&o, "release", check_release, &m->kernel.release);
	if (r == 0)
		r = get_checked(&o, "machine", manifest_is_module, &m->kernel.machine);
	if (r == 0 && json_object_get(o.json, "build_id"))
		r = get_checked(&o, "build_id", check_build_id, &m->kernel.build_id);
	if (r == 0)
		r = get_checked(&o, "vermagic", check_vermagic, &m->kernel.vermagic);
	return r < 0 ? r : object_done(&o, known);
}

static int read_file(json_t *json, size_t i, struct manifest *m, struct err *err)
{
	static const char *const known[] = { "path", "size", "mode", "sha256", NULL };
	struct manifest_file *f = &m->files[i];
	struct object o = { .json = json, .where = "files[]", .err = err };
	uint64_t mode = 0;
	int r;

	if (!json_is_object(json))
		return bad(&o, "", "not an object");
	m->n_files = i + 1;
	r = get_string(&o, "path", &f->path);
	if (r == 0) {
		r = manifest_check_path(m, f->path, err);
		if (r < 0)
			return err_prefix(err, "manifest: files[%zu]", i);
	}
	if (r == 0)
		r = get_u64(&o, "size", LIMIT_UNPACKED_BYTES, &f->size);
	if (r == 0)
		r = get_u64(&o, "mode", 0777, &mode);
	if (r == 0 && mode != 0644 && mode != 0755)
		r = bad(&o, "mode", "neither 420 (0644) nor 493 (0755)");
	if (r == 0)
		r = get_sha256(&o, "sha256", f->sha256);
	f->mode = (uint32_t)mode;
	return r < 0 ? r : object_done(&o, known);
}

static int read_link(json_t *json, size_t i, struct manifest *m, struct err *err)
{
	static const char *const known[] = { "path", "target", NULL };
	struct manifest_link *l = &m->links[i];
	struct object o = { .json = json, .where = "links[]", .err = err };
	int r;

	if (!json_is_object(json))
		return bad(&o, "", "not an object");
	m->n_links = i + 1;
	r = get_string(&o, "path", &l->path);
	if (r == 0) {
		r = manifest_check_path(m, l->path, err);
		if (r < 0)
			return err_prefix(err, "manifest: links[%zu]", i);
	}
	if (r == 0 && str_suffix(l->path, ".ko"))
		r = bad(&o, "path", "a module must be a file");
	if (r == 0)
		r = get_string(&o, "target", &l->target);
	if (r == 0 && (strchr(l->target, '/') || !path_is_plain(l->target)))
		r = bad(&o, "target", "not a sibling's name");
	return r < 0 ? r : object_done(&o, known);
}

static int read_chunk(json_t *json, size_t i, struct manifest *m, struct err *err)
{
	static const char *const known[] = { "stored", "size", "sha256", NULL };
	struct manifest_chunk *c = &m->chunks[i];
	struct object o = { .json = json, .where = "chunks[]", .err = err };
	uint64_t stored = 0, size = 0;
	int r;

	if (!json_is_object(json))
		return bad(&o, "", "not an object");
	r = get_u64(&o, "stored", LIMIT_CHUNK_BYTES, &stored);
	if (r == 0)
		r = get_u64(&o, "size", LIMIT_CHUNK_BYTES, &size);
	if (r == 0 && (stored == 0 || size == 0))
		r = bad(&o, "size", "an empty chunk");
	if (r == 0)
		r = get_sha256(&o, "sha256", c->sha256);
	c->stored = (uint32_t)stored;
	c->size = (uint32_t)size;
	return r < 0 ? r : object_done(&o, known);
}

/* --- the whole --- */

static int read_lists(struct object *o, struct manifest *m)
{
	json_t *files, *links, *chunks, *j;
	size_t i;
	int r;

	r = get_array(o, "files", LIMIT_FILES, &files);
	if (r == 0)
		r = get_array(o, "links", LIMIT_LINKS, &links);
	if (r == 0)
		r = get_array(o, "chunks", SIZE_MAX, &chunks); /* bounded by the manifest's own size */
	if (r < 0)
		return r;
	m->files = calloc(json_array_size(files) + 1, sizeof(*m->files));
	m->links = calloc(json_array_size(links) + 1, sizeof(*m->links));
	m->chunks = calloc(json_array_size(chunks) + 1, sizeof(*m->chunks));
	if (!m->files || !m->links || !m->chunks)
		return err_sys(o->err, -ENOMEM, "manifest");
	if (json_array_size(files) == 0)
		return bad(o, "files", "empty");
	json_array_foreach(files, i, j)
		if (r == 0)
			r = read_file(j, i, m, o->err);
	json_array_foreach(links, i, j)
		if (r == 0)
			r = read_link(j, i, m, o->err);
	json_array_foreach(chunks, i, j)
		if (r == 0)
			r = read_chunk(j, i, m, o->err);
	m->n_chunks = json_array_size(chunks);
	return r;
}

static int read_manifest(struct object *o, struct manifest *m)
{
	static const char *const known[] = { "format",	"name",	 "version", "flavor",	"serial",   "created",
					     "kind",	"kernel", "load",   "match",	"options",  "requires",
					     "files",	"links", "unpacked", "chunks",	NULL };
	uint64_t format;
	int r;

	r = get_u64(o, "format", INT64_MAX, &format);
	if (r == 0 && format != MANIFEST_FORMAT)
		r = err_set(o->err, -E_CORRUPT, "manifest: format: %llu; this program reads %d",
			    (unsigned long long)format, MANIFEST_FORMAT);
	if (r == 0)
		r = get_checked(o, "name", manifest_is_name, &m->name);
	if (r == 0)
		r = get_checked(o, "version", manifest_is_version, &m->version);
	if (r == 0)
		r = get_checked(o, "flavor", check_flavor, &m->flavor);
	if (r == 0)
		r = get_u64(o, "serial", INT64_MAX, &m->serial);
	if (r == 0)
		r = get_u64(o, "created", INT64_MAX, &m->created);
	if (r == 0)
		r = read_kind(o, m);
	if (r == 0)
		r = read_kernel(o, m);
	if (r == 0)
		r = get_strings(o, "load", LIMIT_LOAD_NAMES, manifest_is_module, &m->load);
	if (r == 0)
		r = get_strings(o, "match", LIMIT_MATCH_GLOBS, check_glob, &m->match);
	if (r == 0)
		r = get_strings(o, "options", LIMIT_OPTIONS, check_option, &m->options);
	if (r == 0 && json_object_get(o->json, "requires")) {
		uint8_t digest[SHA256_BYTES];

		r = get_sha256(o, "requires", digest);
		m->requires = r == 0 ? malloc(2 * SHA256_BYTES + 1) : NULL;
		if (m->requires)
			hex_encode(digest, sizeof(digest), m->requires);
		else if (r == 0)
			r = err_sys(o->err, -ENOMEM, "manifest");
	}
	if (r == 0)
		r = get_u64(o, "unpacked", LIMIT_UNPACKED_BYTES, &m->unpacked);
	if (r == 0)
		r = read_lists(o, m);
	if (r == 0)
		r = object_done(o, known);
	return r < 0 ? r : manifest_check_rules(m, o->err);
}

/* A bound for what a tree of these values takes, before it is made. */
static size_t count_marks(const char *text, size_t len)
{
	bool in_string = false;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (in_string && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			in_string = !in_string;
		else if (!in_string && (text[i] == '{' || text[i] == '[' || text[i] == ','))
			n++;
	}
	return n;
}

int manifest_parse(const struct verified *v, struct manifest **ret, struct err *err)
{
	_cleanup_manifest_ struct manifest *m = calloc(1, sizeof(*m));
	struct object o = { .where = "", .err = err };
	json_error_t why;
	size_t len;
	const char *bytes = (const char *)verified_bytes(v, &len);
	int r;

	if (!m)
		return err_sys(err, -ENOMEM, "manifest");
	if (count_marks(bytes, len) > LIMIT_MANIFEST_MARKS)
		return err_set(err, -E_CORRUPT, "manifest: more than %u values", LIMIT_MANIFEST_MARKS);
	o.json = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &why);
	if (!o.json) {
		char shown[160];

		escape_text(why.text, strlen(why.text), shown, sizeof(shown));
		return err_set(err, -E_CORRUPT, "manifest: not JSON: byte %d: %s", why.position, shown);
	}
	r = json_is_object(o.json) ? read_manifest(&o, m) : bad(&o, "", "not an object");
	json_decref(o.json);
	if (r < 0)
		return r;
	snprintf(m->digest, sizeof(m->digest), "%s", verified_digest(v));
	snprintf(m->key_id, sizeof(m->key_id), "%s", verified_key_id(v));
	*ret = TAKE_PTR(m);
	return 0;
}

void manifest_free(struct manifest *m)
{
	if (!m)
		return;
	free(m->name);
	free(m->version);
	free(m->flavor);
	free(m->kernel.release);
	free(m->kernel.machine);
	free(m->kernel.build_id);
	free(m->kernel.vermagic);
	free(m->requires);
	strv_free(&m->load);
	strv_free(&m->match);
	strv_free(&m->options);
	for (size_t i = 0; i < m->n_files; i++)
		free(m->files[i].path);
	for (size_t i = 0; i < m->n_links; i++) {
		free(m->links[i].path);
		free(m->links[i].target);
	}
	free(m->files);
	free(m->links);
	free(m->chunks);
	free(m);
}
