# SPDX-License-Identifier: Apache-2.0
"""A /usr that the kernel checks block by block (dm-verity), in two slots, as image-based systems have it.

Each slot is a partition with the file system and one with the hash tree; the kernel command line names the root hash, and their
UUIDs are its halves (Discoverable Partitions Specification), by which systemd finds them.
"""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from . import disk, trees
from .host import RigError, run
from .machines import ROOT_MIB, SMALL_INIT, SMALL_USR_MIB, UUID_ROOT, Usr, Workshop, driver_file
from .scenarios import DRIVER

TYPE_USR_VERITY = "77ff5f63-e7b6-4633-acf4-1565b864c0e6"
HASH_MIB = 2
BLOCK = 4096
# the same tree of the same file system, each time
SALT = "5d6f6c7574696f6e"


@dataclass(frozen=True)
class Slot:
    """A file system, its hash tree, and the hash at the top of that."""
    label: str
    image: Path
    tree: Path
    root_hash: str

    @classmethod
    def of(cls, label: str, image: Path) -> "Slot":
        with open(image, "r+b") as file:
            file.truncate(-(-image.stat().st_size // BLOCK) * BLOCK)
        tree = image.with_suffix(".verity")
        said = run("veritysetup", "format", f"--salt={SALT}", f"--uuid={uuid.UUID(int=1)}", image, tree)
        found = re.search(r"^Root hash:\s*([0-9a-f]{64})$", said, re.MULTILINE)
        if not found:
            raise RigError(f"veritysetup told no root hash:\n{said}")
        return cls(label, image, tree, found[1])

    @property
    def partitions(self) -> list[disk.Partition]:
        return [disk.Partition(self.label, disk.TYPE_USR, str(uuid.UUID(self.root_hash[:32])), self.image, SMALL_USR_MIB),
                disk.Partition(f"{self.label}-VERITY", TYPE_USR_VERITY, str(uuid.UUID(self.root_hash[32:])), self.tree, HASH_MIB)]

    @property
    def arguments(self) -> list[str]:
        return ["rw", SMALL_INIT, f"usrhash={self.root_hash}", "mount.usr=/dev/mapper/usr", "mount.usrfstype=erofs", "mount.usrflags=ro"]


def spoil(raw: Path, bundle: Path) -> None:
    """One bit of the bundle's payload, as it is on the disk, turns over. The hash tree stays."""
    data = bundle.read_bytes()
    piece = data[len(data) * 3 // 4:][:256]     # erofs stores whole what does not compress
    on_disk = raw.read_bytes()
    at = on_disk.find(piece)
    if at < 0 or on_disk.find(piece, at + 1) >= 0:
        raise RigError(f"{bundle.name} is not on the disk in one piece, or twice")
    with open(raw, "r+b") as file:
        file.seek(at)
        file.write(bytes([piece[0] ^ 1]))


def verity(shop: Workshop) -> SimpleNamespace:
    """Slot A with the bundle; then slot B without one; then A again with a bit of the bundle turned over on the disk, asked first."""
    room = shop.room("verity")
    bundle = shop.bundle(room, DRIVER)
    slots = [Slot.of(label, shop.usr_image(room, label, Usr(on_it))) for label, on_it in (("USR-A", {DRIVER: bundle}), ("USR-B", {}))]
    root = shop.root_image(room, trees.small_root, shop.operator_files({DRIVER: driver_file()}))
    partitions = [part for slot in slots for part in slot.partitions]
    made = disk.assemble(room / "disk.raw", [*partitions, disk.Partition("ROOT", disk.TYPE_ROOT, UUID_ROOT, root, ROOT_MIB)])
    layer = disk.overlay(made, room / "disk.qcow2")
    first = shop.boot("verity-a", room, shop.verity_initramfs, slots[0].arguments, layer)
    second = shop.boot("verity-b", room, shop.verity_initramfs, slots[1].arguments, layer)
    spoil(made, bundle)
    third = shop.boot("verity-spoilt", room, shop.verity_initramfs, [*slots[0].arguments, "modulus.from=usr:"], layer)
    return SimpleNamespace(first=first, second=second, third=third)


ALL: dict[str, Callable[[Workshop], SimpleNamespace]] = {verity.__name__: verity}
