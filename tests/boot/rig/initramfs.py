# SPDX-License-Identifier: Apache-2.0
"""Initramfs images by the host's real dracut, from a private copy of its modules.

In: a kernel, the binary for the initramfs. Out: one image with our dracut module and, when asked for, Debian's own Ignition
module; or one without us, compressed, and our add-on behind it. Nothing is written under the system's dracut folder.
"""

import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from . import cache, cpio, places
from .debian import Kernel
from .host import DRACUT_BASE, RigError, environment, run

BASE_MODULES = ["systemd", "systemd-initrd", "systemd-udevd", "dracut-systemd", "usrmount", "rootfs-block",
                "udev-rules", "base", "fs-lib", "kernel-modules", "shutdown"]
TEST_MODULES = ["modulus", "modulus-probe"]
# Where dracut's own scripts are PID 1: left out by name, and what is asked for then
SYSTEMD_MODULES = ["systemd", "systemd-initrd", "dracut-systemd"]
SCRIPT_MODULES = ["rootfs-block", "udev-rules", "base", "fs-lib", "kernel-modules"]
IGNITION_MODULES = ["ignition", "no-relabel"]
# what brings the network up -> the modules that an image with it is asked for
NETWORK_MODULES = {"networkd": ["modulus-net"], "manager": ["network-manager", "modulus-net"],
                   "legacy": ["network-legacy", "modulus-net"]}
# What the guest's disk and card need. No GPU, no DRM: those come from the bundle or not at all.
DRIVERS = ["virtio_blk", "virtio_pci", "virtio_net", "ext4", "erofs"]
VERITY_MODULES, VERITY_DRIVERS = ["systemd-veritysetup", "dm"], ["dm_verity"]
# An emulated kernel takes a second to unpack the compressed archive.
PACKED, UNPACKED = ["--compress", "zstd -3 -q -T0"], ["--no-compress"]
# Ignition's module asks for these two; its config comes through fw_cfg, and nobody but us asks for a network: 15 MB saved.
EMPTY_MODULES = {"network": "35network", "url-lib": "45url-lib"}


def private_base(folder: Path, installed: Path, without: set[str]) -> Path:
    """A copy of `installed`, a dracut, with the test modules, and with some of EMPTY_MODULES emptied. Its modules."""
    shutil.copytree(installed, folder, symlinks=True)
    modules = folder / "modules.d"
    for name in without:
        for found in modules.glob(f"[0-9][0-9]{name}"):
            shutil.rmtree(found)
        empty = modules / EMPTY_MODULES[name]
        empty.mkdir()
        (empty / "module-setup.sh").write_text("check() { return 255; }\ndepends() { return 0; }\n")
    for module in (places.GUEST / "dracut").iterdir():
        shutil.copytree(module, modules / module.name)
    shutil.copy(places.GUEST / "report.sh", modules / "61modulus-probe" / "report.sh")
    (modules / "61modulus-probe" / "report.sh").chmod(0o755)
    return modules


def _private_base(folder: Path, own_module: Path, network: str | None) -> None:
    """The system's dracut with our modules as well."""
    # the library of these two handlers is in the first
    without = {"url-lib"} if network in ("manager", "legacy") else set(EMPTY_MODULES)
    modules = private_base(folder, DRACUT_BASE, without)
    for own in (own_module, places.DRACUT_NETWORK_MODULE):
        shutil.rmtree(modules / own.name, ignore_errors=True)   # an installed one
        shutil.copytree(own, modules / own.name)
    if network:
        # Ignition's own wish for a network is left out: nobody but us asks for one in this image
        ignition = modules / "30ignition" / "module-setup.sh"
        text = ignition.read_text()
        if "url-lib network" not in text:
            raise RigError(f"{ignition} does not depend on what it did")
        ignition.write_text(text.replace("url-lib network", "url-lib"))


