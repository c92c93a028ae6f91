// SPDX-License-Identifier: Apache-2.0
/*
 * nextloader.c - what systemd-boot or GRUB will start, by their own files and variables, in the order in
 * which they themselves ask them (systemd-boot(7), loader.conf(5), grub-mkconfig(8), blscfg). Reads only.
 */
#include "nextloader.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>

#include "grubcfg.h"
#include "installed.h"
#include "next.h"

/* Where a boot partition is mounted. */
static const char *const boot_dirs[] = { "boot", "efi", "boot/efi" };
static const char *const grub_dirs[] = { "boot/grub", "boot/grub2" };

/* systemd's, "Boot Loader Interface" */
#define EFI_VARIABLE "/sys/firmware/efi/efivars/%s-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

static int read_at(int top, const char *dir, const char *file, size_t max_bytes, char **ret, size_t *ret_len)
{
	_cleanup_free_ char *path = str_printf("%s/%s", dir, file);
	_cleanup_close_ int fd = path ? open_resolve(top, path, O_RDONLY | O_NONBLOCK, 0, RESOLVE_IN_ROOT) : -ENOMEM;

	return fd < 0 ? fd : read_whole(fd, max_bytes, ret, ret_len);
}

static int is_conf(const struct dirent *e)
{
	return str_suffix(e->d_name, ".conf");
}

static int add_entry(int dir, const char *file, struct boot_entries *l)
{
	_cleanup_close_ int fd =
		open_resolve(dir, file, O_RDONLY | O_NONBLOCK, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = fd < 0 ? fd : read_whole(fd, LIMIT_BOOT_ENTRY_BYTES, &text, &len);

	if (r == 0)
		r = boot_entries_add(l, file, text, len);
	if (r == 0)
		for (size_t i = 0; i + 1 < l->n; i++)
			if (streq(l->v[i].id, l->v[l->n - 1].id)) {
				boot_entries_drop_last(l);
				break;
			}
	return r == -ENOMEM ? r : 0;
}

int loader_read_entries(int top, const char *path, struct boot_entries *l)
{
	_cleanup_close_ int dir = open_resolve(top, path, O_RDONLY | O_DIRECTORY, 0, RESOLVE_IN_ROOT);
	struct dirent **list = NULL;
	int n = dir < 0 ? 0 : scandirat(dir, ".", &list, is_conf, alphasort), r = 0;

	for (int i = 0; i < n; i++) {
		if (r == 0 && l->n < LIMIT_BOOT_ENTRIES)
			r = add_entry(dir, list[i]->d_name, l);
		free(list[i]);
	}
	free(list);
	return r;
}

/* --- systemd-boot --- */

/* UTF-16 behind four bytes of attributes; what is not ASCII is no entry's name. NULL: not set. */
static char *efi_variable(const struct host *h, const char *name)
{
	_cleanup_free_ char *path = str_printf(EFI_VARIABLE, name), *bytes = NULL;
	size_t len, n = 0;

	if (!path || host_live_read(h, path, LIMIT_EFI_VARIABLE_BYTES, &bytes, &len) < 0)
		return NULL;
	for (size_t at = 4; at + 1 < len && (bytes[at] || bytes[at + 1]); at += 2) {
		if (bytes[at + 1] || bytes[at] < 0x20 || bytes[at] > 0x7e)
			return NULL;
		bytes[n++] = bytes[at];
	}
	bytes[n] = '\0';
	return n > 0 ? TAKE_PTR(bytes) : NULL;
}

static char *loader_default(const struct host *h)
{
	for (size_t i = 0; i < ARRAY_SIZE(boot_dirs); i++) {
		_cleanup_free_ char *text = NULL, *value = NULL;
		size_t len;

		if (read_at(h->root_fd, boot_dirs[i], "loader/loader.conf", LIMIT_BOOT_ENTRY_BYTES, &text, &len) < 0 ||
		    loader_conf_get(text, len, "default", &value) < 0)
			continue;
		return streq(value, "@saved") ? efi_variable(h, "LoaderEntryLastBooted") : TAKE_PTR(value);
	}
	return NULL;
}

static int is_unified(const struct dirent *e)
{
	return str_suffix(e->d_name, ".efi");
}

/* Images that are entries themselves (type #2) are not looked into: which one is first cannot be told. */
static bool has_unified(const struct host *h)
{
	for (size_t i = 0; i < ARRAY_SIZE(boot_dirs); i++) {
		_cleanup_free_ char *path = str_printf("%s/EFI/Linux", boot_dirs[i]);
		_cleanup_close_ int dir =
			path ? open_resolve(h->root_fd, path, O_RDONLY | O_DIRECTORY, 0, RESOLVE_IN_ROOT) : -1;
		struct dirent **list = NULL;
		int n = dir < 0 ? 0 : scandirat(dir, ".", &list, is_unified, NULL);

		for (int j = 0; j < n; j++)
			free(list[j]);
		free(list);
		if (n > 0)
			return true;
	}
	return false;
}

static const struct boot_entry *by_systemd_boot(const struct host *h, struct boot_entries *entries, char *how,
						size_t size)
{
	_cleanup_free_ char *once = efi_variable(h, "LoaderEntryOneShot"),
			    *chosen = efi_variable(h, "LoaderEntryDefault"), *written = loader_default(h);
	const struct {
		const char *glob, *says;
	} asked[] = { { once, "for one boot" }, { chosen, "by LoaderEntryDefault" }, { written, "by loader.conf" } };
	bool unified = has_unified(h);

	boot_entries_sort_systemd(entries);
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		const struct boot_entry *e = asked[i].glob ? boot_entries_find(entries, asked[i].glob) : NULL;

		if (e)
			snprintf(how, size, "systemd-boot starts %.100s, %s", e->id, asked[i].says);
		if (e || (asked[i].glob && unified))
			return e;
	}
	if (unified || entries->n == 0)
		return NULL;
	snprintf(how, size, "systemd-boot starts %.100s, its first entry", entries->v[0].id);
	return &entries->v[0];
}

