/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmdline.h - the kernel command line as words. Pure.
 *
 * Quoting as the kernel does it (lib/cmdline.c, next_arg): double quotes protect blanks and are
 * dropped; there is no escape. Words after "--" belong to init and are ignored.
 */
#ifndef MODULUS_CMDLINE_H
#define MODULUS_CMDLINE_H

#include "host.h"

struct cmdline {
	/* "key" or "key=value", unquoted, in order */
	struct strv words;
};

int cmdline_parse(const char *text, struct cmdline *ret) _must_check_;
/* Reads /proc/cmdline of the live root. */
int cmdline_read(const struct host *h, struct cmdline *ret, struct err *err) _must_check_;
void cmdline_free(struct cmdline *c);
#define _cleanup_cmdline_ _cleanup_(cmdline_free)

/* Value of the last "key=value"; "" for a bare "key"; NULL when absent. Borrowed. */
const char *cmdline_get(const struct cmdline *c, const char *key);
/*
 * The next value of a key that may come several times. *cursor starts at 0.
 * Returns NULL after the last one. Borrowed.
 */
const char *cmdline_next(const struct cmdline *c, const char *key, size_t *cursor);

#endif
