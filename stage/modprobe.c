// SPDX-License-Identifier: Apache-2.0
/*
 * modprobe.c - see modprobe.h. Runs when a driver's modules are live. In: the modules, which are in memory until
 * then. Out: one file in /run, which a power cut takes away together with what it speaks of.
 */
#include "modprobe.h"

#include <ctype.h>

/* boot's own copy, so that both are one build; $CMDLINE_OPTS is modprobe's word for the parameters */
#define INSTALL "install %s /run/modulus/bin/modulus load --quiet --module %s -- $CMDLINE_OPTS\n"

/* "*" would make every device in the machine this driver's. */
static bool is_alias(const char *s)
{
	size_t n = 0;

	if (!isalnum((unsigned char)*s))
		return false;
	while (isgraph((unsigned char)s[n]) && s[n] != '\\')
		n++;
	return n <= LIMIT_ALIAS_BYTES && s[n] == '\0';
}

static int add_aliases(FILE *out, const struct module_bytes *mod, size_t *room, size_t *left_out, struct err *err)
{
	_cleanup_module_map_ struct module_map m = { 0 };
	const char *alias;
	size_t cursor = 0;
	int r = module_map(mod, &m, err);

	while (r == 0 && (alias = modfile_info(&m.file, "alias", &cursor))) {
		if (!is_alias(alias) || *room == 0) {
			++*left_out;
			continue;
		}
		fprintf(out, "alias %s %s\n", alias, mod->name);
		--*room;
	}
	return r;
}

int modprobe_text(const struct driver *d, const struct module_set *set, char **ret, size_t *ret_left_out,
		  struct err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len, room = LIMIT_MODPROBE_ALIASES, left_out = 0;
	FILE *out = open_memstream(&text, &len);
	int r = 0;

	if (!out)
		return err_sys(err, -ENOMEM, "%s", d->name);
	fprintf(out, "# modulus: the driver %s, of this boot\n", d->name);
	for (size_t i = 0; i < d->evict.n; i++)
		fprintf(out, "blacklist %s\n", d->evict.v[i]);
	for (size_t i = 0; i < set->n; i++)
		fprintf(out, INSTALL, set->v[i].name, set->v[i].name);
	for (size_t i = 0; r == 0 && i < set->n; i++)
		r = add_aliases(out, &set->v[i], &room, &left_out, err);
	if (fclose(out) != 0 && r == 0)
		r = err_sys(err, -ENOMEM, "%s", d->name);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(text);
	*ret_left_out = left_out;
	return 0;
}

int modprobe_tell(const struct host *h, const struct driver *d, const struct module_set *set, struct strv *warnings)
{
	_cleanup_free_ char *name = str_printf("modulus-%s.conf", d->name), *text = NULL;
	_cleanup_close_ int dir = -EBADF;
	size_t left_out = 0;
	struct err err;
	int r;

	if (!name)
		return -ENOMEM;
	r = modprobe_text(d, set, &text, &left_out, &err);
	if (r < 0)
		return r == -ENOMEM ? r : strv_addf(warnings, MODPROBE_DIR ": %s", err.text);
	r = host_live_mkdir(h, MODPROBE_DIR, &dir);
	if (r == 0)
		r = write_file_at(dir, name, text, strlen(text), 0644);
	if (r < 0)
		return r == -ENOMEM ? r : strv_addf(warnings, MODPROBE_DIR "/%s: %s", name, strerror(-r));
	if (left_out > 0)
		return strv_addf(warnings, MODPROBE_DIR "/%s: %zu aliases are left out", name, left_out);
	return 0;
}
