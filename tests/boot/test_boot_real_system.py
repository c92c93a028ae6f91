# SPDX-License-Identifier: Apache-2.0
"""First boot of a Debian with systemd in its real root, provisioned by Ignition: the second half of the work is done by
the copy that `boot` left in /run, and no other copy of the program is on that machine."""

import json

import pytest

from rig.scenarios import DRIVER, EXTRA


@pytest.fixture
def booted(real_system):
    return real_system.first


def test_the_gpu_is_there_before_switch_root_and_after(booted):
    for where in ("initramfs", "real-root"):
        assert "virtio_gpu" in booted.modules(where)
        assert booted.nodes(where) == ["/dev/dri/card0", "/dev/dri/renderD128"]
    assert not {"virtio_gpu", "drm"} & booted.modules("before")


@pytest.mark.parametrize("which", ["finish", "bless"])
def test_the_real_roots_units_ran_from_run_and_succeeded(booted, which):
    unit = dict(line.split("=", 1) for line in booted.text("real-root", f"{which}-unit").splitlines() if "=" in line)
    assert unit["UnitFileState"] == "enabled", "Ignition enabled the unit, the first boot's presets made it so"
    assert unit["ActiveState"] == "active" and unit["Result"] == "success" and unit["ExecMainStatus"] == "0"
    assert "path=/run/modulus/bin/modulus" in unit["ExecStart"]


def test_no_other_copy_of_the_program_is_on_the_machine(booted):
    found = (booted.text("real-root", "copies") + "\n" + booted.text("real-root", "copies-usr")).splitlines()
    assert [path for path in found if path.endswith("/modulus")] == []
    assert "/run/modulus/bin/modulus" in booted.text("real-root", "run").splitlines()


def test_status_in_the_real_root_tells_of_both_halves(booted):
    told = json.loads(booted.text("real-root", "status-json"))
    (driver,) = told["drivers"]
    assert (driver["name"], driver["reason"], driver["source"]) == (DRIVER, "loaded", "usr")
    assert told["finish"] and told["finish"]["at_us"] >= told["finished_us"]


def test_status_for_people_is_short_and_says_loaded(booted):
    text = booted.section("real-root", "status-text")
    assert text.code == 0
    assert DRIVER in text.text and "loaded" in text.text
    assert len(text.text.splitlines()) < 25


def test_the_journal_of_the_initramfs_part_survives_into_the_real_root(booted):
    lines = booted.text("real-root", "boot-journal").splitlines()
    assert len([line for line in lines if f"{DRIVER}: loaded:" in line]) == 1


def test_no_unit_failed(booted):
    assert booted.text("real-root", "failed-units").strip() == ""


def test_the_modules_were_live_before_systemd_switched_root(booted):
    stamps = dict(line.split("=") for line in booted.text("real-root", "switch-root").splitlines() if "=" in line)
    switched_us = int(stamps["UserspaceTimestampMonotonic"])
    assert int(stamps["InitRDTimestampMonotonic"]) < booted.status("initramfs")["finished_us"] < switched_us


# --- after the boot ---

def _names(booted, section: str) -> set[str]:
    return {line.split()[0] for line in booted.text("real-root", section).splitlines() if line}


def test_modprobe_finds_a_module_that_only_the_bundle_has(booted):
    assert EXTRA not in booted.modules("real-root")
    said = booted.section("real-root", "probe-name")
    assert said.code == 0, said.text
    assert EXTRA in _names(booted, "probed")


def test_unload_takes_it_out_again_and_leaves_the_rest(booted):
    said = booted.section("real-root", "unload")
    assert said.code == 0, said.text
    assert _names(booted, "probed") - _names(booted, "unloaded") == {EXTRA}


def test_modprobe_finds_it_by_alias_and_hands_its_parameters_on(booted):
    said = booted.section("real-root", "probe-alias")
    assert said.code == 0, said.text
    assert {"dummy0", "dummy1", "dummy2"} <= set(booted.text("real-root", "probed-again").split())


def test_unload_takes_the_driver_out_and_status_says_whose_doing_it_is(booted):
    said = booted.section("real-root", "unload-driver")
    assert said.code == 0, said.text
    assert not {"virtio_gpu", "drm"} & _names(booted, "unloaded-driver")
    (driver,) = json.loads(booted.text("real-root", "unloaded-status"))["drivers"]
    assert driver["reason"] == "disabled" and "by hand" in driver["text"], driver
    assert "bundle" not in {module["from"] for module in driver["modules"]}


def test_udev_brings_it_back_from_the_bundle_for_the_device_that_is_there(booted):
    """In the sandbox of systemd-udevd.service, by libkmod inside of it."""
    said = booted.section("real-root", "trigger")
    assert said.code == 0, said.text
    assert {"virtio_gpu", "drm"} <= _names(booted, "triggered"), booted.text("real-root", "udev-journal")
    assert sorted(booted.text("real-root", "triggered-nodes").split()) == ["/dev/dri/card0", "/dev/dri/renderD128"]
    (driver,) = json.loads(booted.text("real-root", "triggered-status"))["drivers"]
    assert driver["reason"] == "loaded", driver
    assert "virtio_gpu" in {module["name"] for module in driver["modules"] if module["from"] == "bundle"}
