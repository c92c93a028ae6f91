/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.h - which block device something is on. Read from /proc and /sys of the live root.
 */
#ifndef MODULUS_DISK_H
#define MODULUS_DISK_H

#include "host.h"

/* "flatcar-rootfs": both /usr slots and nothing else (flatcar/scripts, disk_layout.json). */
#define DISK_FLATCAR_USR "5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6"

/*
 * The block device that is mounted at that path of the live system, by mountinfo: btrfs has no st_dev of
 * its own. -ENOENT: nothing is, or no block device.
 */
int disk_of_mount(const struct host *h, const char *point, dev_t *ret) _must_check_;

/* A partition: where it is, as the kernel names it. */
struct disk_partition {
	char disk[64]; /* "sda", "nvme0n1" */
	int number;
};

/* The partition that a block device is, or is on by way of device mapper. -ENOENT: none, or several. */
int disk_find_partition(const struct host *h, dev_t dev, struct disk_partition *ret) _must_check_;
/* "sda4", "nvme0n1p4". Caller frees; NULL: no memory. */
char *disk_partition_name(const char *disk, int number) _must_check_;

#endif
