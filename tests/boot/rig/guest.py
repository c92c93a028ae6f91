# SPDX-License-Identifier: Apache-2.0
"""QEMU: start one guest, wait for its end, hand back what it said.

A guest proves by a positive marker that it reached the end; QEMU's exit status says nothing (it is 0 after a panic).
Hardware virtualisation is used only after a guest has really run with it: a /dev/kvm that opens may still be useless.
"""

import atexit
import contextlib
import functools
import gzip
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import cache, cpio, pcap
from .debian import Kernel
from .host import UEFI_CODE, RigError, environment
from .report import Report
from .secureboot import SecureBoot

# seconds; about eight times what a boot takes on a quiet machine with two cores
LIMIT = {"tcg": 400, "kvm": 120}
KVM_PROBE_LIMIT = 15
MEMORY_MIB = 1024
MACHINE = {"tcg": ["-accel", "tcg", "-cpu", "qemu64"], "kvm": ["-accel", "kvm", "-cpu", "host"]}
# no_timer_check: under load the kernel's timer self-test fails now and then and panics.
# rd.shell/rd.emergency: an emergency in the initramfs ends the guest rather than waiting for a person.
KERNEL_ARGUMENTS = ["console=ttyS0", "panic=-1", "no_timer_check", "rootwait", "rd.shell=0", "rd.emergency=poweroff",
                    "loglevel=5", "printk.devkmsg=on", "systemd.show_status=0", "systemd.firstboot=no"]
GPU = ["-device", "virtio-gpu-pci"]
NETWORK = ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="]
# enough of each packet to say what it is
PACKET_BYTES = 128
# the host's loopback, seen from the guest
HOST_ADDRESS = "10.0.2.2"

_running: set[subprocess.Popen] = set()


@dataclass(frozen=True)
class Hardware:
    """What the guest's machine consists of, besides a CPU and a console."""
    disk: Path                      # qcow2 layer
    gpu: bool = True
    ignition: Path | None = None    # config handed over through fw_cfg, as on a cloud's metadata service
    network: bool = False           # a card; DHCP, name server and the host as HOST_ADDRESS, by QEMU itself
    clock: str | None = None        # what the battery-backed clock says; default: the host's time
    secure_boot: SecureBoot | None = None
    memory_mib: int = MEMORY_MIB
    firmware: Path | None = None    # UEFI's variables: the firmware starts what is on the disk, and QEMU no kernel
    more: tuple[str, ...] = ()      # further arguments of QEMU


def end_all() -> None:
    """End every guest that is still running."""
    for guest in list(_running):
        guest.kill()
        guest.wait()


atexit.register(end_all)


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen]:
    """A guest, ended at the latest when the caller is done with it."""
    guest = subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace")
    _running.add(guest)
    try:
        yield guest
    finally:
        guest.kill()
        guest.wait()
        _running.discard(guest)


def finish(guest: subprocess.Popen, limit: float) -> tuple[str, bool]:
    """What QEMU itself said, and whether it ended within `limit` seconds."""
    try:
        said, _ = guest.communicate(timeout=limit)
        return said, True
    except subprocess.TimeoutExpired:
        guest.kill()
        said, _ = guest.communicate()
        return said, False


def _run(command: list[str], limit: int) -> tuple[str, bool]:
    with running(command) as guest:
        return finish(guest, limit)


def base_command(accelerator: str, memory_mib: int) -> list[str]:
    return ["qemu-system-x86_64", "-M", "q35", *MACHINE[accelerator], "-smp", "1", "-m", str(memory_mib), "-nodefaults",
            "-no-reboot", "-display", "none"]


def _probe_initramfs() -> bytes:
    """An initramfs whose /init is a busybox script that powers the machine off."""
    script = b"#!/busybox sh\n/busybox echo probe: alive\n/busybox poweroff -f\n"
    return gzip.compress(cpio.archive([cpio.script("busybox", Path("/usr/bin/busybox").read_bytes()),
                                       cpio.script("init", script)]), 1)


