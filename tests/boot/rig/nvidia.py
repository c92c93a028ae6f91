# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's real driver, from a bundle that the recipe made, on machines whose GPU is tests/modules/fakegpu."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from . import bundles, cache, disk, guest, places, saved, small
from .host import run
from .machines import Usr, Workshop
from .report import Report

DRIVER = "nvidia"
# what the driver's modules depend on, beyond DRM
IN_TREE = frozenset({"video"})
_TEST = "var/lib/test"
# before anything else of the disk is used; udev makes a device of it like of any other
INSERT = (f"mkdir /run/r && busybox mount -t ext4 -o ro,noload /dev/vda2 /run/r && "
           f"insmod /run/r/{_TEST}/$(busybox uname -r)/fakegpu.ko mem_base={saved.GPU_AT:#x}")
# the bundle for the kernel that comes next
_NEXT = f"{_TEST}/next.tar.zst"
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
# what modulus-finish.service does, and then what an operator of the tool before us looked at
_USE = """export PATH=/usr/local/bin:/usr/bin:/usr/sbin
# the places of Fedora CoreOS, where systemd-tmpfiles makes them
/usr/bin/busybox mkdir -p /var/opt /var/usrlocal/bin
/usr/bin/busybox ln -s var/opt /opt
report finished /run/modulus/bin/modulus finish
report runtime-json /run/modulus/bin/modulus status --json
report runtime-text /run/modulus/bin/modulus status
report lsmod /usr/bin/busybox lsmod
report devices /usr/bin/busybox sh -c 'ls /dev/nvidia*'
report smi /opt/drivers/nvidia/bin/nvidia-smi
report smi-on-path nvidia-smi -h
report ldconfig /usr/sbin/ldconfig -p
report cdi /usr/bin/busybox cat /run/cdi/modulus-nvidia.json
report firmware /usr/bin/busybox find /run/modulus/firmware -type f
# docker run --volume=/opt/drivers/nvidia:/usr/local/nvidia:ro --entrypoint=nvidia-smi, with the environment of CUDA's images
c=/run/container
/usr/bin/busybox mkdir -p $c/usr $c/dev $c/proc $c/var/usrlocal/nvidia
for name in bin lib lib64; do /usr/bin/busybox ln -s usr/$name $c/$name; done
for name in usr dev proc; do /usr/bin/busybox mount --bind /$name $c/$name; done
/usr/bin/busybox mount --bind /opt/drivers/nvidia $c/usr/local/nvidia
report container /usr/bin/busybox chroot $c /usr/bin/busybox env PATH=/usr/local/nvidia/bin:/usr/bin \
    LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64 nvidia-smi
"""
# out of the kernel by hand, and back
_BY_HAND = """report peermem /usr/sbin/modprobe nvidia-peermem
report uvm-out /run/modulus/bin/modulus unload nvidia-uvm
report without-uvm /usr/bin/busybox find /dev -name 'nvidia*' -type c
report uvm-in /usr/sbin/modprobe nvidia-uvm
report with-uvm /usr/bin/busybox find /dev -name 'nvidia*' -type c
report in-use sh -c 'exec 3< /dev/nvidiactl; /run/modulus/bin/modulus unload nvidia'
report unload /run/modulus/bin/modulus unload nvidia
report unloaded /usr/bin/busybox cat /proc/modules
report gone /usr/bin/busybox find /dev -name 'nvidia*'
report cdi-gone /usr/bin/busybox ls /run/cdi
report load /run/modulus/bin/modulus load nvidia
report cdi-again /usr/bin/busybox cat /run/cdi/modulus-nvidia.json
report told /usr/bin/busybox cat /run/modprobe.d/modulus-nvidia.conf
"""
# the OS is about to be updated
_AHEAD = f"""report ahead /run/modulus/bin/modulus cache import /{_NEXT}
"""
# the same machine after it
_UPDATED = """report finished /run/modulus/bin/modulus finish
report runtime-json /run/modulus/bin/modulus status --json
report cdi /usr/bin/busybox cat /run/cdi/modulus-nvidia.json
"""
# firmware and libraries as NVIDIA has them
_LARGE = {"usr_mib": 128, "root_mib": 448}
# a loader and a C library, which small machines do without
_GLIBC = [f"lib/x86_64-linux-gnu/{name}" for name in ("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1")]
# what kmod needs beside; it is modprobe by its name
_KMOD = [f"lib/x86_64-linux-gnu/{name}" for name in ("libzstd.so.1", "liblzma.so.5", "libcrypto.so.3")]


