# SPDX-License-Identifier: Apache-2.0
"""Machines on which something other than the bundle is at fault: the disk, the memory, the clock, the errno of an init; and
modules that take the machine down. Most go on from the saved boot, so that each takes seconds."""

import errno
import random
import re
import struct
from pathlib import Path
from types import SimpleNamespace

from . import bundles, disk, guest, places, small
from .host import RigError, run
from .machines import ROOT_ARGUMENT, SMALL_INIT, USR_ARGUMENTS, Usr, Workshop, driver_file
from .report import Report

DRIVER = "virtio-gpu"
_NOISE_BYTES = 3 << 20


def _noise(folder: Path) -> Path:
    """A directory with a firmware file that does not compress, another one in each folder."""
    made = folder / "noise"
    made.mkdir()
    (made / "noise.bin").write_bytes(random.Random(str(folder)).randbytes(_NOISE_BYTES))
    return made


def _layer(room: Path, made: Path) -> list[str]:
    return guest.disk_drive(disk.overlay(made, room / "disk.qcow2"))


# --- inits that fail ---

# what our own code tells apart, what drivers really return, and one that is no errno of user space (EPROBE_DEFER)
ERRNOS = [errno.EPERM, errno.ENOENT, errno.EIO, errno.ENOEXEC, errno.EAGAIN, errno.ENOMEM, errno.EBUSY, errno.EEXIST,
          errno.ENODEV, errno.ENOSPC, errno.EKEYREJECTED, 517]
# one driver in two flavours, of which the first finds no device; one whose only bundle is for another device
FLAVOURS, WRONG = "two-flavours", "wrong-device"


def failing_inits(shop: Workshop) -> SimpleNamespace:
    """A driver for each errno, and behind them one module under two names: the second finds it live. Then flavours."""
    room, saved = shop.room("failing-inits"), small.saved_boot(shop)
    names = {f"errno-{code}": code for code in ERRNOS}
    on_usr = {name: shop.bundle_of(room, name, shop.faults["fault_errno"]) for name in names}
    on_usr |= {name: shop.bundle_of(room, name, shop.hello) for name in ("live-first", "live-second")}
    drivers = {name: driver_file(extra=f"Options=fault_errno code={names[name]}\n" if name in names else "")
               for name in on_usr}
    (room / "second").mkdir()
    on_usr["first"] = shop.bundle_of(room, FLAVOURS, shop.faults["fault_enodev"], flavor="open")
    on_usr["second"] = shop.bundle_of(room / "second", FLAVOURS, shop.faults["fault_slow"], flavor="proprietary", serial=9)
    on_usr[WRONG] = shop.bundle_of(room, WRONG, shop.faults["fault_einval"], match="pci:v000010DEd*")
    drivers |= {FLAVOURS: driver_file(extra="Flavor=open proprietary\n"), WRONG: driver_file()}
    made = small.make_disk(room, shop.usr_image(room, "usr", Usr(on_usr, in_tree=True)),
                           small.root_image(room, shop.operator_files(drivers)))
    return SimpleNamespace(boot=saved.boot("failing-inits", room, _layer(room, made)))


# --- disks ---

def _one_driver(shop: Workshop, name: str, words: str, **root: object) -> Report:
    """A boot with a bundle of some MiB on /usr."""
    room, saved = shop.room(name), small.saved_boot(shop)
    bundle = shop.bundle(room, DRIVER, firmware=_noise(room))
    made = small.make_disk(room, shop.usr_image(room, "usr", Usr({DRIVER: bundle})),
                           small.root_image(room, shop.operator_files({DRIVER: driver_file()}), **root))
    return saved.boot(name, room, _layer(room, made), words)


def full_disk(shop: Workshop) -> SimpleNamespace:
    """A root of 20 MiB without a free block, in the year 2099."""
    return SimpleNamespace(boot=_one_driver(shop, "full-disk", "date -s 2099-01-01", size_mib=20, filled_mib=15))


def write_protected(shop: Workshop) -> SimpleNamespace:
    """A root that nobody can write to, in the year 1999."""
    return SimpleNamespace(boot=_one_driver(
        shop, "write-protected", "date -s 1999-01-01; busybox blockdev --setro /dev/vda; busybox blockdev --setro /dev/vda2"))


