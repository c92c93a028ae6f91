// SPDX-License-Identifier: Apache-2.0
/*
 * kernelsyms.c - runs only where no build-id proves that a bundle fits. Input: /proc/modules and
 * the kernel's module tree, through libkmod, which also decompresses. Output: a sorted table, a vermagic.
 */
#include "kernelsyms.h"

/*
 * Modules that are read: module_layout is in the first, and a hundred cover what a driver shares
 * with the rest; each costs reading one file.
 */
#define MODULES_MAX 64u

struct collecting {
	const char *release;
	struct symbols symbols;
	char *vermagic; /* NULL until a module had one for the release */
};

static void collecting_done(struct collecting *c)
{
	symbols_free(&c->symbols);
	free(c->vermagic);
}

static int note_vermagic(struct kmod_module *mod, struct collecting *c)
{
	struct kmod_list *list = NULL, *item;
	const char *rest;
	int r = 0;

	if (c->vermagic || kmod_module_get_info(mod, &list) < 0)
		return 0;
	kmod_list_foreach(item, list) {
		const char *value = kmod_module_info_get_value(item);

		if (c->vermagic || !streq(kmod_module_info_get_key(item), "vermagic") ||
		    !str_prefix(value, c->release, &rest) || *rest != ' ')
			continue;
		c->vermagic = strdup(value);
		r = c->vermagic ? 0 : -ENOMEM;
	}
	kmod_module_info_free_list(list);
	return r;
}

static int add_imports(struct kmod_module *mod, struct symbols *ret)
{
	struct kmod_list *list = NULL, *item;
	int r = 0;

	if (kmod_module_get_versions(mod, &list) < 0)
		return 0; /* the kernel records none */
	kmod_list_foreach(item, list) {
		const char *name = kmod_module_version_get_symbol(item);

		if (r == 0 && name)
			r = symbols_add(ret, name, strlen(name), (uint32_t)kmod_module_version_get_crc(item));
	}
	kmod_module_versions_free_list(list);
	return r;
}

static int read_module(struct kmod_module *mod, struct collecting *c)
{
	int r;

	if (!kmod_module_get_path(mod))
		return 0; /* built in, or not in the tree */
	r = note_vermagic(mod, c);
	return r == 0 ? add_imports(mod, &c->symbols) : r;
}

int kernelsyms_collect(struct kmod_ctx *ctx, const char *release, const struct strv *also, struct symbols *ret,
		       char **ret_vermagic)
{
	_cleanup_(collecting_done) struct collecting c = { .release = release };
	struct kmod_list *live = NULL, *item;
	unsigned int n = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < also->n && n < MODULES_MAX; i++, n++) {
		struct kmod_module *mod = NULL;

		if (kmod_module_new_from_name(ctx, also->v[i], &mod) < 0)
			continue;
		r = read_module(mod, &c);
		kmod_module_unref(mod);
	}
	if (r == 0 && kmod_module_new_from_loaded(ctx, &live) < 0)
		live = NULL;
	kmod_list_foreach(item, live) {
		struct kmod_module *mod = kmod_module_get_module(item);

		if (r == 0 && n++ < MODULES_MAX)
			r = read_module(mod, &c);
		kmod_module_unref(mod);
	}
	kmod_module_unref_list(live);
	if (r < 0)
		return r;
	symbols_sort(&c.symbols);
	*ret = c.symbols;
	c.symbols = (struct symbols){ 0 };
	*ret_vermagic = TAKE_PTR(c.vermagic);
	return 0;
}
