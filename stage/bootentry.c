// SPDX-License-Identifier: Apache-2.0
/*
 * bootentry.c - see bootentry.h. Pure: the files are read by nextloader.c.
 */
#include "bootentry.h"

#include <fnmatch.h>

#include "version.h"

#define BLANKS " \t"

/* --- lines --- */

/* The next line without blanks around it; NULL at the end. NULs end a line too. */
static const char *next_line(const char **text, size_t *len, size_t *ret_len)
{
	const char *line = *text;
	size_t n = 0;

	if (*len == 0)
		return NULL;
	while (n < *len && line[n] != '\n' && line[n] != '\0')
		n++;
	*text += MIN(n + 1, *len);
	*len -= MIN(n + 1, *len);
	while (n > 0 && strchr(BLANKS "\r", line[n - 1]))
		n--;
	while (n > 0 && strchr(BLANKS, *line))
		line++, n--;
	*ret_len = n;
	return line;
}

/* "key value" with blanks between. Empty values do not count. */
static bool split(const char *line, size_t len, const char *key, const char **ret, size_t *ret_len)
{
	size_t n = strlen(key);

	if (len <= n || memcmp(line, key, n) != 0 || !strchr(BLANKS, line[n]))
		return false;
	while (n < len && strchr(BLANKS, line[n]))
		n++;
	*ret = line + n;
	*ret_len = len - n;
	return true;
}

static int replace(char **field, const char *value, size_t len)
{
	char *copy = strndup(value, len);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

static int join(char **field, const char *value, size_t len)
{
	char *joined = *field ? str_printf("%s %.*s", *field, (int)len, value) : strndup(value, len);

	if (!joined)
		return -ENOMEM;
	free(*field);
	*field = joined;
	return 0;
}

/* --- entries --- */

static void entry_free(struct boot_entry *e)
{
	free(e->id);
	free(e->version);
	free(e->machine_id);
	free(e->sort_key);
	free(e->linux_path);
	free(e->options);
}

void boot_entries_drop_last(struct boot_entries *l)
{
	entry_free(&l->v[--l->n]);
}

void boot_entries_free(struct boot_entries *l)
{
	for (size_t i = 0; i < l->n; i++)
		entry_free(&l->v[i]);
	free(l->v);
	*l = (struct boot_entries){ 0 };
}

/* "+LEFT" or "+LEFT-DONE" at the end of a name (Automatic Boot Assessment). */
static size_t without_counts(const char *name, size_t len, bool *ret_none_left)
{
	static const char digits[] = "0123456789";
	const char *plus = memrchr(name, '+', len), *at;
	size_t left;

	if (!plus || plus == name)
		return len;
	left = strspn(plus + 1, digits);
	at = plus + 1 + left;
	if (left == 0)
		return len;
	if (*at == '-' && strspn(at + 1, digits) > 0)
		at += 1 + strspn(at + 1, digits);
	if (at != name + len)
		return len;
	*ret_none_left = strspn(plus + 1, "0") == left;
	return (size_t)(plus - name);
}

static int take_name(struct boot_entry *e, const char *file)
{
	size_t n = strlen(file);

	if (!str_suffix(file, ".conf") || n == strlen(".conf") || n > LIMIT_PATH_BYTES || file[0] == '.')
		return -EINVAL;
	e->id = strndup(file, without_counts(file, n - strlen(".conf"), &e->out_of_tries));
	return e->id ? 0 : -ENOMEM;
}

static int take_line(struct boot_entry *e, const char *line, size_t len)
{
	const struct {
		const char *key;
		char **field;
	} keys[] = { { "version", &e->version }, { "machine-id", &e->machine_id }, { "sort-key", &e->sort_key },
		     { "linux", &e->linux_path } };
	const char *value;
	size_t n;

	if (split(line, len, "options", &value, &n))
		return join(&e->options, value, n);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (split(line, len, keys[i].key, &value, &n))
			return replace(keys[i].field, value, n);
	return 0;
}

int boot_entries_add(struct boot_entries *l, const char *file, const char *text, size_t len)
{
	struct boot_entry e = { 0 }, *v;
	const char *line;
	size_t n;
	int r = take_name(&e, file);

	while (r == 0 && (line = next_line(&text, &len, &n)))
		r = take_line(&e, line, n);
	if (r == 0 && !e.linux_path)
		r = -EINVAL;
	v = r == 0 ? reallocarray(l->v, l->n + 1, sizeof(*v)) : NULL;
	if (!v) {
		entry_free(&e);
		return r < 0 ? r : -ENOMEM;
	}
	l->v = v;
	v[l->n++] = e;
	return 0;
}

static int compare_text(const char *a, const char *b)
{
	return !a || !b ? !a - !b : strcmp(a, b);
}

static int newest_first(const char *a, const char *b)
{
	return !a || !b ? !a - !b : -version_compare(a, b);
}

/* systemd, src/boot/efi/boot.c, boot_entry_compare() */
static int by_systemd(const void *a, const void *b)
{
	const struct boot_entry *x = a, *y = b;
	int r = (int)x->out_of_tries - (int)y->out_of_tries;

	if (r == 0)
		r = !x->sort_key - !y->sort_key;
	if (r == 0 && x->sort_key && y->sort_key) {
		r = strcmp(x->sort_key, y->sort_key);
		if (r == 0)
			r = compare_text(x->machine_id, y->machine_id);
		if (r == 0)
			r = newest_first(x->version, y->version);
	}
	return r != 0 ? r : newest_first(x->id, y->id);
}

static int by_version(const void *a, const void *b)
{
	const struct boot_entry *x = a, *y = b;
	int r = newest_first(x->version, y->version);

	return r != 0 ? r : newest_first(x->id, y->id);
}

void boot_entries_sort_systemd(struct boot_entries *l)
{
	if (l->n > 1)
		qsort(l->v, l->n, sizeof(*l->v), by_systemd);
}

void boot_entries_sort_version(struct boot_entries *l)
{
	if (l->n > 1)
		qsort(l->v, l->n, sizeof(*l->v), by_version);
}

const struct boot_entry *boot_entries_find(const struct boot_entries *l, const char *glob)
{
	for (size_t i = 0; i < l->n; i++) {
		_cleanup_free_ char *file = str_printf("%s.conf", l->v[i].id);

		if (streq(glob, l->v[i].id) || (file && fnmatch(glob, file, 0) == 0))
			return &l->v[i];
	}
	return NULL;
}

/* --- which kernel --- */

static bool take_release(const char *text, size_t len, char *ret)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+~-";

	if (len == 0 || len > LIMIT_RELEASE_BYTES || !strchr("0123456789", text[0]) || strspn(text, letters) < len)
		return false;
	memcpy(ret, text, len);
	ret[len] = '\0';
	return true;
}

