# SPDX-License-Identifier: Apache-2.0
"""`make bench`: the same work side by side, in one run on one machine. Ratios count, not seconds.

BENCH_ROUNDS and BENCH_WARM_UP change how often, to try a change of the contenders themselves: not for figures.

Each contender runs once per round, the rounds one after another, so that a slow minute of the machine hits all of
them; the result is the median of the rounds, with the quartiles as spread. Out: a table, and build/bench.json.

A row of the table is a measured time over what it is held against, or another figure that is promised. Two places:
- in a guest, with a real kernel that takes the modules (inguest.py);
- here, on a machine of directories (tests/tools/fakehost.py) on which the driver's module is live already. There "load"
  is everything up to the finit_module(2) call, on both sides: what our own code takes can be seen, and where it goes.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "tools"), str(TESTS / "boot")]

from fakehost import Machine                                        # noqa: E402
from nginx import WebServer                                         # noqa: E402
from program import BUILD, MODULUS, MODULUS_BOOT, environment       # noqa: E402
from rig import debian, nvidia                                      # noqa: E402
from rig.machines import Workshop                                   # noqa: E402

import chart                                                        # noqa: E402
import growth                                                       # noqa: E402
import inguest                                                      # noqa: E402
from timedline import Timed                                         # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "11"))
GROWTH_ROUNDS = min(5, ROUNDS)
GROWTH_MAX = 1.1        # "linear", with the noise of a median of five
WARM_UP = int(os.environ.get("BENCH_WARM_UP", "2"))     # rounds that are not counted: caches fill, the CPU's clock settles
MODULE = "amdgpu"       # the largest module of Debian's kernel: 19.5 MB, of the size of NVIDIA's
PATH = "/bundle.tar.zst"
MIB = 1 << 20


@dataclass
class Contender:
    """One thing that is timed. `prepare` and `check` are not."""
    what: str
    run: list[str] = field(default_factory=list)
    prepare: Callable[[], None] = lambda: None
    check: Callable[[], None] = lambda: None
    seconds: list[float] = field(default_factory=list)

    def round(self, counts: bool) -> None:
        self.prepare()
        began = time.perf_counter()
        done = subprocess.run(self.run, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
        took = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"bench: {self.what}: {' '.join(self.run)} ended with {done.returncode}:\n{done.stderr}")
        self.check()
        if counts:
            self.seconds.append(took)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return low, high


def ratio(ours: list[float], *against: list[float]) -> float:
    """Over the slowest of the others; of each round by itself, since its contenders ran next to each other; the median."""
    return statistics.median(one / max(others) for one, *others in zip(ours, *against))


@dataclass
class Row:
    """A figure, and what is promised of it, where something is."""
    what: str
    value: float
    unit: str = "x"
    target: float | None = None
    at_least: bool = False
    detail: str = ""

    @property
    def reached(self) -> bool:
        return self.target is None or (self.value >= self.target if self.at_least else self.value <= self.target)


@dataclass
class Group:
    """What was measured at one place with one bundle."""
    name: str
    where: str
    bundle: str
    contenders: list[Contender]
    rows: list[Row]


def run(*words: object) -> str:
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, env=environment()).stdout


class Bundle:
    """A real module of Debian's kernel in a signed bundle, and a machine that wants it."""

    def __init__(self, folder: Path):
        kernel = debian.kernel(debian.current_release())
        run(MODULUS, "keygen", "--secret", folder / "key", "--public", folder / "key.pub")
        self.path = folder / "www" / PATH.lstrip("/")
        self.path.parent.mkdir()
        run(MODULUS, "build", "--name", "gpu", "--version", "1.0", "--serial", "1", "--kernel", kernel.release, "--kernel-dir",
            kernel.modules, "--kernel-image", kernel.vmlinuz, "--from-kernel", "--module", MODULE, "--key", folder / "key",
            "--output", self.path)
        manifest = json.loads(run(MODULUS, "inspect", "--json", self.path))
        self.stored = self.path.stat().st_size
        self.machine = Machine(folder)
        self.machine.write_live("proc/sys/kernel/osrelease", kernel.release + "\n")
        self.machine.build_id(manifest["kernel"]["build_id"])
        self.machine.write_root("etc/modulus/keys/bench.pub", (folder / "key.pub").read_text())
        self.machine.device()
        self.machine.module_is_live(MODULE)

    def forget(self) -> None:
        shutil.rmtree(self.machine.root / "var/lib", ignore_errors=True)

    def loaded_from(self, source: str) -> None:
        driver = json.loads(self.machine.status_file.read_text())["drivers"][0]
        if (driver["reason"], driver["source"]) != ("loaded", source):
            raise SystemExit(f"bench: {driver['reason']} from {driver['source']} instead of {source}: {driver['text']}")


