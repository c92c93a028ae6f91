// SPDX-License-Identifier: Apache-2.0
#include <elf.h>

#include "sample.h"

/* --- ELF notes --- */

static void add_note(struct blob *b, const char *name, uint32_t type, const void *desc, size_t n, bool padded)
{
	const Elf64_Nhdr h = { .n_namesz = (uint32_t)strlen(name) + 1, .n_descsz = (uint32_t)n, .n_type = type };
	static const char zeroes[4];

	blob_add(b, &h, sizeof(h));
	blob_add(b, name, h.n_namesz);
	blob_add(b, zeroes, (4 - h.n_namesz % 4) % 4);
	blob_add(b, desc, n);
	if (padded)
		blob_add(b, zeroes, (4 - n % 4) % 4);
}

/* A build-id note as it looks on x86: Xen's notes come first. */
static struct blob notes_of(size_t id_bytes)
{
	uint8_t id[64];
	struct blob b = { 0 };

	for (size_t i = 0; i < sizeof(id); i++)
		id[i] = (uint8_t)(0xa0 + i);
	add_note(&b, "Xen", 6, "linux", 6, true);
	add_note(&b, "Linux", 257, "\0\0\0\0", 4, true);
	add_note(&b, "GNU", NT_GNU_BUILD_ID, id, id_bytes, true);
	return b;
}

static void test_the_build_id_is_found_behind_other_notes(void **state)
{
	_cleanup_blob_ struct blob b = notes_of(20);
	char hex[2 * LIMIT_BUILD_ID_BYTES + 1];

	(void)state;
	assert_int_equal(kernel_notes_build_id(b.v, b.n, hex), 0);
	assert_string_equal(hex, "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3");
}

static void test_build_ids_have_8_to_32_bytes(void **state)
{
	static const struct {
		size_t bytes;
		int code;
	} cases[] = { { 0, -ENOENT }, { 7, -ENOENT }, { 8, 0 }, { 16, 0 }, { 20, 0 }, { 32, 0 }, { 33, -ENOENT } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_blob_ struct blob b = notes_of(cases[i].bytes);
		char hex[2 * LIMIT_BUILD_ID_BYTES + 1] = "untouched";

		assert_int_equal(kernel_notes_build_id(b.v, b.n, hex), cases[i].code);
		assert_int_equal(strlen(hex), cases[i].code ? strlen("untouched") : 2 * cases[i].bytes);
	}
}

static void test_the_note_must_have_the_right_name_and_type(void **state)
{
	static const struct {
		const char *name;
		uint32_t type;
	} cases[] = { { "GNV", NT_GNU_BUILD_ID }, { "GN", NT_GNU_BUILD_ID }, { "GNUX", NT_GNU_BUILD_ID },
		      { "GNU", NT_GNU_ABI_TAG } };
	const uint8_t id[20] = { 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_blob_ struct blob b = { 0 };
		char hex[2 * LIMIT_BUILD_ID_BYTES + 1];

		add_note(&b, cases[i].name, cases[i].type, id, sizeof(id), true);
		assert_case(cases[i].name, kernel_notes_build_id(b.v, b.n, hex) == -ENOENT);
		add_note(&b, "GNU", NT_GNU_BUILD_ID, id, sizeof(id), true); /* the search goes on behind it */
		assert_case(cases[i].name, kernel_notes_build_id(b.v, b.n, hex) == 0);
	}
}

static void test_the_last_note_may_lack_its_padding(void **state)
{
	_cleanup_blob_ struct blob b = { 0 }, other = { 0 };
	const uint8_t id[21] = { 1 };
	char hex[2 * LIMIT_BUILD_ID_BYTES + 1];

	(void)state;
	add_note(&b, "GNU", NT_GNU_BUILD_ID, id, sizeof(id), false);
	assert_int_equal(kernel_notes_build_id(b.v, b.n, hex), 0);
	assert_int_equal(strlen(hex), 42);
	add_note(&other, "Xen", 6, "linux", 6, false);
	assert_int_equal(kernel_notes_build_id(other.v, other.n, hex), -ENOENT);
}

