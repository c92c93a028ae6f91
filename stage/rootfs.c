// SPDX-License-Identifier: Apache-2.0
/*
 * rootfs.c - where a path of the target is now. Runs around everything that we keep: the cache,
 * marks and trials. If the power fails in between, a file system was mounted writable for that
 * moment and is recovered by its journal, as after any other cut.
 */
#include "rootfs.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <mntent.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "cmdline.h"
#include "log.h"

/* --- making it writable --- */

/* statvfs(3) speaks of ST_, mount(2) of MS_; only these survive a remount by flags. */
static unsigned long mount_flags(unsigned long st)
{
	return ((st & ST_NOSUID) ? MS_NOSUID : 0ul) | ((st & ST_NODEV) ? MS_NODEV : 0ul) |
	       ((st & ST_NOEXEC) ? MS_NOEXEC : 0ul) | ((st & ST_NOATIME) ? MS_NOATIME : 0ul) |
	       ((st & ST_NODIRATIME) ? MS_NODIRATIME : 0ul) | ((st & ST_RELATIME) ? MS_RELATIME : 0ul);
}

/* 0, -EROFS when that is not what keeps top read-only, or -errno. */
static int remount(struct rootfs_dir *d, const char *point)
{
	struct statvfs v;

	if (statvfs(point, &v) < 0)
		return -errno;
	if (!(v.f_flag & ST_RDONLY))
		return -EROFS;
	d->remounted = strdup(point);
	if (!d->remounted)
		return -ENOMEM;
	d->flags = mount_flags(v.f_flag);
	if (mount(NULL, point, NULL, MS_REMOUNT | d->flags, NULL) < 0) {
		free(TAKE_PTR(d->remounted));
		return -errno;
	}
	return fstatvfs(d->top, &v) == 0 && !(v.f_flag & ST_RDONLY) ? 0 : -EROFS;
}

int rootfs_dir_writable(struct rootfs_dir *d, struct err *err)
{
	_cleanup_free_ char *itself = str_printf("/proc/self/fd/%d", d->top), *physical = NULL;
	struct statvfs v;
	int r;

	physical = str_printf("%s/sysroot", d->host->root_path);
	if (!itself || !physical)
		return err_sys(err, -ENOMEM, "%s", d->shown);
	if (d->own.fs >= 0) {
		r = private_mount_set_writable(&d->own, true);
		return r < 0 ? err_sys(err, r, "%s: making its file system writable", d->shown) : 0;
	}
	if (fstatvfs(d->top, &v) < 0)
		return err_sys(err, -errno, "%s", d->shown);
	if (!(v.f_flag & ST_RDONLY))
		return 0;
	if (streq(d->host->root_path, "/"))
		return err_sys(err, -EROFS, "%s", d->shown);
	/* a stateroot's var is a mount of its own where the physical root is kept read-only */
	r = d->stateroot ? remount(d, itself) : remount(d, d->host->root_path);
	if (r < 0 && d->stateroot && !d->remounted)
		r = remount(d, physical);
	return r < 0 ? err_sys(err, r, "%s: its file system is read-only", d->shown) : 0;
}

int rootfs_dir_release(struct rootfs_dir *d)
{
	int r = 0;

	if (d->own.fs >= 0) {
		r = private_mount_set_writable(&d->own, false);
		private_mount_close(&d->own);
	}
	if (d->remounted && mount(NULL, d->remounted, NULL, MS_REMOUNT | MS_RDONLY | d->flags, NULL) < 0)
		r = -errno;
	close_fdp(&d->top);
	free(d->path);
	free(d->shown);
	free(d->remounted);
	*d = (struct rootfs_dir)ROOTFS_DIR_NONE;
	return r;
}

void rootfs_dir_done(struct rootfs_dir *d)
{
	_cleanup_free_ char *shown = d->shown ? strdup(d->shown) : NULL;
	int r = rootfs_dir_release(d);

	if (r < 0)
		log_warning("%s: its file system could not be made read-only again: %s", shown ? shown : "the cache",
			    strerror(-r));
}

/* --- finding it --- */

