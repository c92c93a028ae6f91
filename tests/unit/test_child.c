// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "child.h"
#include "err.h"
#include "fixture.h"

static uint64_t in_ms(unsigned int ms)
{
	return now_us() + (uint64_t)ms * 1000;
}

static int return_it(void *ctx)
{
	return *(int *)ctx;
}

static int kill_me(void *ctx)
{
	(void)ctx;
	(void)kill(getpid(), SIGKILL);
	return 0;
}

static int exit_quietly(void *ctx)
{
	(void)ctx;
	_exit(0);
}

static int sleep_long(void *ctx)
{
	const struct timespec t = { .tv_sec = 30 };

	(void)ctx;
	(void)nanosleep(&t, NULL);
	return 0;
}

static int change(void *ctx)
{
	*(int *)ctx = 1;
	return 0;
}

static int die_with_parent(void *ctx)
{
	int signal_no = 0;

	(void)ctx;
	return prctl(PR_GET_PDEATHSIG, &signal_no) == 0 && signal_no == SIGKILL ? 0 : -EIO;
}

static void test_what_the_call_returns_comes_back(void **state)
{
	static const int codes[] = { 0, -EEXIST, -E_CORRUPT, -1, INT32_MIN };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		int code = codes[i];

		assert_int_equal(child_call(return_it, &code, -1, in_ms(10000)), codes[i]);
	}
}

static void test_the_call_happens_in_another_process(void **state)
{
	int touched = 0;

	(void)state;
	assert_int_equal(child_call(change, &touched, -1, in_ms(10000)), 0);
	assert_int_equal(touched, 0);
}

static void test_the_child_dies_with_its_parent(void **state)
{
	(void)state;
	assert_int_equal(child_call(die_with_parent, NULL, -1, in_ms(10000)), 0);
}

static void test_a_call_that_is_killed_says_so(void **state)
{
	(void)state;
	assert_int_equal(child_call(kill_me, NULL, -1, in_ms(10000)), -E_INIT_FAILED);
	assert_int_equal(child_call(exit_quietly, NULL, -1, in_ms(10000)), -E_INIT_FAILED);
}

static void test_a_call_that_hangs_ends_at_the_deadline(void **state)
{
	uint64_t began = now_us(), took;

	(void)state;
	assert_int_equal(child_call(sleep_long, NULL, -1, in_ms(50)), -E_INIT_HUNG);
	took = now_us() - began;
	assert_true(took >= 50000);
	assert_true(took < 5000000);
}

static void test_a_call_that_hangs_is_killed(void **state)
{
	pid_t pid;

	(void)state;
	while (waitpid(-1, NULL, WNOHANG) > 0) /* those of the tests before */
		;
	assert_int_equal(child_call(sleep_long, NULL, -1, in_ms(20)), -E_INIT_HUNG);
	/* it may have been reaped already; if not, it ends long before its 30 s */
	must_not_block();
	do {
		pid = waitpid(-1, NULL, 0);
	} while (pid > 0);
	assert_did_not_block();
	assert_int_equal(errno, ECHILD);
}

static void test_a_deadline_that_has_passed_does_not_wait(void **state)
{
	uint64_t began = now_us();

	(void)state;
	assert_int_equal(child_call(sleep_long, NULL, -1, 1), -E_INIT_HUNG);
	assert_true(now_us() - began < 5000000);
}

static int open_descriptors(void *ctx)
{
	int *keep = ctx, n = 0;

	for (int fd = STDERR_FILENO + 1; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return *keep < 0 || fcntl(*keep, F_GETFD) >= 0 ? -n : 1;
}

static void test_the_child_holds_none_of_our_files_but_the_one_it_works_on(void **state)
{
	int none = -1, low = open("/", O_RDONLY | O_CLOEXEC), high = fcntl(low, F_DUPFD_CLOEXEC, 100);

	(void)state;
	assert_true(low > STDERR_FILENO && high >= 100);
	/* the pipe for the answer is one */
	assert_int_equal(child_call(open_descriptors, &none, -1, in_ms(10000)), -1);
	assert_int_equal(child_call(open_descriptors, &low, low, in_ms(10000)), -2);
	assert_int_equal(child_call(open_descriptors, &high, high, in_ms(10000)), -2);
	assert_true(fcntl(low, F_GETFD) >= 0 && fcntl(high, F_GETFD) >= 0);
	close(low);
	close(high);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_the_call_returns_comes_back),
		cmocka_unit_test(test_the_call_happens_in_another_process),
		cmocka_unit_test(test_the_child_dies_with_its_parent),
		cmocka_unit_test(test_a_call_that_is_killed_says_so),
		cmocka_unit_test(test_the_child_holds_none_of_our_files_but_the_one_it_works_on),
		cmocka_unit_test(test_a_call_that_hangs_ends_at_the_deadline),
		cmocka_unit_test(test_a_call_that_hangs_is_killed),
		cmocka_unit_test(test_a_deadline_that_has_passed_does_not_wait),
	};

	return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
