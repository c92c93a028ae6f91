// SPDX-License-Identifier: Apache-2.0
/*
 * Which bundle is taken, and what is said when none is. The sources read a fake root; every
 * bundle there is made and signed on the spot.
 */
#include "fakekernel.h"
#include "serial.h"
#include "source.h"
#include "store.h"

#define USR "root/usr/lib/modulus/bundles/" RELEASE "/"
#define USR_ANY "root/usr/lib/modulus/bundles/any/"
#define CACHE "root" STORE_DIR "/" RELEASE "/"

/* What differs from the sample: virtio-gpu 1.0, serial 7, for RELEASE and BUILD_ID, key 0. */
struct kind_of {
	const char *name, *version, *flavor, *release, *machine, *build_id; /* build_id "": none */
	uint64_t serial;
	enum bundle_kind kind;
	unsigned int key;
	const char *content; /* of the module: makes another digest */
	const char *match; /* globs of the manifest, with blanks between */
};

static struct blob bundle_like(const struct kind_of *k, char *ret_digest)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_sample_ struct sample s;
	struct blob file;
	struct err err;

	sample_begin(&s);
	if (k->name)
		set_text(&s.m->name, k->name);
	if (k->version)
		set_text(&s.m->version, k->version);
	if (k->flavor)
		set_text(&s.m->flavor, k->flavor);
	if (k->serial)
		s.m->serial = k->serial;
	if (k->match)
		assert_int_equal(strv_add_words(&s.m->match, k->match, NULL), 0);
	s.m->kind = k->kind;
	s.key = k->key;
	if (k->kind == KIND_MODULES) {
		const char *release = k->release ? k->release : RELEASE;
		_cleanup_free_ char *path =
			str_printf("usr/lib/modules/%s/modulus/%s/gpu.ko", release, s.m->name);

		set_text(&s.m->kernel.release, release);
		if (k->machine)
			set_text(&s.m->kernel.machine, k->machine);
		if (k->build_id)
			set_text(&s.m->kernel.build_id, *k->build_id ? k->build_id : NULL);
		sample_file(&s, path, k->content ? k->content : "x", 1);
	} else {
		set_text(&s.m->kernel.release, NULL);
		sample_file(&s, "usr/lib/firmware/gpu.bin", "x", 1);
	}
	sample_seal(&s);
	assert_int_equal(bundle_open(memory_reader(s.bundle.v, s.bundle.n, 0, -1), NULL, &b, &err), 0);
	if (ret_digest)
		snprintf(ret_digest, 65, "%s", bundle_manifest(b)->digest);
	file = s.bundle;
	s.bundle = (struct blob){ 0 };
	return file;
}

static void put_bundle(const struct place *p, const char *path, const struct kind_of *k)
{
	_cleanup_blob_ struct blob b = bundle_like(k, NULL);

	put_blob(p, path, b.v, b.n);
}

/* Into the cache, under the name that it has there; that name, which the caller frees. */
static char *put_cached(const struct place *p, const char *folder, const char *name, const struct kind_of *k)
{
	char digest[65];
	_cleanup_blob_ struct blob b = bundle_like(k, digest);
	_cleanup_free_ char *path = NULL;
	char *file = str_printf("%s-modules-%s.tar.zst", name, digest);

	path = str_printf("root" STORE_DIR "/%s/%s", folder, file);
	put_blob(p, path, b.v, b.n);
	return file;
}

/* --- one search --- */

struct search {
	struct driver driver;
	struct config config;
	struct kernel kernel;
	struct cmdline cmdline;
	enum bundle_kind kind;
	struct device devices[3];
	size_t n_devices;
	const char *flavor; /* asked for alone */
	struct strv passed;
	struct seen *seen;
	struct candidates found;
	struct rejections rejected;
	struct err err;
	int code;
};

static void search_begin(struct search *s)
{
	*s = (struct search){ .kernel = sample_kernel() };
	set_text(&s->driver.name, SAMPLE_NAME);
	set_text(&s->driver.version, "1.0");
	add_text(&s->driver.from, "cache:");
	add_text(&s->driver.from, "usr:");
	s->config.drivers = &s->driver;
	s->config.n_drivers = 1;
}

static void search_forget(struct search *s)
{
	candidates_free(&s->found);
	rejections_free(&s->rejected);
}

static void search_done(struct search *s)
{
	search_forget(s);
	free(s->driver.name);
	free(s->driver.version);
	free(s->driver.digest);
	strv_free(&s->driver.from);
	strv_free(&s->driver.runtime);
	strv_free(&s->driver.flavors);
	strv_free(&s->driver.match);
	strv_free(&s->passed);
}

#define _cleanup_search_ _cleanup_(search_done)

static int search(struct search *s, const struct place *p)
{
	const struct device_list devices = { .v = s->devices, .n = s->n_devices };
	const struct source_request req = { .host = &p->host, .cmdline = &s->cmdline, .kernel = &s->kernel,
					    .keys = sample_ring(0), .config = &s->config, .driver = &s->driver,
					    .devices = &devices, .flavor = s->flavor, .passed = &s->passed,
					    .seen = s->seen, .kind = s->kind };

	search_forget(s);
	s->err = (struct err){ 0 };
	s->code = source_find_local(&req, &s->found, &s->rejected, &s->err);
	return s->code;
}

/* The places of the candidates, best first: "a.tar.zst b.tar.zst"; "cached" in the cache. Static. */
static const char *found_names(const struct search *s)
{
	static char text[512];

	text[0] = '\0';
	for (size_t i = 0; i < s->found.n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
			 streq(s->found.v[i].source, "cache") ? "cached" : strrchr(s->found.v[i].origin, '/') + 1);
	return text;
}

