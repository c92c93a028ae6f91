# SPDX-License-Identifier: Apache-2.0
"""`modulus finish --driver NAME-VERSION`, which modulus@NAME-VERSION.service runs: one driver by one command."""
import fcntl
import json
import pathlib
import shutil
import socket
import subprocess
import threading
import time

import pytest

from bundlemaker import RELEASE, modules
from program import CONFIG, DONE, KERNEL, MODULUS, NO_BUNDLE, SYSTEM, USAGE, environment, modulus
from tracing import needs_strace

TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / "ignition/units/modulus@.service"


def driver(machine, asked: str):
    """finish --driver: its outcome, with all drivers by name."""
    done = modulus("finish", *machine.roots, "--driver", asked)
    status = json.loads(machine.status_file.read_text()) if machine.status_file.exists() else None
    lines = [line.removeprefix("modulus: ") for line in done.stderr.splitlines()]
    entries = {entry["name"]: entry for entry in status["drivers"]} if status else {}
    return done.returncode, lines, entries, status


@pytest.fixture
def gpu(machine):
    """Its modules are live, as if inserted; bundles of two versions are on /usr. The file says 1.0."""
    machine.ready(modules().build(), modules(fields={"version": "2.0-beta"}).build())
    machine.module_is_live("alpha", "beta")
    return machine


def nothing_is_live(machine):
    shutil.rmtree(machine.live / "sys/module")


def test_a_host_where_boot_did_not_run_gets_its_driver(gpu):
    code, lines, entries, status = driver(gpu, "gpu-1.0")
    assert code == DONE and entries["gpu"]["reason"] == "loaded" and entries["gpu"]["version"] == "1.0"
    assert status["stage"] == "real-root" and status["finish"]["at_us"] >= status["started_us"]
    assert len(gpu.cached) == 1 and any("gpu: loaded: " in line for line in lines)
    assert (gpu.live / "run/modulus/bin/modulus").read_bytes() == MODULUS.read_bytes()
    assert "gpu 1.0: loaded" in gpu.status().stdout


def test_the_version_is_the_instances_and_not_the_files(gpu):
    code, _, entries, _ = driver(gpu, "gpu-2.0-beta")
    assert code == DONE and entries["gpu"]["version"] == "2.0-beta"
    assert entries["gpu"]["origin"].endswith("/1.tar.zst")


def test_a_driver_that_boot_loaded_is_left_alone(gpu):
    before = gpu.boot().driver
    code, lines, entries, status = driver(gpu, "gpu-1.0")
    assert code == DONE and entries["gpu"] == before and status["stage"] == "initramfs"
    assert lines == ["gpu: version 1.0 is loaded already"] and status["finish"]


def test_another_version_than_the_loaded_one_is_refused_and_the_report_stays(gpu):
    before = gpu.boot().driver
    code, lines, entries, _ = driver(gpu, "gpu-2.0-beta")
    assert code == SYSTEM and entries["gpu"] == before
    assert lines == ["gpu: system-error: version 1.0 is loaded; unload it, or reboot with this one alone enabled"]


def test_what_boot_could_not_do_is_tried_again(gpu):
    bundle = gpu.root / f"usr/lib/modulus/bundles/{RELEASE}/0.tar.zst"
    kept = bundle.read_bytes()
    bundle.unlink()
    assert gpu.boot().driver["reason"] == "no-bundle"
    bundle.write_bytes(kept)
    code, _, entries, _ = driver(gpu, "gpu-1.0")
    assert code == DONE and entries["gpu"]["reason"] == "loaded"


def test_other_drivers_of_the_report_stay(gpu):
    gpu.driver("other", "[Driver]\nVersion=1\nMatch=pci:v0000FFFF*\n")
    gpu.usr(modules(fields={"version": "3"}).build(), "3.tar.zst")
    (gpu.root / "etc/modulus/gpu.conf").write_text("[Driver]\nVersion=none\nMatch=pci:v00001AF4d*\n")
    assert gpu.boot().code == NO_BUNDLE
    code, _, entries, _ = driver(gpu, "gpu-3")
    assert code == DONE and {n: e["reason"] for n, e in entries.items()} == {"gpu": "loaded", "other": "no-device"}


def test_a_machine_without_the_device_is_no_failure_and_writes_nothing_but_run(gpu):
    (gpu.live / "sys/bus/pci/devices/0000:00:02.0/modalias").unlink()
    before = gpu.snapshot()
    code, _, entries, _ = driver(gpu, "gpu-1.0")
    assert (code, entries["gpu"]["reason"]) == (DONE, "no-device") and gpu.snapshot() == before


