// SPDX-License-Identifier: Apache-2.0
/*
 * The strict reader. One right manifest, and for each rule of manifest.c one change that breaks
 * it: the whole must be refused, and the sentence must name the field.
 */
#include <jansson.h>

#include "limit.h"
#include "sample.h"

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEX63 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeef"
#define X16 "xxxxxxxxxxxxxxxx"
#define X64 X16 X16 X16 X16
#define X256 X64 X64 X64 X64

static int parse_text(const char *text, size_t n, struct manifest **ret, struct err *err)
{
	uint8_t *copy = malloc(n + 1);
	struct verified *v;
	int r;

	assert_non_null(copy);
	memcpy(copy, text, n);
	assert_int_equal(trust_show_unverified(copy, n, &v), 0);
	r = manifest_parse(v, ret, err);
	verified_free(v);
	return r;
}

/* Two modules, two firmware files, a link, options: everything that a bundle of modules may have. */
static void make_modules(struct sample *s)
{
	sample_begin(s);
	sample_file(s, "nvidia.ko", "one", 3);
	sample_file(s, "nvidia-drm.ko", "three", 5);
	sample_promise(s, "usr/lib/firmware/gsp-a.bin", "fw", 2, 0644);
	sample_promise(s, "usr/lib/firmware/gsp/b.bin", "fw", 2, 0755);
	sample_link(s, "usr/lib/firmware/gsp-link.bin", "gsp-a.bin");
	add_text(&s->m->match, "pci:v000010DEd*bc03sc0[02]*");
	add_text(&s->m->options, "nvidia NVreg_X=1");
	sample_add_chunk(s->m, "abc", 3, 4096);
	sample_add_chunk(s->m, "def", 3, 1024);
}

static void make_runtime(struct sample *s)
{
	sample_begin(s);
	s->m->kind = KIND_RUNTIME;
	set_text(&s->m->kernel.release, NULL);
	set_text(&s->m->kernel.machine, NULL);
	set_text(&s->m->kernel.build_id, NULL);
	set_text(&s->m->kernel.vermagic, NULL);
	set_text(&s->m->requires, HEX64);
	sample_promise(s, "usr/lib64/libcuda.so.1", "lib", 3, 0755);
	sample_link(s, "usr/lib64/libcuda.so", "libcuda.so.1");
	sample_add_chunk(s->m, "abc", 3, 2048);
}

/* --- what is right --- */

static void test_a_manifest_says_what_was_written(void **state)
{
	_cleanup_sample_ struct sample s;
	_cleanup_free_ char *text = NULL, *again = NULL;
	_cleanup_manifest_ struct manifest *m = NULL;
	struct err err = { 0 };

	(void)state;
	make_modules(&s);
	set_text(&s.m->flavor, "open");
	text = manifest_format(s.m);
	assert_int_equal(parse_text(text, strlen(text), &m, &err), 0);
	assert_string_equal(m->name, SAMPLE_NAME);
	assert_string_equal(m->version, "1.0");
	assert_string_equal(m->flavor, "open");
	assert_int_equal(m->serial, 7);
	assert_int_equal(m->created, 1700000000);
	assert_int_equal(m->kind, KIND_MODULES);
	assert_string_equal(m->kernel.release, RELEASE);
	assert_string_equal(m->kernel.machine, machine_here());
	assert_string_equal(m->kernel.build_id, BUILD_ID);
	assert_string_equal(m->kernel.vermagic, VERMAGIC);
	assert_int_equal(m->load.n, 2);
	assert_string_equal(m->load.v[1], "nvidia_drm");
	assert_string_equal(m->match.v[0], "pci:v000010DEd*bc03sc0[02]*");
	assert_string_equal(m->options.v[0], "nvidia NVreg_X=1");
	assert_null(m->requires);
	assert_int_equal(m->n_files, 4);
	assert_string_equal(m->files[0].path, SAMPLE_TREE "nvidia.ko");
	assert_int_equal(m->files[0].size, 3);
	assert_int_equal(m->files[3].mode, 0755);
	assert_memory_equal(m->files[1].sha256, s.m->files[1].sha256, SHA256_BYTES);
	assert_int_equal(m->n_links, 1);
	assert_string_equal(m->links[0].path, "usr/lib/firmware/gsp-link.bin");
	assert_string_equal(m->links[0].target, "gsp-a.bin");
	assert_int_equal(m->unpacked, 5120);
	assert_int_equal(m->n_chunks, 2);
	assert_int_equal(m->chunks[1].stored, 3);
	assert_int_equal(m->chunks[1].size, 1024);
	assert_int_equal(strlen(m->digest), 64);
	assert_string_equal(m->key_id, "");
	again = manifest_format(m);
	assert_string_equal(again, text);
}

static void test_a_runtime_has_no_kernel_and_may_require_another_bundle(void **state)
{
	_cleanup_sample_ struct sample s;
	_cleanup_free_ char *text = NULL, *again = NULL;
	_cleanup_manifest_ struct manifest *m = NULL;
	struct err err = { 0 };

	(void)state;
	make_runtime(&s);
	text = manifest_format(s.m);
	assert_int_equal(parse_text(text, strlen(text), &m, &err), 0);
	assert_int_equal(m->kind, KIND_RUNTIME);
	assert_null(m->kernel.release);
	assert_string_equal(m->requires, HEX64);
	again = manifest_format(m);
	assert_string_equal(again, text);
}