/* The verdict when nothing fits. */
static int verdict(const struct search *s, struct err *ret)
{
	const struct source_request req = { .driver = &s->driver, .kind = s->kind };

	assert_int_equal(s->found.n, 0);
	return rejections_verdict(&s->rejected, &req, ret);
}

/* --- where they are --- */

static void test_bundles_are_found_in_cache_and_usr(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;
	_cleanup_free_ char *file = NULL, *origin = NULL;

	search_begin(&s);
	file = put_cached(p, RELEASE, SAMPLE_NAME, &(struct kind_of){ 0 });
	origin = str_printf("cache:" STORE_DIR "/" RELEASE "/%s", file);
	put_bundle(p, USR "x.tar.zst", &(struct kind_of){ .serial = 3 });
	put_bundle(p, USR_ANY "y.tar.zst", &(struct kind_of){ .serial = 2 });
	assert_int_equal(search(&s, p), 0);
	assert_int_equal(s.found.n, 3);
	assert_string_equal(s.found.v[0].source, "cache");
	assert_string_equal(s.found.v[0].origin, origin);
	assert_string_equal(s.found.v[1].source, "usr");
	assert_string_equal(s.found.v[1].origin, "usr:/usr/lib/modulus/bundles/" RELEASE "/x.tar.zst");
	assert_string_equal(s.found.v[2].origin, "usr:/usr/lib/modulus/bundles/any/y.tar.zst");
	assert_int_equal(s.rejected.n, 0);
}

static void test_no_bundle_anywhere_is_no_failure_and_the_verdict_names_the_places(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;
	struct err err;

	search_begin(&s);
	assert_int_equal(search(&s, p), 0);
	assert_int_equal(s.rejected.n, 0);
	assert_int_equal(verdict(&s, &err), -E_NO_BUNDLE);
	assert_string_equal(err.text, "no bundle of virtio-gpu 1.0 in cache: usr:");
}

static void test_only_files_that_are_named_as_bundles_are_opened(void **state)
{
	static const char *const names[] = { ".hidden.tar.zst", "x.tar", "x.tar.zst.part", "a b.tar.zst",
					     "t\xc3\xbc.tar.zst", "x.tar.zst~" };
	struct place *p = *state;
	_cleanup_search_ struct search s;

	search_begin(&s);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = str_printf(USR "%s", names[i]);

		put_text(p, path, "rubbish");
	}
	put_text(p, CACHE "other-modules-0.tar.zst", "another driver's, not even looked at");
	put_text(p, CACHE "." SAMPLE_NAME "-modules-0.tar.zst.part", "what a power cut left");
	put_text(p, "root/usr/lib/modulus/bundles/6.1.0-55-amd64/x.tar.zst", "another kernel's");
	assert_int_equal(search(&s, p), 0);
	assert_int_equal(s.found.n + s.rejected.n, 0);
}

static void test_what_is_bound_to_no_kernel_is_looked_for_in_any_alone(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;

	search_begin(&s);
	s.kind = KIND_FIRMWARE;
	put_bundle(p, USR_ANY "fw.tar.zst", &(struct kind_of){ .kind = KIND_FIRMWARE });
	put_bundle(p, USR "fw2.tar.zst", &(struct kind_of){ .kind = KIND_FIRMWARE });
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "fw.tar.zst");
}

static void test_a_pin_a_floor_and_a_flavour_are_about_modules(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;

	search_begin(&s);
	s.kind = KIND_FIRMWARE;
	s.driver.min_serial = 8;
	set_text(&s.driver.digest, "0000000000000000000000000000000000000000000000000000000000000000");
	add_text(&s.driver.flavors, "open");
	put_bundle(p, USR_ANY "fw.tar.zst", &(struct kind_of){ .kind = KIND_FIRMWARE, .serial = 7 });
	put_bundle(p, USR_ANY "other.tar.zst", &(struct kind_of){ .kind = KIND_FIRMWARE, .serial = 9, .flavor = "closed" });
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "fw.tar.zst");
}

static void test_runtime_adds_places_for_what_is_bound_to_no_kernel(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;
	const struct source_request modules = { .driver = &s.driver, .kind = KIND_MODULES },
				    firmware = { .driver = &s.driver, .kind = KIND_FIRMWARE };
	struct err err;

	search_begin(&s);
	strv_free(&s.driver.from);
	add_text(&s.driver.from, "https://a.example.com/modules");
	assert_true(source_has_network(&modules));
	assert_false(source_has_network(&firmware));
	add_text(&s.driver.runtime, "usr:");
	assert_false(source_has_network(&firmware));
	put_bundle(p, USR_ANY "fw.tar.zst", &(struct kind_of){ .kind = KIND_FIRMWARE });
	s.kind = KIND_FIRMWARE;
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "fw.tar.zst");
	search_forget(&s);
	add_text(&s.driver.runtime, "https://user:secret@a.example.com/{kind}");
	assert_true(source_has_network(&firmware));
	s.kind = KIND_RUNTIME;
	assert_int_equal(verdict(&s, &err), -E_NO_BUNDLE);
	assert_string_equal(err.text, "no runtime of " SAMPLE_NAME " 1.0 in usr: https://a.example.com/{kind}");
}

static void test_links_inside_the_directory_are_followed_and_those_out_of_it_not(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;

	search_begin(&s);
	put_bundle(p, USR_ANY "x.tar.zst", &(struct kind_of){ 0 });
	put_link(p, USR "y.tar.zst", "../any/x.tar.zst");
	put_bundle(p, "root/usr/lib/other/x.tar.zst", &(struct kind_of){ .serial = 9 });
	put_link(p, USR "out.tar.zst", "../../../other/x.tar.zst");
	put_link(p, USR "root.tar.zst", "/usr/lib/other/x.tar.zst");
	put_link(p, USR "dangling.tar.zst", "nowhere");
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "y.tar.zst x.tar.zst");
	assert_int_equal(s.rejected.n, 3);
}