static bool is_of_another_device(const struct host *h, int fd)
{
	struct stat at, root;

	return fstat(fd, &at) == 0 && fstat(h->root_fd, &root) == 0 && at.st_dev != root.st_dev;
}

/* What the device does not tell, since a bind mount may be of the root's own. Before Linux 5.8 there is only that. */
static bool is_mounted(const struct host *h, const char *dir)
{
	_cleanup_close_ int fd = host_root_open(h, dir, O_PATH);
	struct statx s;

	if (fd < 0)
		return false;
	if (statx(fd, "", AT_EMPTY_PATH, 0, &s) == 0 && (s.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT))
		return s.stx_attributes & STATX_ATTR_MOUNT_ROOT;
	return is_of_another_device(h, fd);
}

struct fstab_line {
	char *spec;
	size_t covers; /* bytes of the path that are the mount point */
	bool subvolume;
};

static void fstab_line_free(struct fstab_line *l)
{
	free(l->spec);
}

/*
 * The line of the target's fstab for the innermost mount point on the way to path that is not
 * mounted yet; ret->spec stays NULL when there is none.
 */
static int find_in_fstab(const struct host *h, const char *path, struct fstab_line *ret)
{
	_cleanup_file_ FILE *fstab = NULL;
	char buf[4096];
	struct mntent m;
	int fd = host_root_open(h, "/etc/fstab", O_RDONLY | O_NONBLOCK);

	if (fd < 0)
		return 0;
	fstab = fdopen(fd, "r");
	if (!fstab) {
		close(fd);
		return -ENOMEM;
	}
	while (getmntent_r(fstab, &m, buf, sizeof(buf))) {
		size_t n = strlen(m.mnt_dir);

		while (n > 1 && m.mnt_dir[n - 1] == '/')
			n--;
		if (n <= 1 || n < ret->covers || strncmp(path, m.mnt_dir, n) != 0 ||
		    (path[n] != '/' && path[n] != '\0') || hasmntopt(&m, "noauto"))
			continue;
		m.mnt_dir[n] = '\0';
		if (is_mounted(h, m.mnt_dir))
			continue;
		free(ret->spec);
		ret->spec = strdup(m.mnt_fsname);
		if (!ret->spec)
			return -ENOMEM;
		ret->covers = n;
		ret->subvolume = hasmntopt(&m, "subvol") || hasmntopt(&m, "subvolid");
	}
	return 0;
}

/* A private mount of it. */
static int mount_spec(const char *spec, struct rootfs_dir *d, struct err *err)
{
	_cleanup_free_ char *device = private_mount_find(spec);
	int r;

	if (!device)
		return err_set(err, -E_CACHE_UNREACHABLE, "%s: no device is %s", d->shown, spec);
	r = private_mount_open(device, PRIVATE_KEEP, &d->own, err);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		err->code = -E_CACHE_UNREACHABLE;
		return err_prefix(err, "%s", d->shown);
	}
	d->top = fcntl(d->own.top, F_DUPFD_CLOEXEC, 3);
	return d->top < 0 ? err_sys(err, -errno, "%s", d->shown) : 0;
}

/* "/ostree/boot.1/STATEROOT/CHECKSUM/0" (ostree-prepare-root(1)) -> its var, below the physical root. */
static char *stateroot_var(const struct host *h)
{
	_cleanup_cmdline_ struct cmdline c = { 0 };
	const char *arg, *name;
	size_t n;

	if (cmdline_read(h, &c, NULL) < 0)
		return NULL;
	arg = cmdline_get(&c, "ostree");
	name = arg && str_prefix(arg, "/ostree/boot.", &name) ? strchr(name, '/') : NULL;
	if (!name)
		return NULL;
	n = strcspn(++name, "/");
	if (n == 0 || name[n] != '/' || name[0] == '.')
		return NULL;
	return str_printf("/sysroot/ostree/deploy/%.*s/var", (int)n, name);
}