/* --- one change at a time --- */

/* Sets (value: JSON text) or removes (NULL) what "a.0.b" names. */
static void change(json_t *json, const char *where, const char *value)
{
	_cleanup_free_ char *copy = strdup(where);
	json_t *v = value ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL;
	char *save = NULL, *part, *next;

	if (value && !v)
		fail_msg("the test's own JSON is wrong: %s", value);
	part = strtok_r(copy, ".", &save);
	while ((next = strtok_r(NULL, ".", &save))) {
		json = json_is_array(json) ? json_array_get(json, (size_t)atoi(part)) : json_object_get(json, part);
		assert_non_null(json);
		part = next;
	}
	if (!value)
		assert_int_equal(json_object_del(json, part), 0);
	else if (json_is_array(json) && streq(part, "+"))
		assert_int_equal(json_array_append_new(json, v), 0);
	else if (json_is_array(json))
		assert_int_equal(json_array_set_new(json, (size_t)atoi(part), v), 0);
	else
		assert_int_equal(json_object_set_new(json, part, v), 0);
}

/* A right manifest with one or two changes, parsed. */
static int parse_changed(void (*make)(struct sample *), const char *where, const char *value, const char *where2,
			 const char *value2, struct err *err)
{
	_cleanup_sample_ struct sample s;
	_cleanup_free_ char *text = NULL, *changed = NULL;
	_cleanup_manifest_ struct manifest *m = NULL;
	json_t *json;
	int r;

	make(&s);
	text = manifest_format(s.m);
	json = json_loads(text, 0, NULL);
	assert_non_null(json);
	change(json, where, value);
	if (where2)
		change(json, where2, value2);
	changed = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	*err = (struct err){ 0 };
	r = parse_text(changed, strlen(changed), &m, err);
	if (r < 0)
		assert_null(m);
	return r;
}