static void test_what_is_not_a_file_is_refused_without_blocking(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;

	search_begin(&s);
	put_dir(p, USR "dir.tar.zst");
	put_fifo(p, USR "fifo.tar.zst");
	put_bundle(p, USR "x.tar.zst", &(struct kind_of){ 0 });
	must_not_block();
	assert_int_equal(search(&s, p), 0);
	assert_did_not_block();
	assert_string_equal(found_names(&s), "x.tar.zst");
	assert_int_equal(s.rejected.n, 2);
	for (size_t i = 0; i < 2; i++) /* not even read */
		assert_contains(s.rejected.v[i].why.text, "opening: ");
}

static void test_a_source_that_is_not_known_is_said_and_the_others_are_used(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;

	search_begin(&s);
	strv_free(&s.driver.from);
	add_text(&s.driver.from, "floppy:");
	add_text(&s.driver.from, "usr");
	add_text(&s.driver.from, "usr:");
	put_bundle(p, USR "x.tar.zst", &(struct kind_of){ 0 });
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "x.tar.zst");
	assert_int_equal(s.rejected.n, 2);
	assert_string_equal(s.rejected.v[0].origin, "floppy:");
	assert_int_equal(s.rejected.v[0].why.code, -E_BAD_CONFIG);
}

static void test_at_most_64_bundles_are_looked_at(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;

	search_begin(&s);
	for (unsigned int i = 0; i < LIMIT_CANDIDATES + 6; i++) {
		_cleanup_free_ char *path = str_printf(USR "%03u.tar.zst", i);

		put_text(p, path, "rubbish");
	}
	assert_int_equal(search(&s, p), 0);
	assert_int_equal(s.rejected.n, LIMIT_CANDIDATES + 1);
}

/* --- many drivers, one directory --- */

static void stat_of(const struct place *p, const char *path, struct stat *ret)
{
	assert_int_equal(fstatat(p->fd, path, ret, 0), 0);
}

static void test_a_file_that_another_driver_saw_is_not_read_again(void **state)
{
	struct place *p = *state;
	const struct timespec later[] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	_cleanup_search_ struct search s;
	struct seen seen = { 0 };
	struct stat st;

	search_begin(&s);
	s.seen = &seen;
	put_bundle(p, USR "a.tar.zst", &(struct kind_of){ 0 });
	stat_of(p, USR "a.tar.zst", &st);
	/* a lie, which a second look would find out */
	seen_add(&seen, &st, &(struct manifest){ .name = (char *)(uintptr_t)"other", .kind = KIND_MODULES });
	assert_int_equal(search(&s, p), 0);
	assert_int_equal(s.found.n, 0);
	assert_int_equal(s.rejected.n, 1);
	assert_int_equal(s.rejected.v[0].why.code, -E_NO_BUNDLE);
	assert_string_equal(s.rejected.v[0].why.text, "holds modules of other");
	/* what has changed is another file */
	assert_int_equal(utimensat(p->fd, USR "a.tar.zst", later, 0), 0);
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "a.tar.zst");
	assert_int_equal(seen.n, 2);
	/* one's own is remembered, and read nevertheless: nobody else's word makes it good */
	put_text(p, USR "a.tar.zst", "rubbish");
	assert_int_equal(search(&s, p), 0);
	assert_int_equal(s.found.n, 0);
	assert_int_equal(s.rejected.v[0].why.code, -E_CORRUPT);
	seen_free(&seen);
}

static void test_only_what_was_verified_is_remembered(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;
	struct seen seen = { 0 };
	struct stat st;

	search_begin(&s);
	s.seen = &seen;
	put_bundle(p, USR "a.tar.zst", &(struct kind_of){ .key = 1, .name = "other" });
	put_text(p, USR "b.tar.zst", "rubbish");
	put_bundle(p, USR "c.tar.zst", &(struct kind_of){ .name = "other" });
	for (int twice = 0; twice < 2; twice++) {
		assert_int_equal(search(&s, p), 0);
		assert_int_equal(s.rejected.n, 3);
		assert_int_equal(s.rejected.v[0].why.code, -E_UNTRUSTED);
		assert_int_equal(s.rejected.v[1].why.code, -E_CORRUPT);
		assert_int_equal(s.rejected.v[2].why.code, -E_NO_BUNDLE);
		assert_int_equal(seen.n, 1);
	}
	stat_of(p, USR "c.tar.zst", &st);
	assert_string_equal(seen_find(&seen, &st)->name, "other");
	seen_free(&seen);
}

/* --- which one is taken --- */

static void test_only_this_drivers_files_of_the_cache_are_opened(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;

	search_begin(&s);
	free(put_cached(p, RELEASE, SAMPLE_NAME, &(struct kind_of){ 0 }));
	/* each would be a rejection if it were opened */
	free(put_cached(p, RELEASE, "virtio", &(struct kind_of){ .serial = 2 }));
	free(put_cached(p, RELEASE, SAMPLE_NAME "-modules", &(struct kind_of){ .serial = 3 }));
	free(put_cached(p, RELEASE, SAMPLE_NAME "-modules-next", &(struct kind_of){ .serial = 4 }));
	free(put_cached(p, "6.1.0-55-amd64", SAMPLE_NAME, &(struct kind_of){ .serial = 5 }));
	for (unsigned int i = 0; i < LIMIT_CANDIDATES; i++) {
		_cleanup_free_ char *path = str_printf(CACHE SAMPLE_NAME "%u-modules-%064u.tar.zst", i, i);

		put_text(p, path, "another driver's");
	}
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "cached");
	assert_int_equal(s.rejected.n, 0);
}

