// SPDX-License-Identifier: Apache-2.0
/*
 * recompile.c - runs in the real root, by hand or from a unit; never in the initramfs. Out: one file
 * in a new directory below $TMPDIR (/var/tmp). Interrupted by SIGKILL or a power cut: that directory
 * is left, and systemd-tmpfiles(8) removes it some day.
 */
#include "recompile.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "limit.h"

#define OUTPUT "bundle.tar.zst"

void recompiled_remove(struct recompiled *r)
{
	if (r->output)
		(void)unlink(r->output);
	if (r->dir)
		(void)rmdir(r->dir);
	free(r->output);
	free(r->dir);
	*r = (struct recompiled){ 0 };
}

static int make_place(struct recompiled *ret)
{
	const char *tmp = getenv("TMPDIR");

	ret->dir = str_printf("%s/modulus-rebuild-XXXXXX", tmp && *tmp ? tmp : "/var/tmp");
	if (!ret->dir)
		return -ENOMEM;
	if (!mkdtemp(ret->dir)) {
		free(TAKE_PTR(ret->dir));
		return -errno;
	}
	ret->output = str_printf("%s/" OUTPUT, ret->dir);
	return ret->output ? 0 : -ENOMEM;
}

static int make_environment(const struct host *h, const struct driver *d, const char *release, const char *output,
			    struct strv *ret)
{
	_cleanup_free_ char *flavors = strv_joined(&d->flavors);
	const struct {
		const char *name, *value;
	} ours[] = { { "MODULUS_NAME", d->name },	{ "MODULUS_VERSION", d->version },
		     { "MODULUS_FLAVOR", flavors }, { "MODULUS_KERNEL", release },
		     { "MODULUS_ROOT", h->root_path },	{ "MODULUS_OUTPUT", output } };
	int r = flavors ? 0 : -ENOMEM;

	for (char **e = environ; r == 0 && *e; e++)
		if (!str_prefix(*e, "MODULUS_", NULL))
			r = strv_add(ret, *e);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(ours); i++)
		r = strv_addf(ret, "%s=%s", ours[i].name, ours[i].value);
	return r;
}

/* The list as execve(2) wants it. Borrows the strings; the array is the caller's. */
static char **null_terminated(const struct strv *s)
{
	char **v = calloc(s->n + 1, sizeof(*v));

	for (size_t i = 0; v && i < s->n; i++)
		v[i] = s->v[i];
	return v;
}

static void run_child(char **argv, char **env, const sigset_t *mask)
{
	int null = open("/dev/null", O_RDONLY);

	/* the whole group can be ended, and a terminal's ^C reaches us alone */
	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(127);
	(void)close_range(STDERR_FILENO + 1, ~0u, 0);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	execve(argv[0], argv, env);
	dprintf(STDERR_FILENO, "modulus: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static int wait_ms(uint64_t until_us)
{
	uint64_t now = now_us();

	return now >= until_us ? 0 : (int)MIN((until_us - now) / 1000 + 1, (uint64_t)60000);
}

/* SIGTERM to all of it, and SIGKILL to what is left after a while. */
static void end_group(pid_t pid, int pidfd)
{
	uint64_t until_us = now_us() + LIMIT_BUILD_END_US;
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	(void)kill(-pid, SIGTERM);
	while (now_us() < until_us && poll(&p, 1, wait_ms(until_us)) <= 0)
		;
	(void)kill(-pid, SIGKILL);
}

/* 0: it ended by itself; -ETIME; or the number of the signal that asks us to end. */
static int wait_for(int pidfd, int signals, uint64_t until_us)
{
	struct pollfd p[] = { { .fd = pidfd, .events = POLLIN }, { .fd = signals, .events = POLLIN } };

	for (;;) {
		struct signalfd_siginfo info;
		int n = poll(p, ARRAY_SIZE(p), wait_ms(until_us));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && p[1].revents && read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
			return (int)info.ssi_signo;
		if (n > 0 && p[0].revents)
			return 0;
		if (now_us() >= until_us)
			return -ETIME;
	}
}

/* 0 and the exit status; -ETIME; -errno. */
static int supervise(char **argv, char **env, uint64_t time_us, int *ret_status, struct recompiled *place)
{
	_cleanup_close_ int pidfd = -EBADF, signals = -EBADF;
	sigset_t ours, before;
	pid_t pid;
	int r;

	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &ours, &before) < 0)
		return -errno;
	signals = signalfd(-1, &ours, SFD_CLOEXEC);
	pid = signals < 0 ? -1 : fork();
	if (pid == 0)
		run_child(argv, env, &before);
	if (pid < 0) {
		r = -errno;
		(void)sigprocmask(SIG_SETMASK, &before, NULL);
		return r;
	}
	(void)setpgid(pid, pid); /* whoever is first */
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	r = pidfd < 0 ? -errno : wait_for(pidfd, signals, now_us() + time_us);
	if (r != 0)
		end_group(pid, pidfd);
	(void)waitpid(pid, ret_status, 0);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (r > 0) {
		recompiled_remove(place);
		(void)raise(r);
		r = -EINTR; /* it is ignored here: the command is gone all the same */
	}
	return r;
}

int recompile_run(const struct host *h, const struct driver *d, const char *release, struct recompiled *ret,
		  struct err *err)
{
	_cleanup_recompiled_ struct recompiled place = { 0 };
	_cleanup_strv_ struct strv env = { 0 };
	const char *command = d->build.v[0];
	char **argv, **envp;
	struct stat st;
	int status = 0, r;

	r = make_place(&place);
	if (r < 0)
		return err_sys(err, r, "a directory for what %s makes", command);
	r = make_environment(h, d, release, place.output, &env);
	argv = r == 0 ? null_terminated(&d->build) : NULL;
	envp = argv ? null_terminated(&env) : NULL;
	r = envp ? supervise(argv, envp, d->build_us, &status, &place) : -ENOMEM;
	free(argv);
	free(envp);
	if (r == -ETIME)
		return err_set(err, -E_BUILD_FAILED, "%s was not done in %llu s (Timeout=) and was ended", command,
			       (unsigned long long)(d->build_us / 1000000));
	if (r < 0)
		return err_sys(err, r, "%s", command);
	if (WIFSIGNALED(status))
		return err_set(err, -E_BUILD_FAILED, "%s was ended by signal %d", command, WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return err_set(err, -E_BUILD_FAILED, "%s ended with exit code %d; its own words are above", command,
			       WEXITSTATUS(status));
	if (lstat(place.output, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, -E_BUILD_FAILED, "%s left no file at $MODULUS_OUTPUT", command);
	*ret = place;
	place = (struct recompiled){ 0 };
	return 0;
}