def build(kernel: Kernel, binary: Path, image: Path, with_ignition: bool,
          own_module: Path = places.DRACUT_MODULE, network: str | None = None, ours: bool = True,
          systemd: bool = True, verity: bool = False) -> None:
    """Run dracut; RigError carries its whole output. ours: False leaves Modulus and what the tests add to it out. systemd:
    False makes dracut's own scripts PID 1. verity: with what a /usr under dm-verity needs."""
    work = image.parent / "dracut"
    work.mkdir()
    _private_base(work / "base", own_module, network)
    (work / "empty.conf").touch()
    (work / "empty.d").mkdir()
    modules = (BASE_MODULES if systemd else SCRIPT_MODULES) + (TEST_MODULES if ours else [])
    modules += IGNITION_MODULES if with_ignition else []
    modules += NETWORK_MODULES[network] if network else []
    modules += VERITY_MODULES if verity else []
    said = run(
        "dracut", "--force", "--quiet", "--conf", work / "empty.conf", "--confdir", work / "empty.d", "--tmpdir", work,
        "--kver", kernel.release, "--kmoddir", kernel.modules, "--no-hostonly", "--no-early-microcode", "--nofscks",
        "--reproducible", *(UNPACKED if ours else PACKED), "--modules", " ".join(modules),
        "--omit", "" if systemd else " ".join(SYSTEMD_MODULES),
        "--drivers", " ".join(DRIVERS + (VERITY_DRIVERS if verity else [])), image, env={"dracutbasedir": str(work / "base"), "MODULUS_BINARY": str(binary)})
    if not image.is_file():
        raise RigError(f"dracut made no image:\n{said}")
    shutil.rmtree(work)


def obtain(kernel: Kernel, binary: Path, with_ignition: bool, network: str | None = None, ours: bool = True,
           systemd: bool = True, verity: bool = False) -> Path:
    """The image for this kernel and binary, from the cache when nothing that goes into it has changed."""
    name = f"network-{network}" if network else "ignition" if with_ignition else "foreign" if not ours else \
        "without-systemd" if not systemd else "verity" if verity else "plain"
    key = cache.digest(str(kernel.modules), binary, places.DRACUT_MODULE, places.DRACUT_NETWORK_MODULE, places.GUEST,
                       inspect.getsource(sys.modules[__name__]),
                       run("dpkg-query", "-W", "dracut-core", "systemd", "ignition", "network-manager", "isc-dhcp-client", "dmsetup"))
    folder = cache.kept(f"initramfs-{name}", key,
                        lambda fresh: build(kernel, binary, fresh / "initramfs.img", with_ignition,
                                            network=network, ours=ours, systemd=systemd, verity=verity))
    return folder / "initramfs.img"


def added_on(image: Path, add_on: Path, output: Path) -> Path:
    """`image`, behind it our add-on as a plain cat may put it (at an odd place), and behind that the test's own probes."""
    units, wants = "usr/lib/systemd/system", "etc/systemd/system/initrd.target.wants"
    probes = [cpio.script("usr/bin/busybox", Path("/usr/bin/busybox").read_bytes()),
              cpio.script("usr/bin/modulus-report", (places.GUEST / "report.sh").read_bytes())]
    for unit in (places.GUEST / "dracut" / "61modulus-probe").glob("*.service"):
        probes += [cpio.Entry(f"{units}/{unit.name}", unit.read_bytes()),
                   cpio.link(f"{wants}/{unit.name}", f"/{units}/{unit.name}")]
    first = image.read_bytes()
    odd = output.with_suffix(".odd")
    odd.write_bytes(first + b"\0" * ((1 - len(first)) % 4) + add_on.read_bytes())
    cpio.append(odd, probes, output)
    odd.unlink()
    return output


def _archive(image: Path) -> bytes:
    """The image without its compression, if it has any."""
    return subprocess.run(["zstd", "-dcfq", str(image)], env=environment(), stdout=subprocess.PIPE, check=True).stdout


def unpack(image: Path, folder: Path) -> None:
    """The image's files below `folder`; device nodes are left out, so that it works without privileges too."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cpio", "-idm", "--quiet", "--no-absolute-filenames"], input=_archive(image), cwd=folder,
                   env=environment(), check=os.geteuid() == 0)


def kernel_modules(image: Path) -> list[str]:
    """Paths of the kernel modules in the image; RigError when there are none, since the guest's disk needs some."""
    found = [path for path in listing(image) if re.search(r"\.ko(\.\w+)?$", path)]
    if not found:
        raise RigError(f"{image} holds no kernel module")
    return found


def gpu_modules(image: Path) -> list[str]:
    """Those of them that belong to a GPU driver or to DRM."""
    return [path for path in kernel_modules(image) if re.search(r"/gpu/|drm|virtio[-_]gpu|virtio_dma_buf", path)]


def listing(image: Path) -> list[str]:
    """Every path in the image."""
    return subprocess.run(["cpio", "-it", "--quiet"], input=_archive(image), env=environment(), stdout=subprocess.PIPE,
                          check=True).stdout.decode().splitlines()
