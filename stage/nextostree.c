// SPDX-License-Identifier: Apache-2.0
/*
 * nextostree.c - the deployment that an ostree host boots next (ostree, src/libostree/ostree-sysroot.c and
 * ostree-sysroot-deploy.c): the staged one, which becomes the first at shutdown, else the entry of the boot
 * loader with the highest version. A deployment holds one kernel.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>

#include "bootentry.h"
#include "cmdline.h"
#include "gvariant.h"
#include "hold.h"
#include "next.h"
#include "nextloader.h"

#define BOOTED "run/ostree-booted"

/* The physical root: in the running system at /sysroot. -ENOENT: this root is no deployment. */
static int open_physical(const struct host *h, int *ret)
{
	_cleanup_close_ int fd = -EBADF, deployments = -EBADF;

	if (faccessat(h->live_fd, BOOTED, F_OK, 0) < 0)
		return -ENOENT;
	fd = host_root_open(h, "/sysroot", O_PATH | O_DIRECTORY);
	if (fd < 0)
		return -ENOENT;
	deployments = open_resolve(fd, "ostree/deploy", O_PATH | O_DIRECTORY, 0, RESOLVE_IN_ROOT);
	if (deployments < 0)
		return -ENOENT;
	*ret = TAKE_FD(fd);
	return 0;
}

static int read_deployment(int physical, const char *path, struct next_kernel *ret, struct err *err)
{
	_cleanup_close_ int fd = open_resolve(physical, path, O_RDONLY | O_DIRECTORY, 0, RESOLVE_IN_ROOT);

	if (fd < 0)
		return err_set(err, -E_UNKNOWN_KERNEL, "%s: %s", path, strerror(-fd));
	return next_of_tree(fd, path, ret, err);
}

/* --- staged --- */

/* One directory's name. */
static bool is_name(const char *s)
{
	return *s && s[0] != '.' && !strchr(s, '/');
}

static int staged_path(const char *bytes, size_t len, char **ret)
{
	const char *name, *os;
	const void *target;
	size_t n;

	if (gvariant_find(bytes, len, "target", "a{sv}", &target, &n) < 0 ||
	    gvariant_find_string(target, n, "name", &name) < 0 || gvariant_find_string(target, n, "osname", &os) < 0 ||
	    !is_name(name) || !is_name(os))
		return -EBADMSG;
	*ret = str_printf("ostree/deploy/%s/deploy/%s", os, name);
	return *ret ? 0 : -ENOMEM;
}

static int by_staged(const struct host *h, int physical, struct next_kernel *ret, struct err *err)
{
	_cleanup_free_ char *bytes = NULL, *path = NULL;
	size_t len;
	int r = read_whole_at(h->live_fd, &HOLD_STAGED[1], LIMIT_STAGED_BYTES, &bytes, &len);

	if (r == -ENOENT)
		return r;
	if (r == 0)
		r = staged_path(bytes, len, &path);
	if (r == -ENOMEM)
		return err_sys(err, r, HOLD_STAGED);
	if (r < 0)
		return err_set(err, -E_UNKNOWN_KERNEL, HOLD_STAGED ": %s",
			       r == -EBADMSG ? "names no deployment" : strerror(-r));
	snprintf(ret->how, sizeof(ret->how), "ostree has staged a deployment%s: %.120s",
		 hold_look(h) == HOLD_OTHERS ? " (held back for now)" : "", /* our own lock is told of by the gate */
		 strrchr(path, '/') + 1);
	return read_deployment(physical, path, ret, err);
}

/* --- the boot loader's entries --- */

/* ostree= of the entry: a link below the physical root that leads to the deployment. */
static int by_entries(const struct host *h, int physical, struct next_kernel *ret, struct err *err)
{
	_cleanup_boot_entries_ struct boot_entries entries = { 0 };
	int r = loader_read_entries(h->root_fd, "boot/loader/entries", &entries);

	if (r == 0 && entries.n == 0) /* no file system of its own at /boot */
		r = loader_read_entries(physical, "boot/loader/entries", &entries);
	if (r < 0)
		return err_sys(err, r, "/boot/loader/entries");
	boot_entries_sort_version(&entries);
	for (size_t i = 0; i < entries.n; i++) {
		_cleanup_cmdline_ struct cmdline options = { 0 };
		const char *link;

		if (!entries.v[i].options)
			continue;
		if (cmdline_parse(entries.v[i].options, &options) < 0)
			return err_sys(err, -ENOMEM, "/boot/loader/entries");
		link = cmdline_get(&options, "ostree");
		if (!link || !str_prefix(link, "/ostree/boot.", NULL))
			continue;
		snprintf(ret->how, sizeof(ret->how), "ostree's first entry of the boot loader is %.100s",
			 entries.v[i].id);
		return read_deployment(physical, link, ret, err);
	}
	return err_set(err, -E_UNKNOWN_KERNEL, "/boot/loader/entries: no entry is of an ostree deployment");
}

int next_by_ostree(const struct host *h, struct next_kernel *ret, struct err *err)
{
	_cleanup_close_ int physical = -EBADF;
	int r = open_physical(h, &physical);

	if (r == 0)
		r = by_staged(h, physical, ret, err);
	else
		return r;
	return r == -ENOENT ? by_entries(h, physical, ret, err) : r;
}
