# SPDX-License-Identifier: Apache-2.0
"""A machine without the device pays nothing: no time, no write, no look at bundles or keys."""
import os
import shutil
import stat
import subprocess
import threading
import time

import pytest

from bundlemaker import RELEASE, modules
from fakehost import BUILD_ID
from program import DONE, MODULUS, MODULUS_BOOT, environment
from tracing import TRACEABLE

CPU_S = 0.010
OTHER = "pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00"


@pytest.fixture
def idle(machine):
    """Three drivers, keys and bundles; devices, but none that matches."""
    for name in ("gpu", "npu", "fpga"):
        machine.driver(name)
    machine.key()
    for number in range(5):
        machine.usr(modules(fields={"serial": number}).build(), f"gpu-{number}.tar.zst")
    for number in range(40):
        machine.device(OTHER, f"0000:00:{number:02x}.0")
    return machine


def test_no_device_is_said_once_for_each_driver_and_is_no_failure(idle):
    done = idle.boot()
    assert done.code == DONE
    assert done.lines == [f"{name}: no-device: no device matches Match=" for name in ("fpga", "gpu", "npu")]
    for driver in done.status["drivers"]:
        assert driver["reason"] == "no-device" and driver["text"] == "no device matches Match="
        assert driver["version"] == "1.0"
        assert [driver[key] for key in ("source", "origin", "digest", "serial", "key_id", "cached")] == [None] * 6
        assert [driver[key] for key in ("devices", "nodes", "modules", "rejected", "warnings", "kernel_log", "phases")] == [[]] * 7


def test_the_report_says_which_boot_which_kernel_and_when(idle):
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    status = idle.boot().status
    assert status["format"] == 1 and status["stage"] == "initramfs" and status["finish"] is None
    assert status["boot_id"] == "01234567-89ab-cdef-0123-456789abcdef"
    assert status["kernel"] == {"release": RELEASE, "machine": os.uname().machine, "build_id": BUILD_ID}
    assert status["taint"] == {"before": 0, "after": 0} and status["warnings"] == []
    assert before * 1e6 <= status["started_us"] <= status["finished_us"] <= time.clock_gettime(time.CLOCK_BOOTTIME) * 1e6
    assert 0 < status["cpu_us"] < 1e6


def test_a_kernel_without_a_build_id_has_none_in_the_report(idle):
    idle.build_id(None)
    assert idle.boot().status["kernel"]["build_id"] is None


@pytest.mark.parametrize("program", [MODULUS, MODULUS_BOOT], ids=["whole", "initramfs"])
def test_without_a_device_less_than_10_ms_of_cpu_are_spent(idle, spawner, program):
    """The least of several runs: what else the machine does is not ours."""
    runs = [spawner.run(program, "boot", *idle.roots, env=environment()) for _ in range(8)]
    assert all(run.code == DONE for run in runs)
    assert min(run.cpu_s for run in runs) < CPU_S, runs


def test_without_a_device_nothing_is_written_outside_run(idle):
    before = idle.snapshot()
    idle.boot()
    assert idle.snapshot() == before
    assert sorted(path.relative_to(idle.live / "run").as_posix() for path in (idle.live / "run").rglob("*") if path.is_file()) == [
        "modulus/bin/modulus", "modulus/lock", "modulus/metrics.prom", "modulus/status.json", "modulus/status.lock"]


def test_without_a_device_no_bundle_no_key_and_no_module_tree_is_opened(idle, traced):
    opened = traced(idle, "openat,openat2,open")
    assert "etc/modulus" in opened and "sys/bus/pci/devices" in opened  # the trace is one
    for never in ("bundles", "keys", ".tar.zst", "lib/modules", "socket("):
        assert never not in opened


def test_without_a_device_no_network_mount_or_module_call_is_made(idle, traced):
    trace = traced(idle, "socket,connect,mount,fsopen,fsmount,move_mount,init_module,finit_module,delete_module,reboot,fork,vfork,clone")
    assert [line for line in trace.splitlines() if "(" in line and "+++" not in line and "resumed" not in line] == []


