/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixture.h - what all unit tests share: assertions that name their case, growing byte strings,
 * and a directory that is gone when the test is over.
 *
 * Helpers do not return failures: what they cannot do ends the test.
 */
#ifndef MODULUS_TEST_FIXTURE_H
#define MODULUS_TEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host.h"

/* --- saying what went wrong --- */

/* A condition inside a table of cases: the failure names the case. */
#define assert_case(name, condition)                               \
	do {                                                       \
		if (!(condition))                                  \
			fail_msg("%s: not so: %s", name, #condition); \
	} while (0)

/* The text holds the part. */
#define assert_contains(text, part) contains_or_fail(text, part, __FILE__, __LINE__)
void contains_or_fail(const char *text, const char *part, const char *file, int line);

/* --- bytes --- */

struct blob {
	uint8_t *v;
	size_t n;
};

void blob_add(struct blob *b, const void *bytes, size_t n);
void blob_add_text(struct blob *b, const char *text);
/* count times the same byte */
void blob_fill(struct blob *b, char c, size_t count);
void blob_free(struct blob *b);
#define _cleanup_blob_ _cleanup_(blob_free)

/* strdup into a field that may hold an older string. */
void set_text(char **field, const char *value);
void add_text(struct strv *list, const char *value);

/* --- a directory for one test --- */

/* root/ and live/ below it are what struct host means by these words. */
struct place {
	char path[64];
	int fd;
	struct host host; /* every sysop is refused until the test installs others */
};

/* Group fixtures of cmocka: cmocka_unit_test_setup_teardown(test, place_setup, place_teardown). */
int place_setup(void **state);
int place_teardown(void **state);
#define at_place(test) cmocka_unit_test_setup_teardown(test, place_setup, place_teardown)

/* Paths are relative to the place: "root/etc/modulus/gpu.conf". Parents are made. */
void put_text(const struct place *p, const char *path, const char *text);
void put_blob(const struct place *p, const char *path, const void *bytes, size_t n);
void put_link(const struct place *p, const char *path, const char *target);
void put_dir(const struct place *p, const char *path);
void put_fifo(const struct place *p, const char *path);
/* lstat(2) sees it */
bool is_there(const struct place *p, const char *path);
/* The file's text; caller frees. */
char *get_text(const struct place *p, const char *path);
/* Entries of a directory, "." and ".." not counted. */
unsigned int count_entries(const struct place *p, const char *path);
/* The whole path; caller frees. */
char *place_path(const struct place *p, const char *path);

/*
 * What some machines lack. Asked first of all in a test, with skip(): what is allocated before a
 * skip() is a leak.
 */
bool can_mount(const struct place *p);
bool can_make_nodes(const struct place *p);
bool is_installed(const char *program);
bool has_openat2(void); /* qemu-user of Debian 12 has none */

/* From here on openat2(2) fails with this error in this process, as under a filter of systemd. */
void refuse_openat2(int error);

/* What blocks between these two is interrupted after some seconds, and the test has failed. */
void must_not_block(void);
void assert_did_not_block(void);

#endif
