# SPDX-License-Identifier: Apache-2.0
"""What the operator asks for when a driver is not there, and what an orderly shutdown does to an attempt."""

import json

from rig.scenarios import DRIVER, FAILING

ASKED = f"{FAILING}: Required=yes, and it is not there: asking for"


def test_without_onfailure_a_required_driver_that_fails_ends_in_an_emergency(required):
    assert f"{ASKED} emergency.target" in required.emergency.console
    assert f"{FAILING}: init-failed: fault_einval" in required.emergency.console
    assert ("real-root", "status") not in required.emergency.sections, "no switch-root"
    assert "reboot: Power down" in required.emergency.console, "which is what this machine's emergency does"


def test_the_machine_is_rebooted_where_that_is_asked_for(required):
    assert f"{ASKED} reboot.target" in required.reboot.console
    assert ("real-root", "status") not in required.reboot.sections
    assert "reboot: Restarting system" in required.reboot.console


def _records(report, where: str) -> list[dict]:
    text, found, decoder = report.text(where, "trials").strip(), [], json.JSONDecoder()
    while text:
        record, end = decoder.raw_decode(text)
        found.append(record)
        text = text[end:].strip()
    return found


def test_an_attempt_is_open_once_the_driver_is_loaded(stopped_early):
    boot_id = stopped_early.first.status("initramfs")["boot_id"]
    assert stopped_early.first.driver("initramfs", DRIVER)["reason"] == "loaded"
    (record,) = _records(stopped_early.first, "initramfs")
    assert (record["name"], record["open"], record["misses"]) == (DRIVER, boot_id, 0)
    assert ("real-root", "status") not in stopped_early.first.sections


def test_a_shutdown_in_good_order_is_no_miss(stopped_early):
    (record,) = _records(stopped_early.second, "initramfs")
    assert (record["open"], record["misses"]) == (stopped_early.second.status("initramfs")["boot_id"], 0)
