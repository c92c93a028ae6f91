// SPDX-License-Identifier: Apache-2.0
/*
 * nextslot.c - the disk that the running /usr is on, its GPT, and the slot that boots next. The other slot
 * is mounted read-only on no path (privatemount.h) and is gone with our descriptors.
 */
#include <blkid/blkid.h>
#include <fcntl.h>
#include <strings.h>

#include "disk.h"
#include "next.h"
#include "privatemount.h"
#include "slot.h"

/* The disk's slots in the order of its table. 0 slots: it has none. */
static int read_slots(int fd, struct slot *slots, size_t *ret_n)
{
	blkid_probe p = blkid_new_probe();
	blkid_partlist list;
	int r = p && blkid_probe_set_device(p, fd, 0, 0) == 0 ? 0 : -ENOMEM;

	*ret_n = 0;
	if (r == 0) {
		blkid_probe_enable_partitions(p, 1);
		blkid_probe_set_partitions_flags(p, BLKID_PARTS_ENTRY_DETAILS);
		list = blkid_probe_get_partitions(p);
		for (int i = 0; list && i < blkid_partlist_numof_partitions(list) && *ret_n < LIMIT_SLOTS; i++) {
			blkid_partition part = blkid_partlist_get_partition(list, i);
			const char *type = blkid_partition_get_type_string(part),
				   *label = blkid_partition_get_name(part);
			struct slot *s = &slots[*ret_n];

			if (!type || strcasecmp(type, DISK_FLATCAR_USR) != 0)
				continue;
			*s = (struct slot){ .number = blkid_partition_get_partno(part),
					    .attributes = blkid_partition_get_flags(part) };
			escape_text(label ? label : "?", label ? strlen(label) : 1, s->label, sizeof(s->label));
			(*ret_n)++;
		}
	}
	blkid_free_probe(p);
	return r;
}

/* The table's entry that the running /usr is on, and all slots beside it. -ENOENT: it is on no slot. */
static int find_slots(const struct host *h, struct disk_partition *ret_running, struct slot *slots, size_t *ret_n,
		      struct err *err)
{
	_cleanup_free_ char *usr = str_printf("%s/usr", streq(h->root_path, "/") ? "" : h->root_path), *disk = NULL;
	_cleanup_close_ int fd = -EBADF;
	bool found = false;
	dev_t dev;
	int r;

	if (!usr)
		return err_sys(err, -ENOMEM, "slots");
	if (disk_of_mount(h, usr, &dev) < 0 || disk_find_partition(h, dev, ret_running) < 0)
		return -ENOENT;
	disk = str_printf("/dev/%s", ret_running->disk);
	if (!disk)
		return err_sys(err, -ENOMEM, "slots");
	fd = host_live_open(h, disk, O_RDONLY | O_NONBLOCK);
	if (fd < 0) /* whether it is on a slot at all is not known then */
		return fd == -ENOENT ? fd : err_set(err, -E_UNKNOWN_KERNEL, "%s: %s", disk, strerror(-fd));
	r = read_slots(fd, slots, ret_n);
	if (r < 0)
		return err_sys(err, r, "%s", disk);
	for (size_t i = 0; i < *ret_n; i++)
		found = found || slots[i].number == ret_running->number;
	return found ? 0 : -ENOENT;
}

/* What the running kernel is of is mounted at /usr; the other one nowhere. */
static int read_slot(const struct host *h, const char *name, bool is_running, struct next_kernel *ret, struct err *err)
{
	_cleanup_free_ char *device = str_printf("%s/dev/%s", streq(h->live_path, "/") ? "" : h->live_path, name);
	_cleanup_close_ int root = -EBADF;
	struct private_mount m;
	int r;

	if (!device)
		return err_sys(err, -ENOMEM, "%s", name);
	if (is_running) {
		root = host_root_open(h, "/", O_RDONLY | O_DIRECTORY);
		return root < 0 ? err_sys(err, root, "/") : next_of_tree(root, "/usr", ret, err);
	}
	r = private_mount_open(device, PRIVATE_LOOK, &m, err);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return err->code = -E_UNKNOWN_KERNEL;
	r = next_of_tree(m.top, name, ret, err);
	private_mount_close(&m);
	return r;
}

int next_by_slot(const struct host *h, struct next_kernel *ret, struct err *err)
{
	struct slot slots[LIMIT_SLOTS];
	_cleanup_free_ char *name = NULL;
	struct disk_partition running;
	size_t n = 0, best;
	int r = find_slots(h, &running, slots, &n, err);

	if (r < 0)
		return r;
	best = slot_next(slots, n);
	if (best == n)
		return err_set(err, -E_UNKNOWN_KERNEL, "no slot of /dev/%s has tries left or was ever successful",
			       running.disk);
	name = disk_partition_name(running.disk, slots[best].number);
	if (!name)
		return err_sys(err, -ENOMEM, "slots");
	snprintf(ret->how, sizeof(ret->how), "slot %s (%s) has priority %u, %u tries left%s%s", slots[best].label, name,
		 slot_priority(slots[best].attributes), slot_tries(slots[best].attributes),
		 slot_successful(slots[best].attributes) ? ", was successful" : "",
		 slots[best].number == running.number ? ", and is the running one" : "");
	r = read_slot(h, name, slots[best].number == running.number, ret, err);
	return r < 0 ? err_prefix(err, "slot %s", slots[best].label) : 0;
}
