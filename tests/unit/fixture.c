// SPDX-License-Identifier: Apache-2.0
/*
 * fixture.c - see fixture.h.
 */
#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

void contains_or_fail(const char *text, const char *part, const char *file, int line)
{
	if (text && strstr(text, part))
		return;
	print_error("\"%s\"\ndoes not hold\n\"%s\"\n", text ? text : "(null)", part);
	_fail(file, line);
}

/* --- bytes --- */

/* Room for n bytes more and a NUL; they count already. */
static uint8_t *grow(struct blob *b, size_t n)
{
	uint8_t *v = realloc(b->v, b->n + n + 1);

	assert_non_null(v);
	b->v = v;
	b->n += n;
	v[b->n] = '\0';
	return v + b->n - n;
}

void blob_add(struct blob *b, const void *bytes, size_t n)
{
	uint8_t *to = grow(b, n);

	if (n)
		memcpy(to, bytes, n);
}

void blob_add_text(struct blob *b, const char *text)
{
	blob_add(b, text, strlen(text));
}

void blob_fill(struct blob *b, char c, size_t count)
{
	memset(grow(b, count), c, count);
}

void blob_free(struct blob *b)
{
	free(b->v);
	*b = (struct blob){ 0 };
}

void set_text(char **field, const char *value)
{
	free(*field);
	*field = value ? strdup(value) : NULL;
	assert_true(!value || *field);
}

void add_text(struct strv *list, const char *value)
{
	assert_int_equal(strv_add(list, value), 0);
}

/* --- a directory for one test --- */

int place_setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	const char *tmp = getenv("TMPDIR");
	_cleanup_free_ char *root = NULL, *live = NULL;
	struct err err;

	assert_non_null(p);
	snprintf(p->path, sizeof(p->path), "%s/modulus-unit-XXXXXX", tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	assert_non_null(mkdtemp(p->path));
	p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->fd >= 0);
	put_dir(p, "root");
	put_dir(p, "live");
	root = place_path(p, "root");
	live = place_path(p, "live");
	assert_int_equal(host_open(root, live, &p->host, &err), 0);
	*state = p;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int place_teardown(void **state)
{
	static const char *const mounts[] = { "root/var", "root" };
	struct place *p = *state;

	host_close(&p->host);
	close(p->fd);
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) { /* where a test failed before it unmounted */
		_cleanup_free_ char *path = place_path(p, mounts[i]);

		(void)umount2(path, MNT_DETACH);
	}
	(void)nftw(p->path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	free(p);
	return 0;
}

char *place_path(const struct place *p, const char *path)
{
	char *whole = str_printf("%s/%s", p->path, path);

	assert_non_null(whole);
	return whole;
}

static void make_parents(const struct place *p, const char *path)
{
	_cleanup_free_ char *copy = strdup(path);

	assert_non_null(copy);
	for (char *slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		assert_true(mkdirat(p->fd, copy, 0755) == 0 || errno == EEXIST);
		*slash = '/';
	}
}

void put_blob(const struct place *p, const char *path, const void *bytes, size_t n)
{
	_cleanup_close_ int fd = -EBADF;

	make_parents(p, path);
	fd = openat(p->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(write_full(fd, bytes, n), 0);
}

void put_text(const struct place *p, const char *path, const char *text)
{
	put_blob(p, path, text, strlen(text));
}

void put_link(const struct place *p, const char *path, const char *target)
{
	make_parents(p, path);
	assert_int_equal(symlinkat(target, p->fd, path), 0);
}

void put_dir(const struct place *p, const char *path)
{
	make_parents(p, path);
	assert_true(mkdirat(p->fd, path, 0755) == 0 || errno == EEXIST);
}

void put_fifo(const struct place *p, const char *path)
{
	make_parents(p, path);
	assert_int_equal(mkfifoat(p->fd, path, 0644), 0);
}

bool is_there(const struct place *p, const char *path)
{
	struct stat st;

	return fstatat(p->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

char *get_text(const struct place *p, const char *path)
{
	char *text = NULL;
	size_t n;
	int r = read_whole_at(p->fd, path, 64u << 20, &text, &n);

	if (r < 0)
		fail_msg("%s: %s", path, strerror(-r));
	return text;
}

unsigned int count_entries(const struct place *p, const char *path)
{
	DIR *dir = fdopendir(openat(p->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	unsigned int n = 0;
	struct dirent *e;

	if (!dir)
		return 0;
	while ((e = readdir(dir)))
		if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
			n++;
	closedir(dir);
	return n;
}

bool can_mount(const struct place *p)
{
	_cleanup_free_ char *root = place_path(p, "root");

	if (mount("tmpfs", root, "tmpfs", 0, "size=1m") < 0)
		return false;
	(void)umount2(root, MNT_DETACH);
	return true;
}

bool can_make_nodes(const struct place *p)
{
	if (mknodat(p->fd, "node", S_IFCHR | 0600, makedev(1, 3)) < 0)
		return false;
	(void)unlinkat(p->fd, "node", 0);
	return true;
}

bool is_installed(const char *program)
{
	const char *path = getenv("PATH");
	_cleanup_strv_ struct strv dirs = { 0 };

	assert_int_equal(strv_add_words(&dirs, path ? path : "/usr/bin", ":"), 0);
	for (size_t i = 0; i < dirs.n; i++) {
		_cleanup_free_ char *file = str_printf("%s/%s", dirs.v[i], program);

		if (access(file, X_OK) == 0)
			return true;
	}
	return false;
}

bool has_openat2(void)
{
	return syscall(SYS_openat2, -1, NULL, NULL, 0) < 0 && errno != ENOSYS;
}

void refuse_openat2(int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };

	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
	assert_int_equal(syscall(SYS_openat2, -1, NULL, NULL, 0), -1);
	assert_int_equal(errno, error);
}

static volatile sig_atomic_t blocked;

static void on_alarm(int signal_no)
{
	(void)signal_no;
	blocked = 1;
}

void must_not_block(void)
{
	/* no SA_RESTART: the call that blocks comes back with EINTR */
	const struct sigaction on = { .sa_handler = on_alarm };

	blocked = 0;
	assert_int_equal(sigaction(SIGALRM, &on, NULL), 0);
	(void)alarm(5);
}

void assert_did_not_block(void)
{
	(void)alarm(0);
	if (blocked)
		fail_msg("a call blocked");
}
