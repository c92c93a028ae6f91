# SPDX-License-Identifier: Apache-2.0
"""`systemctl enable modulus@virtio-gpu-1` on a Debian whose initramfs has nothing of Modulus: the driver is there before
a container engine starts."""

import json

import pytest

from rig import initramfs
from rig.scenarios import DRIVER, INSTANCE, UNKNOWN_INSTANCE

GPU_NODES = ["/dev/dri/card0", "/dev/dri/renderD128"]


@pytest.fixture
def booted(by_command):
    return by_command.boot


def units(booted) -> dict[str, dict[str, str]]:
    """What systemd says of each instance, by its name."""
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
              for block in booted.text("real-root", "instances").split("\n\n")]
    return {block["Id"]: block for block in blocks if block}


def test_the_initramfs_has_nothing_of_ours(workshop):
    assert [path for path in initramfs.listing(workshop.foreign_initramfs) if "modulus" in path] == []


def test_the_gpu_is_there_before_a_container_engine_starts(booted):
    assert booted.nodes("containerd") == GPU_NODES
    assert "virtio_gpu" in booted.modules("containerd")


def test_the_unit_succeeded_and_says_what_it_did(booted):
    unit = units(booted)[INSTANCE]
    assert (unit["ActiveState"], unit["Result"], unit["ExecMainStatus"]) == ("active", "success", "0")
    assert unit["StatusText"].startswith("loaded: ")


def test_the_journal_knows_what_is_a_warning(booted):
    warnings = booted.text("real-root", "warnings").splitlines()
    assert [line for line in warnings if "nobody-knows-1: bad-config: " in line], warnings
    assert not [line for line in warnings if ": loaded: " in line or line.startswith("<")], warnings


def test_the_report_is_that_of_the_real_root_with_the_instances_version(booted):
    status = json.loads(booted.text("real-root", "status-json"))
    (driver,) = status["drivers"]
    assert (driver["name"], driver["version"], driver["reason"], driver["source"]) == (DRIVER, "1", "loaded", "http")
    assert status["stage"] == "real-root" and status["finish"]
    assert driver["cached"] in booted.text("real-root", "cache").splitlines()


def test_its_attempt_was_recorded_and_is_closed(booted):
    trial = json.loads(booted.text("real-root", "trials"))
    assert trial["open"] is None and trial["misses"] == 0


def test_an_instance_without_a_driver_file_fails_with_the_reason_and_the_boot_goes_on(booted):
    unit = units(booted)[UNKNOWN_INSTANCE]
    assert (unit["ActiveState"], unit["Result"], unit["ExecMainStatus"]) == ("failed", "exit-code", "8")
    assert unit["StatusText"].startswith("bad-config: ") and "nobody-knows.conf" in unit["StatusText"]
    assert len(booted.text("real-root", "failed-units").splitlines()) == 1


def test_the_hosts_network_was_waited_for_by_the_program(booted, by_command):
    phases = {phase["name"]: phase["us"] for phase in booted.driver("containerd", DRIVER)["phases"]}
    assert phases["network"] > 0
    assert by_command.server.asked == [(f"/{booted.status('containerd')['kernel']['release']}/{DRIVER}.tar.zst", 200)]


def test_a_unit_that_requires_the_gpu_starts_when_it_is_there(booted):
    assert booted.nodes("gpu-user") == GPU_NODES
    assert "/run/modulus/ready" in booted.text("gpu-user", "run").splitlines()
    assert ready(booted, "ready") == {"modulus-ready.target": "active", "gpu-user.service": "active"}


def test_without_the_gpu_it_does_not_start_and_nothing_waits_or_fails(booted):
    assert booted.section("real-root", "start-unready").code == 1
    assert ready(booted, "unready") == {"modulus-ready.target": "inactive", "gpu-user.service": "inactive"}
    assert booted.text("real-root", "still-failed") == booted.text("real-root", "failed-units")


def ready(booted, section: str) -> dict[str, str]:
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in booted.text("real-root", section).split("\n\n")]
    return {block["Id"]: block["ActiveState"] for block in blocks if block}
