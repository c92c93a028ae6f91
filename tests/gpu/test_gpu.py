# SPDX-License-Identifier: Apache-2.0
"""`make check-gpu`: what the program makes of this machine's NVIDIA GPUs, against what the driver and NVIDIA's tools say.

Reads only: nothing is loaded, made or written, whoever loaded the driver. Where there is no such device, or no live
driver, everything is skipped and says so.
"""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests/gpu"))
import compare  # noqa: E402

MODULUS, PLAN = TREE / "build/modulus", TREE / "build/gpu/plan"
PROC, STATUS = Path("/proc/driver/nvidia"), Path("/run/modulus/status.json")
CONTAINER = any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv")) or "KUBERNETES_SERVICE_HOST" in os.environ


def has_device() -> bool:
    vendors = Path("/sys/bus/pci/devices").glob("*/vendor")
    return any(path.read_text().strip() == "0x10de" for path in vendors)


@pytest.fixture(scope="session")
def plan():
    if not PROC.is_dir():
        pytest.skip("an NVIDIA device is here, and its driver is not live: `modulus status` says why" if has_device() else
                    "no NVIDIA device is here")
    runtimes = sorted(Path("/var/lib/modulus/runtime").glob(f"*/{Path('/sys/module/nvidia/version').read_text().strip()}"))
    done = subprocess.run([PLAN, "/", "/", *runtimes[:1]], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def output(*words: str) -> str:
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_the_driver_is_understood_without_a_warning(plan):
    assert plan["warnings"] == [] and plan["version"]


def test_every_gpu_of_the_driver_has_a_node(plan):
    assert compare.proc(plan, compare.proc_gpus()) == []


def test_the_nodes_are_those_that_are_there(plan):
    """Numbers, owner and mode; all of them where this program made them."""
    assert compare.nodes(plan, compare.listed(), whole=STATUS.exists() and not CONTAINER) == []


def test_nvidia_smi_numbers_the_gpus_as_the_specification_does(plan):
    version, gpus = compare.smi_gpus(output("nvidia-smi", "-q", "-x"))
    assert compare.smi(plan, version, gpus) == []


def test_nvidia_ctk_gives_the_same_devices(plan):
    if shutil.which("nvidia-ctk") is None:
        pytest.skip("nvidia-ctk is not installed")
    theirs = json.loads(output("nvidia-ctk", "--quiet", "cdi", "generate", "--format=json"))
    assert compare.ctk(plan, theirs) == []


def test_the_report_of_this_boot_is_true(plan):
    if not STATUS.exists():
        pytest.skip("modulus did not run on this machine since it started")
    done = subprocess.run([MODULUS, "status", "--json"], capture_output=True, text=True)
    live = {line.split()[0] for line in Path("/proc/modules").read_text().splitlines()}
    assert compare.status(json.loads(done.stdout), plan, compare.listed(), live) == []
