# SPDX-License-Identifier: Apache-2.0
"""A guest that was stopped in its initramfs before it had mounted anything, and goes on from there, as often as one
likes and each time with another disk: what follows is a boot like any other, without the seconds before it.

The disks must have the same partition table; their file systems may differ, since nothing of them was read yet.
"""

import contextlib
import json
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from . import cpio, disk, guest, places
from .debian import Kernel
from .guest import Hardware
from .host import RigError
from .report import Report

# what the kernel uses, and behind it what the BARs of fake GPUs lead to: 64 MiB for each of four
SYSTEM_MIB = 512
GPU_MIB = 4 * 64
GPU_AT = SYSTEM_MIB << 20
MEMORY_MIB = SYSTEM_MIB + GPU_MIB
PAUSED = "@paused"
_UNIT = "modulus-pause.service"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_POLL_S = 0.02


def _additions() -> list[cpio.Entry]:
    units, wants = "usr/lib/systemd/system", "etc/systemd/system/sysroot.mount.wants"
    source = places.GUEST / "pause"
    return [cpio.script("usr/bin/modulus-pause", (source / "pause.sh").read_bytes()),
            cpio.Entry(f"{units}/{_UNIT}", (source / _UNIT).read_bytes()),
            cpio.directory(wants), cpio.link(f"{wants}/{_UNIT}", f"/{units}/{_UNIT}")]


class _Monitor:
    """QEMU's machine protocol, as much as is needed."""

    def __init__(self, path: Path):
        self._socket = _connect(path)
        self._lines = self._socket.makefile("r")
        self._lines.readline()          # the greeting
        self("qmp_capabilities")

    def __call__(self, command: str, **arguments: object) -> dict:
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            line = self._lines.readline()
            if not line:
                raise RigError(f"QEMU ended during {command}")
            answer = json.loads(line)
            if "error" in answer:
                raise RigError(f"{command}: {answer['error']}")
            if "return" in answer:      # what comes between are events
                return answer["return"]

    def disk_operations(self) -> int:
        """How often the disk was written to or flushed; 0 when QEMU is gone."""
        try:
            (stats,) = self("query-blockstats")
        except (RigError, OSError):
            return 0
        return stats["stats"]["wr_operations"] + stats["stats"]["flush_operations"]

    def wait_until(self, command: str, status: str, limit_s: float) -> None:
        until = time.monotonic() + limit_s
        while (said := self(command).get("status")) != status:
            if said == "failed" or time.monotonic() > until:
                raise RigError(f"{command}: {said} where {status} was expected")
            time.sleep(_POLL_S)


def _connect(path: Path, limit_s: float = 30) -> socket.socket:
    until = time.monotonic() + limit_s
    while True:
        one = socket.socket(socket.AF_UNIX)
        try:
            one.connect(str(path))
            return one
        except OSError:
            one.close()
            if time.monotonic() > until:
                raise RigError(f"QEMU does not listen at {path}") from None
            time.sleep(_POLL_S)


def losing_drive(layer: Path, writes_per_second: int) -> list[str]:
    """A qcow2 layer as the drive `disk`, slowed down so that a cut finds it at work. When QEMU is killed, what is lost is
    what was written to new clusters and not flushed: QEMU keeps in its own memory where they are."""
    return ["-object", f"throttle-group,id=slow,x-iops-write={writes_per_second}",
            "-blockdev", f"driver=file,node-name=file,filename={layer}",
            "-blockdev", "driver=qcow2,node-name=layer,file=file",
            "-blockdev", "driver=throttle,node-name=disk,throttle-group=slow,file=layer"]