def _bundles(shop: Workshop, out: Path, kinds: str, **variables: str) -> list[Path]:
    said = run(places.NVIDIA_BUNDLES, env={
        "MODULUS": str(shop.programs.modulus), "MODULUS_CACHE": str(places.CACHE.parent), "KERNEL": shop.kernel.release,
        "KERNEL_DIR": str(shop.kernel.modules), "KERNEL_IMAGE": str(shop.kernel.vmlinuz),
        "KERNEL_BUILD": str(shop.build_tree), "KEY": str(shop.key.secret), "OUT": str(out), "BUNDLES": kinds, **variables})
    return [Path(line) for line in said.split()]


def bundle(shop: Workshop) -> Path:
    """The one that the recipe makes for this kernel; compiled once."""
    shop.say("nvidia: the driver's modules, fetched and compiled once")
    (made,) = _bundles(shop, shop.room("nvidia-bundle"), "modules")
    return made


def compile_again(shop: Workshop, folder: Path) -> Callable[[], None]:
    """Something to time: the bundle of modules, made from the sources that were fetched. In `folder` nothing is compiled yet;
    the second time it is."""
    shop.shared(bundle)     # everything is fetched
    kept = folder / "cache" / "nvidia"
    kept.mkdir(parents=True)
    for source in (places.CACHE.parent / "nvidia").iterdir():
        if source.is_dir() and not source.name.startswith((".", "modules-")):
            (kept / source.name).symlink_to(source)
    return lambda: _bundles(shop, folder, "modules", MODULUS_CACHE=str(kept.parent)) and None


def _user_space(shop: Workshop) -> dict[str, Path]:
    """Firmware and libraries, made once, since compressing takes minutes; signed anew for each run."""
    shop.say("nvidia: the driver's firmware and libraries, fetched and packed once")
    wanted = version(shop.shared(bundle))
    room = shop.room("nvidia-user-space")
    kept = cache.kept("nvidia-user-space", cache.digest(places.NVIDIA_BUNDLES, wanted),
                      lambda folder: _bundles(shop, folder, "firmware runtime", NVIDIA_VERSION=wanted) and None, keep=1)
    for path in kept.glob("*.tar.zst"):
        run(shop.programs.modulus, "sign", "--key", shop.key.secret, bundles.copy(path, room / path.name))
    return {path.name.split(".tar")[0]: path for path in room.glob("*.tar.zst")}


def firmware(shop: Workshop) -> Path:
    """The bundle of the driver's firmware."""
    return next(path for name, path in shop.shared(_user_space).items() if name.endswith("-firmware"))


def _host_programs(shop: Workshop) -> dict[str, Path]:
    usr = shop.debian / "usr"
    return {"sbin/modprobe": usr / "bin/kmod", "sbin/ldconfig": usr / "sbin/ldconfig",
            "lib64/ld-linux-x86-64.so.2": usr / "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
            **{path: (usr / path).resolve() for path in _GLIBC + _KMOD}}


def _large(shop: Workshop) -> saved.SavedBoot:
    return small.save(shop, "saved-large-boot", **_LARGE)


def nodes(report: Report, where: str) -> dict[str, tuple[str, str, str]]:
    """Path -> major:minor, mode, owner."""
    lines = (line.split() for line in report.text(where, "nvidia-nodes").splitlines() if line)
    return {path: (":".join(str(int(part, 16)) for part in device.split(":")), mode, owner) for path, device, mode, owner in lines}