static const struct change_case {
	const char *where, *value;
	const char *says; /* NULL: is allowed */
	const char *where2, *value2;
} modules_cases[] = {
	/* the header */
	{ "format", NULL, "manifest: format: missing", NULL, NULL },
	{ "format", "2", "manifest: format: 2; this program reads 1", NULL, NULL },
	{ "format", "0", "manifest: format: 0", NULL, NULL },
	{ "format", "\"1\"", "manifest: format: not a whole number", NULL, NULL },
	{ "format", "1.0", "manifest: format: not a whole number", NULL, NULL },
	{ "format", "true", "manifest: format: not a whole number", NULL, NULL },
	{ "name", NULL, "manifest: name: missing", NULL, NULL },
	{ "name", "1", "manifest: name: not a string", NULL, NULL },
	{ "name", "null", "manifest: name: not a string", NULL, NULL },
	{ "name", "\"\"", "manifest: name: ", NULL, NULL },
	{ "name", "\"Virtio\"", "manifest: name: ", NULL, NULL },
	{ "name", "\"-a\"", "manifest: name: ", NULL, NULL },
	{ "name", "\"_a\"", "manifest: name: ", NULL, NULL },
	{ "name", "\"a.b\"", "manifest: name: ", NULL, NULL },
	{ "name", "\"a/b\"", "manifest: name: ", NULL, NULL },
	{ "name", "\"..\"", "manifest: name: ", NULL, NULL },
	{ "name", "\"" X64 "x\"", "manifest: name: ", NULL, NULL },
	{ "name", "\"" X64 "\"", "files[0]", NULL, NULL }, /* the name is allowed, the paths are another's */
	{ "version", NULL, "manifest: version: missing", NULL, NULL },
	{ "version", "\"\"", "manifest: version: ", NULL, NULL },
	{ "version", "\"" X64 "\"", NULL, NULL, NULL },
	{ "version", "\"" X64 "x\"", "manifest: version: ", NULL, NULL },
	{ "version", "\"535.261.03-1~bpo12+1_a\"", NULL, NULL, NULL },
	{ "version", "\"1/2\"", "manifest: version: ", NULL, NULL },
	{ "version", "\"1 2\"", "manifest: version: ", NULL, NULL },
	{ "version", "\".1\"", "manifest: version: ", NULL, NULL },
	{ "version", "\"1\\n\"", "manifest: version: ", NULL, NULL },
	{ "flavor", NULL, "manifest: flavor: missing", NULL, NULL },
	{ "flavor", "\"open\"", NULL, NULL, NULL },
	{ "flavor", "\"Open\"", "manifest: flavor: ", NULL, NULL },
	{ "flavor", "\"" X64 "x\"", "manifest: flavor: ", NULL, NULL },
	{ "serial", NULL, "manifest: serial: missing", NULL, NULL },
	{ "serial", "-1", "manifest: serial: not a whole number", NULL, NULL },
	{ "serial", "0", NULL, NULL, NULL },
	{ "serial", "9223372036854775807", NULL, NULL, NULL },
	{ "serial", "\"7\"", "manifest: serial: not a whole number", NULL, NULL },
	{ "serial", "7.5", "manifest: serial: not a whole number", NULL, NULL },
	{ "created", NULL, "manifest: created: missing", NULL, NULL },
	{ "created", "-1", "manifest: created: ", NULL, NULL },
	{ "kind", NULL, "manifest: kind: ", NULL, NULL },
	{ "kind", "\"module\"", "manifest: kind: not modules, firmware or runtime", NULL, NULL },
	{ "kind", "0", "manifest: kind: ", NULL, NULL },
	{ "kind", "\"firmware\"", "manifest: kernel: only a bundle of modules is for a kernel", NULL, NULL },
	{ "extra", "1", "manifest: extra: unknown field", NULL, NULL },
	{ "Name", "\"x\"", "manifest: Name: unknown field", NULL, NULL },
	{ "\x1b[2J", "1", "manifest: \\x1b[2J: unknown field", NULL, NULL },
	/* the kernel */
	{ "kernel", NULL, "manifest: kernel: not an object", NULL, NULL },
	{ "kernel", "[]", "manifest: kernel: not an object", NULL, NULL },
	{ "kernel.release", NULL, "manifest: kernel.release: missing", NULL, NULL },
	{ "kernel.release", "\"\"", "manifest: kernel.release: ", NULL, NULL },
	{ "kernel.release", "\"..\"", "manifest: kernel.release: ", NULL, NULL },
	{ "kernel.release", "\"6.1/x\"", "manifest: kernel.release: ", NULL, NULL },
	{ "kernel.release", "\"" X64 "x\"", "manifest: kernel.release: ", NULL, NULL },
	{ "kernel.release", "\"" X64 "\"", "files[0]", NULL, NULL },
	{ "kernel.machine", NULL, "manifest: kernel.machine: missing", NULL, NULL },
	{ "kernel.machine", "\"x86 64\"", "manifest: kernel.machine: ", NULL, NULL },
	{ "kernel.build_id", NULL, NULL, NULL, NULL },
	{ "kernel.build_id", "null", "manifest: kernel.build_id: not a string", NULL, NULL },
	{ "kernel.build_id", "\"\"", "manifest: kernel.build_id: ", NULL, NULL },
	{ "kernel.build_id", "\"0011223344556677\"", NULL, NULL, NULL },
	{ "kernel.build_id", "\"00112233445566\"", "manifest: kernel.build_id: ", NULL, NULL },
	{ "kernel.build_id", "\"00112233445566778\"", "manifest: kernel.build_id: ", NULL, NULL },
	{ "kernel.build_id", "\"" HEX64 "\"", NULL, NULL, NULL },
	{ "kernel.build_id", "\"" HEX64 "00\"", "manifest: kernel.build_id: ", NULL, NULL },
	{ "kernel.build_id", "\"00112233445566AA\"", "manifest: kernel.build_id: ", NULL, NULL },
	{ "kernel.vermagic", NULL, "manifest: kernel.vermagic: missing", NULL, NULL },
	{ "kernel.vermagic", "\"\"", "manifest: kernel.vermagic: ", NULL, NULL },
	{ "kernel.vermagic", "\"" X256 "\"", NULL, NULL, NULL },
	{ "kernel.vermagic", "\"" X256 "x\"", "manifest: kernel.vermagic: ", NULL, NULL },
	{ "kernel.vermagic", "\"a\\tb\"", "manifest: kernel.vermagic: ", NULL, NULL },
	{ "kernel.vermagic", "\"\\u00fc\"", "manifest: kernel.vermagic: ", NULL, NULL },
	{ "kernel.extra", "1", "manifest: kernel.extra: unknown field", NULL, NULL },
	/* lists of words */
	{ "load", NULL, "manifest: load: missing", NULL, NULL },
	{ "load", "\"nvidia\"", "manifest: load: not a list", NULL, NULL },
	{ "load", "[]", "manifest: load: empty", NULL, NULL },
	{ "load", "[\"nvidia-drm\"]", NULL, NULL, NULL }, /* spelled the other way */
	{ "load", "[\"nouveau\"]", "manifest: load: no module nouveau in files", NULL, NULL },
	{ "load", "[\"nvidia.ko\"]", "manifest: load: ", NULL, NULL },
	{ "load", "[\"\"]", "manifest: load: ", NULL, NULL },
	{ "load", "[\"" X64 "x\"]", "manifest: load: an entry", NULL, NULL },
	{ "load", "[1]", "manifest: load: an entry", NULL, NULL },
	{ "match", NULL, "manifest: match: missing", NULL, NULL },
	{ "match", "[]", NULL, NULL, NULL },
	{ "match", "{}", "manifest: match: not a list", NULL, NULL },
	{ "match", "[\"v000010DE*\"]", "manifest: match: an entry", NULL, NULL },
	{ "match", "[\"\"]", "manifest: match: an entry", NULL, NULL },
	{ "match", "[\"pci:\\u0007\"]", "manifest: match: an entry", NULL, NULL },
	{ "options", NULL, "manifest: options: missing", NULL, NULL },
	{ "options", "[\" nvidia x=1\"]", "manifest: options: an entry", NULL, NULL },
	{ "options", "[\"nvidia x=\\n1\"]", "manifest: options: an entry", NULL, NULL },
	{ "options", "[null]", "manifest: options: an entry", NULL, NULL },
	{ "requires", "\"" HEX64 "\"", NULL, NULL, NULL },
	{ "requires", "\"" HEX63 "\"", "manifest: requires: not 64 lower-case hex digits", NULL, NULL },
	{ "requires", "\"" HEX63 "F\"", "manifest: requires: ", NULL, NULL },
	{ "requires", "null", "manifest: requires: ", NULL, NULL },
	/* files */
	{ "files", NULL, "manifest: files: missing", NULL, NULL },
	{ "files", "{}", "manifest: files: not a list", NULL, NULL },
	{ "files", "[]", "manifest: files: empty", NULL, NULL },
	{ "files.0", "1", "manifest: files[]", NULL, NULL },
	{ "files.0.path", NULL, "manifest: files[].path: missing", NULL, NULL },
	{ "files.0.path", "7", "manifest: files[].path: not a string", NULL, NULL },
	{ "files.0.size", NULL, "manifest: files[].size: missing", NULL, NULL },
	{ "files.0.size", "-3", "manifest: files[].size: ", NULL, NULL },
	{ "files.0.size", "2147483649", "manifest: files[].size: above its limit", NULL, NULL },
	{ "files.0.size", "2147483648", "manifest: unpacked: is not the size of a tar of these files", NULL, NULL },
	{ "files.0.mode", NULL, "manifest: files[].mode: missing", NULL, NULL },
	{ "files.0.mode", "420", NULL, NULL, NULL },
	{ "files.0.mode", "493", NULL, NULL, NULL },
	{ "files.0.mode", "438", "manifest: files[].mode: neither 420 (0644) nor 493 (0755)", NULL, NULL },
	{ "files.0.mode", "2541", "manifest: files[].mode: above its limit", NULL, NULL }, /* setuid */
	{ "files.0.mode", "0", "manifest: files[].mode: neither", NULL, NULL },
	{ "files.0.sha256", NULL, "manifest: files[].sha256: ", NULL, NULL },
	{ "files.0.sha256", "\"" HEX63 "\"", "manifest: files[].sha256: not 64", NULL, NULL },
	{ "files.0.sha256", "\"" HEX64 "0\"", "manifest: files[].sha256: not 64", NULL, NULL },
	{ "files.0.extra", "1", "manifest: files[].extra: unknown field", NULL, NULL },
	/* their places */
	{ "files.2.path", "\"" SAMPLE_TREE "nvidia.ko\"", "is named twice", NULL, NULL },
	{ "files.2.path", "\"usr/lib/firmware/gsp\"", "is both a file and a directory", NULL, NULL },
	/* names between "gsp" and "gsp/b.bin" in the order of bytes */
	{ "links.0.path", "\"usr/lib/firmware/gsp\"", "usr/lib/firmware/gsp is both a file and a directory", NULL, NULL },
	{ "files.2.path", "\"usr/lib/firmware/gsp-link.bin\"", "is named twice", NULL, NULL },
	{ "files.3.path", "\"usr/lib/firmware/gsp-link.bin/x\"", "is both a file and a directory", NULL, NULL },
	{ "files.2.path", "\"usr/lib/firmware/z.bin\"", "is out of order", NULL, NULL },
	{ "files.1.path", "\"usr/lib/firmware/0.bin\"", "no module nvidia_drm in files", NULL, NULL },
	{ "files.3.path", "\"" SAMPLE_TREE "z.ko\"", "is out of order, modules come first", NULL, NULL },
	{ "files.1.path", "\"" SAMPLE_TREE "nvi+dia.ko\"", "is not a module's name", NULL, NULL },
	{ "files.1.path", "\"" SAMPLE_TREE "a" X64 ".ko\"", "is not a module's name", NULL, NULL },
	{ "files.1.path", "\"" SAMPLE_TREE X64 ".ko\"", NULL, "load", "[\"nvidia\"]" },
	{ "files.0.path", "\"" SAMPLE_TREE "nvidia_drm.ko\"", "module nvidia_drm is there twice", NULL, NULL },
	/* links */
	{ "links", NULL, "manifest: links: missing", NULL, NULL },
	{ "links", "[]", NULL, NULL, NULL },
	{ "links", "1", "manifest: links: not a list", NULL, NULL },
	{ "links.0", "\"x\"", "manifest: links[]", NULL, NULL },
	{ "links.0.path", NULL, "manifest: links[].path: missing", NULL, NULL },
	{ "links.0.path", "\"etc/shadow\"", "manifest: links[0]: etc/shadow: outside", NULL, NULL },
	{ "links.0.path", "\"" SAMPLE_TREE "x.ko\"", "manifest: links[].path: a module must be a file", NULL, NULL },
	{ "links.0.path", "\"usr/lib/firmware/gsp-a.bin\"", "is named twice", NULL, NULL },
	{ "links.0.path", "\"usr/lib/firmware/gsp-a.bin/x\"", "is both a file and a directory", NULL, NULL },
	{ "links.0.target", NULL, "manifest: links[].target: missing", NULL, NULL },
	{ "links.0.target", "\"../gsp-a.bin\"", "manifest: links[].target: not a sibling's name", NULL, NULL },
	{ "links.0.target", "\"..\"", "manifest: links[].target: ", NULL, NULL },
	{ "links.0.target", "\".\"", "manifest: links[].target: ", NULL, NULL },
	{ "links.0.target", "\"\"", "manifest: links[].target: ", NULL, NULL },
	{ "links.0.target", "\"/etc\"", "manifest: links[].target: ", NULL, NULL },
	{ "links.0.target", "\"gsp/b.bin\"", "manifest: links[].target: ", NULL, NULL },
	{ "links.0.extra", "1", "manifest: links[].extra: unknown field", NULL, NULL },
	/* chunks and sums */
	{ "unpacked", NULL, "manifest: unpacked: missing", NULL, NULL },
	{ "unpacked", "5119", "manifest: unpacked: is not the sum of the chunks' sizes", NULL, NULL },
	{ "unpacked", "5121", "manifest: unpacked: is not the sum", NULL, NULL },
	{ "unpacked", "2147483648", "manifest: unpacked: is not the sum", NULL, NULL },
	{ "unpacked", "2147483649", "manifest: unpacked: above its limit", NULL, NULL },
	{ "chunks", NULL, "manifest: chunks: missing", NULL, NULL },
	{ "chunks", "[]", "manifest: unpacked: is not the sum", NULL, NULL },
	{ "chunks", "[]", "manifest: unpacked: is not the size of a tar", "unpacked", "0" },
	{ "chunks.0", "[]", "manifest: chunks[]", NULL, NULL },
	{ "chunks.0.stored", NULL, "manifest: chunks[].stored: missing", NULL, NULL },
	{ "chunks.0.stored", "0", "manifest: chunks[].size: an empty chunk", NULL, NULL },
	{ "chunks.0.stored", "4194304", NULL, NULL, NULL },
	{ "chunks.0.stored", "4194305", "manifest: chunks[].stored: above its limit", NULL, NULL },
	{ "chunks.0.size", NULL, "manifest: chunks[].size: missing", NULL, NULL },
	{ "chunks.0.size", "0", "manifest: chunks[].size: an empty chunk", NULL, NULL },
	{ "chunks.0.size", "4194304", "manifest: unpacked: is not the size of a tar", "unpacked", "4195328" },
	{ "chunks.0.size", "4194305", "manifest: chunks[].size: above its limit", "unpacked", "4195329" },
	{ "chunks.0.sha256", NULL, "manifest: chunks[].sha256: ", NULL, NULL },
	{ "chunks.0.sha256", "\"" HEX63 "G\"", "manifest: chunks[].sha256: ", NULL, NULL },
	{ "chunks.0.extra", "1", "manifest: chunks[].extra: unknown field", NULL, NULL },
};

