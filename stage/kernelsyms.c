// SPDX-License-Identifier: Apache-2.0
/*
 * kernelsyms.c - runs only where no build-id proves that a bundle fits. Input: /proc/modules and
 * the kernel's module tree, through libkmod, which also decompresses. Output: a sorted table.
 */
#include "kernelsyms.h"

/*
 * Modules that are read: module_layout is in the first, and a hundred cover what a driver shares
 * with the rest; each costs reading one file.
 */
#define MODULES_MAX 64u

static int add_imports(struct kmod_module *mod, struct symbols *ret)
{
	struct kmod_list *list = NULL, *item;
	int r = 0;

	if (!kmod_module_get_path(mod) || kmod_module_get_versions(mod, &list) < 0)
		return 0; /* built in, not in the tree, or without versions */
	kmod_list_foreach(item, list) {
		const char *name = kmod_module_version_get_symbol(item);

		if (r == 0 && name)
			r = symbols_add(ret, name, strlen(name), (uint32_t)kmod_module_version_get_crc(item));
	}
	kmod_module_versions_free_list(list);
	return r;
}

int kernelsyms_collect(struct kmod_ctx *ctx, const struct strv *also, struct symbols *ret)
{
	_cleanup_symbols_ struct symbols s = { 0 };
	struct kmod_list *live = NULL, *item;
	unsigned int n = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < also->n && n < MODULES_MAX; i++, n++) {
		struct kmod_module *mod = NULL;

		if (kmod_module_new_from_name(ctx, also->v[i], &mod) < 0)
			continue;
		r = add_imports(mod, &s);
		kmod_module_unref(mod);
	}
	if (r == 0 && kmod_module_new_from_loaded(ctx, &live) < 0)
		live = NULL;
	kmod_list_foreach(item, live) {
		struct kmod_module *mod = kmod_module_get_module(item);

		if (r == 0 && n++ < MODULES_MAX)
			r = add_imports(mod, &s);
		kmod_module_unref(mod);
	}
	kmod_module_unref_list(live);
	if (r < 0)
		return r;
	symbols_sort(&s);
	*ret = s;
	s = (struct symbols){ 0 };
	return 0;
}
