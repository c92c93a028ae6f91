// SPDX-License-Identifier: Apache-2.0
/*
 * base.c - helpers without a policy of their own. Nothing here knows what a bundle is.
 */
#include "base.h"

#include <ctype.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "walk.h"

bool str_prefix(const char *str, const char *prefix, const char **ret_rest)
{
	size_t n = strlen(prefix);

	if (strncmp(str, prefix, n) != 0)
		return false;
	if (ret_rest)
		*ret_rest = str + n;
	return true;
}

bool str_suffix(const char *str, const char *suffix)
{
	size_t n = strlen(str), m = strlen(suffix);

	return n >= m && streq(str + n - m, suffix);
}

char *str_middle(const char *str, const char *prefix, const char *suffix)
{
	const char *rest;

	if (!str_prefix(str, prefix, &rest) || !str_suffix(rest, suffix))
		return NULL;
	return strndup(rest, strlen(rest) - strlen(suffix));
}

__attribute__((format(printf, 1, 0))) static char *vprintf_alloc(const char *fmt, va_list ap)
{
	char *s = NULL;

	if (vasprintf(&s, fmt, ap) < 0)
		return NULL;
	return s;
}

char *str_printf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = vprintf_alloc(fmt, ap);
	va_end(ap);
	return s;
}

static int strv_take(struct strv *s, char *str)
{
	if (!str)
		return -ENOMEM;
	if ((s->n & (s->n - 1)) == 0) { /* at each power of two */
		char **v = reallocarray(s->v, s->n ? 2 * s->n : 1, sizeof(*v));

		if (!v) {
			free(str);
			return -ENOMEM;
		}
		s->v = v;
	}
	s->v[s->n++] = str;
	return 0;
}

int strv_add(struct strv *s, const char *str)
{
	return strv_take(s, strdup(str));
}

int strv_addf(struct strv *s, const char *fmt, ...)
{
	va_list ap;
	char *str;

	va_start(ap, fmt);
	str = vprintf_alloc(fmt, ap);
	va_end(ap);
	return strv_take(s, str);
}

int strv_add_words(struct strv *s, const char *words, const char *seps)
{
	if (!seps)
		seps = " \t";
	for (;;) {
		size_t n;
		int r;

		words += strspn(words, seps);
		n = strcspn(words, seps);
		if (n == 0)
			return 0;
		r = strv_take(s, strndup(words, n));
		if (r < 0)
			return r;
		words += n;
	}
}

int strv_copy(struct strv *dst, const struct strv *src)
{
	for (size_t i = 0; i < src->n; i++) {
		int r = strv_add(dst, src->v[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

char *strv_joined(const struct strv *s)
{
	char *all = strdup("");

	for (size_t i = 0; all && i < s->n; i++) {
		char *more = str_printf("%s%s%s", all, i ? " " : "", s->v[i]);

		free(all);
		all = more;
	}
	return all;
}

bool strv_has(const struct strv *s, const char *str)
{
	for (size_t i = 0; i < s->n; i++)
		if (streq(s->v[i], str))
			return true;
	return false;
}

void strv_free(struct strv *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct strv){ 0 };
}

int read_whole(int fd, size_t max_bytes, char **ret, size_t *ret_len)
{
	_cleanup_free_ char *buf = NULL;
	size_t len = 0, room = 0;

	for (;;) {
		ssize_t n;

		if (len == room) {
			char *bigger;

			if (room > max_bytes)
				return -EFBIG;
			/* one byte more than allowed, so that "too big" is seen, and one for the NUL */
			room = room ? MIN(room * 2, max_bytes + 1) : MIN((size_t)4096, max_bytes + 1);
			bigger = realloc(buf, room + 1);
			if (!bigger)
				return -ENOMEM;
			buf = bigger;
		}
		n = read(fd, buf + len, room - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max_bytes)
			return -EFBIG;
	}
	buf[len] = '\0';
	*ret = TAKE_PTR(buf);
	*ret_len = len;
	return 0;
}

int read_whole_at(int dirfd, const char *path, size_t max_bytes, char **ret, size_t *ret_len)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return read_whole(fd, max_bytes, ret, ret_len);
}

int read_line_at(int dirfd, const char *path, char *buf, size_t size)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size);
	if (n < 0)
		return -errno;
	if ((size_t)n == size && buf[n - 1] != '\n')
		return -ERANGE;
	buf[(size_t)n == size ? n - 1 : n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

int write_full(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int write_file_at(int dirfd, const char *name, const void *buf, size_t len, mode_t mode)
{
	_cleanup_free_ char *tmp = str_printf(".%s.%ld", name, (long)getpid());
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (!tmp)
		return -ENOMEM;
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	r = write_full(fd, buf, len);
	if (r == 0 && renameat(dirfd, tmp, dirfd, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dirfd, tmp, 0);
	return r;
}

int open_resolve(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned int)flags | O_CLOEXEC,
		.mode = (flags & O_CREAT) ? mode : 0,
		.resolve = resolve,
	};
	long fd;

	do {
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	if (fd >= 0)
		return (int)fd;
	/* a filter says one or the other; EPERM that is about the file is what the walk ends with too */
	return errno == ENOSYS || errno == EPERM ? walk_open(dirfd, path, flags, mode, resolve) : -errno;
}

int mkdir_beneath(int dirfd, const char *path, mode_t mode, int *ret_fd)
{
	/* not a duplicate: one that was opened for its path only cannot be fsynced */
	_cleanup_close_ int at = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *copy = strdup(path);
	char *save = NULL;

	if (at < 0)
		return -errno;
	if (!copy)
		return -ENOMEM;
	for (char *part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		int next;

		if (mkdirat(at, part, mode) < 0 ? errno != EEXIST : fsync(at) < 0)
			return -errno;
		next = open_resolve(at, part, O_RDONLY | O_DIRECTORY, 0,
				    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
		if (next < 0)
			return next;
		close(at);
		at = next;
	}
	*ret_fd = TAKE_FD(at);
	return 0;
}

void hex_encode(const uint8_t *bytes, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * len] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int hex_decode(const char *hex, uint8_t *bytes, size_t len)
{
	if (strlen(hex) != 2 * len)
		return -EINVAL;
	for (size_t i = 0; i < 2 * len; i++)
		if (hex_digit(hex[i]) < 0)
			return -EINVAL;
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)((unsigned int)hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
	return 0;
}

int parse_u64(const char *s, uint64_t *ret)
{
	uint64_t value = 0;

	if (*s == '\0')
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
			return -ERANGE;
	}
	*ret = value;
	return 0;
}

static void escape(const char *src, size_t len, bool keep_backslash, char *out, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)src[i];
		bool plain = c >= 0x20 && c < 0x7f && (keep_backslash || c != '\\');

		if (used + (plain ? 1 : 4) >= size)
			break;
		if (plain)
			out[used++] = (char)c;
		else
			used += (size_t)snprintf(out + used, size - used, "\\x%02x", c);
	}
	out[used] = '\0';
}

void escape_text(const char *src, size_t len, char *out, size_t size)
{
	escape(src, len, false, out, size);
}

void escape_line(const char *src, char *out, size_t size)
{
	escape(src, strlen(src), true, out, size);
}

uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

int dir_open_at(int dirfd, const char *path, DIR **ret)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		int r = -errno;

		close_fdp(&fd);
		return r;
	}
	*ret = d;
	return 0;
}

int thread_start(pthread_t *ret, void *(*fn)(void *), void *ctx)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(ret, NULL, fn, ctx);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}