/* The name is the hash of the manifest: what it does not fit is damaged, or another file. */
static void test_a_cached_file_that_is_not_what_its_name_tells_is_corrupt(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;
	_cleanup_free_ char *other = NULL, *path = NULL;
	_cleanup_strv_ struct strv said = { 0 };

	search_begin(&s);
	free(put_cached(p, RELEASE, SAMPLE_NAME, &(struct kind_of){ .serial = 8 }));
	path = str_printf(CACHE SAMPLE_NAME "-modules-%064u.tar.zst", 0u);
	put_bundle(p, path, &(struct kind_of){ .serial = 9 });
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "cached");
	assert_int_equal(bundle_manifest(s.found.v[0].bundle)->serial, 8);
	assert_int_equal(s.rejected.n, 1);
	assert_int_equal(s.rejected.v[0].why.code, -E_CORRUPT);
	assert_int_equal(source_quarantine(&p->host, &s.config, &s.rejected, 0, &said), 0);
	assert_int_equal(said.n, 1);
	assert_contains(said.v[0], "moved to quarantine");
	assert_false(is_there(p, path));
	other = str_printf("root" STORE_DIR "/.quarantine/%s", strrchr(path, '/') + 1);
	assert_true(is_there(p, other));
	assert_int_equal(search(&s, p), 0);
	assert_int_equal(s.rejected.n, 0);
}

static void test_only_damaged_files_of_the_cache_go_to_quarantine(void **state)
{
	static const struct {
		const char *origin;
		int code;
	} cases[] = {
		{ "usr:/usr/lib/modulus/bundles/" RELEASE "/x.tar.zst", -E_CORRUPT },
		{ "https://example.com/" RELEASE "/x.tar.zst", -E_CORRUPT },
		{ "cache", -E_CORRUPT },
		{ "cache:" STORE_DIR "/" RELEASE "/x.tar.zst", -E_UNTRUSTED },
		{ "cache:" STORE_DIR "/" RELEASE "/x.tar.zst", -E_WRONG_KERNEL },
		{ "cache:" STORE_DIR "/" RELEASE "/x.tar.zst", -EIO },
	};
	struct place *p = *state;

	put_text(p, CACHE "x.tar.zst", "x");
	put_text(p, USR "x.tar.zst", "x");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_rejections_ struct rejections rejected = { 0 };
		_cleanup_strv_ struct strv said = { 0 };
		const struct config config = { 0 };
		struct err why;

		(void)err_set(&why, cases[i].code, "it");
		assert_int_equal(rejections_add(&rejected, cases[i].origin, &why), 0);
		assert_int_equal(source_quarantine(&p->host, &config, &rejected, 0, &said), 0);
		assert_int_equal(said.n, 0);
		assert_true(is_there(p, CACHE "x.tar.zst") && is_there(p, USR "x.tar.zst"));
	}
}

static void test_a_link_of_usr_that_leads_out_of_the_root_is_not_followed(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;
	_cleanup_free_ char *outside = place_path(p, "outside");

	search_begin(&s);
	put_bundle(p, "outside/" RELEASE "/x.tar.zst", &(struct kind_of){ 0 });
	put_dir(p, "root/usr/lib/modulus");
	put_link(p, "root/usr/lib/modulus/bundles", outside);
	assert_int_equal(search(&s, p), 0);
	assert_int_equal(s.found.n, 0);
	assert_int_equal(unlinkat(p->fd, "root/usr/lib/modulus/bundles", 0), 0);
	/* within the root it is the operator's to say where they are */
	put_bundle(p, "root/srv/gpu/" RELEASE "/y.tar.zst", &(struct kind_of){ 0 });
	put_link(p, "root/usr/lib/modulus/bundles", "/srv/gpu");
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "y.tar.zst");
	/* and a directory below it does not lead anywhere else */
	put_bundle(p, "root/srv/other/z.tar.zst", &(struct kind_of){ 0 });
	put_link(p, "root/srv/gpu/any", "../other");
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "y.tar.zst");
}

static void test_the_highest_serial_is_first_then_the_order_of_from(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;

	search_begin(&s);
	free(put_cached(p, RELEASE, SAMPLE_NAME, &(struct kind_of){ .serial = 8 }));
	free(put_cached(p, RELEASE, SAMPLE_NAME, &(struct kind_of){ .serial = 10 }));
	put_bundle(p, USR "c.tar.zst", &(struct kind_of){ .serial = 10 }); /* the same bundle */
	put_bundle(p, USR "d.tar.zst", &(struct kind_of){ .serial = 9 });
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "cached c.tar.zst d.tar.zst cached");
	strv_free(&s.driver.from);
	add_text(&s.driver.from, "usr:");
	add_text(&s.driver.from, "cache:");
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "c.tar.zst cached d.tar.zst cached");
}

