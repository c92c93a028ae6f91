# SPDX-License-Identifier: Apache-2.0
"""A bundle that takes the machine down is tried three times and no more; a machine that goes down for another reason
keeps its GPU."""

import json

import pytest

from rig.faultboots import DRIVER, PANICKY


def _record(report) -> dict:
    """The only record of attempts that is on the disk."""
    return json.loads(report.text("real-root", "trials"))


def test_the_module_brought_the_machine_down_three_times(panic_loop):
    for report in panic_loop.crashed:
        assert not report.ended
        assert "Kernel panic - not syncing: fault_panic" in report.console, report.name


def test_the_fourth_boot_reaches_the_real_root_without_it(panic_loop):
    report = panic_loop.blocked
    assert report.ended and "Kernel panic" not in report.console
    assert "fault_panic" not in report.modules("real-root")
    driver = report.driver("real-root", PANICKY)
    assert driver["reason"] == "blocked", driver
    assert "3 times" in driver["text"]
    assert driver["modules"] == []


def test_the_record_has_three_misses(panic_loop):
    record = _record(panic_loop.blocked)
    assert (record["open"] is None or record["misses"] == 2) and record["name"] == PANICKY, record


def test_an_older_bundle_is_used_where_the_newer_one_is_blocked(panic_loop):
    driver = panic_loop.older.driver("real-root", PANICKY)
    assert (driver["reason"], driver["serial"]) == ("loaded", 1), driver
    assert "blocked" in [rejected["reason"] for rejected in driver["rejected"]]
    assert "hello_gpu" in panic_loop.older.modules("real-root")


def test_a_blocked_bundle_is_not_in_the_cache_either(panic_loop):
    assert "fault_panic" not in panic_loop.blocked.console.split("Kernel panic")[0]
    assert not [line for line in panic_loop.blocked.text("real-root", "cache").splitlines() if line.endswith(".tar.zst")]


@pytest.mark.parametrize("number", range(4))
def test_cut_power_after_a_healthy_boot_is_no_miss(power_cycles, number):
    report = power_cycles.boots[number]
    assert report.driver("real-root", DRIVER)["reason"] == "loaded"
    record = _record(report)
    assert (record["open"], record["misses"]) == (None, 0), (number, record)
