// SPDX-License-Identifier: Apache-2.0
/*
 * source_usr.c - bundles that the OS image ships: /usr/lib/modulus/bundles.
 *
 * Where /usr is, in this order:
 *  0. for the kernel of the next boot: the /usr that it comes with (next.h);
 *  1. as the OS mounted it: <root>/usr, or /sysusr/usr (systemd-fstab-generator(8), mount.usr=);
 *  2. what the kernel command line names: mount.usr=, usr=, or the verity mapping;
 *  3. the one partition on the root's own disk that is a /usr by its GPT type
 *     (UAPI group, Discoverable Partitions Specification; Flatcar's type with a USR- label), or,
 *     failing that, by the label "usr". Two of them: refused, we never guess between A and B.
 *
 * In cases 2 and 3 the file system is mounted read-only on no path at all: the mount exists as
 * long as our descriptors do, and power loss leaves nothing. Only the initramfs looks for
 * partitions; on a running host /usr is mounted.
 */
#include <blkid/blkid.h>
#include <fcntl.h>
#include <strings.h>

#include "disk.h"
#include "next.h"
#include "privatemount.h"
#include "source.h"

#define BUNDLES "lib/modulus/bundles"

/* Discoverable Partitions Specification, "Partition Type UUIDs", the /usr rows. */
static const struct {
	const char *machine, *type;
} dps_usr[] = {
	{ "x86_64", "8484680c-9521-48c6-9c11-b0720656f69e" },
	{ "aarch64", "b0e01050-ee5f-4390-949a-9101b17104e9" },
	{ "riscv64", "beaec34b-8442-439b-a40b-984381ed097d" },
	{ "ppc64le", "15bb03af-77e7-4d4a-b12b-c0d084f7491c" },
	{ "s390x", "8a4f5770-50aa-4ed3-874a-99b710db6fea" },
};

/* --- 1. mounted by the OS --- */

