// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Its device number, of the major that is nvidia's.
 */
#include <linux/module.h>

#include "region.h"

static struct region region = { .name = "nvidia-modeset", .major_no = NVIDIA_MAJOR, .first = 254, .count = 1 };

static int __init modeset_init(void)
{
	return region_add(&region, THIS_MODULE);
}

static void __exit modeset_exit(void)
{
	region_remove(&region);
}

module_init(modeset_init);
module_exit(modeset_exit);
MODULE_DESCRIPTION("Test only: a device number of NVIDIA's");
MODULE_LICENSE("GPL");
