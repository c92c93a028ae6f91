# SPDX-License-Identifier: Apache-2.0
"""Power cuts while a bundle is fetched into the cache, by `boot` or for the next kernel: in guests that are killed, and
worked out from what a guest wrote."""

import contextlib
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

from . import blocklog, bundles, crashed, disk, places, small
from .blocklog import Cut, Flush, Mark, Write
from .crashed import Found, WentOn
from .host import run
from .machines import Usr, Workshop, driver_file
from .report import Report
from .saved import losing_drive
from .webserver import WebServer

DRIVER = "virtio-gpu"
# `make check-powercut` asks for more
CUTS = int(os.environ.get("MODULUS_CUTS") or 10)
IMAGES = int(os.environ.get("MODULUS_CRASH_IMAGES") or 200)
# of a program whose fsync does nothing: as many as it takes to see that
IMAGES_WITHOUT_SYNC = 60
SEED = int(os.environ.get("MODULUS_SEED") or time.time_ns() % (1 << 32))
# makes the copy of a bundle last for some hundred blocks; that of one for the next kernel
_FIRMWARE_BYTES, _NEXT_BYTES = 3 << 20, 1 << 20
_WRITES_PER_SECOND = 30
# what PID 1 of the real root does besides
_REBUILD = "touch /run/test-rebuild"
_LINGER = "touch /run/test-linger"
# both parts of what is recorded end with it
LINGERED = Mark("lingered")
_ALWAYS = f"{small.NO_PROBES}; {small.WITH_NETWORK}"
# systemd's own way to make a system call do nothing and say that all is well
_NO_SYNC = ("d=/run/systemd/system/modulus.service.d; mkdir -p $d; "
            "printf '[Service]\\nSystemCallFilter=~fsync:0 fdatasync:0 sync:0 syncfs:0\\n' > $d/no-sync.conf; "
            "systemctl daemon-reload; touch /run/test-without-sync")
Seen = TypeVar("Seen")


@contextlib.contextmanager
def _used_up(root: Path) -> Iterator[Path]:
    """A folder for the files of that file system; in the end both are gone."""
    tree = root.with_suffix(".files")
    try:
        yield tree
    finally:
        shutil.rmtree(tree, ignore_errors=True)
        root.unlink()


class _Machine:
    """A machine before its first boot, with an empty cache and its bundle on a web server."""

    def __init__(self, shop: Workshop):
        self.shop, self.room, self.saved = shop, shop.room("powercut"), small.saved_boot(shop)
        self.keys = self.room / "keys"
        self.keys.mkdir()
        shutil.copy(shop.key.public, self.keys)
        bundle = shop.bundle(self.room, DRIVER, firmware=self._noise("firmware", _FIRMWARE_BYTES))
        www, self.next = self.room / "www", bundles.other_release(shop.kernel)
        (www / shop.kernel.release).mkdir(parents=True)
        bundles.copy(bundle, www / shop.kernel.release / bundle.name)
        self.older, self.newer = (self._for_next(serial) for serial in (1, 2))
        # until the end of the run: rig.guest ends its guests, and nobody else asks
        self.server = WebServer(www)
        driver = driver_file(extra=f"[Source]\nFrom=cache: {self.server.url}/{{kernel}}/{{name}}.tar.zst\n")
        self.root = small.root_image(self.room, shop.operator_files({DRIVER: driver}),
                                     init=(places.GUEST / "powercut.sh").read_text())
        self.prefetch = f"echo {self.next} > /run/test-prefetch"
        self.without_sync = self.room / "without-sync"
        run("gcc", "-static", "-Os", "-s", "-Wall", "-Werror", "-o", self.without_sync, places.GUEST / "without-sync.c")
        usr = shop.usr_image(self.room, "usr", Usr(files={"bin/without-sync": self.without_sync}))
        self.disk = small.make_disk(self.room, usr, self.root)

    def _noise(self, name: str, size: int) -> Path:
        folder = self.room / name
        folder.mkdir()
        (folder / "noise.bin").write_bytes(random.Random(name).randbytes(size))
        return folder

    def _for_next(self, serial: int) -> Path:
        """A bundle for the next kernel."""
        return self.shop.programs.build_for_another_release(
            self.shop.kernel, self.shop.key, self.room / f"next-{serial}.tar.zst", DRIVER, serial,
            self._noise(f"next-{serial}", _NEXT_BYTES))

    def record(self, name: str, words: str) -> list[Write | Flush | Mark]:
        """A first boot, and what `words` ask for: all that it wrote to the disk. The bundle of the next kernel is asked for
        twice, and there is a newer one the second time."""
        copy, log = self.room / f"{name}.raw", self.room / f"{name}.log"
        run("cp", "--sparse=always", self.disk, copy)
        self.server.serve(f"/{self.next}/{DRIVER}.tar.zst", self.older, self.newer)
        report = self.saved.boot(name, self.room, blocklog.drive(copy, log), words)
        for what in ("rebuild", "prefetched", "refreshed"):
            done = report.sections.get(("real-root", what))
            if done and done.code != 0:
                raise AssertionError(f"{name}: {what}: the program failed:\n{done.text}")
        return blocklog.read(log)

    def judge(self, root: Path) -> Found:
        """The cache on that root file system, which is used up."""
        with _used_up(root) as tree:
            return crashed.examine(root, tree, self.shop.programs.modulus, self.keys)

    def go_on(self, root: Path) -> WentOn:
        """The same, and what the next trigger makes of it."""
        modulus = self.shop.programs.modulus
        with _used_up(root) as tree:
            left = crashed.examine(root, tree, modulus, self.keys)
            return crashed.go_on(left, tree, self.next, modulus, self.keys, self.server.proxy, self.without_sync)

    def crash(self, name: str, log: list[Write | Flush | Mark], count: int, judge: Callable[[Path], Seen],
              first: int = 0) -> list[tuple[Cut, Seen]]:
        """What `judge` says of the root after each of `count` cuts of what the log says, from entry `first` on."""
        folder = disk.fresh_folder(self.room / name)

        def one(number: int, cut: Cut) -> tuple[Cut, Seen]:
            return cut, judge(blocklog.image(self.root, small.ROOT_AT, log, cut, folder / f"{number}.ext4"))

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(one, range(count), blocklog.cuts(log, count, random.Random(f"{SEED} {name}"), first)))

    def on_disk(self, layer: Path) -> Found:
        """The cache on the disk of a guest that is gone; the layer stays as it is."""
        whole, root = layer.with_suffix(".raw"), layer.with_suffix(".ext4")
        run("qemu-img", "convert", "-O", "raw", layer, whole)
        run("dd", f"if={whole}", f"of={root}", "bs=1M", f"skip={small.ROOT_AT // disk.MIB}", f"count={small.ROOT_MIB}",
            "conv=sparse", "status=none")
        whole.unlink()
        return self.judge(root)


