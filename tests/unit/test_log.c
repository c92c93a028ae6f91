// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "fixture.h"
#include "log.h"

/* What fn() writes to stderr. Caller frees. */
static char *stderr_of(const struct place *p, void (*fn)(void))
{
	int saved = dup(STDERR_FILENO), file = openat(p->fd, "stderr", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(saved >= 0 && file >= 0);
	fflush(stderr);
	assert_true(dup2(file, STDERR_FILENO) >= 0);
	fn();
	fflush(stderr);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	close(file);
	return get_text(p, "stderr");
}

static void say_all(void)
{
	log_error("one %d", 1);
	log_warning("two");
	log_info("three");
	log_debug("four");
}

static void test_a_line_names_the_program(void **state)
{
	_cleanup_free_ char *text = NULL;

	unsetenv("JOURNAL_STREAM");
	log_init(false);
	text = stderr_of(*state, say_all);
	assert_string_equal(text, "modulus: one 1\nmodulus: two\nmodulus: three\n");
}

static void test_debug_makes_the_rest_heard(void **state)
{
	_cleanup_free_ char *text = NULL;

	unsetenv("JOURNAL_STREAM");
	log_init(true);
	text = stderr_of(*state, say_all);
	assert_contains(text, "modulus: four\n");
	log_init(false);
}

/* As systemd starts a program whose stderr is that of now, plus `other` to the inode. */
static void say_all_to_stream(unsigned int other)
{
	char stream[64];
	struct stat st;

	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + other);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init(true);
	say_all();
	unsetenv("JOURNAL_STREAM");
	log_init(false);
}

static void say_all_to_the_journal(void)
{
	say_all_to_stream(0);
}

static void say_all_beside_the_journal(void)
{
	say_all_to_stream(1);
}

static void test_the_journal_gets_the_level_of_each_line(void **state)
{
	_cleanup_free_ char *text = stderr_of(*state, say_all_to_the_journal);

	assert_string_equal(text, "<3>modulus: one 1\n<4>modulus: two\n<6>modulus: three\n<7>modulus: four\n");
}

/* a service's shell that sends stderr to a file */
static void test_what_does_not_go_to_the_journal_gets_none(void **state)
{
	_cleanup_free_ char *text = stderr_of(*state, say_all_beside_the_journal);

	assert_string_equal(text, "modulus: one 1\nmodulus: two\nmodulus: three\nmodulus: four\n");
}

static void say_much(void)
{
	_cleanup_blob_ struct blob b = { 0 };

	blob_fill(&b, 'x', 10000);
	log_info("%s", (char *)b.v);
}

static void test_a_long_line_is_cut_and_ended(void **state)
{
	_cleanup_free_ char *text = NULL;

	log_init(false);
	text = stderr_of(*state, say_much);
	assert_true(strlen(text) < 2200);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

static void say_odd(void)
{
	log_error("%s: refused", "a\nmodulus: gpu: loaded\x1b[1A\\x41");
}

static void test_a_line_stays_one_line(void **state)
{
	_cleanup_free_ char *text = NULL;

	log_init(false);
	text = stderr_of(*state, say_odd);
	assert_string_equal(text, "modulus: a\\x0amodulus: gpu: loaded\\x1b[1A\\x41: refused\n");
}

static int listen_at(const struct place *p)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/n", p->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	setenv("NOTIFY_SOCKET", sa.sun_path, 1);
	return fd;
}

static void test_systemd_is_told_where_it_listens(void **state)
{
	_cleanup_close_ int fd = listen_at(*state);
	char text[64] = "";

	notify_systemd("STATUS=%s: loading", "gpu");
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(read(fd, text, sizeof(text) - 1), 19);
	assert_string_equal(text, "STATUS=gpu: loading");
}

static void test_where_nobody_listens_nothing_happens(void **state)
{
	static const char *const sockets[] = { "", "relative", "/does/not/exist", "@modulus-nobody" };

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	notify_systemd("READY=1");
	for (size_t i = 0; i < ARRAY_SIZE(sockets); i++) {
		setenv("NOTIFY_SOCKET", sockets[i], 1);
		notify_systemd("READY=1");
	}
	unsetenv("NOTIFY_SOCKET");
}

/* systemd that does not read, as when it hangs; the kernel keeps 10 datagrams, systemd sets 512 */
static void test_where_nobody_reads_nobody_waits(void **state)
{
	_cleanup_close_ int fd = listen_at(*state);

	alarm(60);
	for (int i = 0; i < 4096; i++)
		notify_systemd("STATUS=%d", i);
	alarm(0);
	unsetenv("NOTIFY_SOCKET");
	assert_true(fd >= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_a_line_names_the_program),
		at_place(test_debug_makes_the_rest_heard),
		at_place(test_the_journal_gets_the_level_of_each_line),
		at_place(test_what_does_not_go_to_the_journal_gets_none),
		at_place(test_a_long_line_is_cut_and_ended),
		at_place(test_a_line_stays_one_line),
		at_place(test_systemd_is_told_where_it_listens),
		cmocka_unit_test(test_where_nobody_listens_nothing_happens),
		at_place(test_where_nobody_reads_nobody_waits),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
