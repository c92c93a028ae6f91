# SPDX-License-Identifier: Apache-2.0
"""Disks that are full, write-protected or broken, little memory, wild clocks, no entropy, a crash kernel: the boot ends, the
GPU is there where it can be, and the report says what could not be done."""

import pytest

from rig.faultboots import DRIVER, LARGE, UNREADABLE

SECOND = 1_000_000
BUDGET_US = 60 * SECOND
GPU_NODES = ["/dev/dri/card0", "/dev/dri/renderD128"]
YEAR_1999, YEAR_2000, YEAR_2099 = 915148800, 946684800, 4070908800


def _loaded(report, source: str = "usr") -> dict:
    """The GPU driver's entry, after the checks that all of these boots share."""
    driver = report.driver("initramfs", DRIVER)
    assert (driver["reason"], driver["source"]) == ("loaded", source), driver
    assert report.nodes("initramfs") == report.nodes("real-root") == GPU_NODES
    assert driver["us"] < BUDGET_US
    return driver


def test_a_full_disk_leaves_the_driver_loaded_and_not_cached(full_disk):
    driver = _loaded(full_disk.boot)
    assert [warning for warning in driver["warnings"] if warning.startswith("not cached: no-space:")], driver["warnings"]
    assert driver["cached"] is None
    assert [line for line in full_disk.boot.text("real-root", "cache").splitlines() if "bundles" in line] == []


def test_a_write_protected_root_leaves_the_driver_loaded_and_not_cached(write_protected):
    driver = _loaded(write_protected.boot)
    assert [warning for warning in driver["warnings"] if "not cached" in warning and "read-only" in warning]
    assert [warning for warning in driver["warnings"] if "attempt not recorded" in warning and "read-only" in warning]


def test_a_disk_that_cannot_write_leaves_the_driver_loaded_and_no_broken_copy(write_errors):
    driver = _loaded(write_errors.boot)
    assert [warning for warning in driver["warnings"] if "not cached" in warning and "Input/output error" in warning]
    assert [line for line in write_errors.boot.text("real-root", "cache").splitlines() if line.endswith(".tar.zst")] == []


def test_a_cache_that_cannot_be_read_gives_way_to_the_next_source(read_errors):
    driver = _loaded(read_errors.boot)
    assert [rejected for rejected in driver["rejected"]
            if rejected["origin"].startswith("cache:") and "Input/output error" in rejected["text"]], driver["rejected"]


def test_a_bundle_that_cannot_be_read_costs_its_own_driver_only(read_errors):
    driver = read_errors.boot.driver("initramfs", UNREADABLE)
    assert driver["reason"] == "system-error" and "Input/output error" in driver["text"]
    assert driver["modules"] == [] and driver["us"] < BUDGET_US


@pytest.mark.parametrize("machine, year, next_year", [("write_protected", YEAR_1999, YEAR_2000),
                                                      ("full_disk", YEAR_2099, YEAR_2099 + (YEAR_2000 - YEAR_1999))])
def test_neither_1999_nor_2099_keeps_a_signed_bundle_out(request, machine, year, next_year):
    report = request.getfixturevalue(machine).boot
    assert year <= int(report.text("initramfs", "clock")) < next_year, "the clock was not what the test wanted"
    _loaded(report)


def test_a_machine_without_entropy_does_not_wait_for_any(write_protected):
    """The saved boot has no virtio-rng, QEMU's plain CPU no RDRAND, and the kernel is told to trust neither."""
    report = write_protected.boot
    assert "rdrand" not in report.text("initramfs", "cpu")
    assert report.text("initramfs", "hardware-rng").split() in ([], ["none"])
    _loaded(report)


def test_a_bundle_too_large_for_the_memory_is_refused_and_the_next_one_loaded(little_memory):
    driver = little_memory.boot.driver("initramfs", LARGE)
    assert driver["reason"] == "no-space", driver
    assert driver["modules"] == []
    assert "Out of memory" not in little_memory.boot.console
    assert little_memory.boot.driver("initramfs", DRIVER)["reason"] == "loaded"
    assert little_memory.boot.nodes("real-root") == GPU_NODES


def test_nothing_happens_in_a_kernel_that_saves_a_crash_dump(crash_kernel):
    report = crash_kernel.boot
    assert report.section("initramfs", "vmcore").code == 0, "the kernel shows no dump: this was no crash kernel"
    assert not report.has_status("initramfs")
    assert "modulus:" not in report.console
    assert report.nodes("real-root") == []
    assert report.ended
