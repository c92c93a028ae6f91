// SPDX-License-Identifier: Apache-2.0
/*
 * The log's device is a file here, written by the test. A real one gives one record for each
 * read; a file gives all that is there, so each test writes one record at a time.
 */
#include <fcntl.h>
#include <sys/socket.h>

#include "fixture.h"
#include "kmsg.h"
#include "limit.h"

static void append(const struct place *p, const char *record)
{
	_cleanup_close_ int fd = openat(p->fd, "live/dev/kmsg", O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write_full(fd, record, strlen(record)), 0);
}

static void test_what_was_logged_after_the_mark_is_collected(void **state)
{
	struct place *p = *state;
	_cleanup_strv_ struct strv lines = { 0 };
	_cleanup_close_ int mark = -EBADF;

	put_text(p, "live/dev/kmsg", "6,1,1,-;older\n");
	mark = kmsg_mark(&p->host);
	assert_true(mark >= 0);
	append(p, "3,812,5140900,-;virtio_gpu: probe failed\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:02.0\n");
	assert_int_equal(kmsg_collect(mark, &lines), 0);
	append(p, "3,813,5140901,-;second\n");
	assert_int_equal(kmsg_collect(mark, &lines), 0);
	assert_int_equal(lines.n, 2);
	assert_string_equal(lines.v[0], "virtio_gpu: probe failed");
	assert_string_equal(lines.v[1], "second");
}

static void test_where_there_is_no_log_nothing_is_collected(void **state)
{
	struct place *p = *state;
	_cleanup_strv_ struct strv lines = { 0 };

	assert_true(kmsg_mark(&p->host) < 0);
	assert_int_equal(kmsg_collect(-ENOENT, &lines), 0);
	assert_int_equal(lines.n, 0);
}

/* As the kernel hands out what a driver said in one call: NVIDIA's do, over eight lines. */
static void test_a_record_of_several_lines_is_as_many_lines(void **state)
{
	static const char *const said[] = { "NVRM: no", "NVRM: GSP", "back\\x5cslash", "\\x5cxzz \\x1b \\x5cx", "\\x5cx0" };
	struct place *p = *state;
	_cleanup_strv_ struct strv lines = { 0 };
	_cleanup_close_ int mark = -EBADF;

	put_text(p, "live/dev/kmsg", "");
	mark = kmsg_mark(&p->host);
	assert_true(mark >= 0);
	append(p, "3,1,1,-;NVRM: no\\x0aNVRM: GSP\\x0a\\x0a\n");
	append(p, "3,2,1,-;\n");
	assert_int_equal(kmsg_collect(mark, &lines), 0);
	append(p, "3,3,1,-;back\\x5cslash\\x0a\\xzz \\x1b \\x\n");
	assert_int_equal(kmsg_collect(mark, &lines), 0);
	append(p, "3,4,1,-;\\x0");
	assert_int_equal(kmsg_collect(mark, &lines), 0);
	assert_int_equal(lines.n, sizeof(said) / sizeof(*said));
	for (size_t i = 0; i < lines.n; i++)
		assert_string_equal(lines.v[i], said[i]);
}

/* Packets are records, as the kernel gives them. */
static void test_lines_are_escaped_and_their_number_is_bounded(void **state)
{
	_cleanup_strv_ struct strv lines = { 0 };
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	assert_true(write(ends[0], "no semicolon", 12) == 12);
	assert_true(write(ends[0], "6,1,1,-;a\x1b[2Jb", 14) == 14);
	for (unsigned int i = 0; i < 2 * LIMIT_KERNEL_LOG_LINES; i++)
		(void)!write(ends[0], "6,1,1,-;again\n", 14);
	assert_int_equal(kmsg_collect(ends[1], &lines), 0);
	assert_string_equal(lines.v[0], "a\\x1b[2Jb");
	assert_int_equal(lines.n, LIMIT_KERNEL_LOG_LINES);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_what_was_logged_after_the_mark_is_collected),
		at_place(test_a_record_of_several_lines_is_as_many_lines),
		at_place(test_where_there_is_no_log_nothing_is_collected),
		cmocka_unit_test(test_lines_are_escaped_and_their_number_is_bounded),
	};

	return cmocka_run_group_tests_name("kmsg", tests, NULL, NULL);
}