static bool take_installed(const char *text, size_t len, const struct strv *installed, char *ret)
{
	for (size_t i = 0; i < installed->n; i++)
		if (strlen(installed->v[i]) == len && memcmp(installed->v[i], text, len) == 0)
			return take_release(text, len, ret);
	return false;
}

bool boot_path_release(const char *path, const char *version, const struct strv *installed,
		       char ret[LIMIT_RELEASE_BYTES + 1])
{
	static const char *const names[] = { "vmlinuz-", "vmlinux-", "linux-" };
	const char *base = strrchr(path, '/'), *rest;

	base = base ? base + 1 : path;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_prefix(base, names[i], &rest) && take_release(rest, strlen(rest), ret))
			return true;
	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");

		if (take_installed(p, n, installed, ret))
			return true;
		p += n + strspn(p + n, "/");
	}
	return version && take_installed(version, strlen(version), installed, ret);
}

/* --- what says which one --- */

int loader_conf_get(const char *text, size_t len, const char *key, char **ret)
{
	_cleanup_free_ char *found = NULL;
	const char *line, *value;
	size_t n;

	while ((line = next_line(&text, &len, &n)))
		if (split(line, n, key, &value, &n) && replace(&found, value, n) < 0)
			return -ENOMEM;
	if (!found)
		return -ENOENT;
	*ret = TAKE_PTR(found);
	return 0;
}

/* GRUB, grub-core/lib/envblk.c: NAME=VALUE, a backslash takes the next character as it is. */
int grubenv_get(const char *text, size_t len, const char *name, char **ret)
{
	static const char signature[] = "# GRUB Environment Block\n";
	size_t at = strlen(signature), name_len = strlen(name), n = 0;
	char *value;

	if (len < at || memcmp(text, signature, at) != 0)
		return -EBADMSG;
	while (at < len &&
	       (len - at <= name_len || memcmp(text + at, name, name_len) != 0 || text[at + name_len] != '=')) {
		while (at < len && text[at] != '\n')
			at += text[at] == '\\' && at + 1 < len ? 2 : 1;
		at++;
	}
	if (at >= len)
		return -ENOENT;
	value = malloc(len - at);
	if (!value)
		return -ENOMEM;
	for (at += name_len + 1; at < len && text[at] != '\n' && text[at] != '\0'; at++) {
		if (text[at] == '\\' && at + 1 < len)
			at++;
		value[n++] = text[at];
	}
	value[n] = '\0';
	if (n == 0) {
		free(value);
		return -ENOENT;
	}
	*ret = value;
	return 0;
}
