// SPDX-License-Identifier: Apache-2.0
/*
 * privatemount.c - the new mount interface (fsopen(2), fsmount(2)) and libblkid. Runs where the
 * target's /usr or /var is a partition that is not mounted yet.
 */
#include "privatemount.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

/*
 * File systems that we let the kernel parse, and the option that keeps each from replaying its
 * log (kernel Documentation/filesystems).
 */
static const struct file_system {
	const char *type;
	bool writable; /* one that state may be kept on */
	const char *key, *value;
} file_systems[] = {
	{ "erofs", false, NULL, NULL },
	{ "squashfs", false, NULL, NULL },
	{ "ext4", true, "noload", NULL },
	{ "xfs", true, "norecovery", NULL },
	{ "btrfs", true, "rescue", "nologreplay" },
};

static int find_type(const char *device, enum private_use use, const struct file_system **ret, struct err *err)
{
	const char *type = NULL;
	struct stat st;
	blkid_probe p;
	size_t len;
	int r;

	if (stat(device, &st) < 0)
		return err_sys(err, -errno, "%s", device);
	if (!S_ISBLK(st.st_mode))
		return err_sys(err, -ENOTBLK, "%s", device);
	p = blkid_new_probe_from_filename(device);
	if (!p)
		return err_sys(err, -errno, "%s", device);
	blkid_probe_enable_superblocks(p, 1);
	blkid_probe_set_superblocks_flags(p, BLKID_SUBLKS_TYPE);
	/* "safe": a device with the marks of two file systems is none */
	r = blkid_do_safeprobe(p);
	if (r == 0)
		r = blkid_probe_lookup_value(p, "TYPE", &type, &len);
	*ret = NULL;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(file_systems); i++)
		if (streq(type, file_systems[i].type) && (use == PRIVATE_LOOK || file_systems[i].writable))
			*ret = &file_systems[i];
	blkid_free_probe(p);
	if (!*ret)
		return err_set(err, -EMEDIUMTYPE, "%s holds no file system that may be mounted for this", device);
	return 0;
}

/* 0 or -errno. */
static int mount_it(const char *device, const struct file_system *type, enum private_use use, bool writable,
		    struct private_mount *ret)
{
	_cleanup_close_ int fs = fsopen(type->type, FSOPEN_CLOEXEC), top = -EBADF;
	unsigned int attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	int r;

	if (fs < 0)
		return -errno;
	r = fsconfig(fs, FSCONFIG_SET_STRING, "source", device, 0);
	if (r == 0)
		r = fsconfig(fs, FSCONFIG_SET_FLAG, writable ? "rw" : "ro", NULL, 0);
	if (r == 0 && use == PRIVATE_LOOK && type->key)
		r = fsconfig(fs, type->value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, type->key, type->value, 0);
	if (r == 0)
		r = fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (r == 0)
		top = fsmount(fs, FSMOUNT_CLOEXEC, use == PRIVATE_LOOK ? attributes | MOUNT_ATTR_RDONLY : attributes);
	if (r < 0 || top < 0)
		return -errno;
	*ret = (struct private_mount){ .fs = TAKE_FD(fs), .top = TAKE_FD(top), .ours = !writable };
	return 0;
}

char *private_mount_find(const char *spec)
{
	blkid_cache fresh = NULL;
	char *device;

	/* not what an earlier look left in /run/blkid, and nothing is left there: libblkid(3) */
	if (blkid_get_cache(&fresh, "/dev/null") < 0)
		return NULL;
	device = blkid_evaluate_spec(spec, &fresh);
	blkid_put_cache(fresh);
	return device;
}

int private_mount_open(const char *device, enum private_use use, struct private_mount *ret, struct err *err)
{
	const struct file_system *type;
	int r = find_type(device, use, &type, err);

	if (r < 0)
		return r;
	r = mount_it(device, type, use, false, ret);
	if (r == -EBUSY && use == PRIVATE_KEEP) /* mounted writable elsewhere; there is one file system for all */
		r = mount_it(device, type, use, true, ret);
	return r < 0 ? err_sys(err, r, "mounting %s", device) : 0;
}

int private_mount_set_writable(struct private_mount *m, bool writable)
{
	if (!m->ours || m->writable == writable)
		return 0;
	if (fsconfig(m->fs, FSCONFIG_SET_FLAG, writable ? "rw" : "ro", NULL, 0) < 0 ||
	    fsconfig(m->fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
		return -errno;
	m->writable = writable;
	return 0;
}

void private_mount_close(struct private_mount *m)
{
	close_fdp(&m->top);
	close_fdp(&m->fs);
}
