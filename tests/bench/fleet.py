# SPDX-License-Identifier: Apache-2.0
"""`make fleet`: many nodes and one web server, when an update of the OS comes. What do they cost it?

Each node is a root tree of its own with the next kernel installed, on which the real `modulus fetch --next --refresh` runs;
the server is a real nginx, and all figures are from its log. The nodes ask within one window, each at an instant
of its own, as modulus-fetch.timer has them do it (RandomizedDelaySec= with FixedRandomDelay=: a hash of the machine's
identity); only the window is compressed. So requests per second and requests at a time are those of a window that much
longer, times the compression at most; requests and bytes for each node are what they are.

Out: a table, and build/fleet.json.
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "tools"))

import elf                                                          # noqa: E402
from bundlemaker import File, Recipe, module_file                   # noqa: E402
from fakehost import Machine                                        # noqa: E402
from nginx import WebServer                                         # noqa: E402
from program import BUILD, MODULUS, environment                     # noqa: E402

NODES = int(os.environ.get("FLEET_NODES", "1000"))
WINDOW_S = float(os.environ.get("FLEET_WINDOW", "120"))
BUNDLE_BYTES = 1 << 20
TIMER_S = 12 * 3600     # the window of modulus-fetch.timer
# more processes than this never run at once, or it is the machine that is measured
AT_ONCE = 64
NEXT = "6.1.0-100-test"
LOG = "$msec $request_time $status $bytes_sent $request_length $request_uri"


@dataclass(frozen=True)
class Asked:
    """One line of the log."""
    ended: float
    took: float
    status: int
    sent: int
    received: int
    node: str


class Fleet:
    def __init__(self, folder: Path, nodes: int, bundle_bytes: int = BUNDLE_BYTES):
        self.folder, self.bundle_bytes = folder, bundle_bytes
        self.www = folder / "www"
        (self.www / NEXT).mkdir(parents=True)
        # the first part of the path only says who asks
        self.server = WebServer(folder / "nginx", self.www, LOG, "location ~ ^/node { rewrite ^/node[0-9]+/(.*)$ /$1 break; }")
        self.nodes = [self._node(f"node{number}") for number in range(nodes)]
        self._read = self.stored = 0
        # a build that runs meanwhile must not change what is measured half way
        self.program = shutil.copy(MODULUS, folder)

    def _node(self, name: str) -> Machine:
        machine = Machine(self.folder / name)
        machine.key()
        machine.device()
        machine.driver(Source=f"From=cache:\n http://127.0.0.1:{self.server.port}/{name}/{{kernel}}/{{name}}.tar.zst")
        (machine.root / "usr/lib/modules" / NEXT).mkdir(parents=True)
        return machine

    def publish(self, serial: int) -> None:
        """A bundle for the next kernel."""
        def edit(manifest: dict) -> None:
            manifest["kernel"].update(release=NEXT, vermagic=elf.vermagic(NEXT))
        data = Recipe(files=(module_file("alpha", NEXT), File("usr/lib/firmware/gpu.bin", os.urandom(self.bundle_bytes))),
                      fields={"serial": serial}, edit=edit).build()
        fresh = self.www / "fresh"
        fresh.write_bytes(data)
        fresh.rename(self.www / NEXT / "gpu.tar.zst")
        self.stored = len(data)

    def ask(self, window_s: float) -> dict:
        """Each node asks once within the window; what that was for the server."""
        began = time.monotonic()

        def one(number: int) -> tuple[int, float]:
            share = int.from_bytes(hashlib.sha256(b"%d" % number).digest()[:8]) / (1 << 64)
            late = began + share * window_s - time.monotonic()
            if late > 0:
                time.sleep(late)
            done = subprocess.run([self.program, "fetch", "--next", "--refresh", *self.nodes[number].roots], env=environment(),
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"fleet: node {number} ended with {done.returncode}:\n{done.stderr}")
            return number, max(-late, 0)

        order = sorted(range(len(self.nodes)), key=lambda number: hashlib.sha256(b"%d" % number).digest())
        with ThreadPoolExecutor(AT_ONCE) as pool:
            late = max(behind for _, behind in pool.map(one, order))
        return {**self._figures(self._log()), "window_s": window_s, "took_s": round(time.monotonic() - began, 1),
                "latest_start_s": round(late, 2)}

    def _log(self) -> list[Asked]:
        """What has come since the last time. nginx writes a line when it has sent the last byte, which the node may see first."""
        time.sleep(0.2)
        lines = self.server.log.read_text().splitlines()
        fresh, self._read = lines[self._read:], len(lines)
        return [Asked(float(ended), float(took), int(status), int(sent), int(received), path.split("/")[1])
                for ended, took, status, sent, received, path in map(str.split, fresh)]

    def _figures(self, asked: list[Asked]) -> dict:
        edges = sorted([(one.ended - one.took, 1) for one in asked] + [(one.ended, -1) for one in asked],
                       key=lambda edge: (edge[0], -edge[1]))
        now = peak = 0
        for _, step in edges:
            now += step
            peak = max(peak, now)
        each = Counter({node.root.parent.name: 0 for node in self.nodes})
        each.update(one.node for one in asked)
        seconds = Counter(int(one.ended) for one in asked)
        statuses = [one.status for one in asked]
        return {"requests": len(asked), "statuses": {str(status): statuses.count(status) for status in sorted(set(statuses))},
                "requests_per_node": {"least": min(each.values()), "most": max(each.values())},
                "bytes_sent": sum(one.sent for one in asked), "bytes_received": sum(one.received for one in asked),
                "peak_requests_per_s": max(seconds.values()), "peak_at_once": peak}

    def close(self) -> None:
        self.server.close()


def rounds(fleet: Fleet, window_s: float) -> dict[str, dict]:
    """An update, a day on which nothing has changed, a newer bundle for the same kernel."""
    fleet.publish(serial=1)
    made = {"update": fleet.ask(window_s), "unchanged": fleet.ask(window_s)}
    fleet.publish(serial=2)
    return {**made, "newer": fleet.ask(window_s)}


def table(made: dict[str, dict]) -> str:
    lines = [f"{'':<12}{'requests':>9}{'per node':>9}  {'answers':<14}{'sent':>12}{'received':>10}{'peak/s':>8}{'at once':>8}{'seconds':>9}"]
    for what, one in made.items():
        each = one["requests_per_node"]
        span = str(each["least"]) if each["least"] == each["most"] else f"{each['least']}..{each['most']}"
        answers = " ".join(f"{status}:{count}" for status, count in one["statuses"].items())
        lines.append(f"{what:<12}{one['requests']:>9}{span:>9}  {answers:<14}{one['bytes_sent'] / 1e6:>9.1f} MB"
                     f"{one['bytes_received'] / 1e3:>7.0f} kB{one['peak_requests_per_s']:>8}{one['peak_at_once']:>8}{one['took_s']:>9}")
    return "\n".join(lines)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="modulus-fleet-") as folder:
        fleet = Fleet(Path(folder), NODES)
        try:
            made = rounds(fleet, WINDOW_S)
        finally:
            fleet.close()
    conditions = {"nodes": NODES, "window_s": WINDOW_S, "compression": TIMER_S / WINDOW_S, "bundle_bytes": fleet.stored,
                  "cpus": os.cpu_count()}
    (BUILD / "fleet.json").write_text(json.dumps({**conditions, "rounds": made}, indent=1) + "\n")
    print(", ".join(f"{what} {value}" for what, value in conditions.items()))
    print(table(made))


if __name__ == "__main__":
    main()
