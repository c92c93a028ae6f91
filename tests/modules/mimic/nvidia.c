// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * What NVIDIA's driver shows of itself on a machine with GPUs, partitions and switches, and nothing of what it does:
 * the files below /proc, the device numbers, the parameters that decide whose the nodes are.
 *
 * Names, lines, numbers and modes are those of the open driver: kernel-open/nvidia/nv-procfs.c, nv-caps.c,
 * procfs_nvswitch.c, nvlink_linux.c of 535; the names of its majors are those of 550 and later (nv.c).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

#include "region.h"

#define GPUS_MAX 4
/* NV_MINOR_DEVICE_NUMBER_REGULAR_MAX, _CONTROL_DEVICE; NV_CAP_DRV_MINOR_COUNT; NVSWITCH_MINOR_COUNT */
#define MINOR_REGULAR_MAX 247
#define MINOR_CTL 255
#define CAPS 8192
#define SWITCH_MINORS 256
/* nv-caps.c numbers all that could be, in order: the fabric's, two of MIG, then 15 instances of 9 for each GPU */
#define CAP_OF_INSTANCE(gpu, instance) (3 + (gpu) * 15 * 9 + (instance) * 9)
#define CAP_OF_COMPUTE(gpu, instance, compute) (CAP_OF_INSTANCE(gpu, instance) + 1 + (compute))

static unsigned int device_file_uid, device_file_gid, device_file_mode = 0666, modify_device_files = 1;
module_param_named(NVreg_DeviceFileUID, device_file_uid, uint, 0400);
module_param_named(NVreg_DeviceFileGID, device_file_gid, uint, 0400);
module_param_named(NVreg_DeviceFileMode, device_file_mode, uint, 0400);
module_param_named(NVreg_ModifyDeviceFiles, modify_device_files, uint, 0400);

/* In the order of their addresses, where the real one gives the lowest that is free to whoever comes, or comes back. */
static const unsigned int minors[GPUS_MAX] = { 2, 0, 7, 1 };

static struct gpu {
	struct pci_dev *pdev;
	unsigned int minor_no;
} gpus[GPUS_MAX];
static unsigned int n_gpus;

/* --- device numbers --- */

static const char *gpu_of(const struct inode *inode)
{
	for (unsigned int i = 0; i < n_gpus; i++)
		if (imajor(inode) == NVIDIA_MAJOR && iminor(inode) == gpus[i].minor_no)
			return pci_name(gpus[i].pdev);
	return "";
}

static ssize_t region_read(struct file *file, char __user *buf, size_t size, loff_t *pos)
{
	const struct inode *inode = file_inode(file);
	const struct region *r = container_of(inode->i_cdev, struct region, cdev);
	char text[64];
	int n = scnprintf(text, sizeof(text), "%s %u %s\n", r->name, iminor(inode), gpu_of(inode));

	return simple_read_from_buffer(buf, size, pos, text, n);
}

static const struct file_operations region_fops = { .owner = THIS_MODULE, .read = region_read };

int region_add(struct region *r, struct module *owner)
{
	dev_t dev = MKDEV(r->major_no, r->first);
	int err = r->major_no ? register_chrdev_region(dev, r->count, r->name) :
				alloc_chrdev_region(&dev, r->first, r->count, r->name);

	if (err)
		return err;
	cdev_init(&r->cdev, &region_fops);
	r->cdev.owner = owner;
	err = cdev_add(&r->cdev, dev, r->count);
	if (err)
		unregister_chrdev_region(dev, r->count);
	return err;
}
EXPORT_SYMBOL_GPL(region_add);

void region_remove(struct region *r)
{
	dev_t dev = r->cdev.dev;

	cdev_del(&r->cdev);
	unregister_chrdev_region(dev, r->count);
}
EXPORT_SYMBOL_GPL(region_remove);