def majors(report: Report) -> dict[str, str]:
    found = re.findall(r"^ *(\d+) (\S+)$", report.text("real-root", "majors").partition("Block devices")[0], re.M)
    return {name: number for number, name in found}


def version(made: Path) -> str:
    return json.loads(bundles.Parts.of(made).manifest)["version"]


def _driver_file(wanted: str) -> str:
    """The example, for the version that Debian has."""
    return re.sub(r"^Version=.*$", f"Version={wanted}", places.NVIDIA_DRIVER_FILE.read_text(), flags=re.M)


def fake_gpu(shop: Workshop) -> dict[str, Path]:
    return {f"{_TEST}/{shop.kernel.release}/fakegpu.ko": shop.fake_gpu}


def boot(shop: Workshop, name: str, layer: Path, state: saved.SavedBoot, device: str) -> Report:
    """`device`: words of the initramfs' shell that bring the GPU."""
    report = state.boot(name, layer.parent, guest.disk_drive(layer), f"{device}; busybox umount /run/r")
    shop.say(f"{name}: booted in {report.seconds:.0f} s ({report.accelerator})")
    return report


def nvidia_gpu(shop: Workshop) -> SimpleNamespace:
    """A GPU that says it is an H100; firmware and libraries are on /usr too. `updated`: booted again from the /usr of another
    OS, with another kernel and no bundle of modules; the one for that kernel was imported before."""
    room, made, other = shop.room("nvidia-gpu"), shop.shared(bundle), shop.for_other_kernel
    following = other.shared(bundle)
    links = {"local": "../var/usrlocal", "bin/sh": "busybox"}
    for path, target in links.items():
        (room / Path(path).name).symlink_to(target)
    files = {**_host_programs(shop), **{path: room / Path(path).name for path in links}}
    usr = Usr({DRIVER: made}, in_tree=True, needs=IN_TREE, any_kernel=shop.shared(_user_space), files=files)
    other_usr = Usr(in_tree=True, needs=IN_TREE, any_kernel=shop.shared(_user_space), files=files)
    init = _INIT.replace("exec ", f"if [ $(/usr/bin/busybox uname -r) = {other.kernel.release} ]; then\n{_UPDATED}"
                                  f"else\n{_USE}{_BY_HAND}{_AHEAD}fi\nexec ")
    files = {**shop.operator_files({DRIVER: _driver_file(version(made))}), "/etc/ld.so.conf": "include /etc/ld.so.conf.d/*.conf\n"}
    root = small.root_image(room, files, init, size_mib=_LARGE["root_mib"],
                            more={**fake_gpu(shop), **fake_gpu(other), _NEXT: following})
    images = [one.usr_image(room, f"usr-{one.kernel.release}", whose) for one, whose in ((shop, usr), (other, other_usr))]
    disks = [small.make_disk(room, image, root, **_LARGE, name=image.stem) for image in images]
    layer = disk.overlay(disks[0], room / "disk.qcow2")
    first = boot(shop, "nvidia-gpu", layer, shop.shared(_large), INSERT)
    disk.exchange_base(layer, disks[1])
    updated = boot(other, "nvidia-gpu-updated", layer, other.shared(_large), INSERT)
    return SimpleNamespace(boot=first, bundle=made, updated=updated, following=following, other=other.kernel)


def unknown_gpu(shop: Workshop) -> SimpleNamespace:
    """A GPU in whose registers the driver finds no chip that it knows."""
    room, made = shop.room("unknown-gpu"), shop.shared(bundle)
    root = small.root_image(room, shop.operator_files({DRIVER: _driver_file(version(made))}), _INIT, more=fake_gpu(shop))
    image = small.make_disk(room, shop.usr_image(room, "usr", Usr({DRIVER: made}, in_tree=True, needs=IN_TREE)), root)
    layer = disk.overlay(image, room / "disk.qcow2")
    return SimpleNamespace(boot=boot(shop, "unknown-gpu", layer, small.saved_boot(shop), f"{INSERT} boot0=0 boot42=0"))


ALL = {scenario.__name__: scenario for scenario in (nvidia_gpu, unknown_gpu)}