/* --- GRUB --- */

struct grub {
	char *cfg, *next, *saved; /* NULL: none */
	size_t cfg_len;
};

static void grub_free(struct grub *g)
{
	free(g->cfg);
	free(g->next);
	free(g->saved);
}

static void read_grub(const struct host *h, struct grub *ret)
{
	for (size_t i = 0; !ret->cfg && i < ARRAY_SIZE(grub_dirs); i++) {
		_cleanup_free_ char *env = NULL;
		size_t len;

		if (read_at(h->root_fd, grub_dirs[i], "grub.cfg", LIMIT_GRUB_CFG_BYTES, &ret->cfg, &ret->cfg_len) < 0)
			ret->cfg = NULL;
		if (read_at(h->root_fd, grub_dirs[i], "grubenv", LIMIT_GRUBENV_BYTES, &env, &len) < 0)
			continue;
		if (!ret->next && grubenv_get(env, len, "next_entry", &ret->next) < 0)
			ret->next = NULL;
		if (!ret->saved && grubenv_get(env, len, "saved_entry", &ret->saved) < 0)
			ret->saved = NULL;
	}
}

/* An id, or a place in the list; what is not found is the first one. */
static const struct boot_entry *by_grub_entries(const struct grub *g, struct boot_entries *entries, char *how,
						size_t size)
{
	const char *choice = g->next ? g->next : g->saved;
	const struct boot_entry *e = NULL;
	uint64_t number;

	boot_entries_sort_version(entries);
	if (choice && parse_u64(choice, &number) == 0 && number < entries->n)
		e = &entries->v[number];
	else if (choice)
		e = boot_entries_find(entries, choice);
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the list is not empty */
	snprintf(how, size, "GRUB starts %.100s, %s", e ? e->id : entries->v[0].id,
		 !e ? "its first entry" : g->next ? "for one boot (next_entry)" : "by saved_entry");
	return e ? e : &entries->v[0];
}

/* --- which --- */

static int by_grub(const struct host *h, struct boot_entries *entries, const struct strv *installed,
		   struct next_kernel *ret, struct err *err)
{
	_cleanup_(grub_free) struct grub g = { 0 };
	_cleanup_free_ char *path = NULL;
	bool once;
	int r;

	read_grub(h, &g);
	if (entries->n > 0 && (!g.cfg || grub_reads_entries(g.cfg, g.cfg_len))) {
		const struct boot_entry *e = by_grub_entries(&g, entries, ret->how, sizeof(ret->how));

		return boot_path_release(e->linux_path, e->version, installed, ret->release) ? 0 : -ENOENT;
	}
	if (!g.cfg)
		return -ENOENT;
	r = grub_default_kernel(g.cfg, g.cfg_len, g.next, g.saved, &path, &once);
	if (r == -ENOMEM)
		return err_sys(err, r, "grub.cfg");
	if (r < 0 || !boot_path_release(path, NULL, installed, ret->release))
		return -ENOENT;
	snprintf(ret->how, sizeof(ret->how), "GRUB starts it by grub.cfg%s",
		 once ? ", for one boot (next_entry)" : g.saved ? " and grubenv" : "");
	return 0;
}

int next_by_loader(const struct host *h, struct next_kernel *ret, struct err *err)
{
	_cleanup_boot_entries_ struct boot_entries entries = { 0 };
	_cleanup_free_ char *loader = efi_variable(h, "LoaderInfo");
	_cleanup_strv_ struct strv installed = { 0 };
	_cleanup_close_ int top = host_root_open(h, "/", O_RDONLY | O_DIRECTORY);
	const struct boot_entry *e;
	int r = top < 0 ? 0 : installed_releases(top, &installed);

	for (size_t i = 0; r != -ENOMEM && i < ARRAY_SIZE(boot_dirs); i++) {
		_cleanup_free_ char *path = str_printf("%s/loader/entries", boot_dirs[i]);

		r = path ? loader_read_entries(h->root_fd, path, &entries) : -ENOMEM;
	}
	if (r == -ENOMEM)
		return err_sys(err, r, "boot loader");
	if (!loader || !str_prefix(loader, "systemd-boot", NULL))
		return by_grub(h, &entries, &installed, ret, err);
	e = by_systemd_boot(h, &entries, ret->how, sizeof(ret->how));
	return e && boot_path_release(e->linux_path, e->version, &installed, ret->release) ? 0 : -ENOENT;
}