static struct region regions[] = {
	{ .name = "nvidia", .major_no = NVIDIA_MAJOR, .count = MINOR_REGULAR_MAX + 1 },
	{ .name = "nvidiactl", .major_no = NVIDIA_MAJOR, .first = MINOR_CTL, .count = 1 },
	{ .name = "nvidia-nvswitch", .count = SWITCH_MINORS },
	{ .name = "nvidia-nvlink", .count = 1 },
	{ .name = "nvidia-caps", .count = CAPS },
};

/* --- /proc --- */

static int show_params(struct seq_file *m, void *v)
{
	/* an excerpt of NV_DEFINE_PARAMS_TABLE, in its order */
	seq_printf(m, "ResmanDebugLevel: %u\n", ~0u);
	seq_puts(m, "RmLogonRC: 1\n");
	seq_printf(m, "ModifyDeviceFiles: %u\n", modify_device_files);
	seq_printf(m, "DeviceFileUID: %u\n", device_file_uid);
	seq_printf(m, "DeviceFileGID: %u\n", device_file_gid);
	seq_printf(m, "DeviceFileMode: %u\n", device_file_mode);
	seq_puts(m, "InitializeSystemMemoryAllocations: 1\n");
	seq_puts(m, "RegistryDwords: \"\"\n");
	return 0;
}

static int show_gpu(struct seq_file *m, void *v)
{
	const struct gpu *g = m->private;

	seq_puts(m, "Model: \t\t NVIDIA H100 80GB HBM3\n");
	seq_printf(m, "IRQ:   \t\t %d\n", g->pdev->irq);
	/* question marks until somebody has opened it */
	if (g->minor_no == 0)
		seq_puts(m, "GPU UUID: \t GPU-8d4b1d3a-5f06-49e2-9c7b-000000000000\n");
	else
		seq_puts(m, "GPU UUID: \t GPU-????????-????-????-????-????????????\n");
	seq_puts(m, "Video BIOS: \t ??.??.??.??.??\n");
	seq_puts(m, "Bus Type: \t PCIe\n");
	seq_puts(m, "DMA Size: \t 52 bits\n");
	seq_puts(m, "DMA Mask: \t 0xfffffffffffff\n");
	seq_printf(m, "Bus Location: \t %s\n", pci_name(g->pdev));
	seq_printf(m, "Device Minor: \t %u\n", g->minor_no);
	seq_puts(m, "GPU Excluded:\t No\n");
	return 0;
}

static int show_bios(struct seq_file *m, void *v)
{
	seq_puts(m, "BIOS Version: N/A\n");
	return 0;
}

static int show_permissions(struct seq_file *m, void *v)
{
	seq_printf(m, "DeviceFileMode: %u\n", 0666);
	return 0;
}

struct cap {
	const char *path;
	unsigned int minor_no;
	umode_t mode;
};

static int show_cap(struct seq_file *m, void *v)
{
	const struct cap *c = m->private;

	seq_printf(m, "DeviceFileMinor: %u\n", c->minor_no);
	seq_printf(m, "DeviceFileMode: %u\n", c->mode);
	seq_printf(m, "DeviceFileModify: %u\n", modify_device_files);
	return 0;
}

#define PROC "driver/nvidia"
#define PROC_CAPS PROC "/capabilities"
#define PROC_SWITCH "driver/nvidia-nvswitch"
#define PROC_LINK "driver/nvidia-nvlink"

/* Each behind the one that it is in. The second GPU has two instances, one of them with a part of its own. */
static const char *const dirs[] = {
	PROC, PROC "/gpus", PROC_CAPS, PROC_CAPS "/mig", PROC_CAPS "/gpu1", PROC_CAPS "/gpu1/mig", PROC_CAPS "/gpu1/mig/gi2",
	PROC_CAPS "/gpu1/mig/gi2/ci0", PROC_CAPS "/gpu1/mig/gi5", PROC_SWITCH, PROC_SWITCH "/devices",
	PROC_SWITCH "/devices/0000:05:00.0", PROC_SWITCH "/devices/0000:06:00.0", PROC_LINK, PROC_LINK "/capabilities",
};

