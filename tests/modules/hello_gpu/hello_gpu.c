// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * A driver from outside the kernel's tree, without the kernel's signature. It names QEMU's virtio GPU and drives
 * nothing, so that it can be live beside the real driver.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>

static int __init hello_gpu_init(void)
{
	pr_info("hello\n");
	return 0;
}

static void __exit hello_gpu_exit(void)
{
	pr_info("goodbye\n");
}

module_init(hello_gpu_init);
module_exit(hello_gpu_exit);
MODULE_ALIAS("pci:v00001AF4d00001050sv*sd*bc*sc*i*");
MODULE_DESCRIPTION("Test only: drives nothing");
/* what else a module says here taints the kernel (P) */
MODULE_LICENSE("GPL");