static void test_a_bundle_that_does_not_answer_is_refused_and_it_is_said_why(void **state)
{
	static const struct {
		const char *what;
		struct kind_of k;
		int code;
		const char *says;
	} cases[] = {
		{ "another driver", { .name = "nvidia" }, -E_NO_BUNDLE, "holds modules of nvidia" },
		{ "another kind", { .kind = KIND_FIRMWARE }, -E_NO_BUNDLE, "holds firmware of virtio-gpu" },
		{ "another version", { .version = "1.0.1" }, -E_NO_BUNDLE, "is version 1.0.1, wanted 1.0" },
		{ "another kernel", { .release = "6.1.0-55-amd64" }, -E_WRONG_KERNEL,
		  "bundle is for kernel 6.1.0-55-amd64, running " RELEASE },
		{ "another machine", { .machine = "vax" }, -E_WRONG_KERNEL, "bundle is for vax" },
		{ "another build", { .build_id = "ffffffffffffffffffff" }, -E_WRONG_KERNEL, "build ffffffffffff..." },
		{ "another signer", { .key = 1 }, -E_UNTRUSTED, "unknown key" },
	};
	struct place *p = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_search_ struct search s;
		struct err err;

		search_begin(&s);
		put_bundle(p, USR "x.tar.zst", &cases[i].k);
		assert_case(cases[i].what, search(&s, p) == 0);
		assert_case(cases[i].what, s.rejected.n == 1);
		assert_case(cases[i].what, s.rejected.v[0].why.code == cases[i].code);
		assert_contains(s.rejected.v[0].why.text, cases[i].says);
		assert_case(cases[i].what, verdict(&s, &err) == cases[i].code);
	}
}

static void test_a_bundle_for_no_build_in_particular_fits(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;

	search_begin(&s);
	put_bundle(p, USR "x.tar.zst", &(struct kind_of){ .build_id = "" });
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "x.tar.zst");
}

static void test_min_serial_is_the_floor(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;
	struct err err;

	search_begin(&s);
	put_bundle(p, USR "x.tar.zst", &(struct kind_of){ .serial = 7 });
	s.driver.min_serial = 7;
	assert_int_equal(search(&s, p), 0);
	assert_int_equal(s.found.n, 1);
	s.driver.min_serial = 8;
	assert_int_equal(search(&s, p), 0);
	assert_int_equal(verdict(&s, &err), -E_STALE);
	assert_contains(err.text, "has serial 7, MinSerial= wants 8");
}

static void test_the_pin_wins_over_every_serial(void **state)
{
	struct place *p = *state;
	_cleanup_blob_ struct blob old = { 0 };
	_cleanup_search_ struct search s;
	char digest[65];
	struct err err;

	search_begin(&s);
	old = bundle_like(&(struct kind_of){ .serial = 2 }, digest);
	put_blob(p, USR "old.tar.zst", old.v, old.n);
	put_bundle(p, USR "new.tar.zst", &(struct kind_of){ .serial = 9 });
	put_bundle(p, USR "twin.tar.zst", &(struct kind_of){ .serial = 2, .content = "y" });
	set_text(&s.driver.digest, digest);
	s.driver.min_serial = 5; /* and over the floor */
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "old.tar.zst");
	assert_int_equal(s.rejected.n, 2);
	assert_int_equal(s.rejected.v[0].why.code, -E_STALE);
	assert_contains(s.rejected.v[0].why.text, "Digest= pins");
	digest[0] = digest[0] == '0' ? '1' : '0';
	set_text(&s.driver.digest, digest);
	assert_int_equal(search(&s, p), 0);
	assert_int_equal(verdict(&s, &err), -E_STALE);
}

static void test_two_bundles_with_one_serial_are_equivocation_and_neither_is_taken(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;

	search_begin(&s);
	put_bundle(p, USR "x.tar.zst", &(struct kind_of){ .content = "x" });
	put_bundle(p, USR "y.tar.zst", &(struct kind_of){ .content = "y" });
	assert_int_equal(search(&s, p), -E_EQUIVOCATION);
	assert_contains(s.err.text, "x.tar.zst");
	assert_contains(s.err.text, "y.tar.zst");
	assert_contains(s.err.text, "serial 7");
	assert_int_equal(s.found.n, 0);
}

static void test_equivocation_below_the_best_does_not_matter(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;

	search_begin(&s);
	put_bundle(p, USR "best.tar.zst", &(struct kind_of){ .serial = 9 });
	put_bundle(p, USR "x.tar.zst", &(struct kind_of){ .content = "x" });
	put_bundle(p, USR "y.tar.zst", &(struct kind_of){ .content = "y" });
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(s.found.v[0].origin, "usr:/usr/lib/modulus/bundles/" RELEASE "/best.tar.zst");
}

static void test_flavours_number_their_serials_by_themselves(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;

	search_begin(&s);
	put_bundle(p, USR "x.tar.zst", &(struct kind_of){ .content = "x" });
	put_bundle(p, USR "y.tar.zst", &(struct kind_of){ .flavor = "open", .content = "y" });
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "x.tar.zst y.tar.zst");
}

/* --- which devices, which flavour --- */

#define OLD "pci:v000010DEd00001B06sv00001028sd0000129Ebc03sc00i00"
#define NEW "pci:v000010DEd00002330sv000010DEd000016C1bc03sc02i00"
#define NEWER "pci:v000010DEd00002C3Asv000010DEd00000000bc03sc02i00"
#define AUDIO "pci:v000010DEd000010EFsv00001028sd0000129Ebc04sc03i00"
/* for all that the driver asks for but the old ones; for those that are known, the newest not among them */
#define OPEN { .flavor = "open", .serial = 5, .match = "!pci:v000010DEd00001B0[0246]* pci:v000010DEd*bc03sc0[02]*" }
#define CLOSED { .flavor = "closed", .serial = 9, .match = "pci:v000010DEd00001B0[0246]* pci:v000010DEd00002330*" }

static void have_devices(struct search *s, const char *a, const char *b)
{
	static char first[128], second[128];

	snprintf(first, sizeof(first), "%s", a);
	snprintf(second, sizeof(second), "%s", b ? b : "");
	s->devices[0] = (struct device){ .modalias = first };
	s->devices[1] = (struct device){ .modalias = second };
	s->n_devices = b ? 2 : 1;
}

