// SPDX-License-Identifier: Apache-2.0
/*
 * host.c - the two roots and the kernel seam. The only file that calls finit_module, delete_module and
 * mknod, lets libkmod insert anything, or asks systemd for a target.
 */
#include "host.h"

#include <fcntl.h>
#include <libkmod.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "child.h"
#include "limit.h"

static int kernel_finit_module(int fd, const char *params)
{
	return syscall(SYS_finit_module, fd, params, 0) < 0 ? -errno : 0;
}

static int kernel_probe_insert(struct kmod_module *mod)
{
	/* never the install lines of a modprobe.d: the context was made without any, and this says it again */
	return kmod_module_probe_insert_module(mod, KMOD_PROBE_IGNORE_COMMAND, NULL, NULL, NULL, NULL);
}

static int kernel_delete_module(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) < 0 ? -errno : 0;
}

static int kernel_mknod_char(int dirfd, const char *path, mode_t mode, dev_t dev)
{
	return mknodat(dirfd, path, S_IFCHR | mode, dev) < 0 ? -errno : 0;
}

static int kernel_start_target(const char *target, const char *job_mode)
{
	_cleanup_free_ char *mode = str_printf("--job-mode=%s", job_mode);

	if (!mode)
		return -ENOMEM;
	return child_program((const char *const[]){ "systemctl", "--no-block", mode, "start", target, NULL },
			     now_us() + LIMIT_SYSTEMCTL_US);
}

const struct sysops sysops_kernel = {
	.finit_module = kernel_finit_module,
	.probe_insert = kernel_probe_insert,
	.delete_module = kernel_delete_module,
	.mknod_char = kernel_mknod_char,
	.start_target = kernel_start_target,
};

static int refuse_finit_module(int fd, const char *params)
{
	(void)fd;
	(void)params;
	return -EPERM;
}

static int refuse_probe_insert(struct kmod_module *mod)
{
	(void)mod;
	return -EPERM;
}

static int refuse_delete_module(const char *name)
{
	(void)name;
	return -EPERM;
}

static int refuse_mknod_char(int dirfd, const char *path, mode_t mode, dev_t dev)
{
	(void)dirfd;
	(void)path;
	(void)mode;
	(void)dev;
	return -EPERM;
}

static int refuse_start_target(const char *target, const char *job_mode)
{
	(void)target;
	(void)job_mode;
	return -EPERM;
}

const struct sysops sysops_refuse = {
	.finit_module = refuse_finit_module,
	.probe_insert = refuse_probe_insert,
	.delete_module = refuse_delete_module,
	.mknod_char = refuse_mknod_char,
	.start_target = refuse_start_target,
};

static int open_root(const char *path, int *ret)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret = fd;
	return 0;
}

int host_open(const char *root, const char *live, struct host *ret, struct err *err)
{
	_cleanup_host_ struct host h = { .root_fd = -EBADF, .live_fd = -EBADF };
	struct statvfs v;
	int r;

	h.root_path = strdup(root ? root : "/");
	h.live_path = strdup(live ? live : "/");
	if (!h.root_path || !h.live_path)
		return err_sys(err, -ENOMEM, "root");
	r = open_root(h.root_path, &h.root_fd);
	if (r < 0)
		return err_sys(err, r, "%s", h.root_path);
	h.root_was_readonly = fstatvfs(h.root_fd, &v) == 0 && (v.f_flag & ST_RDONLY);
	r = open_root(h.live_path, &h.live_fd);
	if (r < 0)
		return err_sys(err, r, "%s", h.live_path);
	h.ops = live ? &sysops_refuse : &sysops_kernel;
	*ret = h;
	h = (struct host){ .root_fd = -EBADF, .live_fd = -EBADF };
	return 0;
}

void host_close(struct host *h)
{
	free(h->root_path);
	free(h->live_path);
	close_fdp(&h->root_fd);
	close_fdp(&h->live_fd);
	h->root_path = h->live_path = NULL;
}

bool host_root_is_live(const struct host *h)
{
	return streq(h->root_path, "/") || !streq(h->live_path, "/");
}

int host_root_open(const struct host *h, const char *path, int flags)
{
	return open_resolve(h->root_fd, path, flags, 0, RESOLVE_IN_ROOT);
}

bool host_unit_is_enabled(const struct host *h, const char *unit)
{
	static const char *const dirs[] = { "/etc/systemd/system", "/usr/lib/systemd/system" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		_cleanup_free_ char *path = str_printf("%s/multi-user.target.wants/%s", dirs[i], unit);
		_cleanup_close_ int fd = path ? host_root_open(h, path, O_PATH) : -EBADF;

		if (fd >= 0)
			return true;
	}
	return false;
}

int host_live_open(const struct host *h, const char *path, int flags)
{
	int fd = openat(h->live_fd, path + strspn(path, "/"), flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int host_live_read(const struct host *h, const char *path, size_t max_bytes, char **ret, size_t *ret_len)
{
	return read_whole_at(h->live_fd, path + strspn(path, "/"), max_bytes, ret, ret_len);
}

int host_live_mkdir(const struct host *h, const char *path, int *ret_fd)
{
	_cleanup_close_ int root = openat(h->live_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return -errno;
	return mkdir_beneath(root, path + strspn(path, "/"), 0755, ret_fd);
}

static int make_root_dir(const struct host *h, char *path)
{
	_cleanup_close_ int parent = -EBADF;
	char *name = strrchr(path, '/');
	int fd = host_root_open(h, path, O_RDONLY | O_DIRECTORY);

	if (fd != -ENOENT)
		return fd;
	*name = '\0';
	parent = host_root_open(h, name == path ? "/" : path, O_RDONLY | O_DIRECTORY);
	*name = '/';
	if (parent < 0)
		return parent;
	if (mkdirat(parent, name + 1, 0755) < 0 ? errno != EEXIST : fsync(parent) < 0)
		return -errno;
	return host_root_open(h, path, O_RDONLY | O_DIRECTORY);
}

int host_root_mkdir(const struct host *h, const char *path, int *ret_fd)
{
	_cleanup_free_ char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	for (char *slash = copy;;) {
		_cleanup_close_ int fd = -EBADF;

		slash = strchr(slash + 1, '/');
		if (slash)
			*slash = '\0';
		fd = make_root_dir(h, copy);
		if (fd < 0)
			return fd;
		if (!slash) {
			*ret_fd = TAKE_FD(fd);
			return 0;
		}
		*slash = '/';
	}
}