static const struct change_case runtime_cases[] = {
	{ "kernel", "{}", "manifest: kernel: only a bundle of modules is for a kernel", NULL, NULL },
	{ "load", "[\"x\"]", "manifest: load: no module x in files", NULL, NULL },
	{ "match", "[\"pci:*\"]", "manifest: load: only a bundle of modules loads anything", NULL, NULL },
	{ "options", "[\"x y=1\"]", "manifest: load: only a bundle of modules loads anything", NULL, NULL },
	{ "kind", "\"modules\"", "manifest: kernel: not an object", NULL, NULL },
	{ "kind", "\"firmware\"", "outside the trees of kind firmware", NULL, NULL },
	{ "files.+", "{\"path\":\"usr/bin/x\",\"size\":1,\"mode\":420,\"sha256\":\"" HEX64 "\"}",
	  "usr/bin/x is out of order", NULL, NULL },
	{ "files.+", "{\"path\":\"usr/share/x\",\"size\":1,\"mode\":420,\"sha256\":\"" HEX64 "\"}",
	  "manifest: unpacked: is not the size of a tar", NULL, NULL }, /* the file is allowed */
	{ "requires", NULL, NULL, NULL, NULL },
};

static void check_cases(void (*make)(struct sample *), const struct change_case *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *what = str_printf("%s = %s", c[i].where, c[i].value ? c[i].value : "(nothing)");
		struct err err;
		int r = parse_changed(make, c[i].where, c[i].value, c[i].where2, c[i].value2, &err);

		if (!c[i].says && r != 0)
			fail_msg("%s is refused: %s", what, err.text);
		if (c[i].says && r != -E_CORRUPT)
			fail_msg("%s gives %d", what, r);
		if (c[i].says && !strstr(err.text, c[i].says))
			fail_msg("%s: \"%s\" does not hold \"%s\"", what, err.text, c[i].says);
	}
}