static void test_the_devices_that_are_here_and_then_flavor_decide_and_no_serial(void **state)
{
	static const struct {
		const char *flavors, *device, *other, *found;
		int verdict; /* of no device at all */
	} cases[] = {
		{ "open closed", NEW, NULL, "open.tar.zst closed.tar.zst", 0 },
		{ "closed open", NEW, NULL, "closed.tar.zst open.tar.zst", 0 },
		{ "open closed", OLD, NULL, "closed.tar.zst", 0 },
		{ "closed open", NEWER, NULL, "open.tar.zst", 0 },
		/* what drives both goes before what drives one */
		{ "open closed", OLD, NEW, "closed.tar.zst open.tar.zst", 0 },
		{ "closed open", NEWER, NEW, "open.tar.zst closed.tar.zst", 0 },
		{ "open closed", OLD, NEWER, "open.tar.zst closed.tar.zst", 0 },
		/* devices that do not ask for the driver count for nothing */
		{ "open closed", NEW, AUDIO, "open.tar.zst closed.tar.zst", 0 },
		{ "open closed", AUDIO, NULL, "open.tar.zst closed.tar.zst", 0 },
		/* any flavour: the serial */
		{ "", NEW, NULL, "closed.tar.zst open.tar.zst", 0 },
		{ "", OLD, NULL, "closed.tar.zst", 0 },
		{ "open", OLD, NULL, "", -E_NO_DEVICE },
		{ "closed", NEWER, NULL, "", -E_NO_DEVICE },
		{ "none", NEWER, NULL, "", -E_NO_BUNDLE },
	};
	struct place *p = *state;

	put_bundle(p, USR "open.tar.zst", &(struct kind_of)OPEN);
	put_bundle(p, USR "closed.tar.zst", &(struct kind_of)CLOSED);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_search_ struct search s;
		struct err err;

		search_begin(&s);
		add_text(&s.driver.match, "pci:v000010DEd*bc03sc0[02]*");
		assert_int_equal(strv_add_words(&s.driver.flavors, cases[i].flavors, NULL), 0);
		have_devices(&s, cases[i].device, cases[i].other);
		assert_int_equal(search(&s, p), 0);
		assert_string_equal(found_names(&s), cases[i].found);
		if (cases[i].verdict < 0)
			assert_int_equal(verdict(&s, &err), cases[i].verdict);
		if (cases[i].verdict == -E_NO_DEVICE)
			assert_contains(err.text, "drives none of the driver's devices here");
	}
}

static void test_a_bundle_that_names_no_device_drives_all(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;

	search_begin(&s);
	add_text(&s.driver.match, "pci:*");
	have_devices(&s, OLD, NEWER);
	put_bundle(p, USR "a.tar.zst", &(struct kind_of)CLOSED);
	put_bundle(p, USR "b.tar.zst", &(struct kind_of){ .serial = 1 });
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "b.tar.zst a.tar.zst");
}

static void test_a_pin_is_of_one_bundle_and_drives_what_it_drives(void **state)
{
	char digest[65];
	_cleanup_blob_ struct blob b = bundle_like(&(struct kind_of)CLOSED, digest);
	struct place *p = *state;
	_cleanup_search_ struct search s;
	struct err err;

	search_begin(&s);
	add_text(&s.driver.match, "pci:*");
	set_text(&s.driver.digest, digest);
	put_blob(p, USR "closed.tar.zst", b.v, b.n);
	put_bundle(p, USR "open.tar.zst", &(struct kind_of)OPEN);
	have_devices(&s, NEW, NULL);
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "closed.tar.zst");
	have_devices(&s, NEWER, NULL);
	assert_int_equal(search(&s, p), 0);
	assert_int_equal(verdict(&s, &err), -E_STALE); /* the other one drives it and is not the pinned one */
}

static void test_a_flavour_that_found_no_device_is_not_asked_for_again(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;
	const struct source_request req = { .driver = &s.driver, .passed = &s.passed };

	search_begin(&s);
	add_text(&s.driver.from, "https://a.example.com/modules");
	assert_true(source_has_network(&req));
	put_bundle(p, USR "open.tar.zst", &(struct kind_of)OPEN);
	put_bundle(p, USR "closed.tar.zst", &(struct kind_of)CLOSED);
	add_text(&s.passed, "open");
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "closed.tar.zst");
	assert_int_equal(s.rejected.v[0].why.code, -E_NO_DEVICE);
	/* a network is asked for what Flavor= names, and not for guesses */
	assert_false(source_has_network(&req));
	add_text(&s.driver.flavors, "open");
	assert_false(source_has_network(&req));
	add_text(&s.driver.flavors, "closed");
	assert_true(source_has_network(&req));
	add_text(&s.passed, "closed");
	assert_false(source_has_network(&req));
}

static void test_a_network_source_is_asked_for_each_flavour_that_is_left(void **state)
{
	static const struct {
		const char *passed, *asked;
	} cases[] = {
		{ NULL, "/a/open /a/closed /b /c/open/open /c/closed/closed" },
		{ "open", "/a/closed /b /c/closed/closed" },
	};
	struct place *p = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_search_ struct search s;
		const struct source_request req = { .host = &p->host, .cmdline = &s.cmdline, .kernel = &s.kernel,
						    .keys = sample_ring(0), .config = &s.config, .driver = &s.driver,
						    .passed = &s.passed, .kind = KIND_MODULES, .until_us = now_us() };
		char asked[256] = "";
		unsigned int cursor = 0;

		search_begin(&s);
		assert_int_equal(strv_add_words(&s.driver.from, "http://127.0.0.1:1/a/{flavor} http://127.0.0.1:1/b usr: "
						"http://127.0.0.1:1/c/{flavor}/{flavor}", NULL), 0);
		assert_int_equal(strv_add_words(&s.driver.flavors, "open closed", NULL), 0);
		if (cases[i].passed)
			add_text(&s.passed, cases[i].passed);
		assert_int_equal(source_find_network(&req, &cursor, &s.found, &s.rejected, &s.err), 0);
		for (size_t j = 0; j < s.rejected.n; j++) {
			const char *path = NULL;

			assert_true(str_prefix(s.rejected.v[j].origin, "http://127.0.0.1:1", &path));
			snprintf(asked + strlen(asked), sizeof(asked) - strlen(asked), "%s%s", j ? " " : "", path);
		}
		assert_string_equal(asked, cases[i].asked);
	}
}