def _faulty_sectors(layer: Path, sectors: dict[int, str]) -> list[str]:
    """The drive `disk`, whose `sectors` cannot be read, or not be written to."""
    rules = "".join(f",inject-error.{number}.event=none,inject-error.{number}.iotype={what},inject-error.{number}.sector={sector},"
                    f"inject-error.{number}.once=off" for number, (sector, what) in enumerate(sectors.items()))
    return ["-blockdev", f"driver=file,node-name=file,filename={layer}",
            "-blockdev", "driver=qcow2,node-name=layer,file=file",
            "-blockdev", f"driver=blkdebug,node-name=disk,image=layer{rules}"]


def _free_sectors(root: Path) -> list[int]:
    """A sector of the disk in each 64 KiB of the root that are free."""
    said = run("dumpe2fs", root)
    (size,) = map(int, re.findall(r"^Block size:\s+(\d+)", said, re.M))
    free = [at for line in re.findall(r"^  Free blocks: (.+)", said, re.M) for first, last in re.findall(r"(\d+)-(\d+)", line)
            for at in range(int(first) * size, int(last) * size, 64 << 10)]
    return [(small.ROOT_AT + at) // 512 for at in free]


def _sector_of(made: Path, bundle: Path) -> int:
    """A sector of the disk with a part of the bundle in it."""
    content = bundle.read_bytes()
    at = made.read_bytes().find(content[len(content) // 2:][:4096])
    if at < 0:
        raise RigError(f"{bundle}: not found on {made}")
    return -(-at // 512)


def write_errors(shop: Workshop) -> SimpleNamespace:
    """A disk that reports errors where a file of some size would be written."""
    room, saved = shop.room("write-errors"), small.saved_boot(shop)
    bundle = shop.bundle(room, DRIVER, firmware=_noise(room))
    root = small.root_image(room, shop.operator_files({DRIVER: driver_file()}))
    made = small.make_disk(room, shop.usr_image(room, "usr", Usr({DRIVER: bundle})), root)
    drive = _faulty_sectors(disk.overlay(made, room / "disk.qcow2"), dict.fromkeys(_free_sectors(root), "write"))
    return SimpleNamespace(boot=saved.boot("write-errors", room, drive))


UNREADABLE = "a-unreadable"


def read_errors(shop: Workshop) -> SimpleNamespace:
    """One driver whose only bundle cannot be read, and one whose copy in the cache cannot."""
    room, saved = shop.room("read-errors"), small.saved_boot(shop)
    firmware = _noise(room)
    on_usr = {name: shop.bundle(room, name, firmware=firmware) for name in (UNREADABLE, DRIVER)}
    newer = room / "newer"
    newer.mkdir()
    cached = shop.bundle(newer, DRIVER, firmware=_noise(newer), serial=2)
    root = small.root_image(room, shop.operator_files(dict.fromkeys(on_usr, driver_file())), more={
        f"var/lib/modulus/bundles/{shop.kernel.release}/{bundles.cached_name(cached, DRIVER)}": cached})
    made = small.make_disk(room, shop.usr_image(room, "usr", Usr(on_usr)), root)
    bad = {_sector_of(made, bundle): "read" for bundle in (on_usr[UNREADABLE], cached)}
    return SimpleNamespace(boot=saved.boot("read-errors", room, _faulty_sectors(disk.overlay(made, room / "disk.qcow2"), bad)))


# --- memory, crash kernels ---

LARGE = "a-large"
_LARGE_BYTES = 96 << 20


def little_memory(shop: Workshop) -> SimpleNamespace:
    """256 MiB, and a bundle that unpacks to more than is free before the one that is wanted."""
    room = shop.room("little-memory")
    zeros = room / "zeros"
    zeros.mkdir()
    with open(zeros / "zeros.bin", "wb") as file:
        file.truncate(_LARGE_BYTES)
    on_usr = {LARGE: shop.bundle(room, LARGE, firmware=zeros), DRIVER: shop.bundle(room, DRIVER)}
    made = small.make_disk(room, shop.usr_image(room, "usr", Usr(on_usr)),
                           small.root_image(room, shop.operator_files(dict.fromkeys(on_usr, driver_file()))))
    return SimpleNamespace(boot=_cold(shop, room, made, guest.Hardware(disk.overlay(made, room / "disk.qcow2"), memory_mib=256)))


def _cold(shop: Workshop, room: Path, made: Path, hardware: guest.Hardware, *arguments: str) -> Report:
    report = guest.boot(room.name, room, shop.kernel, shop.plain_initramfs,
                        [ROOT_ARGUMENT, "rw", *USR_ARGUMENTS, SMALL_INIT, *arguments], hardware)
    shop.say(f"{room.name}: booted in {report.seconds:.0f} s ({report.accelerator})")
    return report


# the dump of a crashed kernel that had no memory: at an address that is not this kernel's
_DUMP_AT = 0x10000000
_DUMP_BYTES = 64 << 10


def _empty_dump() -> bytes:
    """ELF64, little-endian, ET_CORE, x86-64, with one PT_NOTE and an empty note in it (elf(5), fs/proc/vmcore.c)."""
    note = struct.pack("<III8sI", 5, 4, 1, b"CORE", 0)
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    program = struct.pack("<IIQQQQQQ", 4, 0, _DUMP_AT + 4096, 0, 0, 1024, 1024, 4)
    return ((header + program).ljust(4096, b"\0") + note).ljust(_DUMP_BYTES, b"\0")


def crash_kernel(shop: Workshop) -> SimpleNamespace:
    """A kernel that was started to save the dump of another."""
    room = shop.room("crash-kernel")
    (room / "dump").write_bytes(_empty_dump())
    bundle = shop.bundle(room, DRIVER)
    made = small.make_disk(room, shop.usr_image(room, "usr", Usr({DRIVER: bundle})),
                           small.root_image(room, shop.operator_files({DRIVER: driver_file()})))
    hardware = guest.Hardware(disk.overlay(made, room / "disk.qcow2"), more=(
        "-device", f"loader,file={room / 'dump'},addr={_DUMP_AT:#x},force-raw=on"))
    return SimpleNamespace(boot=_cold(shop, room, made, hardware, f"elfcorehdr={_DUMP_AT:#x}",
                                      f"memmap={_DUMP_BYTES >> 10}K${_DUMP_AT:#x}"))


# --- machines that go down ---

PANICKY = "panicky"


def panic_loop(shop: Workshop) -> SimpleNamespace:
    """A module that panics, booted three times; then once more; then with an older bundle beside it."""
    room, saved = shop.room("panic-loop"), small.saved_boot(shop)
    (room / "older").mkdir()
    newer = shop.bundle_of(room, PANICKY, shop.faults["fault_panic"], serial=2)
    older = shop.bundle_of(room / "older", PANICKY, shop.hello, serial=1)
    root = small.root_image(room, shop.operator_files({PANICKY: driver_file()}), init=(places.GUEST / "powercut.sh").read_text())
    first = small.make_disk(room, shop.usr_image(room, "usr", Usr({PANICKY: newer})), root)
    both = small.make_disk(room / "older", shop.usr_image(room, "usr-both", Usr({PANICKY: newer, "older": older})), root)
    layer = disk.overlay(first, room / "disk.qcow2")
    drive = guest.disk_drive(layer)
    crashed = [saved.attempt(f"panic-{number}", room, drive) for number in (1, 2, 3)]
    blocked = saved.boot("blocked", room, drive)
    disk.exchange_base(layer, both)
    return SimpleNamespace(crashed=crashed, blocked=blocked, older=saved.boot("older", room, drive))


def power_cycles(shop: Workshop) -> SimpleNamespace:
    """A sound driver on a machine that is never shut down: its power is cut each time that it has done its work."""
    room, saved = shop.room("power-cycles"), small.saved_boot(shop)
    bundle = shop.bundle(room, DRIVER)
    root = small.root_image(room, shop.operator_files({DRIVER: driver_file()}), init=(places.GUEST / "powercut.sh").read_text())
    made = small.make_disk(room, shop.usr_image(room, "usr", Usr({DRIVER: bundle})), root)
    drive = guest.disk_drive(disk.overlay(made, room / "disk.qcow2"))
    return SimpleNamespace(boots=[saved.boot(f"cycle-{number}", room, drive, small.NO_PROBES) for number in (1, 2, 3, 4)])


ALL = {scenario.__name__: scenario for scenario in (
    panic_loop, power_cycles, little_memory, crash_kernel, failing_inits, write_errors, read_errors, full_disk,
    write_protected)}
