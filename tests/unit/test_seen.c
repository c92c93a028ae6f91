// SPDX-License-Identifier: Apache-2.0
/*
 * Which files are taken for those that were seen. What becomes of it is in test_source.c.
 */
#include "fixture.h"
#include "seen.h"

static const struct manifest other = { .name = (char *)(uintptr_t)"other", .kind = KIND_FIRMWARE };

static void test_a_file_is_known_until_anything_of_it_changes(void **state)
{
	const struct stat file = { .st_dev = 1, .st_ino = 2, .st_size = 3, .st_mtim = { 4, 5 }, .st_ctim = { 6, 7 } };
	struct stat changed[7];
	struct seen seen = { 0 };
	const struct seen_file *found;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(changed); i++)
		changed[i] = file;
	changed[0].st_dev++;
	changed[1].st_ino++;
	changed[2].st_size++;
	changed[3].st_mtim.tv_sec++;
	changed[4].st_mtim.tv_nsec++;
	changed[5].st_ctim.tv_sec++;
	changed[6].st_ctim.tv_nsec++;
	assert_null(seen_find(&seen, &file));
	seen_add(&seen, &file, &other);
	for (size_t i = 0; i < ARRAY_SIZE(changed); i++)
		assert_null(seen_find(&seen, &changed[i]));
	found = seen_find(&seen, &file);
	assert_non_null(found);
	assert_string_equal(found->name, "other");
	assert_int_equal(found->kind, KIND_FIRMWARE);
	seen_free(&seen);
	assert_null(seen_find(&seen, &file));
}

static void test_at_most_1024_files_are_remembered(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	for (unsigned int i = 1; i <= LIMIT_SEEN + 1; i++)
		seen_add(&seen, &(struct stat){ .st_ino = i }, &other);
	assert_int_equal(seen.n, 1024);
	assert_non_null(seen_find(&seen, &(struct stat){ .st_ino = LIMIT_SEEN }));
	assert_null(seen_find(&seen, &(struct stat){ .st_ino = LIMIT_SEEN + 1 }));
	seen_free(&seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_file_is_known_until_anything_of_it_changes),
		cmocka_unit_test(test_at_most_1024_files_are_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
