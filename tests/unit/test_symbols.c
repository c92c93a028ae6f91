// SPDX-License-Identifier: Apache-2.0
#include "fakekernel.h"
#include "symbols.h"

static void add(struct symbols *s, const char *name, uint32_t crc)
{
	assert_int_equal(symbols_add(s, name, strlen(name), crc), 0);
}

static void test_symbols_are_found_by_name(void **state)
{
	_cleanup_symbols_ struct symbols s = { 0 };

	(void)state;
	assert_null(symbols_find(&s, "drm_dev_register"));
	for (unsigned int i = 0; i < 100; i++) {
		_cleanup_free_ char *name = str_printf("symbol_%u", (i * 37) % 100);

		add(&s, name, (i * 37) % 100);
	}
	symbols_sort(&s);
	assert_int_equal(s.n, 100);
	for (unsigned int i = 0; i < 100; i++) {
		_cleanup_free_ char *name = str_printf("symbol_%u", i);

		assert_non_null(symbols_find(&s, name));
		assert_int_equal(symbols_find(&s, name)->crc, i);
	}
	assert_null(symbols_find(&s, "symbol_"));
	assert_null(symbols_find(&s, "symbol_100"));
}

static void test_a_symbol_that_came_twice_is_kept_once(void **state)
{
	_cleanup_symbols_ struct symbols s = { 0 }, none = { 0 };

	(void)state;
	add(&s, "b", 2);
	add(&s, "a", 1);
	add(&s, "b", 2);
	add(&s, "a", 1);
	add(&s, "a", 1);
	symbols_sort(&s);
	assert_int_equal(s.n, 2);
	assert_string_equal(s.v[0].name, "a");
	assert_string_equal(s.v[1].name, "b");
	symbols_sort(&none);
	assert_int_equal(none.n, 0);
}

static void test_module_symvers_is_read(void **state)
{
	static const char text[] = "0x00000000\tzero\tvmlinux\tEXPORT_SYMBOL\t\n"
				   "\n"
				   "0xdeadbeef\tdrm_dev_register\tdrivers/gpu/drm/drm\tEXPORT_SYMBOL\n"
				   "0x1\tshort\tvmlinux\tEXPORT_SYMBOL_GPL\tCRYPTO_INTERNAL";
	_cleanup_symbols_ struct symbols s = { 0 };

	(void)state;
	assert_int_equal(symbols_parse_symvers(text, strlen(text), &s), 0);
	symbols_sort(&s);
	assert_int_equal(s.n, 3);
	assert_int_equal(symbols_find(&s, "drm_dev_register")->crc, 0xdeadbeef);
	assert_int_equal(symbols_find(&s, "short")->crc, 1);
	assert_int_equal(symbols_find(&s, "zero")->crc, 0);
}

static void test_what_is_not_a_module_symvers_is_refused(void **state)
{
	static const char *const texts[] = {
		"hello\n",
		"0x\tname\tvmlinux\n",
		"0x123456789\tname\tvmlinux\n",
		"0xABCDEF01\tname\tvmlinux\n",
		"0x12g\tname\tvmlinux\n",
		"0x12\n",
		"0x12\tname\n",
		"0x12\t\tvmlinux\n",
		"12\tname\tvmlinux\n",
		"0x12 name vmlinux\n",
		"0x12\tgood\tvmlinux\nbad\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_symbols_ struct symbols s = { 0 };

		assert_case(texts[i], symbols_parse_symvers(texts[i], strlen(texts[i]), &s) == -EINVAL);
		assert_case(texts[i], s.n == 0);
	}
}

#define TEXT(literal) literal, sizeof(literal) - 1

static void test_a_symvers_with_a_nul_byte_is_no_text(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} cases[] = {
		{ TEXT("0x0\t\0b\tvmlinux\n") },
		{ TEXT("0x0\ta\0b\tvmlinux\n") },
		{ TEXT("0x0\ta\tvmlinux\0\n") },
		{ TEXT("0x0\tb\tvmlinux\n\0") },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_symbols_ struct symbols s = { 0 };

		assert_case(cases[i].text, symbols_parse_symvers(cases[i].text, cases[i].len, &s) == -EINVAL);
		assert_int_equal(s.n, 0);
	}
}

static void test_a_symvers_cut_at_any_place_is_read_within_it(void **state)
{
	static const char text[] = "0xdeadbeef\ta\tx\tEXPORT_SYMBOL\n0x00000001\tb\tx\n";

	(void)state;
	for (size_t n = 0; n < strlen(text); n++) {
		_cleanup_symbols_ struct symbols s = { 0 };
		char *cut = malloc(n ? n : 1);

		assert_non_null(cut);
		memcpy(cut, text, n);
		(void)!symbols_parse_symvers(cut, n, &s);
		free(cut);
		assert_true(s.n <= 2);
	}
}

static const struct fake_import imports[] = { { "module_layout", 1 }, { "drm_dev_register", 2 }, { "own_symbol", 3 },
					      { NULL, 0 } };

