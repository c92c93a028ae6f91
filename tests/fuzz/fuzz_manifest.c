// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_manifest.c - a manifest's JSON. What is accepted obeys docs/bundle.md where a mistake would
 * hurt (paths, sums, order), and written again it reads back the same.
 */
#include "fuzz.h"
#include "limit.h"

static int parse(const void *text, size_t len, struct manifest **ret, struct err *err)
{
	struct verified *v;
	uint8_t *copy = malloc(len + 1);
	int r;

	must(copy);
	if (len > 0)
		memcpy(copy, text, len);
	must(trust_show_unverified(copy, len, &v) == 0);
	r = fuzz_outcome(manifest_parse(v, ret, err), err);
	verified_free(v);
	return r;
}

/* By another way than manifest.c: nothing that leads out of the tree or into a hidden file. */
static void check_path(const char *path)
{
	must(str_prefix(path, "usr/", NULL) && strlen(path) <= LIMIT_PATH_BYTES && fuzz_is_printable(path));
	must(!strstr(path, "//") && !strstr(path, "/.") && !str_suffix(path, "/") && !strpbrk(path, " \\\"'$`*?"));
}

static void check(const struct manifest *m)
{
	uint64_t chunks = 0, tar = 1024;

	must(m->n_files > 0 && m->n_files <= LIMIT_FILES && m->n_links <= LIMIT_LINKS);
	must((m->kind == KIND_MODULES) == (m->load.n > 0) && (m->kind == KIND_MODULES) == (m->kernel.release != NULL));
	for (size_t i = 0; i < m->n_files; i++) {
		check_path(m->files[i].path);
		must(m->files[i].mode == 0644 || m->files[i].mode == 0755);
		tar += 512 + (m->files[i].size + 511) / 512 * 512;
	}
	for (size_t i = 0; i < m->n_links; i++) {
		check_path(m->links[i].path);
		must(!strchr(m->links[i].target, '/') && *m->links[i].target != '.');
	}
	for (size_t i = 0; i < m->n_chunks; i++) {
		must(m->chunks[i].stored > 0 && m->chunks[i].stored <= LIMIT_CHUNK_BYTES);
		must(m->chunks[i].size > 0 && m->chunks[i].size <= LIMIT_CHUNK_BYTES);
		chunks += m->chunks[i].size;
	}
	must(chunks == m->unpacked && tar == m->unpacked && tar <= LIMIT_UNPACKED_BYTES);
	for (size_t i = 0; i < m->options.n; i++)
		must(fuzz_is_printable(m->options.v[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_manifest_ struct manifest *m = NULL, *again = NULL;
	_cleanup_free_ char *text = NULL, *same = NULL;
	struct err err = { 0 };

	if (parse(data, size, &m, &err) < 0)
		return 0;
	check(m);
	text = manifest_format(m);
	must(text && parse(text, strlen(text), &again, &err) == 0);
	check(again);
	same = manifest_format(again);
	must(same && streq(text, same));
	return 0;
}
