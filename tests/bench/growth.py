# SPDX-License-Identifier: Apache-2.0
"""How time and memory grow: one thing made larger, all others small. On a machine of directories, nothing inserted.

A step's figure is over that of the step before; what is linear stays below the factor between the two, what does not
depend on it stays near 1.
"""
import random
import statistics
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import elf
from bundlemaker import RELEASE, File, cut_at, modules
from fakehost import Machine
from program import BUILD, MODULUS_BOOT, environment
from timedline import Timed

CHUNK_BYTES = 3 << 20       # what does not compress takes a little more; the format allows 4 MiB
OTHER = "pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00"
MIB = 1 << 20


@dataclass
class Step:
    size: int
    seconds: float          # median
    resident: int           # bytes, at most


@dataclass
class Growth:
    what: str
    unit: str
    steps: list[Step]

    @property
    def worst(self) -> float:
        """The steepest step: time's factor over size's. Linear: 1."""
        return max(b.seconds / a.seconds / (b.size / max(a.size, 1)) for a, b in zip(self.steps, self.steps[1:]))


def _machine(folder: Path) -> Machine:
    machine = Machine(folder)
    machine.key()
    machine.module_is_live("alpha")
    return machine


def _bundle(name: str, padding: int = 0) -> bytes:
    content = elf.module("alpha", RELEASE) + b"".join(random.Random(at).randbytes(MIB) for at in range(padding // MIB))
    file = File(f"usr/lib/modules/{RELEASE}/modulus/{name}/alpha.ko", content)
    return modules().but(files=(file,), cut=cut_at(CHUNK_BYTES), fields={"name": name}).build()


def _bundle_sizes(folder: Path) -> Iterator[tuple[int, Machine]]:
    for mib in (1, 8, 64, 256, 1024):
        machine = _machine(folder / str(mib))
        machine.driver()
        machine.device()
        machine.usr(_bundle("gpu", mib * MIB))
        yield mib, machine


def _cached(folder: Path) -> Iterator[tuple[int, Machine]]:
    for number in (1, 100, 10_000):
        machine = _machine(folder / str(number))
        machine.driver()
        machine.device()
        machine.usr(_bundle("gpu"))
        for one in range(number):       # ten of each of up to 1,000 releases
            machine.cache(b"x", f"{one:064x}", folder=f"5.{one // 10}-test")
        yield number, machine


def _drivers(folder: Path) -> Iterator[tuple[int, Machine]]:
    for number in (1, 8, 32):
        machine = _machine(folder / str(number))
        machine.device()
        for one in range(number):
            machine.driver(f"gpu{one}")
            machine.usr(_bundle(f"gpu{one}"), f"gpu{one}.tar.zst")
        yield number, machine


def _devices(folder: Path) -> Iterator[tuple[int, Machine]]:
    for number in (1, 64, 512, 4096):
        machine = _machine(folder / str(number))
        machine.driver()
        for one in range(number):
            machine.device(OTHER, f"{one >> 8:04x}:{one & 255:02x}:00.0")
        yield number, machine


KINDS: dict[tuple[str, str], Callable[[Path], Iterator[tuple[int, Machine]]]] = {
    ("a bundle's size", "MiB"): _bundle_sizes, ("bundles in the cache", "files"): _cached,
    ("bundles in one directory of `/usr`", "drivers"): _drivers, ("devices, none that matches", "devices"): _devices}


def _run(machine: Machine) -> Timed:
    done = subprocess.run([BUILD / "bench/timed", "x", MODULUS_BOOT, "boot", *machine.roots], env=environment(), capture_output=True, text=True)
    one = Timed.read(done.stdout)
    if one.code:
        raise SystemExit(f"bench: {machine.root}: ended with {one.code}:\n{done.stderr}")
    return one


def measure(folder: Path, rounds: int) -> list[Growth]:
    """The sizes of one kind in turns. The first run of each, which does not count, takes its bundles into the cache."""
    found = []
    for (what, unit), make in KINDS.items():
        machines = list(make(folder / unit))
        taken = {size: [] for size, machine in machines if _run(machine)}
        for _ in range(rounds):
            for size, machine in machines:
                taken[size].append(_run(machine))
        found.append(Growth(what, unit, [Step(size, statistics.median(one.seconds for one in runs), max(one.resident for one in runs))
                                         for size, runs in taken.items()]))
    return found