def _recorded(shop: Workshop) -> list[Write | Flush | Mark]:
    """First boot, a rebuild of the cache after it, and two times what a trigger does."""
    machine = shop.shared(_Machine)
    return machine.record("recorded", f"{_ALWAYS}; {_REBUILD}; {_LINGER}; {machine.prefetch}")


def crash_images(shop: Workshop) -> SimpleNamespace:
    """What each of many cuts would have left of that, and what the next trigger made of it; and of programs whose fsync does
    nothing, without the rebuild."""
    machine, log = shop.shared(_Machine), shop.shared(_recorded)

    def images(name: str, log: list[Write | Flush | Mark], count: int) -> tuple[list[tuple[Cut, Found]], list[tuple[Cut, WentOn]]]:
        began, at = time.monotonic(), log.index(LINGERED)
        made = (machine.crash(f"{name}-boots", log[:at], count, machine.judge),
                machine.crash(f"{name}-prefetches", log, count, machine.go_on, at))
        shop.say(f"{name}: {count} crash images of a boot and {count} of a prefetch in {time.monotonic() - began:.0f} s, seed {SEED}")
        return made

    seen, prefetch = images("synced", log, IMAGES)
    log_without_sync = machine.record("recorded-without-sync", f"{_ALWAYS}; {_LINGER}; {machine.prefetch}; {_NO_SYNC}")
    without_sync, prefetch_without_sync = images("without-sync", log_without_sync, IMAGES_WITHOUT_SYNC)
    older, newer = (bundles.cached_name(bundle, DRIVER) for bundle in (machine.older, machine.newer))
    return SimpleNamespace(seed=SEED, log=log, older=older, newer=newer, seen=seen, prefetch=prefetch,
                           without_sync=without_sync, prefetch_without_sync=prefetch_without_sync)


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
    log = shop.shared(_recorded)
    whole = sum(isinstance(entry, Write | Flush) for entry in log[:log.index(LINGERED)])
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
    answers = Counter(code for path, code in machine.server.asked if path.startswith(f"/{shop.kernel.release}/"))
    shop.say(f"power cuts: {CUTS} in {time.monotonic() - began:.0f} s, seed {SEED}; fetched {answers[200]} times from the "
             f"start, {answers[206]} times from where a cut had left it")
    return SimpleNamespace(seed=SEED, survived=survived)


ALL = {scenario.__name__: scenario for scenario in (power_cuts, crash_images)}
