// SPDX-License-Identifier: Apache-2.0
/*
 * unitfiles.c - see unitfiles.h. Runs on a running host.
 */
#include "unitfiles.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "instance.h"
#include "limit.h"
#include "removetree.h"

#define UNIT_DIR "/etc/systemd/system"
#define UNIT_MARK "\nDescription=Modulus: "
#define HOOK_MARK "\n# Part of Modulus, which knows it by this line: "
#define INSTANCE "modulus@"

/* By what it says of itself: others may have units and hooks of such a name. */
static bool says_it_is_ours(const struct host *h, const char *path, const char *mark)
{
	_cleanup_close_ int fd = host_root_open(h, path, O_RDONLY | O_NONBLOCK);
	_cleanup_free_ char *text = NULL;
	size_t len;

	return fd >= 0 && read_whole(fd, LIMIT_CONFIG_BYTES, &text, &len) == 0 && strstr(text, mark);
}

static bool is_instance_of_meant(const struct unit_files *u, const char *entry)
{
	_cleanup_free_ char *instance = str_middle(entry, INSTANCE, ".service"), *version = NULL;
	struct driver *d;
	struct err unsaid;

	if (!instance || !u->names)
		return instance != NULL;
	if (instance_find(u->config, instance, &d, &version, &unsaid) == 0)
		return strv_has(u->names, d->name);
	for (size_t i = 0; i < u->names->n; i++) { /* its file may be gone */
		const char *rest;

		if (str_prefix(instance, u->names->v[i], &rest) && *rest == '-')
			return true;
	}
	return false;
}

static bool has_unit_name(const char *entry)
{
	static const char *const kinds[] = { ".service", ".target", ".timer", ".path", ".socket" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (str_suffix(entry, kinds[i]))
			return str_prefix(entry, "modulus-", NULL) || str_prefix(entry, INSTANCE, NULL);
	return false;
}

/* What a link in a .wants directory enables; one that leads nowhere is what an interrupted run left. */
static bool is_enabling(void *ctx, int dir, const char *where, const char *entry)
{
	struct unit_files *u = ctx;
	_cleanup_free_ char *path = str_printf("%s/%s", where, entry);
	_cleanup_close_ int fd = -EBADF;
	struct stat st;

	if (!path || !has_unit_name(entry) || fstatat(dir, entry, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISLNK(st.st_mode))
		return false;
	if (u->names && !is_instance_of_meant(u, entry))
		return false;
	fd = host_root_open(u->sweep.host, path, O_PATH);
	if (fd >= 0 && !says_it_is_ours(u->sweep.host, path, UNIT_MARK))
		return false;
	u->changed = true;
	return true;
}

static bool is_unit(void *ctx, int dir, const char *where, const char *entry)
{
	struct unit_files *u = ctx;
	_cleanup_free_ char *path = str_printf("%s/%s", where, entry);

	(void)dir;
	if (!path || !has_unit_name(entry))
		return false;
	if (!says_it_is_ours(u->sweep.host, path, UNIT_MARK))
		return strv_addf(&u->kept, "%s: not of Modulus", path) > 0; /* never */
	u->changed = true;
	return true;
}

static bool is_hook(void *ctx, int dir, const char *where, const char *entry)
{
	const struct unit_files *u = ctx;
	static const char *const names[] = { "modulus", "95-modulus.install", "oem-postinst" };
	_cleanup_free_ char *path = str_printf("%s/%s", where, entry);

	(void)dir;
	for (size_t i = 0; path && i < ARRAY_SIZE(names); i++)
		if (streq(entry, names[i]))
			return says_it_is_ours(u->sweep.host, path, HOOK_MARK);
	return false;
}

static int sweep(struct unit_files *u, const char *where, sweep_is_ours_fn is_ours)
{
	u->sweep.ctx = u;
	return sweep_dir(&u->sweep, where, false, is_ours);
}

int unit_files_disable(struct unit_files *u)
{
	_cleanup_close_ int dir = host_root_open(u->sweep.host, UNIT_DIR, O_RDONLY | O_DIRECTORY);
	_cleanup_strv_ struct strv names = { 0 };
	int r = dir < 0 ? 0 : tree_names(dir, &names);

	for (size_t i = 0; r == 0 && i < names.n; i++) {
		_cleanup_free_ char *where = str_printf(UNIT_DIR "/%s", names.v[i]);

		if (!where)
			r = -ENOMEM;
		else if (str_suffix(where, ".wants") || str_suffix(where, ".requires"))
			r = sweep(u, where, is_enabling);
	}
	return r;
}

int unit_files_remove(struct unit_files *u)
{
	return sweep(u, UNIT_DIR, is_unit);
}

int unit_files_remove_hooks(struct unit_files *u)
{
	static const char *const dirs[] = { "/etc/kernel/postinst.d", "/etc/kernel/install.d", "/oem/bin" };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(dirs); i++)
		r = sweep(u, dirs[i], is_hook);
	return r;
}