@pytest.mark.parametrize("setting, reason", [("modulus=off", "disabled"), ("modprobe.blacklist=alpha", "disabled")])
def test_what_switches_drivers_off_counts_here_too(gpu, setting, reason):
    nothing_is_live(gpu)
    gpu.cmdline(setting)
    code, _, entries, _ = driver(gpu, "gpu-1.0")
    assert (code, entries["gpu"]["reason"]) == (DONE, reason)


def test_a_failure_is_the_exit_code_and_in_the_report(gpu):
    code, _, entries, _ = driver(gpu, "gpu-9.9")
    assert (code, entries["gpu"]["reason"], entries["gpu"]["version"]) == (NO_BUNDLE, "no-bundle", "9.9")
    nothing_is_live(gpu)
    assert driver(gpu, "gpu-1.0")[0] == KERNEL  # inserts are refused here


def test_a_driver_without_a_file_names_the_files_that_were_looked_for(gpu):
    code, lines, entries, _ = driver(gpu, "amd-gpu-1.0")
    assert code == CONFIG and not entries
    assert lines == ["amd-gpu-1.0: bad-config: no driver file in /etc/modulus or /usr/lib/modulus: "
                     "looked for amd.conf, amd-gpu.conf"]


def test_the_attempt_is_closed_by_the_instance_itself(gpu):
    """In the real root, and without modulus-finish.service: tests/boot/test_boot_instance.py."""
    assert driver(gpu, "gpu-1.0")[0] == DONE
    (trial,) = [json.loads(path.read_text()) for path in (gpu.root / "var/lib/modulus/trials").rglob("*.json")]
    assert trial["open"] is None and trial["misses"] == 0


def test_instances_that_start_at_once_come_one_after_the_other(gpu):
    """The second waits for the lock, and what the first reported is not lost."""
    gpu.driver("other", "[Driver]\nVersion=1\nMatch=pci:v0000FFFF*\n")
    lock = gpu.live / "run/modulus/lock"
    lock.parent.mkdir()
    done = []
    with lock.open("w") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        threads = [threading.Thread(target=lambda asked=asked: done.append(driver(gpu, asked))) for asked in ("gpu-1.0", "other-1")]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert not done and not gpu.status_file.exists()
    for thread in threads:
        thread.join()
    assert [code for code, *_ in done] == [DONE, DONE]
    status = json.loads(gpu.status_file.read_text())
    assert {entry["name"]: entry["reason"] for entry in status["drivers"]} == {"gpu": "loaded", "other": "no-device"}


@needs_strace
def test_an_instance_has_the_lock_until_its_report_is_written(gpu):
    """Its libraries, too, want the lock; the next instance would enter behind them."""
    folder = gpu.live / "run/modulus"
    traced = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", folder, "-e", "inject=renameat:delay_enter=1000000"]
    with subprocess.Popen([*traced, MODULUS, "finish", *gpu.roots, "--driver", "gpu-1.0"], stderr=subprocess.DEVNULL,
                          env=environment()) as instance:
        until = time.monotonic() + 20
        while not list(folder.glob(".status.json*")) and time.monotonic() < until:
            time.sleep(0.02)
        with open(folder / "lock", "r+") as handle:
            with pytest.raises(BlockingIOError):
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert not gpu.status_file.exists()
        assert instance.wait(20) == DONE
    assert json.loads(gpu.status_file.read_text())["finish"]


def test_status_of_the_unit_has_the_reason(gpu, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(10)
        subprocess.run([MODULUS, "finish", *gpu.roots, "--driver", "gpu-9.9"], capture_output=True,
                       env=environment(NOTIFY_SOCKET=str(tmp_path / "notify")), timeout=60)
        said = []
        while not said or not said[-1].startswith("STATUS=no-bundle: "):
            said.append(heard.recv(4096).decode())
    assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in said)


def test_driver_and_shutdown_exclude_each_other(gpu):
    assert modulus("finish", "--driver", "gpu-1.0", "--shutdown").returncode == USAGE
    assert modulus("boot", "--driver", "gpu-1.0").returncode == USAGE


def test_the_template_is_a_good_unit_and_runs_before_containers(tmp_path):
    unit = tmp_path / "modulus@gpu-1.0.service"
    unit.write_text(TEMPLATE.read_text())
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    # its program is not there; nothing else may be complained about
    assert [line for line in done.stderr.splitlines() if "Command modulus is not executable" not in line] == []
    lines = TEMPLATE.read_text().splitlines()
    (before,) = [line.removeprefix("Before=").split() for line in lines if line.startswith("Before=")]
    assert {"containerd.service", "docker.service", "crio.service", "kubelet.service"} <= set(before)
    assert not any("network-online.target" in line for line in lines if not line.startswith("#"))
