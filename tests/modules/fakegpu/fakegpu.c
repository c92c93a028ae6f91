// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * GPUs that are not there: a PCI host bridge in software, whose devices say that they are NVIDIA's. The real driver is
 * matched by their modalias, binds them and finds in their registers a chip that it knows; there is no silicon behind that.
 *
 * Their BARs are memory that the kernel was told to leave alone (memmap=64M$ADDRESS for each GPU), at mem_base.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/io.h>
#include <linux/module.h>
#include <linux/pci.h>

#define GPUS_MAX 8
#define VENDOR_NVIDIA 0x10de
/* 3D controller: what data centre GPUs are */
#define CLASS_3D 0x030200
/* BAR0, the registers; BAR1, a window on the frame buffer; BAR3. The last two are 64-bit ones and take two words each. */
#define BAR0_BYTES SZ_16M
#define BAR1_BYTES SZ_32M
#define BAR3_BYTES SZ_16M
#define BAR1_AT SZ_32M
#define BAR3_AT SZ_16M
#define GPU_BYTES SZ_64M
/* NV_PMC_BOOT_0 and NV_PMC_BOOT_42: which chip it is */
#define PMC_BOOT_0 0x0
#define PMC_BOOT_42 0xa00
/* the capabilities, one behind the other */
#define CAP_EXPRESS 0x40
#define CAP_MSIX 0x80

static unsigned long mem_base;
module_param(mem_base, ulong, 0444);
MODULE_PARM_DESC(mem_base, "physical address of the memory behind the BARs, aligned to 64 MiB");
static unsigned int count = 1;
module_param(count, uint, 0444);
MODULE_PARM_DESC(count, "number of GPUs, 1 to 8");
static ushort device = 0x2330;
module_param(device, ushort, 0444);
MODULE_PARM_DESC(device, "PCI device id (0x2330: an H100)");
static unsigned int boot0 = 0x180000a1;
module_param(boot0, uint, 0444);
static unsigned int boot42 = 0x180a1000;
module_param(boot42, uint, 0444);
static unsigned int busnr = 0x40;
module_param(busnr, uint, 0444);

struct gpu {
	u8 config[PCI_CFG_SPACE_SIZE];
};

static struct gpu gpus[GPUS_MAX];
static struct pci_sysdata sysdata = { .node = NUMA_NO_NODE };
static struct resource window = { .name = "fake GPUs", .flags = IORESOURCE_MEM };
static struct pci_bus *root;

static u32 get_word(const struct gpu *g, int where)
{
	return le32_to_cpup((const __le32 *)(g->config + where));
}

static void put_word(struct gpu *g, int where, u32 value)
{
	*(__le32 *)(g->config + where) = cpu_to_le32(value);
}

/* Bits of the word at `where` that may be written: of a BAR, those that say where it is. */
static u32 writable(int where)
{
	switch (where) {
	case PCI_COMMAND:
		return PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE;
	case PCI_BASE_ADDRESS_0:
		return ~(u32)(BAR0_BYTES - 1);
	case PCI_BASE_ADDRESS_1:
		return ~(u32)(BAR1_BYTES - 1);
	case PCI_BASE_ADDRESS_3:
		return ~(u32)(BAR3_BYTES - 1);
	case PCI_BASE_ADDRESS_2:
	case PCI_BASE_ADDRESS_4:
		return ~0u;
	case PCI_INTERRUPT_LINE:
		return 0xff;
	case CAP_MSIX:
		return (u32)(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) << 16;
	default:
		return 0;
	}
}

static struct gpu *gpu_at(unsigned int devfn)
{
	return PCI_FUNC(devfn) == 0 && PCI_SLOT(devfn) < count ? &gpus[PCI_SLOT(devfn)] : NULL;
}

static int fakegpu_read(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 *value)
{
	const struct gpu *g = gpu_at(devfn);

	*value = ~0u;
	if (!g)
		return PCIBIOS_DEVICE_NOT_FOUND;
	/* nothing in the extended space */
	*value = where < PCI_CFG_SPACE_SIZE ? get_word(g, where & ~3) >> 8 * (where & 3) : 0;
	if (size < 4)
		*value &= BIT(8 * size) - 1;
	return PCIBIOS_SUCCESSFUL;
}