class SavedBoot:
    def __init__(self, folder: Path, kernel: Kernel, initramfs: Path, arguments: list[str], base: Path,
                 additions: tuple[cpio.Entry, ...] = ()):
        """Boots `initramfs`, with `additions` on top, up to the pause. `base` is a disk with the right partitions."""
        self.folder, self.kernel, self.arguments = disk.fresh_folder(folder), kernel, arguments
        self.kind = guest.accelerator(kernel)
        self.initramfs = cpio.append(initramfs, [*_additions(), *additions], folder / "initramfs.img")
        self.state = folder / "state"
        drive = guest.disk_drive(disk.overlay(base, folder / "save.qcow2"))
        with self._start("save", folder, drive) as (process, monitor):
            self._wait_for_pause(process, folder / "save.report")
            monitor("stop")
            monitor("migrate", uri=f"exec:cat > {self.state}")
            monitor.wait_until("query-migrate", "completed", 60)

    def _wait_for_pause(self, process: subprocess.Popen, report: Path) -> None:
        until = time.monotonic() + guest.LIMIT[self.kind]
        while PAUSED not in report.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > until:
                raise RigError(f"the guest did not come to its pause ({report})")
            time.sleep(_POLL_S)

    @contextlib.contextmanager
    def _start(self, name: str, folder: Path, drive: list[str],
               more: tuple[str, ...] = ()) -> Iterator[tuple[subprocess.Popen, _Monitor]]:
        # a socket's path has room for 107 bytes: relative ones, from the guest's own folder
        control, go = folder / f"{name}.qmp", folder / f"{name}.go"
        logs = guest.log_files(name, folder)
        command = guest.command(
            self.kind, self.kernel, self.initramfs, self.arguments,
            Hardware(disk=Path(), network=True, memory_mib=MEMORY_MIB, more=(
                "-chardev", f"socket,id=go,path={go},server=on,wait=off", "-serial", "chardev:go",
                "-qmp", f"unix:{control},server=on,wait=off", *more)), logs, drive)
        (folder / f"{name}.command").write_text(" ".join(command) + "\n")
        with guest.running(command) as process:
            yield process, _Monitor(control)

    @contextlib.contextmanager
    def _go_on(self, name: str, folder: Path, drive: list[str], words: str) -> Iterator[tuple[subprocess.Popen, _Monitor]]:
        with self._start(name, folder, drive, ("-S", "-incoming", f"exec:cat {self.state}")) as (process, monitor):
            monitor.wait_until("query-status", "paused", 60)
            monitor("cont")
            # each boot has an id of its own, although the kernel made one before it was stopped
            words = f"echo {uuid.uuid4()} > /run/boot-id; mount --bind /run/boot-id {_BOOT_ID}; {words}"
            # kept open: QEMU drops what it has not read yet when the other end closes
            with _connect(folder / f"{name}.go") as go:
                go.sendall(words.encode() + b"\n")
                yield process, monitor

    def attempt(self, name: str, folder: Path, drive: list[str], words: str = "true") -> Report:
        """Go on, to whatever end; `words` are done first, by the initramfs' shell."""
        started = time.monotonic()
        with self._go_on(name, folder, drive, words) as (process, _):
            said, in_time = guest.finish(process, guest.LIMIT[self.kind])
        if not in_time:
            raise RigError(f"{name}: the guest did not end in time\n{said}")
        logs = folder / f"{name}.console", folder / f"{name}.report"
        return Report.read(name, *logs, self.kind, time.monotonic() - started, [])

    def boot(self, name: str, folder: Path, drive: list[str], words: str = "true") -> Report:
        """The same; AssertionError when the end of the real root is not reached."""
        return guest.judge(self.attempt(name, folder, drive, words))

    def boot_and_cut(self, name: str, folder: Path, drive: list[str], operations: int, words: str = "true") -> bool:
        """Go on, and cut the power after so many writes and flushes of the disk. False when it had ended before."""
        with self._go_on(name, folder, drive, words) as (process, monitor):
            until = time.monotonic() + guest.LIMIT[self.kind]
            while process.poll() is None and monitor.disk_operations() < operations:
                if time.monotonic() > until:
                    raise RigError(f"{name}: the disk was not written to {operations} times")
                time.sleep(_POLL_S / 10)
            return process.poll() is None
