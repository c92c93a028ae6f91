# SPDX-License-Identifier: Apache-2.0
"""A machine whose bundles come from the network, and what a run on it cost."""
import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bundlemaker import File, Recipe, cut_at, module_file, modules
from fakehost import Machine
from program import MODULUS, environment
from spawner import Spawner

# killed after this long: no case may take it
LIMIT_S = 150
PEAK_KIB = 16 << 10
SLOW_AT_ONCE = 24
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def plain_environment(**more: str) -> dict[str, str]:
    """The tests' environment without anybody's proxies."""
    return {**{k: v for k, v in environment().items() if k not in PROXIES}, **more}


@dataclass
class Run:
    code: int
    lines: list[str]   # standard error, without "modulus: "
    seconds: float
    peak_kib: int

    @property
    def reason(self) -> str:
        """The word of the last line: "gpu: WORD: text"."""
        return self.lines[-1].split(": ")[1]


class NetMachine(Machine):
    """The driver `gpu` with the given sources; its device is there and its modules are live, so that boot can end well."""

    def __init__(self, folder: Path, *sources: str, network: str = "", budget: str = "60s", **more: str):
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder)
        self.folder = folder
        self.key()
        self.device()
        self.module_is_live("alpha", "beta")
        self.sources(*sources, network=network, budget=budget, **more)

    def sources(self, *sources: str, network: str = "", budget: str = "60s", runtime: str = "", **more: str) -> None:
        lines = "From=cache:\n" + "".join(f" {source}\n" for source in sources) + (f"Runtime={runtime}\n" if runtime else "")
        self.driver(Source=lines, Policy=f"Budget={budget}", **({"Network": network} if network else {}), **more)

    def run(self, command: str = "fetch", *before: object, args: tuple[str, ...] = (), env: dict[str, str] | None = None) -> Run:
        """`before`: words in front of the program, such as unshare and its options."""
        one = Spawner(self.folder)
        began = time.monotonic()
        # the peak is that of the whole row: timeout(1) and the like are smaller than the program
        done = one.run("/usr/bin/timeout", "-k", "1", str(LIMIT_S), *before, MODULUS, command, *self.roots, *args,
                       env=env or plain_environment())
        seconds = time.monotonic() - began
        one.close()
        lines = [line.removeprefix("modulus: ") for line in done.err.decode(errors="replace").splitlines()]
        assert done.code not in (124, 137), f"still running after {LIMIT_S} s: {done}"
        return Run(done.code, lines, seconds, done.peak_kib)

    @property
    def in_cache(self) -> list[bytes]:
        """What the cache holds; files that are half written too."""
        return [path.read_bytes() for path in self._cache()]

    @property
    def believed(self) -> list[bytes]:
        """What has a bundle's name."""
        return [path.read_bytes() for path in self._cache() if path.suffix == ".zst"]

    def _cache(self) -> list[Path]:
        return [path for path in sorted((self.root / "var/lib/modulus/bundles").rglob("*")) if path.is_file()]


def noisy(size: int = 300_000, edit=lambda manifest: None) -> bytes:
    """A good bundle of about this many bytes: a module with a tail that does not compress."""
    first = module_file("alpha")
    tail = random.Random(size).randbytes(size)
    return Recipe(files=(File(first.path, first.content + tail), module_file("beta")), cut=cut_at(256 << 10), edit=edit).build()


class Slow:
    """Cases that mostly wait run at the same time, each in its own thread; a test asks for its result."""

    def __init__(self):
        self._pool = ThreadPoolExecutor(SLOW_AT_ONCE)
        self._lock = threading.Lock()
        self._runs: dict[str, Future] = {}

    def start(self, name: str, case) -> None:
        with self._lock:
            if name not in self._runs:
                self._runs[name] = self._pool.submit(case)

    def result(self, name: str):
        return self._runs[name].result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


GOOD = modules().build()
