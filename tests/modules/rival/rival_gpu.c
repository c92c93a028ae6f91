// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * A rival: binds QEMU's virtio GPU, as nouveau binds a GPU that another driver is for, and drives nothing.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/virtio.h>
#include <linux/virtio_ids.h>

static int rival_probe(struct virtio_device *vdev)
{
	pr_info("%s is mine\n", dev_name(&vdev->dev));
	return 0;
}

static void rival_remove(struct virtio_device *vdev)
{
	pr_info("%s was taken from me\n", dev_name(&vdev->dev));
}

static const struct virtio_device_id rival_ids[] = {
	{ VIRTIO_ID_GPU, VIRTIO_DEV_ANY_ID },
	{ 0 },
};

static struct virtio_driver rival_driver = {
	.driver.name = "rival-of-the-gpu", /* not the module's name: Evict= speaks of modules */
	.driver.owner = THIS_MODULE,
	.id_table = rival_ids,
	.probe = rival_probe,
	.remove = rival_remove,
};

module_virtio_driver(rival_driver);
MODULE_DEVICE_TABLE(virtio, rival_ids);
MODULE_DESCRIPTION("Test only: holds a device");
MODULE_LICENSE("GPL");
