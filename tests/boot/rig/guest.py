# SPDX-License-Identifier: Apache-2.0
"""QEMU: start one guest, wait for its end, hand back what it said.

A guest proves by a positive marker that it reached the end; QEMU's exit status says nothing (it is 0 after a panic).
Hardware virtualisation is used only after a guest has really run with it: a /dev/kvm that opens may still be useless.
"""

import atexit
import functools
import gzip
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import cache, pcap
from .debian import Kernel
from .host import RigError, environment
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


def end_all() -> None:
    """End every guest that is still running."""
    for guest in list(_running):
        guest.kill()
        guest.wait()


atexit.register(end_all)


def _run(command: list[str], limit: int) -> tuple[str, bool]:
    """What QEMU itself said, and whether it ended within `limit` seconds."""
    guest = subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace")
    _running.add(guest)
    try:
        said, _ = guest.communicate(timeout=limit)
        return said, True
    except subprocess.TimeoutExpired:
        guest.send_signal(signal.SIGKILL)
        said, _ = guest.communicate()
        return said, False
    finally:
        _running.discard(guest)


def _base(accelerator: str, kernel: Path, memory_mib: int) -> list[str]:
    return ["qemu-system-x86_64", "-M", "q35", *MACHINE[accelerator], "-smp", "1", "-m", str(memory_mib), "-nodefaults",
            "-no-reboot", "-display", "none", "-kernel", str(kernel)]


def _probe_initramfs() -> bytes:
    """A cpio archive whose /init is a busybox script that powers the machine off."""
    def entry(name: str, mode: int, data: bytes) -> bytes:
        header = "070701" + "".join(f"{value:08X}" for value in (
            0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0))
        head = header.encode() + name.encode() + b"\0"
        return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)

    busybox = Path("/usr/bin/busybox").read_bytes()
    script = b"#!/busybox sh\n/busybox echo probe: alive\n/busybox poweroff -f\n"
    return gzip.compress(entry("busybox", 0o100755, busybox) + entry("init", 0o100755, script)
                         + entry("TRAILER!!!", 0, b""), 1)


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
        said, _ = _run([*_base("kvm", kernel.vmlinux, 256), "-initrd", str(folder / "probe.img"), "-serial", "stdio",
                        "-append", "console=ttyS0 panic=-1"], KVM_PROBE_LIMIT)
        (folder / "probe.img").unlink()
        (folder / "accelerator").write_text("kvm" if "probe: alive" in said else "tcg")

    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text()
    return (cache.kept("accelerator", cache.digest(boot_id, kernel.release), probe, keep=1) / "accelerator").read_text()


def boot(name: str, folder: Path, kernel: Kernel, initramfs: Path, arguments: list[str], hardware: Hardware,
         whole: bool = True) -> Report:
    """Boot once; AssertionError with the console's tail when a boot that should be whole did not run to the real root's end,
    and when one that need not did not end at all."""
    console, report, packets = (folder / f"{name}.{kind}" for kind in ("console", "report", "pcap"))
    kind = accelerator(kernel)
    secure = hardware.secure_boot
    command = [
        *_base(kind, secure.kernel if secure else kernel.vmlinux, MEMORY_MIB), *(secure.arguments if secure else []),
        "-initrd", str(initramfs),
        "-serial", f"file:{console}", "-serial", f"file:{report}",
        "-drive", f"if=none,id=disk,file={hardware.disk},format=qcow2,cache=unsafe",
        "-device", "virtio-blk-pci,drive=disk",
        "-append", " ".join(KERNEL_ARGUMENTS + arguments)]
    if hardware.gpu:
        command += GPU
    if hardware.network:
        command += NETWORK
        command += ["-object", f"filter-dump,id=dump,netdev=net,file={packets},maxlen={PACKET_BYTES}"]
    if hardware.clock:
        command += ["-rtc", f"base={hardware.clock}"]
    if hardware.ignition:
        command += ["-fw_cfg", f"name=opt/com.coreos/config,file={hardware.ignition}"]
    (folder / f"{name}.command").write_text(" ".join(command) + "\n")
    for log in (console, report, packets):
        log.unlink(missing_ok=True)
    started = time.monotonic()
    said, in_time = _run(command, LIMIT[kind])
    seconds = time.monotonic() - started
    if not (console.exists() and report.exists()):
        raise RigError(f"{name}: QEMU did not start:\n{said}")
    result = Report.read(name, console, report, kind, seconds, pcap.read(packets) if hardware.network else [])
    if not in_time or (whole and not result.ended):
        why = "did not reach the end of the real root" if in_time else f"did not end within {LIMIT[kind]} seconds"
        raise AssertionError(f"{name}: the guest {why} ({console}); last lines of its console:\n"
                             + result.console_tail() + "\n" + said)
    return result
