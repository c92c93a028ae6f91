/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base.h - the few helpers that every file uses: cleanup attributes, whole reads and writes,
 * string lists, hexadecimal, time.
 *
 * Functions return 0 (or a count) or a negative errno unless they say otherwise; out-parameters
 * are called ret_x, come last and are untouched on failure.
 */
#ifndef MODULUS_BASE_H
#define MODULUS_BASE_H

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _must_check_ __attribute__((warn_unused_result))
#define _printf_(a, b) __attribute__((format(printf, a, b)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))

/* Hands a pointer or descriptor over: the local no longer owns it. */
#define TAKE_PTR(p)                          \
	({                                   \
		__typeof__(p) take_ = (p);   \
		(p) = NULL;                  \
		take_;                       \
	})
#define TAKE_FD(fd)                          \
	({                                   \
		int take_ = (fd);            \
		(fd) = -EBADF;               \
		take_;                       \
	})

static inline void free_charp(char **p) { free(*p); }
static inline void free_bytes(uint8_t **p) { free(*p); }

/* Closes and keeps errno, so that an error path can report what failed. */
static inline void close_fdp(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);
		errno = saved;
		*fd = -EBADF;
	}
}

static inline void close_filep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_free_ _cleanup_(free_charp)
#define _cleanup_bytes_ _cleanup_(free_bytes)
#define _cleanup_close_ _cleanup_(close_fdp)
#define _cleanup_file_ _cleanup_(close_filep)

static inline bool streq(const char *a, const char *b) { return strcmp(a, b) == 0; }

/* True when str begins with prefix; *ret_rest (may be NULL) is what follows. */
bool str_prefix(const char *str, const char *prefix, const char **ret_rest);
bool str_suffix(const char *str, const char *suffix);
/* What is between the two, the caller's; NULL: str does not begin and end so, or memory is short. */
char *str_middle(const char *str, const char *prefix, const char *suffix);

/* asprintf that returns the string, NULL when memory is short. Caller frees. */
char *str_printf(const char *fmt, ...) _printf_(1, 2);

/* An owned list of strings, made by the functions below. The empty list is all zeroes. */
struct strv {
	char **v;
	size_t n;
};

int strv_add(struct strv *s, const char *str) _must_check_;
int strv_addf(struct strv *s, const char *fmt, ...) _printf_(2, 3) _must_check_;
/* Adds each word of `words` (separated by blanks, or by the characters of `seps` when given). */
int strv_add_words(struct strv *s, const char *words, const char *seps) _must_check_;
int strv_copy(struct strv *dst, const struct strv *src) _must_check_;
bool strv_has(const struct strv *s, const char *str);
/* All of them with blanks between. Caller frees; NULL: no memory. */
char *strv_joined(const struct strv *s);
void strv_free(struct strv *s);
#define _cleanup_strv_ _cleanup_(strv_free)

/*
 * Reads fd to its end. *ret is NUL-terminated one byte past *ret_len; caller frees.
 * -EFBIG: more than max_bytes. Works for files whose st_size is a lie (proc, sysfs).
 */
int read_whole(int fd, size_t max_bytes, char **ret, size_t *ret_len) _must_check_;
/* The same for a path below dirfd; path must be relative. */
int read_whole_at(int dirfd, const char *path, size_t max_bytes, char **ret, size_t *ret_len) _must_check_;
/* A one-line file (sysfs attribute) without its newline. -ERANGE: does not fit. */
int read_line_at(int dirfd, const char *path, char *buf, size_t size) _must_check_;

int write_full(int fd, const void *buf, size_t len) _must_check_;

/*
 * Replaces dirfd/name by the bytes: temporary file, write, rename. A reader sees the old or the
 * new content. No fsync: meant for /run.
 */
int write_file_at(int dirfd, const char *name, const void *buf, size_t len, mode_t mode) _must_check_;

/*
 * mkdir -p of a relative path below dirfd, without following links out; opens the last one. What
 * it made survives a power cut.
 */
int mkdir_beneath(int dirfd, const char *path, mode_t mode, int *ret_fd) _must_check_;

/* A directory below dirfd, to read its names; *ret is the caller's, closedir(3). -errno. */
int dir_open_at(int dirfd, const char *path, DIR **ret) _must_check_;

/*
 * openat2(2). glibc 2.36 has no wrapper. Returns a descriptor or -errno. O_CLOEXEC is added. Where the call is
 * refused as such, walk.h takes its place.
 */
int open_resolve(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve) _must_check_;

/* "0a1b..." of len bytes; out holds 2 * len + 1. */
void hex_encode(const uint8_t *bytes, size_t len, char *out);
/* Exactly 2 * len lower-case digits. -EINVAL otherwise. */
int hex_decode(const char *hex, uint8_t *bytes, size_t len) _must_check_;

/* Decimal digits only, no sign, no overflow. -EINVAL, -ERANGE. */
int parse_u64(const char *s, uint64_t *ret) _must_check_;

/* Copies src with every byte outside printable ASCII, and "\", written as \xNN; always terminated. */
void escape_text(const char *src, size_t len, char *out, size_t size);
/* The same for a sentence, in which words may be escaped already: "\" stays. */
void escape_line(const char *src, char *out, size_t size);

/* pthread_create, with all signals left to the threads that were there. 0 or -errno. */
int thread_start(pthread_t *ret, void *(*fn)(void *), void *ctx) _must_check_;

/* Microseconds on CLOCK_BOOTTIME, the only clock that deadlines use. */
uint64_t now_us(void);

#endif