static void test_two_truths_of_a_flavour_that_is_second_choice_take_that_flavour_away(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;

	search_begin(&s);
	assert_int_equal(strv_add_words(&s.driver.flavors, "open closed", NULL), 0);
	put_bundle(p, USR "a.tar.zst", &(struct kind_of){ .flavor = "closed", .content = "x" });
	put_bundle(p, USR "b.tar.zst", &(struct kind_of){ .flavor = "closed", .content = "y" });
	put_bundle(p, USR "c.tar.zst", &(struct kind_of){ .flavor = "closed", .serial = 1 });
	put_bundle(p, USR "d.tar.zst", &(struct kind_of){ .flavor = "open", .serial = 1 });
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "d.tar.zst");
	assert_int_equal(s.rejected.n, 1);
	assert_int_equal(s.rejected.v[0].why.code, -E_EQUIVOCATION);
	strv_free(&s.driver.flavors);
	assert_int_equal(strv_add_words(&s.driver.flavors, "closed open", NULL), 0);
	assert_int_equal(search(&s, p), -E_EQUIVOCATION);
}

static void test_firmware_is_that_of_the_modules_flavour(void **state)
{
	struct place *p = *state;
	_cleanup_search_ struct search s;

	search_begin(&s);
	s.kind = KIND_FIRMWARE;
	assert_int_equal(strv_add_words(&s.driver.flavors, "open closed", NULL), 0);
	put_bundle(p, USR_ANY "open.tar.zst", &(struct kind_of){ .kind = KIND_FIRMWARE, .flavor = "open" });
	put_bundle(p, USR_ANY "closed.tar.zst", &(struct kind_of){ .kind = KIND_FIRMWARE, .flavor = "closed", .serial = 9 });
	put_bundle(p, USR_ANY "both.tar.zst", &(struct kind_of){ .kind = KIND_FIRMWARE, .serial = 1 });
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "closed.tar.zst open.tar.zst both.tar.zst");
	s.flavor = "open";
	assert_int_equal(search(&s, p), 0);
	assert_string_equal(found_names(&s), "open.tar.zst both.tar.zst");
}

static void test_what_was_in_use_here_is_not_undercut(void **state)
{
	char digest[65];
	_cleanup_blob_ struct blob b = bundle_like(&(struct kind_of){ .serial = 7 }, digest);
	const struct serial_mark mark = { .name = SAMPLE_NAME, .kind = "modules", .flavor = "", .version = "1.0",
					  .release = RELEASE, .build_id = BUILD_ID, .digest = digest, .serial = 7 };
	struct place *p = *state;
	_cleanup_search_ struct search s;
	struct err err;

	search_begin(&s);
	assert_int_equal(serial_remember(&p->host, &mark, &err), 0);
	put_bundle(p, USR "x.tar.zst", &(struct kind_of){ .serial = 6 });
	assert_int_equal(search(&s, p), 0);
	assert_int_equal(verdict(&s, &err), -E_STALE);
	put_bundle(p, USR "x.tar.zst", &(struct kind_of){ .serial = 7, .content = "y" });
	assert_int_equal(search(&s, p), 0);
	assert_int_equal(verdict(&s, &err), -E_EQUIVOCATION);
	put_blob(p, USR "x.tar.zst", b.v, b.n);
	assert_int_equal(search(&s, p), 0);
	assert_int_equal(s.found.n, 1);
	put_bundle(p, USR "x.tar.zst", &(struct kind_of){ .serial = 8 });
	assert_int_equal(search(&s, p), 0);
	assert_int_equal(s.found.n, 1);
}

static void test_a_pin_may_undercut_what_was_in_use(void **state)
{
	char digest[65];
	_cleanup_blob_ struct blob b = bundle_like(&(struct kind_of){ .serial = 2 }, digest);
	const struct serial_mark mark = { .name = SAMPLE_NAME, .kind = "modules", .flavor = "", .version = "1.0",
					  .release = RELEASE, .build_id = BUILD_ID, .digest = "00", .serial = 7 };
	struct place *p = *state;
	_cleanup_search_ struct search s;
	struct err err;

	search_begin(&s);
	assert_int_equal(serial_remember(&p->host, &mark, &err), 0);
	put_blob(p, USR "x.tar.zst", b.v, b.n);
	set_text(&s.driver.digest, digest);
	assert_int_equal(search(&s, p), 0);
	assert_int_equal(s.found.n, 1);
}

/* --- the verdict --- */