static void test_each_rule_is_kept_and_its_field_is_named(void **state)
{
	(void)state;
	check_cases(make_modules, modules_cases, ARRAY_SIZE(modules_cases));
	check_cases(make_runtime, runtime_cases, ARRAY_SIZE(runtime_cases));
}

static void test_the_tar_has_the_one_size_that_its_files_make(void **state)
{
	struct err err;

	(void)state;
	/* in make_modules() the file has one block beside its header */
	assert_int_equal(parse_changed(make_modules, "files.0.size", "1", NULL, NULL, &err), 0);
	assert_int_equal(parse_changed(make_modules, "files.0.size", "512", NULL, NULL, &err), 0);
	assert_int_equal(parse_changed(make_modules, "files.0.size", "0", NULL, NULL, &err), -E_CORRUPT);
	assert_int_equal(parse_changed(make_modules, "files.0.size", "513", NULL, NULL, &err), -E_CORRUPT);
}

/* --- what is not such an object at all --- */

static void test_what_is_not_one_json_object_is_refused(void **state)
{
	_cleanup_sample_ struct sample s;
	_cleanup_free_ char *good = NULL, *twice = NULL, *behind = NULL;
	static const char *const texts[] = { "", " ", "{", "[]", "null", "1", "\"x\"", "{}", "not json", "{\"format\":1,}",
					     "{\"format\":NaN}", "{\"format\":1e400}", "{\"format\":99999999999999999999}",
					     "{\"name\":\"\xff\"}", "{\"name\":\"a\\u0000b\"}", "{'format':1}" };
	struct manifest *m = NULL;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_case(texts[i], parse_text(texts[i], strlen(texts[i]), &m, &err) == -E_CORRUPT);
		assert_case(texts[i], strncmp(err.text, "manifest: ", 10) == 0);
	}
	make_modules(&s);
	good = manifest_format(s.m);
	twice = str_printf("{\"serial\":9,%s", good + 1);
	assert_int_equal(parse_text(twice, strlen(twice), &m, &err), -E_CORRUPT);
	assert_contains(err.text, "duplicate");
	behind = str_printf("%s{}", good);
	assert_int_equal(parse_text(behind, strlen(behind), &m, &err), -E_CORRUPT);
	assert_int_equal(parse_text(good, strlen(good) + 1, &m, &err), -E_CORRUPT); /* a NUL at the end */
	assert_null(m);
}

