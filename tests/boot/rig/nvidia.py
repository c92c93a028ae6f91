# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's real driver, from a bundle that the recipe made, on machines whose GPU is tests/modules/fakegpu."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

from . import bundles, disk, guest, places, saved, small
from .host import run
from .machines import Usr, Workshop

DRIVER = "nvidia"
# what the driver's modules depend on, beyond DRM
IN_TREE = frozenset({"video"})
_FAKE_GPU = "var/lib/test/fakegpu.ko"
# before anything else of the disk is used; udev makes a device of it like of any other
_INSERT = (f"mkdir /run/r && busybox mount -t ext4 -o ro,noload /dev/vda2 /run/r && "
           f"insmod /run/r/{_FAKE_GPU} mem_base={saved.GPU_AT:#x}")
_INIT = """#!/usr/bin/busybox sh
report() {
    /usr/bin/modulus-report real-root "$@"
}
report gpus /usr/bin/busybox grep -r . /proc/driver/nvidia/gpus
report majors /usr/bin/busybox cat /proc/devices
report bound /usr/bin/busybox ls /sys/bus/pci/drivers/nvidia
report opened /usr/bin/busybox dd if=/dev/nvidiactl of=/dev/null count=0
report params /usr/bin/busybox cat /proc/driver/nvidia/params
exec /usr/bin/modulus-test-init
"""


def bundle(shop: Workshop) -> Path:
    """The one that the recipe makes for this kernel; compiled once."""
    shop.say("nvidia: the driver's modules, fetched and compiled once")
    room = shop.room("nvidia-bundle")
    said = run(places.NVIDIA_BUNDLES, env={
        "MODULUS": str(shop.programs.modulus), "MODULUS_CACHE": str(places.CACHE.parent), "KERNEL": shop.kernel.release,
        "KERNEL_DIR": str(shop.kernel.modules), "KERNEL_IMAGE": str(shop.kernel.vmlinuz),
        "KERNEL_BUILD": str(shop.build_tree), "KEY": str(shop.key.secret), "OUT": str(room), "BUNDLES": "modules"})
    return Path(said.split()[-1])


def version(made: Path) -> str:
    return json.loads(bundles.Parts.of(made).manifest)["version"]


def _driver_file(wanted: str) -> str:
    """The example, for the version that Debian has."""
    return re.sub(r"^Version=.*$", f"Version={wanted}", places.NVIDIA_DRIVER_FILE.read_text(), flags=re.M)


def _machine(shop: Workshop, name: str, device: str) -> SimpleNamespace:
    """A boot from the bundle on /usr, on a machine where `device`, words of the initramfs' shell, brings the GPU."""
    room, made = shop.room(name), shop.shared(bundle)
    root = small.root_image(room, shop.operator_files({DRIVER: _driver_file(version(made))}), _INIT,
                            more={_FAKE_GPU: shop.fake_gpu})
    image = small.make_disk(room, shop.usr_image(room, "usr", Usr({DRIVER: made}, in_tree=True, needs=IN_TREE)), root)
    boot = small.saved_boot(shop).boot(name, room, guest.disk_drive(disk.overlay(image, room / "disk.qcow2")),
                                       f"{device}; busybox umount /run/r")
    shop.say(f"{name}: booted in {boot.seconds:.0f} s ({boot.accelerator})")
    return SimpleNamespace(boot=boot, bundle=made)


def nvidia_gpu(shop: Workshop) -> SimpleNamespace:
    """A GPU that says it is an H100."""
    return _machine(shop, "nvidia-gpu", _INSERT)


def unknown_gpu(shop: Workshop) -> SimpleNamespace:
    """A GPU in whose registers the driver finds no chip that it knows."""
    return _machine(shop, "unknown-gpu", f"{_INSERT} boot0=0 boot42=0")


ALL = {scenario.__name__: scenario for scenario in (nvidia_gpu, unknown_gpu)}