static void test_the_verdict_is_the_failure_that_says_most(void **state)
{
	/* each says more than those before it */
	static const int order[] = { -EIO,	    -E_NO_DEVICE,   -E_WRONG_KERNEL, -E_STALE,	  -E_NETWORK, -E_CORRUPT,
				     -E_UNTRUSTED, -E_EQUIVOCATION, -E_UNSIGNED, -E_AMBIGUOUS };
	struct driver d = { 0 };
	const struct source_request req = { .driver = &d };

	(void)state;
	set_text(&d.name, SAMPLE_NAME);
	set_text(&d.version, "1.0");
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		for (size_t j = 0; j < i; j++) {
			_cleanup_rejections_ struct rejections r = { 0 }, reversed = { 0 };
			struct err more = { .code = order[i], .text = "more" }, less = { .code = order[j], .text = "less" };
			struct err none = { .code = -E_NO_BUNDLE, .text = "another version" }, err;

			assert_int_equal(rejections_add(&r, "usr:none", &none), 0);
			assert_int_equal(rejections_add(&r, "usr:less", &less), 0);
			assert_int_equal(rejections_add(&r, "usr:more", &more), 0);
			assert_int_equal(rejections_verdict(&r, &req, &err), order[i]);
			assert_string_equal(err.text, "usr:more: more");
			assert_int_equal(rejections_add(&reversed, "usr:more", &more), 0);
			assert_int_equal(rejections_add(&reversed, "usr:less", &less), 0);
			assert_int_equal(rejections_verdict(&reversed, &req, &err), order[i]);
		}
	}
	free(d.name);
	free(d.version);
}

static void test_a_file_that_cannot_be_verified_counts_for_the_driver_it_is_named_after(void **state)
{
	static const struct {
		const char *file;
		int code; /* of the verdict about virtio-gpu */
	} cases[] = {
		{ "virtio-gpu.tar.zst", -E_CORRUPT },
		{ "virtio-gpu-modules-0.tar.zst", -E_CORRUPT },
		{ "virtio-gpu_1.0.tar.zst", -E_CORRUPT },
		{ "anything.tar.zst", -E_CORRUPT }, /* nobody's: it may be anybody's */
		{ "virtio.tar.zst", -E_NO_BUNDLE },
		{ "virtio-gpu-next.tar.zst", -E_NO_BUNDLE }, /* the longer name is nearer */
		{ "virtio-net.tar.zst", -E_NO_BUNDLE },	     /* virtio's, by its first part */
		{ "virtio-gpux.tar.zst", -E_NO_BUNDLE },
	};
	static char virtio[] = "virtio", next[] = "virtio-gpu-next";

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *path = str_printf(USR "%s", cases[i].file);
		_cleanup_search_ struct search s;
		struct driver all[3];
		struct place *p;
		struct err err;

		(void)state;
		place_setup((void **)&p);
		search_begin(&s);
		all[0] = (struct driver){ .name = virtio };
		all[1] = s.driver;
		all[2] = (struct driver){ .name = next };
		s.config = (struct config){ .drivers = all, .n_drivers = 3 };
		put_text(p, path, "rubbish");
		assert_int_equal(search(&s, p), 0);
		assert_int_equal(s.rejected.n, 1);
		assert_case(cases[i].file, verdict(&s, &err) == cases[i].code);
		place_teardown((void **)&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_bundles_are_found_in_cache_and_usr),
		at_place(test_no_bundle_anywhere_is_no_failure_and_the_verdict_names_the_places),
		at_place(test_only_files_that_are_named_as_bundles_are_opened),
		at_place(test_what_is_bound_to_no_kernel_is_looked_for_in_any_alone),
		at_place(test_a_pin_a_floor_and_a_flavour_are_about_modules),
		at_place(test_runtime_adds_places_for_what_is_bound_to_no_kernel),
		at_place(test_links_inside_the_directory_are_followed_and_those_out_of_it_not),
		at_place(test_what_is_not_a_file_is_refused_without_blocking),
		at_place(test_a_source_that_is_not_known_is_said_and_the_others_are_used),
		at_place(test_at_most_64_bundles_are_looked_at),
		at_place(test_a_file_that_another_driver_saw_is_not_read_again),
		at_place(test_only_what_was_verified_is_remembered),
		at_place(test_only_this_drivers_files_of_the_cache_are_opened),
		at_place(test_a_cached_file_that_is_not_what_its_name_tells_is_corrupt),
		at_place(test_only_damaged_files_of_the_cache_go_to_quarantine),
		at_place(test_a_link_of_usr_that_leads_out_of_the_root_is_not_followed),
		at_place(test_the_highest_serial_is_first_then_the_order_of_from),
		at_place(test_a_bundle_that_does_not_answer_is_refused_and_it_is_said_why),
		at_place(test_a_bundle_for_no_build_in_particular_fits),
		at_place(test_min_serial_is_the_floor),
		at_place(test_the_pin_wins_over_every_serial),
		at_place(test_two_bundles_with_one_serial_are_equivocation_and_neither_is_taken),
		at_place(test_equivocation_below_the_best_does_not_matter),
		at_place(test_flavours_number_their_serials_by_themselves),
		at_place(test_the_devices_that_are_here_and_then_flavor_decide_and_no_serial),
		at_place(test_a_bundle_that_names_no_device_drives_all),
		at_place(test_a_pin_is_of_one_bundle_and_drives_what_it_drives),
		at_place(test_a_flavour_that_found_no_device_is_not_asked_for_again),
		at_place(test_a_network_source_is_asked_for_each_flavour_that_is_left),
		at_place(test_two_truths_of_a_flavour_that_is_second_choice_take_that_flavour_away),
		at_place(test_firmware_is_that_of_the_modules_flavour),
		at_place(test_what_was_in_use_here_is_not_undercut),
		at_place(test_a_pin_may_undercut_what_was_in_use),
		cmocka_unit_test(test_the_verdict_is_the_failure_that_says_most),
		cmocka_unit_test(test_a_file_that_cannot_be_verified_counts_for_the_driver_it_is_named_after),
	};

	return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
