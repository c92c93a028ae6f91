# SPDX-License-Identifier: Apache-2.0
"""Power cuts while a bundle is fetched into the cache: in guests that are killed, and worked out from what a guest wrote."""

import os
import random
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from . import blocklog, bundles, crashed, disk, places, small
from .blocklog import Cut, Flush, Mark, Write
from .crashed import Found
from .host import run
from .machines import Usr, Workshop, driver_file
from .report import Report
from .saved import losing_drive
from .webserver import WebServer

DRIVER = "virtio-gpu"
# `make check-powercut` asks for more
CUTS = int(os.environ.get("MODULUS_CUTS") or 20)
IMAGES = int(os.environ.get("MODULUS_CRASH_IMAGES") or 200)
# of a program whose fsync does nothing: as many as it takes to see that
IMAGES_WITHOUT_SYNC = 60
SEED = int(os.environ.get("MODULUS_SEED") or time.time_ns() % (1 << 32))
# makes the copy of a bundle last for some hundred blocks
_FIRMWARE_BYTES = 3 << 20
_WRITES_PER_SECOND = 30
# what PID 1 of the real root does besides
_REBUILD = "touch /run/test-rebuild"
_LINGER = "touch /run/test-linger"
_ALWAYS = f"{small.NO_PROBES}; {small.WITH_NETWORK}"
# systemd's own way to make a system call do nothing and say that all is well
_NO_SYNC = ("d=/run/systemd/system/modulus.service.d; mkdir -p $d; "
            "printf '[Service]\\nSystemCallFilter=~fsync:0 fdatasync:0 sync:0 syncfs:0\\n' > $d/no-sync.conf; "
            "systemctl daemon-reload")


class _Machine:
    """A machine before its first boot, with an empty cache and its bundle on a web server."""

    def __init__(self, shop: Workshop):
        self.shop, self.room, self.saved = shop, shop.room("powercut"), small.saved_boot(shop)
        firmware, self.keys = self.room / "firmware", self.room / "keys"
        for folder in (firmware, self.keys):
            folder.mkdir()
        (firmware / "noise.bin").write_bytes(random.Random(0).randbytes(_FIRMWARE_BYTES))
        bundle = shop.bundle(self.room, DRIVER, firmware=firmware)
        www = self.room / "www"
        www.mkdir()
        bundles.copy(bundle, www / bundle.name)
        # until the end of the run: rig.guest ends its guests, and nobody else asks
        self.server = WebServer(www)
        shutil.copy(shop.key.public, self.keys)
        driver = driver_file(extra=f"[Source]\nFrom=cache: {self.server.url}/{bundle.name}\n")
        self.root = small.root_image(self.room, shop.operator_files({DRIVER: driver}),
                                     init=(places.GUEST / "powercut.sh").read_text())
        self.disk = small.make_disk(self.room, shop.usr_image(self.room, "usr", Usr()), self.root)

    def record(self, name: str, words: str) -> list[Write | Flush | Mark]:
        """A first boot, and what `words` ask for: all that it wrote to the disk."""
        copy, log = self.room / f"{name}.raw", self.room / f"{name}.log"
        run("cp", "--sparse=always", self.disk, copy)
        report = self.saved.boot(name, self.room, blocklog.drive(copy, log), words)
        rebuilt = report.sections.get(("real-root", "rebuild"))
        if rebuilt and rebuilt.code != 0:
            raise AssertionError(f"{name}: modulus rebuild failed:\n{rebuilt.text}")
        return blocklog.read(log)

    def judge(self, root: Path) -> Found:
        """The cache on that root file system, which is used up."""
        folder = root.with_suffix(".files")
        found = crashed.examine(root, folder, self.shop.programs.modulus, self.keys)
        shutil.rmtree(folder, ignore_errors=True)
        root.unlink()
        return found

    def crash(self, name: str, log: list[Write | Flush | Mark], count: int) -> list[tuple[Cut, Found]]:
        """What is in the cache after each of `count` cuts of what the log says."""
        folder = disk.fresh_folder(self.room / name)

        def one(number: int, cut: Cut) -> tuple[Cut, Found]:
            return cut, self.judge(blocklog.image(self.root, small.ROOT_AT, log, cut, folder / f"{number}.ext4"))

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(one, range(count), blocklog.cuts(log, count, random.Random(f"{SEED} {name}"))))

    def on_disk(self, layer: Path) -> Found:
        """The cache on the disk of a guest that is gone; the layer stays as it is."""
        whole, root = layer.with_suffix(".raw"), layer.with_suffix(".ext4")
        run("qemu-img", "convert", "-O", "raw", layer, whole)
        run("dd", f"if={whole}", f"of={root}", "bs=1M", f"skip={small.ROOT_AT // disk.MIB}", f"count={small.ROOT_MIB}",
            "conv=sparse", "status=none")
        whole.unlink()
        return self.judge(root)


def _recorded(shop: Workshop) -> list[Write | Flush | Mark]:
    """First boot and a rebuild of the cache after it."""
    return shop.shared(_Machine).record("recorded", f"{_ALWAYS}; {_REBUILD}; {_LINGER}")


def crash_images(shop: Workshop) -> SimpleNamespace:
    """What each of many cuts would have left of that; and of the first boot of a program whose fsync does nothing."""
    machine, log = shop.shared(_Machine), shop.shared(_recorded)
    without_sync = machine.record("recorded-without-sync", f"{_ALWAYS}; {_LINGER}; {_NO_SYNC}")
    began = time.monotonic()
    made = SimpleNamespace(seed=SEED, log=log, seen=machine.crash("images", log, IMAGES),
                           without_sync=machine.crash("images-without-sync", without_sync, IMAGES_WITHOUT_SYNC))
    shop.say(f"crash images: {IMAGES} and {IMAGES_WITHOUT_SYNC} without sync, in {time.monotonic() - began:.0f} s, seed {SEED}")
    return made


@dataclass(frozen=True)
class Survived:
    operations: int         # of the disk, before the power was cut
    cut: bool               # False: the guest had ended before
    left: Found             # in the cache after the cut
    boot: Report            # the next one
    then: Found             # in the cache after that


def power_cuts(shop: Workshop) -> SimpleNamespace:
    """First boots and rebuilds that are cut off at a random moment, each followed by a boot that is not."""
    machine, began = shop.shared(_Machine), time.monotonic()
    dice = random.Random(f"{SEED} cuts")
    whole = sum(isinstance(entry, Write | Flush) for entry in shop.shared(_recorded))
    survived = []
    for number in range(CUTS):
        operations = dice.randrange(1, whole)
        layer = disk.overlay(machine.disk, machine.room / "cut.qcow2")
        drive = losing_drive(layer, _WRITES_PER_SECOND)
        cut = machine.saved.boot_and_cut(f"cut-{number}", machine.room, drive, operations,
                                         f"{_ALWAYS}; {_REBUILD}")
        left = machine.on_disk(layer)
        boot = machine.saved.boot(f"next-{number}", machine.room, drive, _ALWAYS)
        survived.append(Survived(operations, cut, left, boot, machine.on_disk(layer)))
    answers = Counter(code for _, code in machine.server.asked)
    shop.say(f"power cuts: {CUTS} in {time.monotonic() - began:.0f} s, seed {SEED}; fetched {answers[200]} times from the "
             f"start, {answers[206]} times from where a cut had left it")
    return SimpleNamespace(seed=SEED, survived=survived)


ALL = {scenario.__name__: scenario for scenario in (power_cuts, crash_images)}
