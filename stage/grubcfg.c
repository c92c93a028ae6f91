// SPDX-License-Identifier: Apache-2.0
/*
 * grubcfg.c - see grubcfg.h. Pure. What it does not understand it does not know: an answer is given only
 * when the entry is found and starts a kernel.
 */
#include "grubcfg.h"

#include "limit.h"

#define NOBODY SIZE_MAX

struct menu_entry {
	char *title, *id, *kernel; /* kernel NULL: a submenu, or none is started */
	size_t parent; /* NOBODY: the top menu */
};

struct menu {
	struct menu_entry *v;
	size_t n;
	char *fallback; /* the value of the first "set default=" that is not next_entry's */
};

static void menu_free(struct menu *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i].title);
		free(m->v[i].id);
		free(m->v[i].kernel);
	}
	free(m->v);
	free(m->fallback);
}

/* --- words of one line --- */

/* The next word; quotes of both kinds are dropped, and in the middle of a word too. 0: none is left. */
static int next_word(const char **p, const char *end, char **ret)
{
	const char *s = *p;
	char *word, quote = '\0';
	size_t n = 0;

	while (s < end && (*s == ' ' || *s == '\t'))
		s++;
	if (s == end)
		return 0;
	word = malloc((size_t)(end - s) + 1);
	if (!word)
		return -ENOMEM;
	for (; s < end && (quote || (*s != ' ' && *s != '\t')); s++) {
		if (quote ? *s == quote : *s == '\'' || *s == '"')
			quote = quote ? '\0' : *s;
		else if (*s == '\\' && quote != '\'' && s + 1 < end)
			word[n++] = *++s;
		else
			word[n++] = *s;
	}
	word[n] = '\0';
	*p = s;
	*ret = word;
	return 1;
}

static int first_word(const char *line, const char *end, const char **ret_rest, char **ret)
{
	*ret_rest = line;
	return next_word(ret_rest, end, ret);
}

/* --- the file --- */

/* "TITLE ... $menuentry_id_option ID ... {" */
static int add_entry(struct menu *m, size_t parent, const char *rest, const char *end)
{
	struct menu_entry *v, e = { .parent = parent };
	char *word = NULL;
	bool id_next = false;
	int r;

	if (m->n == LIMIT_GRUB_ENTRIES)
		return -EOVERFLOW;
	while ((r = next_word(&rest, end, &word)) > 0) {
		bool is_id = streq(word, "$menuentry_id_option") || streq(word, "--id");
		char **field = !e.title ? &e.title : id_next ? &e.id : NULL;

		if (field && !*field)
			*field = TAKE_PTR(word);
		free(TAKE_PTR(word));
		id_next = is_id;
	}
	v = r < 0 ? NULL : reallocarray(m->v, m->n + 1, sizeof(*v));
	if (!v) {
		free(e.title);
		free(e.id);
		return -ENOMEM;
	}
	m->v = v;
	v[m->n++] = e;
	return 0;
}

/* "set default=VALUE": the other branch, of next_entry, is known without it. */
static int take_default(struct menu *m, const char *rest, const char *end)
{
	_cleanup_free_ char *word = NULL;
	const char *value;
	int r = m->fallback ? 0 : next_word(&rest, end, &word);

	if (r > 0 && str_prefix(word, "default=", &value) && !streq(value, "${next_entry}")) {
		m->fallback = strdup(value);
		return m->fallback ? 0 : -ENOMEM;
	}
	return MIN(r, 0);
}

static int take_kernel(struct menu *m, size_t entry, const char *rest, const char *end)
{
	char *path = NULL;
	int r = m->v[entry].kernel ? 0 : next_word(&rest, end, &path);

	if (r > 0)
		m->v[entry].kernel = path;
	return MIN(r, 0);
}

/* The blocks that are open: entries of the menu, or NOBODY for another kind. */
struct blocks {
	size_t v[LIMIT_GRUB_DEPTH];
	size_t n;
};

