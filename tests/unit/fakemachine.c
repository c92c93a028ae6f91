// SPDX-License-Identifier: Apache-2.0
/*
 * fakemachine.c - see fakemachine.h.
 */
#include "fakemachine.h"

void put_key(const struct place *p, unsigned int i)
{
	_cleanup_free_ char *text = sample_public_text(i);

	put_text(p, "root/etc/modulus/keys/a.pub", text);
}

void put_gpu(const struct place *p)
{
	put_text(p, "live/sys/devices/pci0/0000:00:02.0/modalias", GPU_ALIAS "\n");
	put_text(p, "live/sys/devices/pci0/0000:00:02.0/uevent", "DRIVER=virtio-pci\n");
	put_text(p, "live/sys/devices/pci0/0000:00:02.0/drm/card0/dev", "226:0\n");
	put_text(p, "live/sys/devices/pci0/0000:00:02.0/drm/card0/uevent", "DEVNAME=dri/card0\n");
	put_link(p, "live/sys/bus/pci/devices/0000:00:02.0", "../../../devices/pci0/0000:00:02.0");
}

void make_machine(struct place *p)
{
	static const char *const tree[] = { "drm:", "virtio_dma_buf:", NULL };

	put_text(p, "live/proc/cmdline", "quiet\n");
	put_text(p, "live/proc/sys/kernel/osrelease", RELEASE "\n");
	put_text(p, "live/proc/sys/kernel/tainted", "0\n");
	put_text(p, "live/proc/sys/kernel/random/boot_id", "0a1b\n");
	put_dir(p, "live/dev");
	put_dir(p, "live/sys/bus/pci/devices");
	put_text(p, "root/etc/modulus/" SAMPLE_NAME ".conf", CONF);
	put_text(p, "root/etc/systemd/system/multi-user.target.wants/modulus-finish.service", "[Service]\n");
	put_key(p, 0);
	put_module_tree(p, tree);
	fake_kernel(p);
}

struct blob gpu_bundle(uint64_t serial, const char *vermagic, const char *firmware, unsigned int key)
{
	_cleanup_blob_ struct blob ko =
		fake_module_bytes(&(struct fake_module){ .name = "gpu", .depends = "drm", .vermagic = vermagic });
	_cleanup_sample_ struct sample s;
	struct blob file;

	sample_begin(&s);
	s.m->serial = serial;
	s.key = key;
	set_text(&s.m->kernel.build_id, NULL);
	sample_file(&s, "gpu.ko", ko.v, ko.n);
	if (firmware)
		sample_file(&s, "usr/lib/firmware/gpu.bin", firmware, strlen(firmware));
	sample_seal(&s);
	file = s.bundle;
	s.bundle = (struct blob){ 0 };
	return file;
}

void put_bundle(const struct place *p, const char *path, uint64_t serial)
{
	_cleanup_blob_ struct blob b = gpu_bundle(serial, NULL, NULL, 0);

	put_blob(p, path, b.v, b.n);
}