/* os-release(5): every vendor tree has /usr/lib/os-release; without it this is not the OS's /usr. */
static bool is_os_usr(int usr_fd)
{
	return faccessat(usr_fd, "lib/os-release", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* --- 2. and 3. a block device --- */

/* What the command line says. 0 and *ret_device; -ENOENT: it says nothing. */
static int from_cmdline(const struct cmdline *c, char **ret_device, struct err *err)
{
	static const char *const keys[] = { "mount.usr", "usr" };
	static const char mapping[] = "/dev/mapper/usr";
	bool verity = cmdline_get(c, "usrhash") || cmdline_get(c, "verity.usrhash");

	if (verity) { /* the raw partition below a verity mapping is not what the OS trusts */
		if (access(mapping, F_OK) < 0)
			return err_set(err, -E_NO_BUNDLE, "%s, which usrhash= asks for, is not there", mapping);
		*ret_device = strdup(mapping);
		return *ret_device ? 0 : err_sys(err, -ENOMEM, "usr");
	}
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *spec = cmdline_get(c, keys[i]);

		if (!spec)
			continue;
		*ret_device = private_mount_find(spec);
		if (!*ret_device)
			return err_set(err, -E_NO_BUNDLE, "no device is %s=%s", keys[i], spec);
		return 0;
	}
	return -ENOENT;
}

/* Which of the three sets a partition belongs to: 0 best, -1 none. */
static int partition_rank(blkid_partition p, const char *machine)
{
	const char *type = blkid_partition_get_type_string(p), *label = blkid_partition_get_name(p);

	for (size_t i = 0; type && i < ARRAY_SIZE(dps_usr); i++)
		if (streq(dps_usr[i].machine, machine) && strcasecmp(dps_usr[i].type, type) == 0)
			return 0;
	if (type && strcasecmp(type, DISK_FLATCAR_USR) == 0 && label && str_prefix(label, "USR-", NULL))
		return 1;
	if (label && strcasecmp(label, "usr") == 0)
		return 2;
	return -1;
}

static int scan_disk(blkid_probe p, const char *disk, const char *machine, char **ret_device, struct err *err)
{
	blkid_partlist list = blkid_probe_get_partitions(p);
	int n = list ? blkid_partlist_numof_partitions(list) : 0;

	for (int rank = 0; rank < 3; rank++) {
		_cleanup_free_ char *found = NULL;
		const char *uuid = NULL; /* of found */

		for (int i = 0; i < n; i++) {
			blkid_partition part = blkid_partlist_get_partition(list, i);
			_cleanup_free_ char *device = NULL, *name = NULL;

			if (!part || partition_rank(part, machine) != rank)
				continue;
			name = disk_partition_name(disk, blkid_partition_get_partno(part));
			device = name ? str_printf("/dev/%s", name) : NULL;
			if (!device)
				return err_sys(err, -ENOMEM, "usr");
			if (found)
				return err_set(err, -E_AMBIGUOUS,
					       "%s and %s could both be /usr; say mount.usr=PARTUUID=%s or mount.usr=PARTUUID=%s",
					       found, device, uuid, blkid_partition_get_uuid(part));
			found = TAKE_PTR(device);
			uuid = blkid_partition_get_uuid(part);
		}
		if (found) {
			*ret_device = TAKE_PTR(found);
			return 0;
		}
	}
	return -ENOENT;
}

static int from_disk(const struct source_request *req, char **ret_device, struct err *err)
{
	_cleanup_free_ char *path = NULL;
	char disk[64];
	blkid_probe p;
	dev_t root, whole;
	int r;

	if (disk_of_mount(req->host, req->host->root_path, &root) < 0 ||
	    blkid_devno_to_wholedisk(root, disk, sizeof(disk), &whole) < 0)
		return -ENOENT;
	path = str_printf("/dev/%s", disk);
	if (!path)
		return err_sys(err, -ENOMEM, "usr");
	p = blkid_new_probe_from_filename(path);
	if (!p)
		return err_sys(err, -errno, "%s", path);
	blkid_probe_enable_partitions(p, 1);
	blkid_probe_set_partitions_flags(p, BLKID_PARTS_ENTRY_DETAILS);
	r = scan_disk(p, disk, req->kernel->machine, ret_device, err);
	blkid_free_probe(p);
	return r;
}

/* --- the source --- */

static int usr_open(struct source *s, struct err *err)
{
	const struct host *h = s->req->host;
	_cleanup_close_ int usr = -EBADF, sysusr = -EBADF;
	_cleanup_free_ char *device = NULL;
	int r;

	if (s->req->next && s->req->next->usr >= 0)
		return source_dir_open_below(s, s->req->next->usr, "next:/usr/", BUNDLES, err);
	usr = host_root_open(h, "/usr", O_RDONLY | O_DIRECTORY);
	if (usr >= 0) {
		r = source_dir_open(s, host_root_open(h, "/usr/" BUNDLES, O_RDONLY | O_DIRECTORY), "/usr/" BUNDLES, err);
		if (r != -ENOENT || is_os_usr(usr))
			return r;
	}
	if (host_root_is_live(h))
		return -ENOENT;
	sysusr = host_live_open(h, "/sysusr/usr", O_RDONLY | O_DIRECTORY);
	if (sysusr >= 0) {
		r = source_dir_open_below(s, sysusr, "/sysusr/usr/", BUNDLES, err);
		if (r != -ENOENT || is_os_usr(sysusr))
			return r;
	}
	r = from_cmdline(s->req->cmdline, &device, err);
	if (r == -ENOENT)
		r = from_disk(s->req, &device, err);
	return r < 0 ? r : source_dir_open_on(s, device, "/usr/", BUNDLES, err);
}

const struct source_ops source_usr = {
	.scheme = "usr", .open = usr_open, .next = source_dir_next, .close = source_dir_close
};
