// SPDX-License-Identifier: Apache-2.0
/*
 * kbuild.c - a compile in a copy. Interrupted: the copy is left below $TMPDIR.
 */
#include "kbuild.h"

#include <spawn.h>
#include <sys/wait.h>

/* Runs a program of the builder's machine; its output goes to our stderr. */
static int run(const char *const argv[], struct err *err)
{
	posix_spawn_file_actions_t actions;
	int status, r;
	pid_t pid;

	r = posix_spawn_file_actions_init(&actions);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		return err_sys(err, -r, "%s", argv[0]);
	if (waitpid(pid, &status, 0) < 0)
		return err_sys(err, -errno, "%s", argv[0]);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(err, -EINVAL, "%s failed; its own words are above", argv[0]);
	return 0;
}

void kbuild_remove(char *dir)
{
	const char *const argv[] = { "rm", "-rf", "--", dir, NULL };

	if (dir)
		(void)!run(argv, NULL);
	free(dir);
}

int kbuild_compile(const char *source, const char *kernel_build, char **ret, struct err *err)
{
	const char *tmp = getenv("TMPDIR");
	_cleanup_(kbuild_removep) char *dir = str_printf("%s/modulus-build-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	const char *flags = getenv("KCFLAGS");
	_cleanup_free_ char *from = str_printf("%s/.", source), *m = NULL, *jobs = NULL, *kcflags = NULL;
	int r;

	if (!dir || !from)
		return err_sys(err, -ENOMEM, "%s", source);
	if (!mkdtemp(dir)) {
		r = err_sys(err, -errno, "%s", dir);
		free(TAKE_PTR(dir));
		return r;
	}
	r = run((const char *const[]){ "cp", "-a", "--", from, dir, NULL }, err);
	if (r < 0)
		return err_prefix(err, "copying %s", source);
	m = str_printf("M=%s", dir);
	/* the copy's name is another each time, and would be in debug sections, so in the build-id, and in WARN() */
	kcflags = str_printf("KCFLAGS=%s%s-ffile-prefix-map=%s=.", flags ? flags : "", flags ? " " : "", dir);
	jobs = str_printf("-j%ld", sysconf(_SC_NPROCESSORS_ONLN));
	if (!m || !jobs || !kcflags)
		return err_sys(err, -ENOMEM, "%s", source);
	r = run((const char *const[]){ "make", jobs, "-C", kernel_build, m, kcflags, "modules", NULL }, err);
	if (r < 0)
		return err_prefix(err, "compiling %s with %s", source, kernel_build);
	*ret = TAKE_PTR(dir);
	return 0;
}
