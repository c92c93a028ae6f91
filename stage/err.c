// SPDX-License-Identifier: Apache-2.0
/*
 * err.c - the reason table as data, and the sentence that goes with a failure.
 */
#include "err.h"

static const struct {
	const char *word;
	enum exit_code exit;
	const char *text;
} reasons[] = {
#define X(symbol, word, exit, text) { word, exit, text },
	REASON_TABLE(X)
#undef X
};

static size_t reason_index(int code)
{
	if (code == 0)
		return 0;
	if (-code > E_BASE_ && -code < E_END_)
		return (size_t)(-code - E_BASE_ - 1);
	return ARRAY_SIZE(reasons) - 1;
}

const char *reason_word(int code)
{
	return reasons[reason_index(code)].word;
}

const char *reason_advice(int code)
{
	return reasons[reason_index(code)].text;
}

enum exit_code reason_exit(int code)
{
	return reasons[reason_index(code)].exit;
}

int reason_from_word(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (streq(reasons[i].word, word))
			return i == 0 ? 0 : -(E_BASE_ + 1 + (int)i);
	return -E_SYSTEM;
}

/* Whatever the words were made of, one line comes out that a terminal and JSON can hold. */
__attribute__((format(printf, 2, 0))) static void set_text(struct err *e, const char *fmt, va_list ap)
{
	char raw[ERR_TEXT_MAX];

	vsnprintf(raw, sizeof(raw), fmt, ap);
	escape_line(raw, e->text, sizeof(e->text));
}

static void add_text(struct err *e, const char *text)
{
	size_t used = strlen(e->text);

	snprintf(e->text + used, sizeof(e->text) - used, ": %s", text);
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	va_start(ap, fmt);
	set_text(e, fmt, ap);
	va_end(ap);
	e->code = code;
	return code;
}

int err_sys(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	va_start(ap, fmt);
	set_text(e, fmt, ap);
	va_end(ap);
	add_text(e, strerror(-code));
	e->code = code;
	return code;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
	char rest[ERR_TEXT_MAX];
	va_list ap;

	memcpy(rest, e->text, sizeof(rest));
	va_start(ap, fmt);
	set_text(e, fmt, ap);
	va_end(ap);
	add_text(e, rest);
	return e->code;
}