static void test_a_manifest_cut_at_any_place_is_refused(void **state)
{
	_cleanup_sample_ struct sample s;
	_cleanup_free_ char *good = NULL;
	struct manifest *m = NULL;
	struct err err;

	(void)state;
	make_modules(&s);
	good = manifest_format(s.m);
	for (size_t n = 0; n < strlen(good); n++)
		assert_int_equal(parse_text(good, n, &m, &err), -E_CORRUPT);
}

static void test_deep_nesting_ends_in_a_refusal(void **state)
{
	_cleanup_blob_ struct blob deep = { 0 };
	struct manifest *m = NULL;
	struct err err;

	(void)state;
	blob_add_text(&deep, "{\"format\":");
	blob_fill(&deep, '[', 100000);
	assert_int_equal(parse_text((char *)deep.v, deep.n, &m, &err), -E_CORRUPT);
}

/* --- numbers of entries --- */

static void add_files(struct sample *s, unsigned int n)
{
	make_modules(s);
	for (unsigned int i = s->m->n_files > n ? n : (unsigned int)s->m->n_files; i < n; i++) {
		_cleanup_free_ char *path = str_printf("usr/lib/firmware/z%05u", i);

		sample_promise(s, path, "", 0, 0644);
	}
}

/* The first chunk has what all files need. */
static void fit_chunks(struct manifest *m)
{
	uint64_t tar = TAR_END;

	for (size_t i = 0; i < m->n_files; i++)
		tar += TAR_BLOCK + (m->files[i].size ? TAR_BLOCK : 0);
	m->chunks[0].size += (uint32_t)(tar - m->unpacked);
	m->unpacked = tar;
}

static void add_links(struct sample *s, unsigned int n)
{
	make_modules(s);
	while (s->m->n_links < n) {
		_cleanup_free_ char *path = str_printf("usr/lib/firmware/z%05zu", s->m->n_links);

		sample_link(s, path, "gsp-a.bin");
	}
}

static void add_loads(struct sample *s, unsigned int n)
{
	make_modules(s);
	while (s->m->load.n < n)
		add_text(&s->m->load, "nvidia");
}

static void add_matches(struct sample *s, unsigned int n)
{
	make_modules(s);
	while (s->m->match.n < n)
		add_text(&s->m->match, "pci:*");
}

static void add_options(struct sample *s, unsigned int n)
{
	make_modules(s);
	while (s->m->options.n < n)
		add_text(&s->m->options, "nvidia x=1");
}

/* One entry of that many bytes. */
static void add_long_match(struct sample *s, unsigned int n)
{
	_cleanup_blob_ struct blob b = { 0 };

	make_modules(s);
	blob_add_text(&b, "pci:");
	blob_fill(&b, '*', n - 4);
	add_text(&s->m->match, (char *)b.v);
}

