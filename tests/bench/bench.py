# SPDX-License-Identifier: Apache-2.0
"""`make bench`: the same work side by side, in one run on one machine. Ratios count, not seconds.

Each contender runs once per round, the rounds one after another, so that a slow minute of the machine hits all of
them; the result is the median of the rounds, with the quartiles as spread. Out: a table, and build/bench.json.

A row of the table is a measured time over what it is held against. Two places:
- in a guest, with a real kernel that takes the modules (inguest.py);
- here, on a machine of directories (tests/tools/fakehost.py) on which the driver's module is live already. There "load"
  is everything up to the finit_module(2) call, on both sides: what our own code takes can be seen, and where it goes.
"""
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "tools"), str(TESTS / "boot")]

from fakehost import Machine                                        # noqa: E402
from program import BUILD, MODULUS, MODULUS_BOOT, environment       # noqa: E402
from rig import debian                                              # noqa: E402

import inguest                                                      # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "11"))
WARM_UP = 2             # rounds that are not counted: caches fill, the CPU's clock settles
MODULE = "amdgpu"       # the largest module of Debian's kernel: 19.5 MB, of the size of NVIDIA's
PATH = "/bundle.tar.zst"


@dataclass
class Contender:
    """One thing that is timed. `prepare` and `check` are not."""
    what: str
    run: list[str]
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


@dataclass
class Row:
    """`ours` over the slowest of `against`, and what is promised, where something is."""
    what: str
    ours: Contender
    against: list[Contender]
    target: float | None = None

    @property
    def ratio(self) -> float:
        """Of each round by itself, since its contenders ran next to each other; then the median."""
        return statistics.median(ours / max(theirs) for ours, theirs in
                                 zip(self.ours.seconds, zip(*(contender.seconds for contender in self.against))))


@dataclass
class Group:
    """What was measured at one place with one bundle."""
    where: str
    bundle: str
    contenders: list[Contender]
    rows: list[Row]


def run(*words: object) -> str:
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, env=environment()).stdout


class WebServer:
    """nginx, for one folder. Python's would be what is measured."""

    def __init__(self, folder: Path, files: Path):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        folder.mkdir()
        temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "conf").write_text(f"daemon off; pid {folder}/pid; user root; events {{ }}\nhttp {{ access_log off; sendfile on; "
                                     f"{temporary} server {{ listen 127.0.0.1:{self.port}; root {files}; }} }}\n")
        self.program = subprocess.Popen([shutil.which("nginx", path="/usr/sbin:/usr/bin") or "nginx", "-c", folder / "conf",
                                         "-e", folder / "error.log"], stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"bench: nginx does not listen: {(folder / 'error.log').read_text()}")

    def close(self) -> None:
        self.program.terminate()
        self.program.wait()


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
        self.stored, self.unpacked = self.path.stat().st_size, manifest["unpacked"]
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


def measure_here(folder: Path) -> Group:
    bundle = Bundle(folder)
    server = WebServer(folder / "nginx", bundle.path.parent)
    bundle.machine.driver(Source=f"From=cache: http://127.0.0.1:{server.port}{PATH}")
    floor = Contender("decompress + load alone", [str(BUILD / "bench/floor"), str(bundle.path)])
    transfer = Contender("transfer alone", [str(BUILD / "bench/transfer"), "127.0.0.1", str(server.port), PATH, str(bundle.stored)])
    miss = Contender("network miss", [str(MODULUS_BOOT), "boot", *bundle.machine.roots], bundle.forget,
                     lambda: bundle.loaded_from("http"))
    contenders = [miss, floor, transfer]
    try:
        for number in range(WARM_UP + ROUNDS):
            for contender in contenders:
                contender.round(number >= WARM_UP)
    finally:
        server.close()
    return Group("here, nothing inserted", f"{MODULE}, {bundle.stored / 1e6:.1f} MB stored, {bundle.unpacked / 1e6:.1f} MB unpacked",
                 contenders, [Row("network miss over max(transfer, decompress)", miss, [transfer, floor])])


def measure_in_guest(folder: Path) -> Group:
    bundle, seconds = inguest.seconds(folder, WARM_UP + ROUNDS, lambda files: WebServer(folder / "nginx-guest", files))
    miss, floor, transfer = (Contender(what, [], seconds=seconds[name][WARM_UP:]) for what, name in (
        ("network miss", "miss"), ("decompress + load alone", "floor"), ("transfer alone", "transfer")))
    if not len(miss.seconds) == len(floor.seconds) == len(transfer.seconds) == ROUNDS:
        raise SystemExit(f"bench: rounds are missing in the guest: {seconds}")
    return Group("in a guest, into its kernel", f"{inguest.DRIVER} and all it needs, {bundle.stat().st_size / 1e6:.1f} MB stored",
                 [miss, floor, transfer], [Row("network miss over max(transfer, decompress + load)", miss, [transfer, floor], 1.3)])


def table(groups: list[Group]) -> str:
    lines = []
    for group in groups:
        lines += ["", f"{group.where}: {group.bundle}"]
        for one in group.contenders:
            low, high = one.quartiles
            lines.append(f"  {one.what:<52}{one.median * 1e3:>8.1f} ms  ({low * 1e3:.1f} .. {high * 1e3:.1f})")
        for row in group.rows:
            verdict = "" if row.target is None else f"(at most {row.target}): " + ("reached" if row.ratio <= row.target else "NOT REACHED")
            lines.append(f"  {row.what:<52}{row.ratio:>8.2f} x   {verdict}".rstrip())
    return "\n".join(lines)


def as_json(groups: list[Group]) -> list[dict]:
    return [{"where": group.where, "bundle": group.bundle,
             "seconds": {one.what: {"median": one.median, "quartiles": one.quartiles, "rounds": one.seconds} for one in group.contenders},
             "ratios": {row.what: {"ratio": row.ratio, "target": row.target,
                                   "reached": row.target is None or row.ratio <= row.target} for row in group.rows}}
            for group in groups]


def go_first() -> str:
    """Before whatever else this machine does, the web server and the contenders alike; where that is allowed."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        return "at real-time priority"
    except OSError:
        return "at normal priority"


def main() -> None:
    priority = go_first()
    # memory: the disk of the machine that measures is nobody's merit
    with tempfile.TemporaryDirectory(prefix="modulus-bench-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        measured = [measure_in_guest(Path(folder)), measure_here(Path(folder))]
    conditions = {"rounds": ROUNDS, "cpus": os.cpu_count(), "load": os.getloadavg()[0], "priority": priority}
    (BUILD / "bench.json").write_text(json.dumps({**conditions, "groups": as_json(measured)}, indent=1) + "\n")
    print(", ".join(f"{what} {value}" for what, value in conditions.items()))
    print(table(measured))


if __name__ == "__main__":
    main()
