/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.h - where things are on this machine, and the small seam to the kernel that tests replace.
 *
 * Two roots. `root` holds /etc, /usr, /var and is moved by --root (in the initramfs: /sysroot).
 * `live` holds /proc, /sys, /dev and /run of the running system; only tests move it.
 */
#ifndef MODULUS_HOST_H
#define MODULUS_HOST_H

#include "err.h"

struct kmod_module;

/* What we ask of the kernel that a test must be able to answer. */
struct sysops {
	/* finit_module(2) with flags 0. 0 or -errno. */
	int (*finit_module)(int fd, const char *params);
	/* kmod_module_probe_insert_module(): an in-tree module with all it depends on. 0 or -errno. */
	int (*probe_insert)(struct kmod_module *mod);
	/* delete_module(2), O_NONBLOCK: -EWOULDBLOCK when it is in use. 0 or -errno. */
	int (*delete_module)(const char *name);
	/* mknodat(2) of a character device. 0 or -errno. */
	int (*mknod_char)(int dirfd, const char *path, mode_t mode, dev_t dev);
	/* Asks systemd for a target and does not wait for it; job_mode as in systemctl(1). 0 or -errno. */
	int (*start_target)(const char *target, const char *job_mode);
};

/* The real ones. */
extern const struct sysops sysops_kernel;
/* Touches no kernel: every call is -EPERM. In force when the live root is not "/". */
extern const struct sysops sysops_refuse;

struct host {
	char *root_path;
	int root_fd;
	bool root_was_readonly; /* mounted so when we came; our own writes make it writable for a moment */
	char *live_path;
	int live_fd;
	const struct sysops *ops;
};

/* root, live: NULL for "/". -errno of open(2). */
int host_open(const char *root, const char *live, struct host *ret, struct err *err) _must_check_;
void host_close(struct host *h);
#define _cleanup_host_ _cleanup_(host_close)

/*
 * Is the live system the root's own? Not where --root names another tree on a running machine, an image: /run is that
 * machine's then. A live root that a test moved goes with its root.
 */
bool host_root_is_live(const struct host *h);

/*
 * Opens an absolute path below the root, as if the root were "/": absolute links on the target
 * resolve inside it (openat2 RESOLVE_IN_ROOT). Returns a descriptor or -errno.
 */
int host_root_open(const struct host *h, const char *path, int flags) _must_check_;
/*
 * Opens (and makes, 0755, durably) a directory below the root; links on the way are followed inside it, as
 * /opt -> var/opt of an ostree host. -EEXIST, -ENOENT: a link that leads nowhere; -errno.
 */
int host_root_mkdir(const struct host *h, const char *path, int *ret_fd) _must_check_;
/* Does multi-user.target want the unit: enabled by Ignition or the operator, or by an OS image? */
bool host_unit_is_enabled(const struct host *h, const char *unit);
/* host_root_open() for the live root ("/proc/cmdline"), links followed wherever they lead. */
int host_live_open(const struct host *h, const char *path, int flags) _must_check_;
/* Reads a live file whole. */
int host_live_read(const struct host *h, const char *path, size_t max_bytes, char **ret, size_t *ret_len) _must_check_;
/* Opens (and makes) a directory in the live root, mode 0755. */
int host_live_mkdir(const struct host *h, const char *path, int *ret_fd) _must_check_;

#endif