static int open_block(struct blocks *b, size_t entry)
{
	if (b->n == LIMIT_GRUB_DEPTH)
		return -EOVERFLOW;
	b->v[b->n++] = entry;
	return 0;
}

static int take_line(struct menu *m, struct blocks *b, const char *line, const char *end)
{
	size_t in = b->n > 0 ? b->v[b->n - 1] : NOBODY;
	_cleanup_free_ char *word = NULL;
	const char *rest;
	int r = first_word(line, end, &rest, &word);

	if (r <= 0)
		return r;
	if (streq(word, "menuentry") || streq(word, "submenu")) {
		r = add_entry(m, in, rest, end);
		return r < 0 ? r : open_block(b, m->n - 1);
	}
	if (streq(word, "}")) {
		b->n -= b->n > 0;
		return 0;
	}
	if (streq(word, "function"))
		return open_block(b, NOBODY);
	if (streq(word, "set"))
		return take_default(m, rest, end);
	if (in != NOBODY && (streq(word, "linux") || streq(word, "linux16") || streq(word, "linuxefi")))
		return take_kernel(m, in, rest, end);
	return 0;
}

static int read_menu(const char *text, size_t len, struct menu *m)
{
	const char *end = text + len;
	struct blocks b = { 0 };
	int r = 0;

	while (r == 0 && text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text)), *stop = nl ? nl : end;

		if (!memchr(text, '\0', (size_t)(stop - text)))
			r = take_line(m, &b, text, stop);
		text = nl ? nl + 1 : end;
	}
	return r;
}

/* --- which entry --- */

/* By number, id or title, as GRUB compares them (grub-core/normal/menu.c, get_entry_number). */
static size_t find_child(const struct menu *m, size_t parent, const char *name)
{
	size_t number = 0;
	uint64_t wanted;
	bool by_number = parse_u64(name, &wanted) == 0;

	for (size_t i = 0; i < m->n; i++) {
		const struct menu_entry *e = &m->v[i];

		if (e->parent != parent)
			continue;
		if (by_number ? number++ == wanted :
				(e->id && streq(e->id, name)) || (e->title && streq(e->title, name)))
			return i;
	}
	return NOBODY;
}

/* "1>2", "gnulinux-advanced-UUID>gnulinux-6.1-advanced-UUID"; what is not found is the first entry. */
static size_t find_entry(const struct menu *m, const char *choice)
{
	_cleanup_free_ char *copy = strdup(choice);
	size_t at = NOBODY;
	char *save = NULL;

	for (char *part = copy ? strtok_r(copy, ">", &save) : NULL; part; part = strtok_r(NULL, ">", &save)) {
		size_t child = find_child(m, at, part);

		if (child == NOBODY)
			return at == NOBODY ? find_child(m, NOBODY, "0") : NOBODY;
		at = child;
	}
	return at == NOBODY ? find_child(m, NOBODY, "0") : at;
}

int grub_default_kernel(const char *text, size_t len, const char *next, const char *saved, char **ret, bool *ret_once)
{
	_cleanup_(menu_free) struct menu m = { 0 };
	bool once = next && *next;
	const char *choice;
	size_t entry;
	int r = read_menu(text, len, &m);

	if (r < 0)
		return r;
	choice = once ? next : m.fallback ? m.fallback : "0";
	if (streq(choice, "${saved_entry}"))
		choice = saved && *saved ? saved : "0";
	entry = strchr(choice, '$') ? NOBODY : find_entry(&m, choice);
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): whoever has been found is in the list */
	if (entry == NOBODY || !m.v[entry].kernel)
		return -ENOENT;
	*ret = TAKE_PTR(m.v[entry].kernel);
	*ret_once = once;
	return 0;
}

bool grub_reads_entries(const char *text, size_t len)
{
	const char *end = text + len;

	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text)), *stop = nl ? nl : end, *rest;
		_cleanup_free_ char *word = NULL;

		if (first_word(text, stop, &rest, &word) > 0 && streq(word, "blscfg"))
			return true;
		text = nl ? nl + 1 : end;
	}
	return false;
}
