// SPDX-License-Identifier: Apache-2.0
/*
 * rootfs.c - the target root's own file system. Runs around the cache's writes. If the power
 * fails in between, the file system was mounted writable for that moment and is recovered by
 * its journal, as after any other cut.
 */
#include "rootfs.h"

#include <fcntl.h>
#include <mntent.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* statvfs(3) speaks of ST_, mount(2) of MS_; only these survive a remount by flags. */
static unsigned long mount_flags(unsigned long st)
{
	return ((st & ST_NOSUID) ? MS_NOSUID : 0ul) | ((st & ST_NODEV) ? MS_NODEV : 0ul) |
	       ((st & ST_NOEXEC) ? MS_NOEXEC : 0ul) | ((st & ST_NOATIME) ? MS_NOATIME : 0ul) |
	       ((st & ST_NODIRATIME) ? MS_NODIRATIME : 0ul) | ((st & ST_RELATIME) ? MS_RELATIME : 0ul);
}

int rootfs_writable_begin(const struct host *h, struct rootfs_writable *ret)
{
	struct rootfs_writable w = { .host = h };
	struct statvfs v;

	if (fstatvfs(h->root_fd, &v) < 0)
		return -errno;
	if (v.f_flag & ST_RDONLY) {
		if (streq(h->root_path, "/"))
			return -EROFS;
		w.flags = mount_flags(v.f_flag);
		if (mount(NULL, h->root_path, NULL, MS_REMOUNT | w.flags, NULL) < 0)
			return -errno;
		w.remounted = true;
	}
	*ret = w;
	return 0;
}

int rootfs_writable_end(struct rootfs_writable *w)
{
	if (!w->remounted)
		return 0;
	w->remounted = false;
	if (mount(NULL, w->host->root_path, NULL, MS_REMOUNT | MS_RDONLY | w->flags, NULL) < 0)
		return -errno;
	return 0;
}

static bool is_mounted(const struct host *h, const char *dir)
{
	_cleanup_close_ int fd = host_root_open(h, dir, O_PATH);
	struct stat at, root;

	return fd >= 0 && fstat(fd, &at) == 0 && fstat(h->root_fd, &root) == 0 && at.st_dev != root.st_dev;
}

bool rootfs_is_hidden(const struct host *h, const char *path)
{
	_cleanup_file_ FILE *fstab = NULL;
	char buf[4096];
	struct mntent m;
	int fd;

	if (!streq(h->root_path, "/") && str_prefix(path, "/var/", NULL) && !is_mounted(h, "/var") &&
	    faccessat(h->live_fd, "run/ostree-booted", F_OK, 0) == 0)
		return true;
	fd = host_root_open(h, "/etc/fstab", O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return false;
	fstab = fdopen(fd, "r");
	if (!fstab) {
		close(fd);
		return false;
	}
	while (getmntent_r(fstab, &m, buf, sizeof(buf))) {
		size_t n = strlen(m.mnt_dir);

		while (n > 1 && m.mnt_dir[n - 1] == '/')
			n--;
		if (n <= 1 || strncmp(path, m.mnt_dir, n) != 0 || (path[n] != '/' && path[n] != '\0'))
			continue;
		m.mnt_dir[n] = '\0';
		if (!is_mounted(h, m.mnt_dir))
			return true;
	}
	return false;
}