static void add_long_option(struct sample *s, unsigned int n)
{
	_cleanup_blob_ struct blob b = { 0 };

	make_modules(s);
	blob_add_text(&b, "nvidia x=");
	blob_fill(&b, '1', n - 9);
	add_text(&s->m->options, (char *)b.v);
}

static void add_long_path(struct sample *s, unsigned int n)
{
	_cleanup_blob_ struct blob b = { 0 };

	make_modules(s);
	blob_add_text(&b, "usr/lib/firmware/z");
	blob_fill(&b, 'z', n - 18);
	sample_promise(s, (char *)b.v, "", 0, 0644);
}

static void test_limits_hold_exactly(void **state)
{
	static const struct {
		const char *what;
		void (*add)(struct sample *s, unsigned int n);
		unsigned int limit;
		const char *says;
	} cases[] = {
		{ "files", add_files, LIMIT_FILES, "manifest: files: too many entries" },
		{ "links", add_links, LIMIT_LINKS, "manifest: links: too many entries" },
		{ "load", add_loads, LIMIT_LOAD_NAMES, "manifest: load: too many entries" },
		{ "match", add_matches, LIMIT_MATCH_GLOBS, "manifest: match: too many entries" },
		{ "options", add_options, LIMIT_OPTIONS, "manifest: options: too many entries" },
		{ "a glob", add_long_match, LIMIT_GLOB_BYTES, "manifest: match: an entry" },
		{ "an option", add_long_option, LIMIT_OPTION_BYTES, "manifest: options: an entry" },
		{ "a path", add_long_path, LIMIT_PATH_BYTES, "above 200 bytes" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (unsigned int more = 0; more < 2; more++) {
			_cleanup_manifest_ struct manifest *m = NULL;
			_cleanup_free_ char *text = NULL;
			_cleanup_sample_ struct sample s;
			struct err err = { 0 };
			int r;

			cases[i].add(&s, cases[i].limit + more);
			fit_chunks(s.m);
			text = manifest_format(s.m);
			assert_true(strlen(text) < LIMIT_MANIFEST_BYTES);
			r = parse_text(text, strlen(text), &m, &err);
			if (r != (more ? -E_CORRUPT : 0))
				fail_msg("%s, %u: %d %s", cases[i].what, cases[i].limit + more, r, err.text);
			if (more)
				assert_contains(err.text, cases[i].says);
		}
	}
}

/* Both are far below the manifest's own limits, and each was once compared with all others. */
static void add_modules(struct sample *s, unsigned int n)
{
	make_modules(s);
	for (unsigned int i = 0; s->m->n_files < n; i++) {
		_cleanup_free_ char *path = str_printf(SAMPLE_TREE "m-%u.ko", i);
		struct manifest_file last;

		sample_promise(s, path, "", 0, 0644);
		last = s->m->files[s->m->n_files - 1]; /* modules come first */
		memmove(s->m->files + 1, s->m->files, (s->m->n_files - 1) * sizeof(last));
		s->m->files[0] = last;
	}
}

static void add_deep_links(struct sample *s, unsigned int n)
{
	_cleanup_blob_ struct blob b = { 0 };

	make_modules(s);
	while (b.n < 170)
		blob_add_text(&b, "/a");
	while (s->m->n_links < n) {
		_cleanup_free_ char *path = str_printf("usr/lib/firmware%.*s/%zu", (int)b.n, (char *)b.v, s->m->n_links);

		sample_link(s, path, "x");
	}
}

static void test_names_are_compared_in_no_time(void **state)
{
	static void (*const add[])(struct sample *s, unsigned int n) = { add_modules, add_deep_links };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(add); i++) {
		_cleanup_manifest_ struct manifest *m = NULL;
		_cleanup_free_ char *text = NULL;
		_cleanup_sample_ struct sample s;
		struct err err = { 0 };
		uint64_t began_us;

		add[i](&s, LIMIT_FILES);
		fit_chunks(s.m);
		text = manifest_format(s.m);
		began_us = now_us();
		assert_int_equal(parse_text(text, strlen(text), &m, &err), 0);
		assert_true(now_us() - began_us < 1500000);
	}
}

/* --- places and names --- */

