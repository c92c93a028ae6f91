// SPDX-License-Identifier: Apache-2.0
/*
 * next.c - see next.h. Runs on a running host, before an update is finished and after each boot.
 */
#include "next.h"

#include <fcntl.h>
#include <linux/openat2.h>

#include "installed.h"

int next_of_tree(int top, const char *what, struct next_kernel *ret, struct err *err)
{
	_cleanup_strv_ struct strv releases = { 0 };
	int r = installed_releases(top, &releases);

	if (r < 0)
		return r == -ENOMEM ? err_sys(err, r, "%s", what) :
				      err_set(err, -E_UNKNOWN_KERNEL, "%s: usr/lib/modules: %s", what, strerror(-r));
	if (releases.n == 0)
		return err_set(err, -E_UNKNOWN_KERNEL, "%s: holds no kernel in usr/lib/modules", what);
	if (releases.n > 1)
		return err_set(err, -E_UNKNOWN_KERNEL, "%s: holds the kernels %s and %s", what, releases.v[0],
			       releases.v[1]);
	snprintf(ret->release, sizeof(ret->release), "%s", releases.v[0]);
	(void)installed_build_id(top, ret->release, ret->build_id);
	ret->usr = open_resolve(top, "usr", O_RDONLY | O_DIRECTORY, 0, RESOLVE_IN_ROOT);
	if (ret->usr == -ENOENT) /* the tree is a /usr itself */
		ret->usr = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return 0;
}

void next_done(struct next_kernel *n)
{
	close_fdp(&n->usr);
}

static int next_by_version(const struct host *h, struct next_kernel *ret, struct err *err)
{
	_cleanup_close_ int top = host_root_open(h, "/", O_RDONLY | O_DIRECTORY);
	_cleanup_strv_ struct strv releases = { 0 };
	int r = top < 0 ? top : installed_releases(top, &releases);

	if (r == -ENOMEM)
		return err_sys(err, r, "kernels");
	if (r < 0 || releases.n == 0)
		return err_set(err, -E_UNKNOWN_KERNEL,
			       "no kernel is installed in /usr/lib/modules, and no boot loader of "
			       "which the entries can be read");
	snprintf(ret->release, sizeof(ret->release), "%s", releases.v[0]);
	ret->inferred = true;
	snprintf(ret->how, sizeof(ret->how), "inferred: the newest of %zu in /usr/lib/modules", releases.n);
	return 0;
}

int next_kernel(const struct host *h, const struct kernel *running, struct next_kernel *ret, struct err *err)
{
	static int (*const ways[])(const struct host *h, struct next_kernel *ret, struct err *err) = {
		next_by_slot, next_by_ostree, next_by_loader, next_by_version
	};
	struct next_kernel n = NEXT_NONE;
	char how[sizeof(n.how)];
	int r = -ENOENT;

	for (size_t i = 0; r == -ENOENT && i < ARRAY_SIZE(ways); i++)
		r = ways[i](h, &n, err);
	if (r < 0)
		return r;
	memcpy(how, n.how, sizeof(how)); /* with names of files, of entries and of deployments */
	escape_line(how, n.how, sizeof(n.how));
	if (!n.build_id[0]) {
		_cleanup_close_ int top = host_root_open(h, "/", O_RDONLY | O_DIRECTORY);

		if (top >= 0 && !(streq(n.release, running->release) && !running->build_id[0]))
			(void)installed_build_id(top, n.release, n.build_id);
	}
	*ret = n;
	return 0;
}

int next_kernel_in(const char *usr, struct next_kernel *ret, struct err *err)
{
	_cleanup_close_ int top = open(usr, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct next_kernel n = NEXT_NONE;
	char what[sizeof(n.how) - 20];
	int r;

	escape_text(usr, strlen(usr), what, sizeof(what));
	if (top < 0)
		return err_set(err, -E_UNKNOWN_KERNEL, "%s: %s", what, strerror(errno));
	snprintf(n.how, sizeof(n.how), "an update is at %s", what);
	r = next_of_tree(top, what, &n, err);
	if (r == 0)
		*ret = n;
	return r;
}

bool next_is_running(const struct next_kernel *n, const struct kernel *running)
{
	return streq(n->release, running->release) &&
	       (!n->build_id[0] || !running->build_id[0] || streq(n->build_id, running->build_id));
}
