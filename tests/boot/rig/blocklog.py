# SPDX-License-Identifier: Apache-2.0
"""What a guest wrote to a disk, in order, and the disks that a power cut could have left.

A disk may keep writes in its own memory until it is told to flush. So after a cut it holds everything that was written
before the last flush, and of what was written since then any part. QEMU's blklogwrites driver notes writes and flushes
in the format of the kernel's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst).
"""

import os
import random
import struct
from dataclasses import dataclass
from pathlib import Path

from .host import RigError, run

_SUPER = struct.Struct("<QQQI")         # magic, version, entries, sector size
_ENTRY = struct.Struct("<QQQQ")         # sector, sectors, flags, bytes of further data (of marks, which QEMU has none)
_MAGIC, _VERSION = 0x6A736677736872, 1
_FLUSH, _FUA, _DISCARD = 1, 2, 4
_SECTOR = 512
# What a disk writes as a whole or not at all. Those of today have 4096, and file systems count on it.
BLOCK = 4096
MARK_SECTOR = 1024
_MARK = b"MARK "


@dataclass(frozen=True)
class Write:
    at: int             # byte offset on the disk
    data: bytes


@dataclass(frozen=True)
class Flush:
    pass


@dataclass(frozen=True)
class Mark:
    """The guest said that something is done."""
    name: str


def drive(disk: Path, log: Path) -> list[str]:
    """QEMU's arguments for `disk`, a raw image, as the drive `disk` whose writes are noted in `log`."""
    log.write_bytes(b"")
    return ["-blockdev", f"driver=file,node-name=f0,filename={disk}", "-blockdev", "driver=raw,node-name=r0,file=f0",
            "-blockdev", f"driver=file,node-name=l0,filename={log}",
            "-blockdev", "driver=blklogwrites,node-name=disk,file=r0,log=l0,log-sector-size=512"]


def read(log: Path) -> list[Write | Flush | Mark]:
    """The whole log, to the end of its file: QEMU 7.2 updates the number of entries at a flush only."""
    found: list[Write | Flush | Mark] = []
    size = log.stat().st_size
    with open(log, "rb") as file:
        magic, version, _, sector_size = _SUPER.unpack(file.read(_SUPER.size))
        if (magic, version, sector_size) != (_MAGIC, _VERSION, _SECTOR):
            raise RigError(f"{log}: not a log of writes")
        file.seek(_SECTOR)
        while file.tell() < size:
            sector, sectors, flags, more = _ENTRY.unpack(file.read(_SECTOR)[:_ENTRY.size])
            if more or flags & ~(_FLUSH | _FUA):
                raise RigError(f"{log}: an entry of an unexpected kind, flags {flags:#x}")
            data = file.read(sectors * _SECTOR)
            if len(data) != sectors * _SECTOR:
                raise RigError(f"{log}: cut off")
            if sector == MARK_SECTOR and data.startswith(_MARK):
                found.append(Mark(data[len(_MARK):].partition(b"\n")[0].decode()))
            elif data:
                found.append(Write(sector * _SECTOR, data))
            if flags & (_FLUSH | _FUA):
                found.append(Flush())
    return found


def blocks(write: Write) -> list[Write]:
    """The write in pieces that each are on the disk or not."""
    cuts = [0, *range(BLOCK - write.at % BLOCK, len(write.data), BLOCK), len(write.data)]
    return [Write(write.at + start, write.data[start:end]) for start, end in zip(cuts, cuts[1:])]


@dataclass(frozen=True)
class Cut:
    """The power fails behind entry `after` of the log, and of what was not flushed by then `kept` percent survives."""
    after: int
    kept: int
    seed: int

    def survivors(self, log: list[Write | Flush | Mark]) -> list[Write]:
        """All writes that are on the disk, in their order."""
        durable: list[Write] = []
        pending: list[Write] = []
        for entry in log[:self.after + 1]:
            if isinstance(entry, Write):
                pending.append(entry)
            elif isinstance(entry, Flush):
                durable += pending
                pending = []
        dice = random.Random(self.seed)
        return durable + [block for write in pending for block in blocks(write) if dice.randrange(100) < self.kept]


def cuts(log: list[Write | Flush | Mark], count: int, dice: random.Random, first: int = 0) -> list[Cut]:
    """`count` cuts behind entry `first` or later: just behind each mark with all lost that can be, and then anywhere, each
    stretch between two flushes as likely as another."""
    made = [Cut(at, 0, 0) for at, entry in enumerate(log) if isinstance(entry, Mark) and at >= first]
    flushes = [at for at, entry in enumerate(log) if isinstance(entry, Flush) and at > first]
    stretches = [(start, end) for start, end in zip([first, *flushes], [*flushes, len(log)]) if end - start > 1]
    while len(made) < count:
        after = dice.randrange(*dice.choice(stretches))
        made.append(Cut(after, dice.choice((0, 50, 100, dice.randrange(100))), dice.randrange(1 << 32)))
    return made


def image(pristine: Path, offset: int, log: list[Write | Flush | Mark], cut: Cut, path: Path) -> Path:
    """The partition that began at `offset` and was `pristine` before the log, as the cut left it."""
    size = pristine.stat().st_size
    run("cp", "--sparse=always", pristine, path)
    with open(path, "r+b") as file:
        for write in cut.survivors(log):
            if offset <= write.at and write.at + len(write.data) <= offset + size:
                os.pwrite(file.fileno(), write.data, write.at - offset)
    return path