@pytest.fixture
def traced(tmp_path):
    """The system calls of one `modulus boot`."""
    if not TRACEABLE:
        pytest.skip("strace is not installed or not allowed here")

    def trace(machine, calls: str) -> str:
        log = tmp_path / "trace"
        done = subprocess.run(["strace", "-f", "-y", "-s", "300", "-e", f"trace={calls}", "-o", log, MODULUS, "boot", *machine.roots],
                              capture_output=True, text=True, env=environment())
        assert done.returncode == DONE, done.stderr
        return log.read_text()
    return trace


def test_no_configuration_at_all(machine):
    shutil.rmtree(machine.root / "etc")
    done = machine.boot()
    assert (done.code, done.lines) == (DONE, ["no driver is configured (/etc/modulus/*.conf)"])
    assert done.status["drivers"] == []


# --- modulus=off -----------------------------------------------------------------------------------

def test_off_switches_all_off_whatever_is_there(machine):
    machine.ready(modules().build())
    machine.driver("broken", text="[Driver]\n")
    machine.cmdline("ro modulus=off quiet")
    before = machine.snapshot()
    done = machine.boot()
    assert (done.code, done.lines) == (DONE, [f"{name}: disabled: modulus=off on the kernel command line" for name in ("broken", "gpu")])
    assert machine.snapshot() == before
    assert not (machine.live / "run/modulus/bin").exists()
    assert machine.status().returncode == DONE


@pytest.mark.parametrize("cmdline", ["modulus=on", "modulus.off", "xmodulus=off", "ro -- modulus=off", "modulus=offline", "modulus=off modulus=on"])
def test_what_is_not_off_is_not_off(machine, cmdline):
    machine.driver()
    machine.cmdline(cmdline)
    assert machine.boot().driver["reason"] == "no-device"


# --- devices that are late -------------------------------------------------------------------------

def test_a_device_that_udev_is_still_busy_with_is_waited_for(machine):
    machine.ready(modules().build())
    shutil.rmtree(machine.live / "sys/bus/pci/devices/0000:00:02.0")
    queue = machine.write_live("run/udev/queue", "")

    def appear():
        machine.device()
        queue.unlink()

    timer = threading.Timer(0.3, appear)
    began = time.monotonic()
    timer.start()
    done = machine.boot()
    timer.join()
    assert done.driver["reason"] != "no-device" and done.driver["devices"] == ["0000:00:02.0"]
    assert 0.2 < time.monotonic() - began < 9


def test_a_device_that_is_there_is_not_waited_for(machine):
    machine.ready(modules().build())
    machine.write_live("run/udev/queue", "")
    began = time.monotonic()
    machine.boot()
    assert time.monotonic() - began < 9


# --- the own copy ----------------------------------------------------------------------------------

def test_the_program_leaves_a_copy_of_itself_for_the_real_root(idle):
    idle.boot(program=MODULUS_BOOT)
    copy = idle.live / "run/modulus/bin/modulus"
    assert copy.read_bytes() == MODULUS_BOOT.read_bytes() and stat.S_IMODE(copy.stat().st_mode) == 0o755
    # and that copy runs without copying itself over itself
    before = copy.stat().st_ino
    assert idle.boot(program=copy).code == DONE
    assert copy.stat().st_ino == before and copy.read_bytes() == MODULUS_BOOT.read_bytes()


def test_two_at_once_do_not_disturb_each_other(idle):
    both = [subprocess.Popen([MODULUS, "boot", *idle.roots], stderr=subprocess.PIPE, text=True, env=environment()) for _ in range(2)]
    for one in both:
        _, lines = one.communicate(timeout=60)
        said = [line for line in lines.splitlines() if "waiting for another modulus" not in line]
        assert one.returncode == DONE and len(said) == 3
    assert idle.status().returncode == DONE
