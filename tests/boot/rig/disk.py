# SPDX-License-Identifier: Apache-2.0
"""Disks without loop mounts: each file system is made in a file of its own and copied to its place behind a GPT.

A finished disk is never written again: guests write to qcow2 overlays.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from .host import RigError, run

MIB = 1 << 20
_ZEROS = bytes(MIB)
# Discoverable Partitions Specification: /usr and root for x86-64, /var
TYPE_USR = "8484680c-9521-48c6-9c11-b0720656f69e"
TYPE_ROOT = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
TYPE_VAR = "4d21b016-b534-45c2-a9fb-5c16e091fd2d"
# Flatcar's type of its two /usr partitions
TYPE_FLATCAR_USR = "5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6"


@dataclass(frozen=True)
class Partition:
    label: str
    type: str
    uuid: str
    image: Path
    size_mib: int


def erofs(tree: Path, image: Path) -> Path:
    """A compressed read-only file system with the files of `tree`."""
    run("mkfs.erofs", "-zlz4", "--all-root", "-T0", image, tree)
    return image


def ext4(tree: Path, image: Path, label: str, size_mib: int) -> Path:
    """A file system with a journal and the files of `tree`."""
    image.unlink(missing_ok=True)
    run("mke2fs", "-q", "-t", "ext4", "-L", label, "-E", "root_owner=0:0", "-d", tree, image, f"{size_mib}M")
    return image


def _copy_sparse(source: Path, target: Path, offset: int) -> None:
    """Write `source` into `target` at `offset`; blocks of zeros stay holes."""
    with open(source, "rb") as reader, open(target, "r+b") as writer:
        while block := reader.read(MIB):
            if block != _ZEROS[:len(block)]:
                os.pwrite(writer.fileno(), block, offset)
            offset += len(block)


def assemble(disk: Path, partitions: list[Partition]) -> Path:
    """A raw disk image: GPT, partitions from the first MiB on, in the given order."""
    disk.unlink(missing_ok=True)
    with open(disk, "wb") as fresh:
        fresh.truncate((2 + sum(part.size_mib for part in partitions)) * MIB)
    start = 1
    options: list[str] = []
    for number, part in enumerate(partitions, 1):
        if part.image.stat().st_size > part.size_mib * MIB:
            raise RigError(f"{part.image} is larger than the {part.size_mib} MiB of its partition")
        options += ["-n", f"{number}:{start}M:+{part.size_mib}M", "-t", f"{number}:{part.type}",
                    "-c", f"{number}:{part.label}", "-u", f"{number}:{part.uuid}"]
        start += part.size_mib
    run("sgdisk", "-o", *options, disk)
    start = 1
    for part in partitions:
        _copy_sparse(part.image, disk, start * MIB)
        start += part.size_mib
    return disk


def set_slot(disk: Path, number: int, priority: int, tries: int, successful: bool) -> None:
    """What a boot loader with A/B slots reads of a partition (gptprio)."""
    bits = priority | tries << 4 | successful << 8
    run("sgdisk", "-A", f"{number}:=:{bits << 48:016x}", disk)


def overlay(base: Path, path: Path) -> Path:
    """A fresh writable layer over `base`."""
    path.unlink(missing_ok=True)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base.resolve(), "-F", "raw", path)
    return path


def exchange_base(layer: Path, base: Path) -> None:
    """Put another disk under a written layer: what the guest wrote stays, all else becomes the new disk's."""
    run("qemu-img", "rebase", "-q", "-u", "-b", base.resolve(), "-F", "raw", layer)


def written_bytes(layer: Path) -> int:
    """How many bytes the guest wrote to the disk (in clusters of the layer)."""
    extents = json.loads(run("qemu-img", "map", "--output=json", layer))
    return sum(extent["length"] for extent in extents if extent["depth"] == 0 and extent["data"])


def take_out(layer: Path, offset_mib: int, size_mib: int, image: Path) -> Path:
    """A copy of one partition as the guest left it."""
    raw = image.with_suffix(".raw")
    run("qemu-img", "convert", "-q", "-f", "qcow2", "-O", "raw", layer, raw)
    image.unlink(missing_ok=True)
    run("dd", f"if={raw}", f"of={image}", "bs=1M", f"skip={offset_mib}", f"count={size_mib}", "conv=sparse", "status=none")
    raw.unlink()
    return image


def files_of(image: Path, folder: str) -> dict[str, int]:
    """name -> size of what is in a directory of an ext4 file system."""
    lines = run("debugfs", "-R", f"ls -p {folder}", image).splitlines()
    entries = [line.split("/") for line in lines if line.startswith("/")]
    return {entry[5]: int(entry[6] or 0) for entry in entries if entry[5] not in (".", "..")}


def fresh_folder(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
