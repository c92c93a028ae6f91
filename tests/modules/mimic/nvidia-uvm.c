// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Two device numbers, of a major that the kernel chooses.
 */
#include <linux/module.h>

#include "region.h"

static struct region region = { .name = "nvidia-uvm", .count = 2 };

static int __init uvm_init(void)
{
	return region_add(&region, THIS_MODULE);
}

static void __exit uvm_exit(void)
{
	region_remove(&region);
}

module_init(uvm_init);
module_exit(uvm_exit);
MODULE_DESCRIPTION("Test only: device numbers of NVIDIA's");
MODULE_LICENSE("GPL");
