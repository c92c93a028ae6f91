// SPDX-License-Identifier: Apache-2.0
/*
 * unload.c - see unload.h. Runs on a running host, when somebody asks for it. In: names, and what sysfs says of who
 * uses them. Out: delete_module(2), and nodes gone. Nothing here is on disk.
 */
#include "unload.h"

#include <dirent.h>
#include <fcntl.h>

#include "child.h"
#include "config.h"
#include "limit.h"
#include "load.h"
#include "nvidia.h"

/* Modules that use this one, sys/module/NAME/holders: how many, and the first that is not in names. */
static int look_at_holders(const struct host *h, const char *module, const struct strv *names, uint64_t *ret_n,
			   char **ret_other)
{
	_cleanup_free_ char *path = load_sysfs_path(module, "holders");
	struct dirent *e;
	DIR *dir;
	int r;

	if (!path)
		return -ENOMEM;
	r = dir_open_at(h->live_fd, path, &dir);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	while (r == 0 && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		++*ret_n;
		if (*ret_other || module_name_listed(names, e->d_name))
			continue;
		*ret_other = strdup(e->d_name);
		r = *ret_other ? 0 : -ENOMEM;
	}
	closedir(dir);
	return r;
}

/* May it go, once those of the list that use it are gone? */
static int check(const struct host *h, const char *module, const struct strv *names, struct err *err)
{
	_cleanup_free_ char *path = load_sysfs_path(module, "refcnt"), *other = NULL;
	uint64_t holders = 0, users;
	char text[32];
	int r = path ? look_at_holders(h, module, names, &holders, &other) : -ENOMEM;

	if (r < 0)
		return err_sys(err, r, "%s", module);
	if (other)
		return err_set(err, -EBUSY, "%s is in use by %s", module, other);
	r = read_line_at(h->live_fd, path, text, sizeof(text));
	if (r < 0)
		return err_set(err, -ENOSYS, "%s: built in, or this kernel cannot unload modules", module);
	/* each module that uses another holds one reference (kernel/module/main.c, ref_module) */
	if (parse_u64(text, &users) == 0 && users > holders)
		return err_set(err, -EBUSY, "%s is in use: %llu times by programs or devices", module,
			       (unsigned long long)(users - holders));
	return 0;
}

struct removal {
	const struct sysops *ops;
	char name[LIMIT_NAME_BYTES + 1];
};

static int do_remove(void *ctx)
{
	const struct removal *r = ctx;

	return r->ops->delete_module(r->name);
}

static int remove_one(const struct host *h, const char *module, struct err *err)
{
	struct removal call = { .ops = h->ops };
	int r;

	snprintf(call.name, sizeof(call.name), "%s", module);
	for (char *p = call.name; *p; p++)
		if (*p == '-')
			*p = '_';
	r = child_call(do_remove, &call, -1, now_us() + LIMIT_REMOVE_US);
	if (r == -E_INIT_HUNG)
		return err_set(err, r, "%s did not come out in %llu s", module, (unsigned long long)(LIMIT_REMOVE_US / 1000000));
	if (r == -E_INIT_FAILED)
		return err_set(err, r, "%s: the process that removed it was killed (a kernel oops?)", module);
	return r < 0 ? err_sys(err, r, "removing %s", module) : 0;
}

static bool has_node(const struct node_list *l, const struct node *n)
{
	for (size_t i = 0; i < l->n; i++)
		if (streq(l->v[i].path, n->path))
			return true;
	return false;
}

/* Those that nobody serves any more. */
static int remove_nodes(const struct host *h, const struct node_list *before)
{
	_cleanup_nodes_ struct node_list now = { 0 };
	_cleanup_strv_ struct strv ignored = { 0 };

	if (before->n > 0 && nvidia_plan(h, &now, &ignored) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < before->n; i++)
		if (!has_node(&now, &before->v[i]))
			node_remove(h, &before->v[i]);
	return 0;
}

/* One that the named ones depend on; nobody may use it any more, the removed ones included. */
static bool is_unused(const struct host *h, const char *module)
{
	const struct strv nobody = { 0 };
	struct err unsaid;

	return check(h, module, &nobody, &unsaid) == 0;
}

int unload_modules(const struct host *h, const struct strv *names, const struct strv *named, struct strv *removed,
		   struct err *err)
{
	_cleanup_nodes_ struct node_list nodes = { 0 };
	_cleanup_strv_ struct strv ignored = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < names->n; i++)
		if (module_name_listed(named, names->v[i]) && load_is_live(h, names->v[i]))
			r = check(h, names->v[i], names, err);
	/* what serves them is asked while it is there */
	if (r == 0 && nvidia_plan(h, &nodes, &ignored) < 0)
		r = err_sys(err, -ENOMEM, "nodes");
	for (size_t i = names->n; r == 0 && i-- > 0;) {
		if (!load_is_live(h, names->v[i]) || (!module_name_listed(named, names->v[i]) && !is_unused(h, names->v[i])))
			continue;
		r = remove_one(h, names->v[i], err);
		if (r == 0 && strv_add(removed, names->v[i]) < 0)
			r = err_sys(err, -ENOMEM, "%s", names->v[i]);
	}
	if (remove_nodes(h, &nodes) < 0 && r == 0)
		r = err_sys(err, -ENOMEM, "nodes");
	return r;
}