static void test_notes_cut_at_any_place_give_no_build_id(void **state)
{
	_cleanup_blob_ struct blob b = notes_of(20);

	(void)state;
	for (size_t n = 0; n < b.n; n++) {
		/* in memory of its own, so that a read behind the end is seen */
		_cleanup_bytes_ uint8_t *cut = malloc(n ? n : 1);
		char hex[2 * LIMIT_BUILD_ID_BYTES + 1] = "";
		int r;

		assert_non_null(cut);
		memcpy(cut, b.v, n);
		r = kernel_notes_build_id(cut, n, hex);
		assert_true(r == -EBADMSG || r == -ENOENT);
		assert_string_equal(hex, "");
	}
}

static void test_sizes_near_the_end_of_the_number_range_do_not_wrap(void **state)
{
	static const uint32_t sizes[][2] = { { UINT32_MAX, 20 }, { 4, UINT32_MAX }, { UINT32_MAX, UINT32_MAX },
					     { UINT32_MAX - 3, UINT32_MAX - 3 }, { 0, UINT32_MAX - 2 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_blob_ struct blob b = notes_of(20);
		char hex[2 * LIMIT_BUILD_ID_BYTES + 1];

		memcpy(b.v, sizes[i], sizeof(sizes[i]));
		assert_int_equal(kernel_notes_build_id(b.v, b.n, hex), -EBADMSG);
	}
}

/* --- does a bundle fit? --- */

static void test_a_bundle_fits_the_build_it_was_made_for_and_no_other(void **state)
{
	static const struct {
		const char *what, *release, *machine, *bundle_id, *kernel_id;
		int code;
		const char *says;
	} cases[] = {
		{ "same build", "6.1.0", "x86_64", "aa11", "aa11", 0, NULL },
		{ "bundle without build-id", "6.1.0", "x86_64", NULL, "aa11", 0, NULL },
		{ "kernel without build-id", "6.1.0", "x86_64", "aa11", "", 0, NULL },
		{ "neither has one", "6.1.0", "x86_64", NULL, "", 0, NULL },
		{ "other release", "6.1.1", "x86_64", "aa11", "aa11", -E_WRONG_KERNEL,
		  "bundle is for kernel 6.1.1, running 6.1.0" },
		{ "longer release", "6.1.0-1", "x86_64", NULL, "", -E_WRONG_KERNEL, "6.1.0-1, running 6.1.0" },
		{ "other machine", "6.1.0", "aarch64", "aa11", "aa11", -E_WRONG_KERNEL,
		  "bundle is for aarch64, running on x86_64" },
		{ "other build of the same release", "6.1.0", "x86_64", "bb22", "aa11", -E_WRONG_KERNEL,
		  "build bb22... of kernel 6.1.0, running build aa11..." },
		{ "longer build-id", "6.1.0", "x86_64", "aa1122", "aa11", -E_WRONG_KERNEL, "build aa1122" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kernel k = { .release = "6.1.0", .machine = "x86_64" };
		_cleanup_manifest_ struct manifest *m = calloc(1, sizeof(*m));
		struct err err = { 0 };

		snprintf(k.build_id, sizeof(k.build_id), "%s", cases[i].kernel_id);
		set_text(&m->kernel.release, cases[i].release);
		set_text(&m->kernel.machine, cases[i].machine);
		set_text(&m->kernel.build_id, cases[i].bundle_id);
		assert_case(cases[i].what, kernel_fits(&k, m, &err) == cases[i].code);
		if (cases[i].says)
			assert_contains(err.text, cases[i].says);
	}
}

/* --- the running kernel --- */

static void test_the_running_kernel_is_read_from_the_live_root(void **state)
{
	_cleanup_blob_ struct blob notes = notes_of(20);
	struct place *p = *state;
	struct kernel k;
	struct err err;

	put_text(p, "live/proc/sys/kernel/osrelease", RELEASE "\n");
	put_blob(p, "live/sys/kernel/notes", notes.v, notes.n);
	assert_int_equal(kernel_running(&p->host, &k, &err), 0);
	assert_string_equal(k.release, RELEASE);
	assert_string_equal(k.machine, machine_here());
	assert_string_equal(k.build_id, "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3");
	assert_false(k.signed_only);
}

static void test_a_kernel_without_a_build_id_is_no_failure(void **state)
{
	struct place *p = *state;
	struct kernel k;
	struct err err;

	put_text(p, "live/proc/sys/kernel/osrelease", RELEASE "\n");
	assert_int_equal(kernel_running(&p->host, &k, &err), 0);
	assert_string_equal(k.build_id, "");
	put_text(p, "live/sys/kernel/notes", "not a note");
	assert_int_equal(kernel_running(&p->host, &k, &err), 0);
	assert_string_equal(k.build_id, "");
}

static void test_a_kernel_without_a_release_is_a_failure_that_names_the_file(void **state)
{
	struct place *p = *state;
	struct kernel k;
	struct err err;

	assert_int_equal(kernel_running(&p->host, &k, &err), -ENOENT);
	assert_contains(err.text, "/proc/sys/kernel/osrelease");
}

static void test_a_release_of_64_bytes_the_most_that_uname_has_is_read(void **state)
{
	_cleanup_blob_ struct blob b = { 0 };
	struct place *p = *state;
	struct kernel k;
	struct err err;

	blob_fill(&b, '6', LIMIT_RELEASE_BYTES);
	blob_add_text(&b, "\n");
	put_blob(p, "live/proc/sys/kernel/osrelease", b.v, b.n);
	assert_int_equal(kernel_running(&p->host, &k, &err), 0);
	assert_int_equal(strlen(k.release), LIMIT_RELEASE_BYTES);
}

static void test_who_demands_signed_modules(void **state)
{
	static const struct {
		const char *sig_enforce, *lockdown;
		bool signed_only;
	} cases[] = {
		{ NULL, NULL, false },
		{ "N\n", NULL, false },
		{ "Y\n", NULL, true },
		{ NULL, "[none] integrity confidentiality\n", false },
		{ NULL, "none [integrity] confidentiality\n", true },
		{ NULL, "none integrity [confidentiality]\n", true },
		{ "N\n", "none [integrity] confidentiality\n", true },
		{ "Y\n", "[none] integrity confidentiality\n", true },
		{ "N\n", "[none] integrity confidentiality\n", false },
		{ NULL, "\n", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct place *p;
		struct kernel k;
		struct err err;

		place_setup((void **)&p);
		put_text(p, "live/proc/sys/kernel/osrelease", RELEASE "\n");
		if (cases[i].sig_enforce)
			put_text(p, "live/sys/module/module/parameters/sig_enforce", cases[i].sig_enforce);
		if (cases[i].lockdown)
			put_text(p, "live/sys/kernel/security/lockdown", cases[i].lockdown);
		assert_int_equal(kernel_running(&p->host, &k, &err), 0);
		if (k.signed_only != cases[i].signed_only)
			fail_msg("case %zu", i);
		place_teardown((void **)&p);
	}
}

static void test_taint_is_a_number_or_nothing(void **state)
{
	struct place *p = *state;

	assert_int_equal(kernel_taint(&p->host), 0);
	put_text(p, "live/proc/sys/kernel/tainted", "12289\n");
	assert_int_equal(kernel_taint(&p->host), 12289);
	put_text(p, "live/proc/sys/kernel/tainted", "what\n");
	assert_int_equal(kernel_taint(&p->host), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_build_id_is_found_behind_other_notes),
		cmocka_unit_test(test_build_ids_have_8_to_32_bytes),
		cmocka_unit_test(test_the_note_must_have_the_right_name_and_type),
		cmocka_unit_test(test_the_last_note_may_lack_its_padding),
		cmocka_unit_test(test_notes_cut_at_any_place_give_no_build_id),
		cmocka_unit_test(test_sizes_near_the_end_of_the_number_range_do_not_wrap),
		cmocka_unit_test(test_a_bundle_fits_the_build_it_was_made_for_and_no_other),
		at_place(test_the_running_kernel_is_read_from_the_live_root),
		at_place(test_a_kernel_without_a_build_id_is_no_failure),
		at_place(test_a_kernel_without_a_release_is_a_failure_that_names_the_file),
		at_place(test_a_release_of_64_bytes_the_most_that_uname_has_is_read),
		cmocka_unit_test(test_who_demands_signed_modules),
		at_place(test_taint_is_a_number_or_nothing),
	};

	return cmocka_run_group_tests_name("kernel", tests, NULL, NULL);
}
