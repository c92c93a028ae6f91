// SPDX-License-Identifier: Apache-2.0
/*
 * Modules out of a kernel that is made of a log and a directory (fakekernel.h).
 */
#include "fakekernel.h"
#include "unload.h"

static void put_module(const struct place *p, const char *name, const char *refcnt, const char *const *holders)
{
	_cleanup_free_ char *path = str_printf("live/sys/module/%s/refcnt", name);
	_cleanup_free_ char *dir = str_printf("live/sys/module/%s/holders", name);

	put_live(p, name, "live\n");
	put_text(p, path, refcnt);
	put_dir(p, dir);
	for (; holders && *holders; holders++) {
		_cleanup_free_ char *link = str_printf("%s/%s", dir, *holders);

		put_link(p, link, "../../elsewhere");
	}
}

/* Words in brackets are what the others depend on. */
static int unload(struct place *p, const char *names, struct strv *removed, struct err *err)
{
	_cleanup_strv_ struct strv list = { 0 }, named = { 0 }, words = { 0 };

	assert_int_equal(strv_add_words(&list, names, " []"), 0);
	assert_int_equal(strv_add_words(&words, names, " "), 0);
	for (size_t i = 0; i < words.n; i++)
		if (words.v[i][0] != '[')
			add_text(&named, words.v[i]);
	return unload_modules(&p->host, &list, &named, removed, err);
}

#define HELD_BY(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_the_last_one_loaded_goes_first(void **state)
{
	struct place *p = *state;
	_cleanup_strv_ struct strv removed = { 0 };
	struct err err;

	fake_kernel(p);
	put_module(p, "nvidia", "2\n", HELD_BY("nvidia_uvm", "nvidia_modeset"));
	put_module(p, "nvidia_uvm", "0\n", NULL);
	put_module(p, "nvidia_modeset", "0\n", NULL);
	assert_int_equal(unload(p, "nvidia nvidia-uvm nvidia_drm nvidia_modeset", &removed, &err), 0);
	assert_string_equal(fake_kernel_log(), "delete nvidia_modeset\ndelete nvidia_uvm\ndelete nvidia\n");
	assert_int_equal(removed.n, 3);
}

static void test_nothing_is_removed_when_one_is_used_by_another_module(void **state)
{
	struct place *p = *state;
	_cleanup_strv_ struct strv removed = { 0 };
	struct err err;

	fake_kernel(p);
	put_module(p, "nvidia", "2\n", HELD_BY("nvidia_uvm", "nvidia_peermem"));
	put_module(p, "nvidia_uvm", "0\n", NULL);
	assert_int_equal(unload(p, "nvidia nvidia_uvm", &removed, &err), -EBUSY);
	assert_contains(err.text, "nvidia is in use by nvidia_peermem");
	assert_string_equal(fake_kernel_log(), "");
	assert_int_equal(removed.n, 0);
}

static void test_nothing_is_removed_when_a_program_uses_it(void **state)
{
	struct place *p = *state;
	_cleanup_strv_ struct strv removed = { 0 };
	struct err err;

	fake_kernel(p);
	put_module(p, "nvidia", "4\n", HELD_BY("nvidia_uvm"));
	put_module(p, "nvidia_uvm", "0\n", NULL);
	assert_int_equal(unload(p, "nvidia nvidia_uvm", &removed, &err), -EBUSY);
	assert_contains(err.text, "nvidia is in use: 3 times by programs or devices");
	assert_string_equal(fake_kernel_log(), "");
}

static void test_what_they_depend_on_goes_if_nobody_else_uses_it(void **state)
{
	struct place *p = *state;
	_cleanup_strv_ struct strv removed = { 0 };
	struct err err;

	fake_kernel(p);
	put_module(p, "drm", "2\n", HELD_BY("virtio_gpu", "bochs"));
	put_module(p, "virtio_dma_buf", "0\n", NULL);
	put_module(p, "shmem_helper", "1\n", NULL); /* a program has it open, say */
	put_module(p, "virtio_gpu", "0\n", NULL);
	assert_int_equal(unload(p, "[drm] [virtio_dma_buf] [shmem_helper] virtio-gpu", &removed, &err), 0);
	assert_string_equal(fake_kernel_log(), "delete virtio_gpu\ndelete virtio_dma_buf\n");
	assert_int_equal(removed.n, 2);
}

static void test_built_in_code_stays(void **state)
{
	struct place *p = *state;
	_cleanup_strv_ struct strv removed = { 0 };
	struct err err;

	fake_kernel(p);
	put_dir(p, "live/sys/module/drm");
	assert_int_equal(unload(p, "drm", &removed, &err), -ENOSYS);
	assert_contains(err.text, "drm: built in");
}

static void test_a_removal_that_fails_in_the_middle_says_what_is_gone(void **state)
{
	struct place *p = *state;
	_cleanup_strv_ struct strv removed = { 0 };
	struct err err;

	fake_kernel(p);
	put_module(p, "a", "1\n", HELD_BY("b"));
	put_module(p, "b", "0\n", NULL);
	fake_kernel_answers("a", FAKE_RETURN, -EWOULDBLOCK);
	assert_int_equal(unload(p, "a b", &removed, &err), -EWOULDBLOCK);
	assert_contains(err.text, "removing a: ");
	assert_int_equal(removed.n, 1);
	assert_string_equal(removed.v[0], "b");
}

static void test_an_exit_that_dies_is_told_from_a_refusal(void **state)
{
	struct place *p = *state;
	_cleanup_strv_ struct strv removed = { 0 };
	struct err err;

	fake_kernel(p);
	put_module(p, "a", "0\n", NULL);
	fake_kernel_answers("a", FAKE_DIE, 0);
	assert_int_equal(unload(p, "a", &removed, &err), -E_INIT_FAILED);
	assert_contains(err.text, "a kernel oops?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_the_last_one_loaded_goes_first),
		at_place(test_nothing_is_removed_when_one_is_used_by_another_module),
		at_place(test_nothing_is_removed_when_a_program_uses_it),
		at_place(test_what_they_depend_on_goes_if_nobody_else_uses_it),
		at_place(test_built_in_code_stays),
		at_place(test_a_removal_that_fails_in_the_middle_says_what_is_gone),
		at_place(test_an_exit_that_dies_is_told_from_a_refusal),
	};

	return cmocka_run_group_tests_name("unload", tests, NULL, NULL);
}
