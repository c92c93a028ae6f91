# SPDX-License-Identifier: Apache-2.0
"""A small machine for tests that boot often: one saved boot for all of them, disks that fit it."""

import random
import shutil
from pathlib import Path

from . import disk, saved, trees
from .guest import HOST_ADDRESS
from .machines import ROOT_ARGUMENT, USR_ARGUMENTS, UUID_ROOT, UUID_USR, Usr, Workshop
from .saved import SavedBoot

USR_MIB = 32
ROOT_MIB = 48
ROOT_AT = (1 + USR_MIB) * disk.MIB
INIT = "/etc/test-init"
# the file system writes on its own each second, which leaves little to luck
_ARGUMENTS = [ROOT_ARGUMENT, "rw", "rootflags=commit=1", *USR_ARGUMENTS, f"init={INIT}",
              # software emulation takes seconds to draw a console
              "drm_kms_helper.fbdev_emulation=0",
              # no entropy but what the kernel finds in the jitter of its own clock
              "random.trust_cpu=off", "random.trust_bootloader=off",
              f"memmap={saved.GPU_MIB}M${saved.GPU_AT:#x}"]
# for boots of which only the real root's report is wanted: the probes of the initramfs say nothing
NO_PROBES = "echo '#!/usr/bin/busybox true' > /usr/bin/modulus-report"
# the network that somebody else would have brought up by then, and that stays
WITH_NETWORK = ("for n in /sys/class/net/e*; do n=${n##*/}; $bb ip link set $n up; $bb ip addr add 10.0.2.15/24 dev $n; done; "
                f"$bb ip route add default via {HOST_ADDRESS}")


def root_image(folder: Path, files: dict[str, str], init: str | None = None, size_mib: int = ROOT_MIB,
               filled_mib: int = 0, more: dict[str, Path] | None = None) -> Path:
    """A root file system with `files` (path -> text) and `more` (path -> file); PID 1 is the script `init`, or the one that reports and powers off."""
    tree = trees.small_root(folder / "root")
    for path, text in files.items():
        trees.write(tree / path.lstrip("/"), text)
    for path, source in (more or {}).items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tree / path)
    if init:
        trees.write(tree / INIT.lstrip("/"), init, 0o755)
    else:
        (tree / INIT.lstrip("/")).symlink_to("/usr/bin/modulus-test-init")
    if filled_mib:
        (tree / "filling").write_bytes(random.Random(0).randbytes(filled_mib * disk.MIB))
    image = disk.ext4(tree, folder / "root.ext4", "ROOT", size_mib)
    shutil.rmtree(tree)
    return image


def make_disk(folder: Path, usr: Path, root: Path, usr_mib: int = USR_MIB, root_mib: int = ROOT_MIB,
              name: str = "disk") -> Path:
    """A disk that a boot takes that was saved with one of these sizes."""
    return disk.assemble(folder / f"{name}.raw", [
        disk.Partition("USR-A", disk.TYPE_USR, UUID_USR, usr, usr_mib),
        disk.Partition("ROOT", disk.TYPE_ROOT, UUID_ROOT, root, root_mib)])


def saved_boot(shop: Workshop) -> SavedBoot:
    """The one of this run."""
    return shop.shared(_save)


def _save(shop: Workshop) -> SavedBoot:
    return save(shop, "saved-boot")


def save(shop: Workshop, name: str, usr_mib: int = USR_MIB, root_mib: int = ROOT_MIB) -> SavedBoot:
    """One more, for disks of other sizes."""
    shop.say(f"{name}: a guest stopped before it mounts anything")
    room = shop.room(name)
    any_disk = make_disk(room, shop.usr_image(room, "usr", Usr()), root_image(room, {}), usr_mib, root_mib)
    return SavedBoot(room / "saved", shop.kernel, shop.plain_initramfs, _ARGUMENTS, any_disk)
