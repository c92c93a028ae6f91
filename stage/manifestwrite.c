// SPDX-License-Identifier: Apache-2.0
/*
 * manifestwrite.c - struct manifest -> its JSON, in the order of docs/bundle.md and without blanks: the
 * same manifest always gives the same bytes. Builder only; pure.
 */
#include <jansson.h>

#include "manifest.h"

static json_t *strings_json(const struct strv *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n; i++)
		json_array_append_new(list, json_string(s->v[i]));
	return list;
}

static json_t *sha256_json(const uint8_t sha256[SHA256_BYTES])
{
	char hex[2 * SHA256_BYTES + 1];

	hex_encode(sha256, SHA256_BYTES, hex);
	return json_string(hex);
}

char *manifest_format(const struct manifest *m)
{
	json_t *o = json_object(), *files = json_array(), *links = json_array(), *chunks = json_array();
	char *text;

	json_object_set_new(o, "format", json_integer(MANIFEST_FORMAT));
	json_object_set_new(o, "name", json_string(m->name));
	json_object_set_new(o, "version", json_string(m->version));
	json_object_set_new(o, "flavor", json_string(m->flavor));
	json_object_set_new(o, "serial", json_integer((json_int_t)m->serial));
	json_object_set_new(o, "created", json_integer((json_int_t)m->created));
	json_object_set_new(o, "kind", json_string(manifest_kind_word(m->kind)));
	if (m->kind == KIND_MODULES) {
		json_t *k = json_object();

		json_object_set_new(k, "release", json_string(m->kernel.release));
		json_object_set_new(k, "machine", json_string(m->kernel.machine));
		if (m->kernel.build_id)
			json_object_set_new(k, "build_id", json_string(m->kernel.build_id));
		json_object_set_new(k, "vermagic", json_string(m->kernel.vermagic));
		json_object_set_new(o, "kernel", k);
	}
	json_object_set_new(o, "load", strings_json(&m->load));
	json_object_set_new(o, "match", strings_json(&m->match));
	json_object_set_new(o, "options", strings_json(&m->options));
	if (m->requires)
		json_object_set_new(o, "requires", json_string(m->requires));
	for (size_t i = 0; i < m->n_files; i++) {
		json_t *f = json_object();

		json_object_set_new(f, "path", json_string(m->files[i].path));
		json_object_set_new(f, "size", json_integer((json_int_t)m->files[i].size));
		json_object_set_new(f, "mode", json_integer((json_int_t)m->files[i].mode));
		json_object_set_new(f, "sha256", sha256_json(m->files[i].sha256));
		json_array_append_new(files, f);
	}
	json_object_set_new(o, "files", files);
	for (size_t i = 0; i < m->n_links; i++) {
		json_t *l = json_object();

		json_object_set_new(l, "path", json_string(m->links[i].path));
		json_object_set_new(l, "target", json_string(m->links[i].target));
		json_array_append_new(links, l);
	}
	json_object_set_new(o, "links", links);
	json_object_set_new(o, "unpacked", json_integer((json_int_t)m->unpacked));
	for (size_t i = 0; i < m->n_chunks; i++) {
		json_t *c = json_object();

		json_object_set_new(c, "stored", json_integer((json_int_t)m->chunks[i].stored));
		json_object_set_new(c, "size", json_integer((json_int_t)m->chunks[i].size));
		json_object_set_new(c, "sha256", sha256_json(m->chunks[i].sha256));
		json_array_append_new(chunks, c);
	}
	json_object_set_new(o, "chunks", chunks);
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}
