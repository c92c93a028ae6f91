/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Device numbers of one kind. Whoever reads such a device is told which it is, "nvidia 2 0000:40:01.0".
 */
#include <linux/cdev.h>

/* NV_MAJOR_DEVICE_NUMBER */
#define NVIDIA_MAJOR 195

struct region {
	const char *name; /* in /proc/devices */
	unsigned int major_no, first, count; /* major_no 0: the kernel chooses */
	struct cdev cdev;
};

int region_add(struct region *r, struct module *owner);
void region_remove(struct region *r);
