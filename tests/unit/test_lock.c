// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include "fixture.h"
#include "lock.h"

static int open_it(const struct place *p)
{
	int fd = openat(p->fd, "file", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void test_it_is_held_until_its_own_descriptor_is_closed(void **state)
{
	const struct place *p = *state;
	int first, second, third;

	put_text(p, "file", "");
	first = open_it(p);
	second = open_it(p);
	third = open_it(p);
	assert_int_equal(lock_file(first), 0);
	assert_int_equal(lock_file(first), 0); /* it is ours */
	assert_int_equal(lock_file(second), -EBUSY);
	close(second); /* with a record lock it would be gone now */
	assert_int_equal(lock_file(third), -EBUSY);
	close(first);
	assert_int_equal(lock_file(third), 0);
	close(third);
}

static void test_who_does_not_get_it_is_told_of_the_one_who_has_it(void **state)
{
	_cleanup_close_ int first = -EBADF, second = -EBADF;
	const struct place *p = *state;
	_cleanup_free_ char *ours = str_printf("(process %d)", (int)getpid());
	struct err err;

	put_text(p, "live/run/modulus/lock", "2147483647 whoever had it before\n");
	assert_int_equal(lock_machine(&p->host, 0, &first, &err), 0);
	assert_int_equal(lock_machine(&p->host, 0, &second, &err), -EBUSY);
	assert_contains(err.text, ours);
	close_fdp(&first);
	assert_int_equal(lock_machine(&p->host, 0, &second, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_it_is_held_until_its_own_descriptor_is_closed),
		at_place(test_who_does_not_get_it_is_told_of_the_one_who_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
