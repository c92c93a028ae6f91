// SPDX-License-Identifier: Apache-2.0
/*
 * cmdline.c - splits the kernel command line. Input: /proc/cmdline. Output: words.
 */
#include "cmdline.h"

#include "limit.h"

int cmdline_parse(const char *text, struct cmdline *ret)
{
	_cleanup_free_ char *word = malloc(strlen(text) + 1);
	_cleanup_cmdline_ struct cmdline c = { 0 };
	const char *p = text;

	if (!word)
		return -ENOMEM;
	for (;;) {
		bool quoted = false;
		size_t n = 0;
		int r;

		p += strspn(p, " \t\n");
		if (*p == '\0')
			break;
		for (; *p && (quoted || !strchr(" \t\n", *p)); p++) {
			if (*p == '"')
				quoted = !quoted;
			else
				word[n++] = *p;
		}
		word[n] = '\0';
		if (streq(word, "--"))
			break;
		r = strv_add(&c.words, word);
		if (r < 0)
			return r;
	}
	*ret = c;
	c = (struct cmdline){ 0 };
	return 0;
}

int cmdline_read(const struct host *h, struct cmdline *ret, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = host_live_read(h, "/proc/cmdline", LIMIT_CMDLINE_BYTES, &text, &len);

	if (r == 0)
		r = cmdline_parse(text, ret);
	return r < 0 ? err_sys(err, r, "/proc/cmdline") : 0;
}

void cmdline_free(struct cmdline *c)
{
	strv_free(&c->words);
}

const char *cmdline_next(const struct cmdline *c, const char *key, size_t *cursor)
{
	size_t n = strlen(key);

	while (*cursor < c->words.n) {
		const char *w = c->words.v[(*cursor)++];

		if (strncmp(w, key, n) != 0)
			continue;
		if (w[n] == '\0')
			return w + n;
		if (w[n] == '=')
			return w + n + 1;
	}
	return NULL;
}

const char *cmdline_get(const struct cmdline *c, const char *key)
{
	const char *value, *last = NULL;
	size_t cursor = 0;

	while ((value = cmdline_next(c, key, &cursor)))
		last = value;
	return last;
}