def _cpu_seconds_without_device(bundle: Bundle) -> float:
    bundle.machine.driver(text="[Driver]\nVersion=1.0\nMatch=pci:v0000FFFFd*\n")
    said = [run(BUILD / "bench/timed", "none", MODULUS_BOOT, "boot", *bundle.machine.roots) for _ in range(WARM_UP + ROUNDS)]
    return statistics.median(Timed.read(line).cpu for line in said[WARM_UP:])


def depmod_of_all(folder: Path) -> Contender:
    """What most scripts do: over all of a distribution's kernel, the modules being in memory."""
    kernel = debian.kernel(debian.current_release())
    tree = folder / "all" / "lib" / "modules" / kernel.release
    shutil.copytree(kernel.modules, tree, ignore=shutil.ignore_patterns("build", "source"))
    number = sum(1 for _ in tree.rglob("*.ko"))
    return Contender(f"depmod over all {number:,} modules of the kernel",
                     ["/usr/sbin/depmod", "-b", str(folder / "all"), kernel.release])


def seconds_to_compile(shop: Workshop) -> float:
    """What DKMS does on the node: the difference between making the bundle with compiling and without."""
    make, took = nvidia.compile_again(shop, shop.room("compiled")), []
    for _ in ("with", "without"):
        began = time.perf_counter()
        make()
        took.append(time.perf_counter() - began)
    return took[0] - took[1]


def measure_here(folder: Path, shop: Workshop) -> Group:
    bundle = Bundle(folder)
    server = WebServer(folder / "nginx", bundle.path.parent)
    idle = _cpu_seconds_without_device(bundle)
    bundle.machine.driver(Source=f"From=cache: http://127.0.0.1:{server.port}{PATH}")
    floor = Contender("decompress + load alone", [str(BUILD / "bench/floor"), str(bundle.path)])
    transfer = Contender("transfer alone", [str(BUILD / "bench/transfer"), "127.0.0.1", str(server.port), PATH, str(bundle.stored)])
    miss = Contender("network miss", [str(MODULUS_BOOT), "boot", *bundle.machine.roots], bundle.forget,
                     lambda: bundle.loaded_from("http"))
    contenders = [miss, floor, transfer, depmod_of_all(folder)]
    try:
        for number in range(WARM_UP + ROUNDS):
            for contender in contenders:
                contender.round(number >= WARM_UP)
    finally:
        server.close()
    return Group(MODULE, "here, nothing inserted", f"{MODULE}, {_size(bundle.path)}", contenders, [
        Row("network miss over max(transfer, decompress)", ratio(miss.seconds, transfer.seconds, floor.seconds)),
        Row("CPU time without a device", idle * 1e3, "ms", 10),
        Row("compiling NVIDIA's open modules, once", seconds_to_compile(shop), "s"),
        Row("modulus-boot", MODULUS_BOOT.stat().st_size / MIB, "MiB", 6),
        Row("add-on initramfs", (BUILD / "modulus-initrd.cpio.zst").stat().st_size / MIB, "MiB", 2.4)])


def _size(bundle: Path) -> str:
    unpacked = json.loads(run(MODULUS, "inspect", "--json", bundle))["unpacked"]
    return f"{bundle.stat().st_size / 1e6:.1f} MB stored, {unpacked / 1e6:.1f} MB unpacked"


# in the order of the table
IN_GUEST = {"hit": "ours, from the cache", "usr": "ours, from /usr", "miss": "ours, over the network", "none": "ours, no device",
            "firmware": "ours, from the cache, with firmware", "floor": "decompress + load alone",
            "unpack": "decompress the firmware alone", "transfer": "transfer alone", "shell": "tar, depmod, modprobe",
            "sysext": "systemd-sysext, depmod, modprobe", "image": "skopeo, umoci, depmod, modprobe"}
OF_FIRMWARE = ("firmware", "unpack")