@functools.cache
def accelerator(kernel: Kernel) -> str:
    """`kvm` if a guest ran to its end with it, else `tcg`. MODULUS_ACCEL overrides. Tried once per boot of the host."""
    if chosen := os.environ.get("MODULUS_ACCEL"):
        if chosen not in MACHINE:
            raise RigError(f"MODULUS_ACCEL={chosen}: expected one of {', '.join(MACHINE)}")
        return chosen
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"

    def probe(folder: Path) -> None:
        (folder / "probe.img").write_bytes(_probe_initramfs())
        said, _ = _run([*base_command("kvm", 256), "-kernel", str(kernel.vmlinux), "-initrd", str(folder / "probe.img"),
                        "-serial", "stdio", "-append", "console=ttyS0 panic=-1"], KVM_PROBE_LIMIT)
        (folder / "probe.img").unlink()
        (folder / "accelerator").write_text("kvm" if "probe: alive" in said else "tcg")

    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text()
    return (cache.kept("accelerator", cache.digest(boot_id, kernel.release), probe, keep=2) / "accelerator").read_text()


def disk_drive(layer: Path) -> list[str]:
    """QEMU's arguments for the drive `disk`: a qcow2 layer, whose guest is never cut off."""
    return ["-drive", f"if=none,id=disk,file={layer},format=qcow2,cache=unsafe"]


def command(kind: str, kernel: Kernel, initramfs: Path, arguments: list[str], hardware: Hardware,
            logs: tuple[Path, Path], drive: list[str]) -> list[str]:
    """QEMU's whole command line; `logs` are the console and the report."""
    secure, (console, report) = hardware.secure_boot, logs
    made = [
        *base_command(kind, hardware.memory_mib), *(secure.arguments if secure else []),
        "-serial", f"file:{console}", "-serial", f"file:{report}",
        *drive, "-device", f"virtio-blk-pci,drive=disk{',bootindex=0' if hardware.firmware else ''}", *hardware.more]
    if hardware.firmware:
        made += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={UEFI_CODE}",
                 "-drive", f"if=pflash,unit=1,format=raw,file={hardware.firmware}"]
    else:
        made += ["-kernel", str(secure.kernel if secure else kernel.vmlinux), "-initrd", str(initramfs),
                 "-append", " ".join(KERNEL_ARGUMENTS + arguments)]
    if hardware.gpu:
        made += GPU
    if hardware.network:
        made += NETWORK
    if hardware.clock:
        made += ["-rtc", f"base={hardware.clock}"]
    if hardware.ignition:
        made += ["-fw_cfg", f"name=opt/com.coreos/config,file={hardware.ignition}"]
    return made


def log_files(name: str, folder: Path) -> tuple[Path, Path]:
    """Console and report of the guest `name`, not there yet."""
    logs = folder / f"{name}.console", folder / f"{name}.report"
    for log in logs:
        log.unlink(missing_ok=True)
    return logs


def judge(result: Report) -> Report:
    """The report of a guest that is gone; AssertionError with the console's tail when its real root did not end."""
    if not result.ended:
        raise AssertionError(f"{result.name}: the guest did not reach the end of the real root; last lines of its console:\n"
                             + result.console_tail())
    return result


def boot(name: str, folder: Path, kernel: Kernel, initramfs: Path, arguments: list[str], hardware: Hardware,
         whole: bool = True) -> Report:
    """Boot once; AssertionError with the console's tail when a boot that should be whole did not run to the real root's end,
    and when one that need not did not end at all."""
    logs, packets, kind = log_files(name, folder), folder / f"{name}.pcap", accelerator(kernel)
    words = command(kind, kernel, initramfs, arguments, hardware, logs, disk_drive(hardware.disk))
    if hardware.network:
        packets.unlink(missing_ok=True)
        words += ["-object", f"filter-dump,id=dump,netdev=net,file={packets},maxlen={PACKET_BYTES}"]
    (folder / f"{name}.command").write_text(" ".join(words) + "\n")
    started = time.monotonic()
    said, in_time = _run(words, LIMIT[kind])
    if not all(log.exists() for log in logs):
        raise RigError(f"{name}: QEMU did not start:\n{said}")
    seconds = time.monotonic() - started
    result = Report.read(name, *logs, kind, seconds, pcap.read(packets) if hardware.network else [])
    if not in_time:
        raise AssertionError(f"{name}: the guest did not end within {LIMIT[kind]} seconds; last lines of its console:\n"
                             + result.console_tail())
    return judge(result) if whole else result