static void test_paths_stay_in_the_trees_of_their_kind(void **state)
{
	static const struct {
		const char *path;
		bool modules, firmware, runtime;
	} cases[] = {
		{ SAMPLE_TREE "x.ko", true, false, false },
		{ SAMPLE_TREE "x.ko.xz", false, false, false },
		{ SAMPLE_TREE "sub/x.ko", false, false, false },
		{ SAMPLE_TREE ".ko", false, false, false },
		{ "usr/lib/modules/" RELEASE "/modulus/other/x.ko", false, false, false },
		{ "usr/lib/modules/" RELEASE "/modulus/" SAMPLE_NAME "x/x.ko", false, false, false },
		{ "usr/lib/modules/" RELEASE "/kernel/x.ko", false, false, false },
		{ "usr/lib/modules/" RELEASE "x/modulus/" SAMPLE_NAME "/x.ko", false, false, false },
		{ "usr/lib/modules/6.1.0-55-amd64/modulus/" SAMPLE_NAME "/x.ko", false, false, false },
		{ "usr/lib/modules/modules.dep", false, false, false },
		{ "usr/lib/firmware/nvidia/535/gsp.bin", true, true, false },
		/* not the directories themselves, as a file or a link, either */
		{ "usr/lib/firmware", false, false, false },
		{ "usr/lib/modules", false, false, false },
		{ "usr/lib/systemd", false, false, false },
		{ "usr/lib/udev", false, false, false },
		{ "usr/lib/firmwarex/y", false, false, true },
		{ "usr/bin/nvidia-smi", false, false, true },
		{ "usr/share/vulkan/icd.d/x.json", false, false, true },
		{ "usr/lib/libcuda.so", false, false, true },
		{ "usr/lib64/libcuda.so", false, false, true },
		{ "usr/lib32/x.so", false, false, true },
		{ "usr/lib/x86_64-linux-gnu/libcuda.so.1", false, false, true },
		{ "usr/libexec/x", false, false, true },
		{ "usr/lib", false, false, false },
		{ "usr/lib-x/y", false, false, false },
		{ "usr/lib/systemd/system/x.service", false, false, false },
		{ "usr/lib/udev/rules.d/x.rules", false, false, false },
		{ "usr/sbin/x", false, false, false },
		{ "usr/local/bin/x", false, false, false },
		{ "usr/bin", false, false, false },
		{ "etc/ld.so.conf.d/x", false, false, false },
		{ "lib/modules/x.ko", false, false, false },
		{ "x", false, false, false },
	};
	static const enum bundle_kind kinds[] = { KIND_MODULES, KIND_FIRMWARE, KIND_RUNTIME };
	_cleanup_sample_ struct sample s;

	(void)state;
	sample_begin(&s);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const bool allowed[] = { cases[i].modules, cases[i].firmware, cases[i].runtime };

		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			struct err err;

			s.m->kind = kinds[k];
			if (manifest_check_path(s.m, cases[i].path, &err) != (allowed[k] ? 0 : -E_CORRUPT))
				fail_msg("%s in a bundle of %s", cases[i].path, manifest_kind_word(kinds[k]));
		}
	}
}

static void test_paths_are_plain(void **state)
{
	static const char *const good[] = { "a", "a/b", "A9._+@~,:=-x", "a..b", "a.", "~", "_", "+a", "=", "a--" };
	static const char *const bad[] = { "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/.b",
					   ".a", "-a", "a/-b", "a b", "a\tb", "a\nb", "a\\b", "a*", "a?", "a\"", "a'",
					   "a$b", "a;b", "a|b", "a&b", "a<b", "a%b", "a#b", "a!b", "a\x7f", "\xc3\xbc" };
	_cleanup_sample_ struct sample s;
	struct err err;

	(void)state;
	sample_begin(&s);
	s.m->kind = KIND_FIRMWARE;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_free_ char *path = str_printf("usr/lib/firmware/%s", good[i]);

		assert_case(path, manifest_check_path(s.m, path, &err) == 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_free_ char *path = str_printf("usr/lib/firmware/%s", bad[i]);

		assert_case(path, manifest_check_path(s.m, path, &err) == -E_CORRUPT);
		assert_contains(err.text, "odd characters");
		assert_case(bad[i], manifest_check_path(s.m, bad[i], &err) == -E_CORRUPT);
	}
}

static void test_a_modules_name_comes_from_its_file(void **state)
{
	static const struct {
		const char *path, *name;
	} cases[] = {
		{ SAMPLE_TREE "nvidia-drm.ko", "nvidia_drm" },
		{ "usr/lib/modules/x.ko", "x" },
		{ "usr/lib/modules/.ko", NULL },
		{ "usr/lib/modules/x.ko.xz", NULL },
		{ "usr/lib/firmware/x.ko", NULL },
		{ "x.ko", NULL },
	};
	char name[16], small[3];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_case(cases[i].path,
			    manifest_module_name(cases[i].path, name, sizeof(name)) == (cases[i].name != NULL));
		if (cases[i].name)
			assert_string_equal(name, cases[i].name);
	}
	assert_true(manifest_module_name("usr/lib/modules/ab.ko", small, sizeof(small)));
	assert_false(manifest_module_name("usr/lib/modules/abc.ko", small, sizeof(small)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_manifest_says_what_was_written),
		cmocka_unit_test(test_a_runtime_has_no_kernel_and_may_require_another_bundle),
		cmocka_unit_test(test_each_rule_is_kept_and_its_field_is_named),
		cmocka_unit_test(test_the_tar_has_the_one_size_that_its_files_make),
		cmocka_unit_test(test_what_is_not_one_json_object_is_refused),
		cmocka_unit_test(test_a_manifest_cut_at_any_place_is_refused),
		cmocka_unit_test(test_deep_nesting_ends_in_a_refusal),
		cmocka_unit_test(test_limits_hold_exactly),
		cmocka_unit_test(test_names_are_compared_in_no_time),
		cmocka_unit_test(test_paths_stay_in_the_trees_of_their_kind),
		cmocka_unit_test(test_paths_are_plain),
		cmocka_unit_test(test_a_modules_name_comes_from_its_file),
	};

	return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