def measure_in_guest(shop: Workshop, payload: inguest.Payload) -> Group:
    def serve(files: Path, words: str) -> WebServer:
        return WebServer(shop.folder / f"nginx-{payload.name}", files, locations=words)

    bundle, runs = inguest.measure(shop, payload, WARM_UP + ROUNDS, serve)
    took = {name: runs.seconds[name][WARM_UP:] for name in IN_GUEST if payload.firmware or name not in OF_FIRMWARE}
    if any(len(one) != ROUNDS for one in took.values()):
        raise SystemExit(f"bench: rounds are missing in the guest: {runs}")
    manifest = json.loads(run(MODULUS, "inspect", "--json", bundle))
    largest = max(file["size"] for file in manifest["files"])
    slowest = max(runs.inserts["floor"], key=lambda module: statistics.median(runs.inserts["floor"][module]))
    rows = [
        Row("cache hit over decompress + load", ratio(took["hit"], took["floor"]), target=1.25),
        Row("/usr hit over decompress + load", ratio(took["usr"], took["floor"]), target=1.25),
        Row("network miss over max(transfer, decompress + load)", ratio(took["miss"], took["transfer"], took["floor"]), target=1.3),
        Row("tar, depmod, modprobe over cache hit", ratio(took["shell"], took["hit"]), target=3, at_least=True),
        Row("systemd-sysext, depmod, modprobe over cache hit", ratio(took["sysext"], took["hit"])),
        Row("skopeo, umoci, depmod, modprobe over network miss", ratio(took["image"], took["miss"])),
        Row("insert of the largest module over the bare system call",
            ratio(*(runs.inserts[name][slowest][WARM_UP:] for name in ("hit", "floor"))), target=1.25, detail=slowest),
        Row("memory, without the largest module", (max(runs.resident[name] for name in ("hit", "usr", "miss")) - largest) / MIB, "MiB", 16)]
    what = f"{payload.what}, {_size(bundle)}"
    if payload.firmware:
        least = [load + unpack for load, unpack in zip(took["floor"], took["unpack"])]
        rows.insert(1, Row("cache hit with firmware over decompress + load", ratio(took["firmware"], least)))
        what += f"; firmware, {_size(payload.firmware(shop))}"
    return Group(payload.short, "in a guest, into its kernel", what,
                 [Contender(IN_GUEST[name], seconds=seconds) for name, seconds in took.items()], rows)


def table(groups: list[Group]) -> str:
    lines = []
    for group in groups:
        lines += ["", f"{group.where}: {group.bundle}"]
        for one in group.contenders:
            low, high = one.quartiles
            lines.append(f"  {one.what:<52}{one.median * 1e3:>8.1f} ms  ({low * 1e3:.1f} .. {high * 1e3:.1f})")
        for row in group.rows:
            verdict = "" if row.target is None else (f"(at {'least' if row.at_least else 'most'} {row.target}): "
                                                     + ("reached" if row.reached else "NOT REACHED"))
            verdict = f"{row.detail} {verdict}".strip()
            lines.append(f"  {row.what:<52}{row.value:>8.2f} {row.unit:<5}{verdict}".rstrip())
    return "\n".join(lines)


def as_json(groups: list[Group]) -> list[dict]:
    return [{"name": group.name, "where": group.where, "bundle": group.bundle,
             "seconds": {one.what: {"median": one.median, "quartiles": one.quartiles, "rounds": one.seconds} for one in group.contenders},
             "rows": {row.what: {"value": row.value, "unit": row.unit, "target": row.target, "at_least": row.at_least,
                                  "reached": row.reached, "detail": row.detail} for row in group.rows}}
            for group in groups]


def growth_table(grown: list[growth.Growth]) -> str:
    lines = ["", "growth: one thing larger, all others small; here, nothing inserted"]
    for one in grown:
        steps = ", ".join(f"{step.size}: {step.seconds * 1e3:.1f} ms, {step.resident / MIB:.1f} MiB" for step in one.steps)
        lines += [f"  {one.what} ({one.unit}): {steps}",
                  f"  {'':<4}{'steepest step, linear is 1':<48}{one.worst:>8.2f} x    (at most {GROWTH_MAX}): "
                  + ("reached" if one.worst <= GROWTH_MAX else "NOT REACHED")]
    return "\n".join(lines)


def go_first() -> str:
    """Before most of what else this machine does, the web server and the contenders alike; where that is allowed. Not at
    real-time priority: the CPUs of a guest would leave nothing to the thread of QEMU's that answers them."""
    try:
        nice = os.nice(-15)
        # nice alone counts among the processes of one session where the kernel groups them (sched(7), "autogroup")
        Path("/proc/self/autogroup").write_text(str(nice))
        return f"nice {nice}"
    except OSError:
        return f"nice {os.nice(0)}"


def main() -> None:
    priority = go_first()
    # memory: the disk of the machine that measures is nobody's merit
    with tempfile.TemporaryDirectory(prefix="modulus-bench-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        shop = Workshop(Path(folder) / "workshop")
        measured = [*(measure_in_guest(shop, payload) for payload in (inguest.VIRTIO, inguest.NVIDIA)), measure_here(Path(folder), shop)]
        grown = growth.measure(Path(folder) / "growth", GROWTH_ROUNDS)
    conditions = {"rounds": ROUNDS, "cpus": os.cpu_count(), "load": os.getloadavg()[0], "priority": priority}
    result = {**conditions, "groups": as_json(measured), "growth_max": GROWTH_MAX,
              "growth": [{**asdict(one), "worst": one.worst} for one in grown]}
    (BUILD / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    (BUILD / "bench.svg").write_text(chart.draw(result))
    print(", ".join(f"{what} {value}" for what, value in conditions.items()))
    print(table(measured))
    print(growth_table(grown))


if __name__ == "__main__":
    main()
