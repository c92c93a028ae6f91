// SPDX-License-Identifier: Apache-2.0
/*
 * installed.c - see installed.h. Reads only.
 */
#include "installed.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>

#include "kernelimage.h"
#include "version.h"

bool installed_is_release(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= LIMIT_RELEASE_BYTES && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+~-") == n;
}

static int is_release(const struct dirent *e)
{
	return installed_is_release(e->d_name);
}

static int newest_first(const struct dirent **a, const struct dirent **b)
{
	return version_compare((*b)->d_name, (*a)->d_name);
}

/* What depmod(8) needs of a kernel comes with it; its image is here or in /boot. */
static bool has_kernel(int modules, const char *release)
{
	static const char *const files[] = { "modules.builtin", "modules.order", "vmlinuz" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char path[NAME_MAX + 32];

		snprintf(path, sizeof(path), "%s/%s", release, files[i]);
		if (faccessat(modules, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return true;
	}
	return false;
}

static int add(int modules, struct dirent *const *list, int n, bool with_kernel, struct strv *ret)
{
	int r = 0;

	for (int i = 0; r == 0 && i < n && ret->n < LIMIT_KERNELS; i++) {
		_cleanup_close_ int dir =
			open_resolve(modules, list[i]->d_name, O_PATH | O_DIRECTORY, 0, RESOLVE_BENEATH);

		if (dir >= 0 && (!with_kernel || has_kernel(modules, list[i]->d_name)))
			r = strv_add(ret, list[i]->d_name);
	}
	return r;
}

int installed_releases(int top, struct strv *ret)
{
	static const char *const places[] = { "usr/lib/modules", "lib/modules" };
	struct dirent **list = NULL;
	int modules = -ENOENT, n = 0, r;

	for (size_t i = 0; modules < 0 && i < ARRAY_SIZE(places); i++)
		modules = open_resolve(top, places[i], O_RDONLY | O_DIRECTORY, 0, RESOLVE_IN_ROOT);
	if (modules < 0)
		return modules == -ENOENT || modules == -ENOTDIR ? 0 : modules;
	n = scandirat(modules, ".", &list, is_release, newest_first);
	r = n < 0 ? -errno : add(modules, list, n, true, ret);
	if (r == 0 && ret->n == 0)
		r = add(modules, list, n, false, ret);
	for (int i = 0; i < n; i++)
		free(list[i]);
	free(list);
	close(modules);
	return r;
}

bool installed_build_id(int top, const char *release, char ret_hex[2 * LIMIT_BUILD_ID_BYTES + 1])
{
	_cleanup_strv_ struct strv places = { 0 };

	ret_hex[0] = '\0';
	if (strv_addf(&places, "usr/lib/modules/%s/vmlinuz", release) < 0 ||
	    strv_addf(&places, "lib/modules/%s/vmlinuz", release) < 0 ||
	    strv_addf(&places, "boot/vmlinuz-%s", release) < 0 || strv_add(&places, "usr/boot/vmlinuz") < 0 ||
	    strv_add(&places, "boot/vmlinuz") < 0)
		return false;
	for (size_t i = 0; i < places.n; i++) {
		_cleanup_close_ int fd = open_resolve(top, places.v[i], O_RDONLY | O_NONBLOCK, 0, RESOLVE_IN_ROOT);

		if (fd >= 0 && kernel_image_build_id(fd, places.v[i], release, ret_hex, NULL) == 0)
			return true;
	}
	return false;
}
