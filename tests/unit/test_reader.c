// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include "reader.h"
#include "sample.h"

static void test_a_descriptor_is_read_from_where_it_stands_to_its_end(void **state)
{
	struct place *p = *state;
	_cleanup_reader_ struct reader *r = NULL;
	char buf[16] = "";
	int fd;

	put_text(p, "file", "0123456789");
	fd = openat(p->fd, "file", O_RDONLY | O_CLOEXEC);
	assert_int_equal(lseek(fd, 2, SEEK_SET), 2);
	assert_int_equal(reader_new_fd(fd, &r), 0);
	assert_int_equal(reader_read_full(r, buf, 3), 3);
	assert_string_equal(buf, "234");
	assert_int_equal(reader_read_full(r, buf, sizeof(buf)), 5);
	assert_int_equal(reader_read_full(r, buf, sizeof(buf)), 0);
}

static void test_closing_a_reader_closes_its_descriptor(void **state)
{
	struct place *p = *state;
	struct reader *r;
	int fd = openat(p->fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(reader_new_fd(fd, &r), 0);
	reader_close(r);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	reader_close(NULL);
}

static void test_a_failure_to_read_comes_back_as_it_is(void **state)
{
	struct place *p = *state;
	_cleanup_reader_ struct reader *r = NULL;
	char buf[4];

	assert_int_equal(reader_new_fd(openat(p->fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC), &r), 0);
	assert_int_equal(reader_read_full(r, buf, sizeof(buf)), -EISDIR);
}

static void test_short_reads_are_put_together(void **state)
{
	_cleanup_reader_ struct reader *r = memory_reader("0123456789", 10, 3, -1);
	char buf[8] = "";

	(void)state;
	assert_int_equal(reader_read_full(r, buf, 7), 7);
	assert_string_equal(buf, "0123456");
	assert_int_equal(memory_reads(), 3);
	assert_int_equal(reader_read_full(r, buf, 7), 3);
}

static void test_what_stops_a_reader_wins_over_bytes_and_over_waiting(void **state)
{
	int stop[2], data[2];
	struct reader *r;
	char buf[4] = "";

	(void)state;
	assert_int_equal(pipe2(stop, O_CLOEXEC), 0);
	assert_int_equal(pipe2(data, O_CLOEXEC), 0);
	assert_int_equal(reader_new_fd_until(data[0], stop[0], &r), 0);
	assert_int_equal(write(data[1], "0123", 4), 4);
	assert_int_equal(reader_read_full(r, buf, 2), 2);
	assert_int_equal(write(stop[1], "x", 1), 1);
	assert_int_equal(reader_read_full(r, buf, 2), -EINTR);
	assert_int_equal(read(data[0], buf, 2), 2); /* which were there */
	assert_int_equal(reader_read_full(r, buf, 2), -EINTR);
	reader_close(r);
	close(data[1]);
	close(stop[0]);
	close(stop[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_a_descriptor_is_read_from_where_it_stands_to_its_end),
		at_place(test_closing_a_reader_closes_its_descriptor),
		at_place(test_a_failure_to_read_comes_back_as_it_is),
		cmocka_unit_test(test_short_reads_are_put_together),
		cmocka_unit_test(test_what_stops_a_reader_wins_over_bytes_and_over_waiting),
	};

	return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
