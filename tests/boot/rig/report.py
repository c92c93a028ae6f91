# SPDX-License-Identifier: Apache-2.0
"""What a guest said about itself, as written by guest/report.sh on the second serial port.

Places: `before` (initramfs, before modulus.service), `initramfs` (after it, before switch-root), `real-root`.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from .pcap import Packet


@dataclass(frozen=True)
class Section:
    text: str
    code: int       # exit code of the command that printed it


@dataclass(frozen=True)
class Mount:
    source: str
    target: str
    type: str
    options: frozenset[str]


@dataclass
class Report:
    name: str
    console: str
    accelerator: str
    seconds: float
    packets: list[Packet]   # over the network card, in both directions
    sections: dict[tuple[str, str], Section] = field(default_factory=dict)

    @classmethod
    def read(cls, name: str, console: Path, report: Path, accelerator: str, seconds: float,
             packets: list[Packet]) -> "Report":
        made = cls(name, console.read_text(errors="replace"), accelerator, seconds, packets)
        said = report.read_text(errors="replace").replace("\r", "")
        for found in re.finditer(r"^@begin (\S+) (\S+)\n(.*?)\n@end (\d+)$", said, re.M | re.S):
            made.sections[found[1], found[2]] = Section(found[3], int(found[4]))
        return made

    @property
    def ended(self) -> bool:
        """The real root ran to its end."""
        return ("real-root", "end") in self.sections

    def section(self, where: str, what: str) -> Section:
        if (where, what) not in self.sections:
            raise AssertionError(f"{self.name}: the guest printed no `{what}` in `{where}`; its console ends with:\n"
                                 + self.console_tail())
        return self.sections[where, what]

    def text(self, where: str, what: str) -> str:
        return self.section(where, what).text

    def uptime(self, where: str) -> float:
        """Seconds since the kernel started."""
        return float(self.text(where, "uptime").split()[0])

    def modules(self, where: str) -> set[str]:
        """Names of loaded modules (underscores, as in /proc/modules)."""
        return {line.split()[0] for line in self.text(where, "modules").splitlines() if line}

    def nodes(self, where: str) -> list[str]:
        """Nodes below /dev/dri that name a device."""
        found = self.section(where, "nodes")
        return sorted(line for line in found.text.splitlines() if re.fullmatch(r"/dev/dri/[a-zA-Z]+\d+", line))

    def taint(self, where: str) -> int:
        return int(self.text(where, "taint"))

    def kernel_log(self, name: str = "") -> list[str]:
        """What the kernel said in the whole boot, or what it said about `name`."""
        return [line for line in self.text("real-root", "kernel-log").splitlines() if name in line]

    def mounts(self, where: str) -> list[Mount]:
        rows = [line.split() for line in self.text(where, "mounts").splitlines() if line]
        return [Mount(row[0], row[1], row[2], frozenset(row[3].split(","))) for row in rows]

    def has_status(self, where: str) -> bool:
        return self.section(where, "status").code == 0

    def status(self, where: str) -> dict:
        """The parsed /run/modulus/status.json."""
        found = self.section(where, "status")
        assert found.code == 0, f"{self.name}: no status.json in {where}: {found.text}\n{self.console_tail()}"
        return json.loads(found.text)

    def driver(self, where: str, name: str) -> dict:
        """The entry of one driver in status.json."""
        drivers = {entry["name"]: entry for entry in self.status(where)["drivers"]}
        assert name in drivers, f"{self.name}: no driver {name} in {sorted(drivers)}"
        return drivers[name]

    def console_tail(self, lines: int = 40) -> str:
        return "\n".join(self.console.splitlines()[-lines:])