static int find_in_stateroot(const struct host *h, struct rootfs_dir *d, struct err *err)
{
	_cleanup_free_ char *var = stateroot_var(h);

	if (!var)
		return err_set(err, -E_CACHE_UNREACHABLE, "%s: an ostree host without a stateroot in ostree= of the kernel command line",
			       d->shown);
	d->top = host_root_open(h, var, O_RDONLY | O_DIRECTORY);
	if (d->top < 0)
		return err_set(err, -E_CACHE_UNREACHABLE, "%s: %s below %s: %s", d->shown, var, h->root_path,
			       strerror(-d->top));
	d->stateroot = true;
	return 0;
}

/* A bind mount of it, as Ignition's on Fedora CoreOS, is still the stateroot's: its writes need the same care. */
static bool var_is_the_stateroots(const struct host *h)
{
	_cleanup_close_ int fd = host_root_open(h, "/var", O_PATH);

	return !streq(h->root_path, "/") && faccessat(h->live_fd, "run/ostree-booted", F_OK, 0) == 0 &&
	       (fd < 0 || !is_of_another_device(h, fd));
}

int rootfs_dir_find(const struct host *h, const char *path, struct rootfs_dir *ret, struct err *err)
{
	_cleanup_rootfs_dir_ struct rootfs_dir d = ROOTFS_DIR_NONE;
	_cleanup_(fstab_line_free) struct fstab_line line = { 0 };
	const char *below = path, *in_var;
	int r;

	d.host = h;
	d.shown = strdup(path);
	if (!d.shown || find_in_fstab(h, path, &line) < 0)
		return err_sys(err, -ENOMEM, "%s", path);
	if (line.spec && streq(h->root_path, "/")) /* it is systemd's to mount, and soon */
		return err_set(err, -E_CACHE_UNREACHABLE, "%s is on a file system that is not mounted yet", path);
	if (line.spec && line.subvolume)
		return err_set(err, -E_CACHE_UNREACHABLE, "%s is on a subvolume of %s", path, line.spec);
	if (line.spec) {
		below = path + line.covers;
		r = mount_spec(line.spec, &d, err);
	} else if (str_prefix(path, "/var/", &in_var) && var_is_the_stateroots(h)) {
		below = in_var;
		r = find_in_stateroot(h, &d, err);
	} else {
		d.top = host_root_open(h, "/", O_RDONLY | O_DIRECTORY);
		r = d.top < 0 ? err_sys(err, d.top, "%s", path) : 0;
	}
	if (r < 0)
		return r;
	d.path = strdup(below + strspn(below, "/"));
	if (!d.path)
		return err_sys(err, -ENOMEM, "%s", path);
	*ret = d;
	d = (struct rootfs_dir)ROOTFS_DIR_NONE;
	return 0;
}

int rootfs_dir_find_on(const struct host *h, const char *device, const char *path, struct rootfs_dir *ret,
		       struct err *err)
{
	_cleanup_rootfs_dir_ struct rootfs_dir d = ROOTFS_DIR_NONE;
	int r;

	d.host = h;
	d.shown = str_printf("%s:/%s", device, path);
	d.path = strdup(path);
	if (!d.shown || !d.path)
		return err_sys(err, -ENOMEM, "%s", device);
	r = mount_spec(device, &d, err);
	if (r < 0)
		return r;
	*ret = d;
	d = (struct rootfs_dir)ROOTFS_DIR_NONE;
	return 0;
}

/* "path/below"; "." when both are empty. Caller frees. */
static char *join(const struct rootfs_dir *d, const char *below)
{
	if (!*d->path && !*below)
		return strdup(".");
	return str_printf("%s%s%s", d->path, *d->path && *below ? "/" : "", below);
}

int rootfs_dir_open(const struct rootfs_dir *d, const char *below, int flags)
{
	_cleanup_free_ char *path = join(d, below);

	return path ? open_resolve(d->top, path, flags, 0, RESOLVE_IN_ROOT) : -ENOMEM;
}

int rootfs_dir_make(const struct rootfs_dir *d, const char *below, int *ret_fd)
{
	_cleanup_free_ char *path = join(d, below);

	return path ? mkdir_beneath(d->top, path, 0755, ret_fd) : -ENOMEM;
}