static void test_imports_are_held_against_what_is_known_of_the_kernel(void **state)
{
	static const struct {
		const char *what;
		uint32_t layout, drm; /* of the kernel; 0: it is not known */
		int code;
		size_t compared;
		const char *says;
	} cases[] = {
		{ "all equal", 1, 2, 0, 2, NULL },
		{ "nothing is known", 0, 0, 0, 0, NULL },
		{ "one is known", 1, 0, 0, 1, NULL },
		{ "one differs", 1, 9, -E_WRONG_KERNEL, 0,
		  "gpu was built for another drm_dev_register (CRC 0x00000002, the kernel has 0x00000009)" },
	};
	_cleanup_blob_ struct blob b = fake_module_bytes(&(struct fake_module){ .name = "gpu", .imports = imports });
	struct modfile m;

	(void)state;
	assert_int_equal(modfile_parse(b.v, b.n, &m), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_symbols_ struct symbols kernel = { 0 };
		size_t compared = 0;
		struct err err = { 0 };

		if (cases[i].layout)
			add(&kernel, "module_layout", cases[i].layout);
		if (cases[i].drm)
			add(&kernel, "drm_dev_register", cases[i].drm);
		symbols_sort(&kernel);
		assert_case(cases[i].what, symbols_check(&kernel, &m, "gpu", &compared, &err) == cases[i].code);
		assert_case(cases[i].what, compared == cases[i].compared);
		if (cases[i].says)
			assert_contains(err.text, cases[i].says);
	}
}

/* The kernel has module_layout with CRC 1 and drm_dev_register with 2. */
static void test_all_that_a_module_needs_must_be_exported_by_somebody(void **state)
{
	static const struct fake_import fewer[] = { { "module_layout", 1 }, { NULL, 0 } };
	static const struct {
		const char *what;
		const struct fake_import *imports;
		const char *needs, *may_need, *exported;
		const char *says; /* NULL: it fits */
	} cases[] = {
		{ "with versions, and the bundle has the rest", imports, NULL, NULL, "own_symbol", NULL },
		{ "with versions, and nobody has one", imports, NULL, NULL, "another",
		  "gpu imports own_symbol, which neither the kernel nor the bundle exports" },
		{ "without a version, of the kernel", fewer, "drm_dev_register\n", NULL, "another", NULL },
		{ "without any version, of the kernel", NULL, "drm_dev_register\nmodule_layout\n", NULL, "another", NULL },
		{ "without a version, of the bundle", fewer, "own_symbol\n", NULL, "own_symbol", NULL },
		{ "without a version, of nobody", fewer, "drm_dev_register\nmissing\n", NULL, "own_symbol",
		  "gpu imports missing, which neither the kernel nor the bundle exports" },
		{ "weak, of nobody", fewer, NULL, "missing\n", "another", NULL },
		{ "the linker's own", fewer, "_GLOBAL_OFFSET_TABLE_\n.TOC.\n_savegpr0_14\n", NULL, "another", NULL },
		{ "nearly the linker's own", fewer, ".TOC.x\n", NULL, "another", "gpu imports .TOC.x" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_blob_ struct blob b = fake_module_bytes(&(struct fake_module){
			.name = "gpu", .imports = cases[i].imports, .needs = cases[i].needs, .may_need = cases[i].may_need });
		_cleanup_symbols_ struct symbols kernel = { 0 }, exports = { 0 };
		struct err err = { 0 };
		struct modfile m;

		assert_int_equal(modfile_parse(b.v, b.n, &m), 0);
		add(&kernel, "module_layout", 1);
		add(&kernel, "drm_dev_register", 2);
		symbols_sort(&kernel);
		add(&exports, cases[i].exported, 0);
		assert_case(cases[i].what, symbols_check_all(&kernel, &m, "gpu", &exports, &err) ==
						   (cases[i].says ? -E_WRONG_KERNEL : 0));
		if (cases[i].says)
			assert_contains(err.text, cases[i].says);
	}
}

static void test_against_the_whole_table_versions_count_too(void **state)
{
	_cleanup_blob_ struct blob b = fake_module_bytes(&(struct fake_module){ .name = "gpu", .imports = imports });
	_cleanup_symbols_ struct symbols kernel = { 0 };
	struct err err = { 0 };
	struct modfile m;

	(void)state;
	assert_int_equal(modfile_parse(b.v, b.n, &m), 0);
	add(&kernel, "drm_dev_register", 2);
	add(&kernel, "module_layout", 9);
	add(&kernel, "own_symbol", 3);
	symbols_sort(&kernel);
	assert_int_equal(symbols_check_all(&kernel, &m, "gpu", &kernel, &err), -E_WRONG_KERNEL);
	assert_contains(err.text, "gpu was built for another module_layout");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_symbols_are_found_by_name),
		cmocka_unit_test(test_a_symbol_that_came_twice_is_kept_once),
		cmocka_unit_test(test_module_symvers_is_read),
		cmocka_unit_test(test_what_is_not_a_module_symvers_is_refused),
		cmocka_unit_test(test_a_symvers_with_a_nul_byte_is_no_text),
		cmocka_unit_test(test_a_symvers_cut_at_any_place_is_read_within_it),
		cmocka_unit_test(test_imports_are_held_against_what_is_known_of_the_kernel),
		cmocka_unit_test(test_all_that_a_module_needs_must_be_exported_by_somebody),
		cmocka_unit_test(test_against_the_whole_table_versions_count_too),
	};

	return cmocka_run_group_tests_name("symbols", tests, NULL, NULL);
}