static int fakegpu_write(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 value)
{
	struct gpu *g = gpu_at(devfn);
	int word = where & ~3, shift = 8 * (where & 3);
	u32 mask;

	if (!g)
		return PCIBIOS_DEVICE_NOT_FOUND;
	if (where >= PCI_CFG_SPACE_SIZE)
		return PCIBIOS_SUCCESSFUL;
	mask = (size < 4 ? BIT(8 * size) - 1 : ~0u) << shift & writable(word);
	put_word(g, word, (get_word(g, word) & ~mask) | (value << shift & mask));
	return PCIBIOS_SUCCESSFUL;
}

static struct pci_ops ops = { .read = fakegpu_read, .write = fakegpu_write };

/* As the firmware of a machine leaves a device: its BARs have addresses. */
static int describe(struct gpu *g, unsigned long base)
{
	const u32 bar64 = PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH;
	void __iomem *registers = ioremap(base, SZ_4K);

	if (!registers)
		return -ENOMEM;
	writel(boot0, registers + PMC_BOOT_0);
	writel(boot42, registers + PMC_BOOT_42);
	iounmap(registers);

	put_word(g, PCI_VENDOR_ID, VENDOR_NVIDIA | (u32)device << 16);
	put_word(g, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_STATUS_CAP_LIST << 16);
	put_word(g, PCI_CLASS_REVISION, CLASS_3D << 8 | 0xa1);
	put_word(g, PCI_BASE_ADDRESS_0, (u32)base);
	put_word(g, PCI_BASE_ADDRESS_1, (u32)(base + BAR1_AT) | bar64);
	put_word(g, PCI_BASE_ADDRESS_3, (u32)(base + BAR3_AT) | bar64);
	put_word(g, PCI_SUBSYSTEM_VENDOR_ID, VENDOR_NVIDIA | 0x16c1u << 16);
	put_word(g, PCI_CAPABILITY_LIST, CAP_EXPRESS);
	put_word(g, CAP_EXPRESS, PCI_CAP_ID_EXP | CAP_MSIX << 8 | 2 << 16);
	/* nine vectors; their table is in BAR0 */
	put_word(g, CAP_MSIX, PCI_CAP_ID_MSIX | 8 << 16);
	put_word(g, CAP_MSIX + PCI_MSIX_TABLE, 0xb00000);
	put_word(g, CAP_MSIX + PCI_MSIX_PBA, 0xb10000);
	return 0;
}

static int __init fakegpu_init(void)
{
	LIST_HEAD(windows);
	int r = 0;

	if (!mem_base || mem_base % GPU_BYTES || mem_base >= SZ_2G || count < 1 || count > GPUS_MAX)
		return -EINVAL;
	window.start = mem_base;
	window.end = mem_base + count * GPU_BYTES - 1;
	/* memory that the kernel uses is no place for a BAR */
	if (region_intersects(mem_base, resource_size(&window), IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE) != REGION_DISJOINT) {
		pr_err("%pR is in use: memmap=%uM$0x%lx is missing on the kernel command line\n", &window,
		       (unsigned int)(resource_size(&window) / SZ_1M), mem_base);
		return -EBUSY;
	}
	for (unsigned int i = 0; r == 0 && i < count; i++)
		r = describe(&gpus[i], mem_base + i * GPU_BYTES);
	if (r)
		return r;
	/* a tree of its own: in the kernel's the place is taken, by what memmap= reserves */
	pci_add_resource(&windows, &window);
	pci_lock_rescan_remove();
	root = pci_scan_root_bus(NULL, busnr, &ops, &sysdata, &windows);
	if (root) {
		pci_bus_claim_resources(root);
		pci_bus_add_devices(root);
	}
	pci_unlock_rescan_remove();
	if (!root)
		pci_free_resource_list(&windows);
	return root ? 0 : -ENOMEM;
}

static void __exit fakegpu_exit(void)
{
	pci_lock_rescan_remove();
	pci_stop_root_bus(root);
	pci_remove_root_bus(root);
	pci_unlock_rescan_remove();
}

module_init(fakegpu_init);
module_exit(fakegpu_exit);
MODULE_DESCRIPTION("Test only: PCI devices that say they are NVIDIA GPUs");
MODULE_LICENSE("GPL");
