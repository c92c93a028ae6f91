# SPDX-License-Identifier: Apache-2.0
"""A machine made of directories, for `modulus boot --root ROOT --live-root LIVE`.

ROOT has /etc, /usr and /var; LIVE has /proc, /sys, /dev and /run. With a live root no module is ever inserted: each
insert fails with EPERM, so a driver gets as far as `init-failed`, or to `loaded` where its modules are live already.
"""
import json
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bundlemaker import RELEASE, TEST_KEY, SecretKey
from program import MODULUS, modulus, snapshot

BUILD_ID = "1234567890abcdef1234567890abcdef12345678"
GPU = "pci:v00001AF4d00001050sv00001AF4sd00001100bc03sc80i00"
ADDRESS = "0000:00:02.0"


def note(name: bytes, kind: int, content: bytes) -> bytes:
    padded = (data + bytes(-len(data) % 4) for data in (name, content))
    return struct.pack("=III", len(name), len(content), kind) + b"".join(padded)


@dataclass(frozen=True)
class Outcome:
    code: int
    lines: list[str]  # standard error, without "modulus: "
    status: dict | None

    @property
    def driver(self) -> dict:
        """The only one."""
        (one,) = self.status["drivers"]
        return one


class Machine:
    def __init__(self, folder: Path):
        self.root, self.live = folder / "root", folder / "live"
        for path in ("etc/modulus/keys", "usr/lib/modulus/bundles", "var"):
            (self.root / path).mkdir(parents=True)
        for path in ("proc/self", "sys/bus/pci/devices", "run", "dev"):
            (self.live / path).mkdir(parents=True)
        self.write_live("proc/sys/kernel/osrelease", RELEASE + "\n")
        self.write_live("proc/sys/kernel/tainted", "0\n")
        self.write_live("proc/sys/kernel/random/boot_id", "01234567-89ab-cdef-0123-456789abcdef\n")
        self.mounts("")
        self.cmdline("ro quiet")
        self.build_id(BUILD_ID)
        self.write_root("etc/systemd/system/multi-user.target.wants/modulus-finish.service", "[Service]\n")

    # --- what the machine is ---

    def write_live(self, path: str, content: str | bytes) -> Path:
        return _write(self.live / path, content)

    def write_root(self, path: str, content: str | bytes) -> Path:
        return _write(self.root / path, content)

    def cmdline(self, text: str) -> None:
        self.write_live("proc/cmdline", text + "\n")

    def build_id(self, hexadecimal: str | None) -> None:
        """A note of the same type by somebody else comes first, as on kernels with Xen."""
        notes = note(b"Xen\0", 3, b"x" * 20)
        if hexadecimal:
            notes += note(b"GNU\0", 3, bytes.fromhex(hexadecimal))
        self.write_live("sys/kernel/notes", notes)

    def mounts(self, more: str, process: int = 1) -> None:
        """What is mounted besides the root where a process is: process 1, or one in a container."""
        text = "1 0 253:1 / / ro - ext4 /dev/vda1 ro\n" + more
        self.write_live(f"proc/{process}/mountinfo", text)
        link = self.live / f"proc/{process}/ns/mnt"
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(f"mnt:[{process}]")
        if process == 1:
            self.write_live("proc/self/mountinfo", text)

    def device(self, modalias: str = GPU, address: str = ADDRESS, nodes: tuple[str, ...] = ()) -> None:
        folder = self.live / "sys/bus/pci/devices" / address
        _write(folder / "modalias", modalias + "\n")
        for number, node in enumerate(nodes):
            _write(folder / "drm" / node.replace("/", "-") / "uevent", f"MAJOR=226\nMINOR={number}\nDEVNAME={node}\n")
            _write(folder / "drm" / node.replace("/", "-") / "dev", f"226:{number}\n")
            self.write_live(f"dev/{node}", "")

    def module_is_live(self, *names: str) -> None:
        for name in names:
            self.write_live(f"sys/module/{name}/initstate", "live\n")

    # --- what the operator did ---

    def driver(self, name: str = "gpu", text: str | None = None, folder: str = "etc", **more: str) -> Path:
        """`more`: sections, Trust="MinSerial=3"."""
        if text is None:
            text = "[Driver]\nVersion=1.0\nMatch=pci:v00001AF4d*\n"
            text += "".join(f"[{section}]\n{lines}\n" for section, lines in more.items())
        return self.write_root(f"{folder}/modulus/{name}.conf", text)

    def key(self, key: SecretKey = TEST_KEY, folder: str = "etc") -> Path:
        return self.write_root(f"{folder}/modulus/keys/{key.public.name}.pub", key.public.text())

    def usr(self, bundle: bytes, name: str = "gpu.tar.zst", folder: str = RELEASE) -> Path:
        return self.write_root(f"usr/lib/modulus/bundles/{folder}/{name}", bundle)

    def cache(self, bundle: bytes, digest: str, name: str = "gpu", folder: str = RELEASE) -> Path:
        return self.write_root(f"var/lib/modulus/bundles/{folder}/{name}-modules-{digest}.tar.zst", bundle)

    def ready(self, *bundles: bytes) -> "Machine":
        """Driver, key and device are there; the bundles are in /usr."""
        self.driver()
        self.key()
        self.device()
        for number, bundle in enumerate(bundles):
            self.usr(bundle, f"{number}.tar.zst")
        return self

    # --- running it ---

    @property
    def roots(self) -> list[str]:
        return ["--root", str(self.root), "--live-root", str(self.live)]

    @property
    def status_file(self) -> Path:
        return self.live / "run/modulus/status.json"

    def boot(self, command: str = "boot", program: Path = MODULUS, env: dict[str, str] | None = None) -> Outcome:
        done = modulus(command, *self.roots, program=program, env=env)
        status = json.loads(self.status_file.read_text()) if self.status_file.exists() else None
        lines = [line.removeprefix("modulus: ") for line in done.stderr.splitlines()]
        return Outcome(done.returncode, lines, status)

    def status(self, *args: str) -> subprocess.CompletedProcess:
        return modulus("status", *self.roots, *args)

    def snapshot(self) -> dict[str, object]:
        """All that `boot` must not touch when nothing is to be done."""
        return {**snapshot(self.root), **snapshot(self.live, without=("run",))}

    @property
    def cached(self) -> list[str]:
        folder = self.root / "var/lib/modulus/bundles"
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