static struct cap caps[] = {
	{ PROC_LINK "/capabilities/fabric-mgmt", 0, 0400 },
	{ PROC_CAPS "/mig/config", 1, 0400 },
	{ PROC_CAPS "/mig/monitor", 2, 0444 },
	{ PROC_CAPS "/gpu1/mig/gi2/access", CAP_OF_INSTANCE(1, 2), 0444 },
	{ PROC_CAPS "/gpu1/mig/gi2/ci0/access", CAP_OF_COMPUTE(1, 2, 0), 0444 },
	{ PROC_CAPS "/gpu1/mig/gi5/access", CAP_OF_INSTANCE(1, 5), 0444 },
};

static bool put_file(const char *path, umode_t mode, int (*show)(struct seq_file *m, void *v), void *data)
{
	return proc_create_single_data(path, mode, NULL, show, data);
}

static void remove_proc(void)
{
	static const char *const tops[] = { PROC, PROC_SWITCH, PROC_LINK };

	for (size_t i = 0; i < ARRAY_SIZE(tops); i++)
		remove_proc_subtree(tops[i], NULL);
}

static int make_proc(void)
{
	bool made = true;

	for (size_t i = 0; made && i < ARRAY_SIZE(dirs); i++)
		made = proc_mkdir(dirs[i], NULL);
	made = made && put_file(PROC "/params", 0444, show_params, NULL) &&
	       put_file(PROC_SWITCH "/permissions", 0444, show_permissions, NULL) &&
	       put_file(PROC_SWITCH "/devices/0000:05:00.0/information", 0444, show_bios, NULL) &&
	       put_file(PROC_SWITCH "/devices/0000:06:00.0/information", 0444, show_bios, NULL) &&
	       put_file(PROC_LINK "/permissions", 0444, show_permissions, NULL);
	for (size_t i = 0; made && i < ARRAY_SIZE(caps); i++)
		made = put_file(caps[i].path, caps[i].mode, show_cap, &caps[i]);
	if (made)
		return 0;
	remove_proc();
	return -ENOMEM;
}

/* --- GPUs --- */

static int gpu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct gpu *g = &gpus[n_gpus];
	char path[64];

	if (n_gpus == GPUS_MAX)
		return -ENOSPC;
	*g = (struct gpu){ .pdev = pdev, .minor_no = minors[n_gpus] };
	snprintf(path, sizeof(path), PROC "/gpus/%s", pci_name(pdev));
	if (!proc_mkdir(path, NULL))
		return -ENOMEM;
	strlcat(path, "/information", sizeof(path));
	if (!put_file(path, 0444, show_gpu, g))
		return -ENOMEM;
	n_gpus++;
	return 0;
}

static const struct pci_device_id gpu_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_NVIDIA, PCI_ANY_ID), .class = PCI_CLASS_DISPLAY_3D << 8, .class_mask = ~0 },
	{ }
};
MODULE_DEVICE_TABLE(pci, gpu_ids);

static struct pci_driver gpu_driver = { .name = "nvidia", .id_table = gpu_ids, .probe = gpu_probe };

static int __init nvidia_init(void)
{
	size_t added = 0;
	int err = make_proc();

	if (err)
		return err;
	while (!err && added < ARRAY_SIZE(regions)) {
		err = region_add(&regions[added], THIS_MODULE);
		added += !err;
	}
	if (!err)
		err = pci_register_driver(&gpu_driver);
	if (!err)
		return 0;
	while (added > 0)
		region_remove(&regions[--added]);
	remove_proc();
	return err;
}

static void __exit nvidia_exit(void)
{
	pci_unregister_driver(&gpu_driver);
	for (size_t i = 0; i < ARRAY_SIZE(regions); i++)
		region_remove(&regions[i]);
	remove_proc();
}

module_init(nvidia_init);
module_exit(nvidia_exit);
MODULE_DESCRIPTION("Test only: what NVIDIA's driver shows in /proc");
MODULE_VERSION("999.1");
MODULE_LICENSE("GPL");
