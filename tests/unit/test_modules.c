// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>

#include "modules.h"
#include "sample.h"

#define FW "live/run/modulus/firmware/"

/* Unpacks a sample into the set. */
static int unpack(const struct place *p, const struct sample *s, struct module_set *set, struct err *err)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	struct unpack_sink sink;

	*set = (struct module_set){ .host = &p->host };
	sink = module_set_sink(set);
	assert_int_equal(open_sample(&s->bundle, &b, err), 0);
	return unpack_bundle(b, &sink, err);
}

static void test_each_module_is_a_sealed_memfd(void **state)
{
	_cleanup_modules_ struct module_set set;
	_cleanup_sample_ struct sample s;
	char bytes[8] = "";
	struct err err;

	sample_begin(&s);
	sample_file(&s, "nvidia.ko", "one", 3);
	sample_file(&s, "nvidia-drm.ko", "three", 5);
	sample_seal(&s);
	assert_int_equal(unpack(*state, &s, &set, &err), 0);
	assert_int_equal(set.n, 2);
	assert_string_equal(set.v[0].name, "nvidia");
	assert_string_equal(set.v[1].name, "nvidia_drm");
	assert_int_equal(set.v[1].size, 5);
	assert_false(set.v[1].tried);
	assert_int_equal(pread(set.v[1].fd, bytes, sizeof(bytes), 0), 5);
	assert_string_equal(bytes, "three");
	for (size_t i = 0; i < set.n; i++) {
		assert_int_equal(fcntl(set.v[i].fd, F_GET_SEALS) & (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL),
				 F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
		assert_true(fcntl(set.v[i].fd, F_GETFD) & FD_CLOEXEC);
		assert_int_equal(pwrite(set.v[i].fd, "x", 1, 0), -1);
		assert_int_equal(ftruncate(set.v[i].fd, 0), -1);
	}
}

static void test_a_module_is_found_by_either_spelling(void **state)
{
	_cleanup_modules_ struct module_set set;
	_cleanup_sample_ struct sample s;
	struct err err;

	sample_begin(&s);
	sample_file(&s, "nvidia-drm.ko", "x", 1);
	sample_seal(&s);
	assert_int_equal(unpack(*state, &s, &set, &err), 0);
	assert_ptr_equal(module_set_find(&set, "nvidia-drm"), &set.v[0]);
	assert_ptr_equal(module_set_find(&set, "nvidia_drm"), &set.v[0]);
	assert_null(module_set_find(&set, "nvidia"));
}

static void make_firmware(struct sample *s, const char *first, const char *second)
{
	sample_begin(s);
	sample_file(s, "gpu.ko", "x", 1);
	sample_file(s, "usr/lib/firmware/a.bin", first, strlen(first));
	sample_file(s, "usr/lib/firmware/nvidia/535/gsp.bin", second, strlen(second));
	sample_seal(s);
}

static void test_firmware_goes_where_the_kernel_looks(void **state)
{
	struct place *p = *state;
	_cleanup_modules_ struct module_set set;
	_cleanup_free_ char *text = NULL;
	_cleanup_sample_ struct sample s;
	struct stat st;
	struct err err;

	make_firmware(&s, "aa", "gsp");
	assert_int_equal(unpack(p, &s, &set, &err), 0);
	assert_int_equal(set.n, 1);
	assert_int_equal(set.firmware, 2);
	text = get_text(p, FW "nvidia/535/gsp.bin");
	assert_string_equal(text, "gsp");
	assert_int_equal(fstatat(p->fd, FW "a.bin", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
}

static void test_a_second_run_in_one_boot_replaces_the_firmware(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample first, second;
	_cleanup_free_ char *text = NULL;
	struct err err;

	make_firmware(&first, "aa", "gsp");
	make_firmware(&second, "bb", "newer");
	{
		_cleanup_modules_ struct module_set set;

		assert_int_equal(unpack(p, &first, &set, &err), 0);
	}
	{
		_cleanup_modules_ struct module_set set;

		assert_int_equal(unpack(p, &second, &set, &err), 0);
	}
	text = get_text(p, FW "nvidia/535/gsp.bin");
	assert_string_equal(text, "newer");
}

static void test_firmware_whose_hash_does_not_hold_is_not_left_there(void **state)
{
	const struct tar_entry ko = { .path = SAMPLE_TREE "gpu.ko", .bytes = "x", .n = 1 };
	const struct tar_entry fw = { .path = "usr/lib/firmware/a.bin", .bytes = "changed", .n = 7 };
	struct place *p = *state;
	_cleanup_modules_ struct module_set set;
	_cleanup_sample_ struct sample s;
	struct err err;

	sample_begin(&s);
	sample_promise(&s, ko.path, "x", 1, 0644);
	sample_promise(&s, fw.path, "genuine", 7, 0644);
	add_text(&s.m->load, "gpu");
	tar_add(&s.tar, &ko);
	tar_add(&s.tar, &fw);
	sample_seal(&s);
	assert_int_equal(unpack(p, &s, &set, &err), -E_CORRUPT);
	assert_false(is_there(p, FW "a.bin"));
}

static void test_a_runtimes_files_are_no_modules(void **state)
{
	_cleanup_modules_ struct module_set set;
	_cleanup_sample_ struct sample s;
	struct err err;

	sample_begin(&s);
	s.m->kind = KIND_RUNTIME;
	sample_file(&s, "usr/bin/nvidia-smi", "x", 1);
	sample_seal(&s);
	assert_int_equal(unpack(*state, &s, &set, &err), -E_CORRUPT);
	assert_contains(err.text, "neither a module nor firmware");
}

/* --- telling the kernel --- */

#define PARAMETER "live/sys/module/firmware_class/parameters/path"

static void expose(const struct place *p, struct strv *warnings)
{
	const struct module_set set = { .host = &p->host, .firmware = 1 };
	struct err err;

	assert_int_equal(module_set_expose_firmware(&set, warnings, &err), 0);
}

static void test_the_kernel_is_pointed_at_our_firmware(void **state)
{
	struct place *p = *state;
	_cleanup_strv_ struct strv warnings = { 0 };
	_cleanup_free_ char *text = NULL;

	put_text(p, PARAMETER, "\n");
	expose(p, &warnings);
	text = get_text(p, PARAMETER);
	assert_contains(text, "/run/modulus/firmware");
	expose(p, &warnings); /* again: it is there already */
	assert_int_equal(warnings.n, 0);
}

static void test_without_firmware_the_kernels_path_is_left_alone(void **state)
{
	struct place *p = *state;
	const struct module_set set = { .host = &p->host };
	_cleanup_strv_ struct strv warnings = { 0 };
	_cleanup_free_ char *text = NULL;
	struct err err;

	put_text(p, PARAMETER, "\n");
	assert_int_equal(module_set_expose_firmware(&set, &warnings, &err), 0);
	text = get_text(p, PARAMETER);
	assert_string_equal(text, "\n");
	assert_int_equal(warnings.n, 0);
}

static void test_another_path_is_left_alone_and_named(void **state)
{
	struct place *p = *state;
	_cleanup_strv_ struct strv warnings = { 0 };
	_cleanup_free_ char *text = NULL;

	put_text(p, PARAMETER, "/opt/firmware\n");
	expose(p, &warnings);
	assert_int_equal(warnings.n, 1);
	assert_string_equal(warnings.v[0], "firmware: firmware_class.path is set to: /opt/firmware");
	text = get_text(p, PARAMETER);
	assert_string_equal(text, "/opt/firmware\n");
}

static void test_a_kernel_without_a_firmware_loader_says_so(void **state)
{
	_cleanup_strv_ struct strv warnings = { 0 };

	expose(*state, &warnings);
	assert_int_equal(warnings.n, 1);
	assert_string_equal(warnings.v[0], "firmware: firmware_class.path: No such file or directory");
}

static void test_links_of_firmware_are_made_beside_its_files(void **state)
{
	struct place *p = *state;
	const struct module_set set = { .host = &p->host };
	struct manifest_link links[] = { { .path = (char[]){ "usr/lib/firmware/gpu/1/b.bin" }, .target = (char[]){ "a.bin" } },
					 { .path = (char[]){ "usr/bin/x" }, .target = (char[]){ "y" } } };
	const struct manifest m = { .links = links, .n_links = ARRAY_SIZE(links) };
	_cleanup_free_ char *text = NULL;
	struct err err;

	put_text(p, FW "gpu/1/a.bin", "content");
	assert_int_equal(module_set_link_firmware(&set, &m, &err), 0);
	assert_int_equal(module_set_link_firmware(&set, &m, &err), 0); /* an earlier run in this boot */
	text = get_text(p, FW "gpu/1/b.bin");
	assert_string_equal(text, "content");
	assert_false(is_there(p, FW "x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_each_module_is_a_sealed_memfd),
		at_place(test_a_module_is_found_by_either_spelling),
		at_place(test_firmware_goes_where_the_kernel_looks),
		at_place(test_a_second_run_in_one_boot_replaces_the_firmware),
		at_place(test_firmware_whose_hash_does_not_hold_is_not_left_there),
		at_place(test_a_runtimes_files_are_no_modules),
		at_place(test_the_kernel_is_pointed_at_our_firmware),
		at_place(test_without_firmware_the_kernels_path_is_left_alone),
		at_place(test_another_path_is_left_alone_and_named),
		at_place(test_a_kernel_without_a_firmware_loader_says_so),
		at_place(test_links_of_firmware_are_made_beside_its_files),
	};

	return cmocka_run_group_tests_name("modules", tests, NULL, NULL);
}
