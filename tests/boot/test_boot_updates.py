# SPDX-License-Identifier: Apache-2.0
"""An update of a host with slots costs no boot its GPU: whoever brings a new kernel has its bundle fetched, and that kernel finds
it in its initramfs without a network, as the old one does when the machine goes back to it. test_boot_packaged.py has the host
whose kernels are packages."""

import json
import re

import pytest

from rig.scenarios import DRIVER

WAYS = ["flatcar", "path", "timer"]


@pytest.mark.parametrize("way", WAYS)
def test_each_way_brings_the_next_kernels_bundle_into_the_cache(updated, way):
    cached = set(updated.first.text("real-root", f"{way}-cache").split())
    assert cached == {updated.old_place, updated.new_place}


def test_each_of_them_transferred_it_and_nothing_else_did(updated):
    path = f"/{updated.new.release}/{DRIVER}.tar.zst"
    assert updated.asked == [(path, 200)] * len(WAYS)


def test_flatcars_hook_lets_the_update_go_on_while_the_running_slot_is_still_the_next_one(updated):
    said = updated.first.text("real-root", "slot-before")   # behind the progress line, since a terminal reads it
    before = json.loads(said[said.index("{"):])["kernel"]
    assert before["running"] and before["release"] == updated.old.release and "slot USR-A" in before["how"]
    hook = updated.first.section("real-root", "flatcar-hook")
    assert hook.code == 0 and "update: may go on: every driver with a Gate= is ready" in hook.text, hook.text
    assert f"kernel {updated.new.release} " in hook.text


@pytest.mark.parametrize("way", ["path", "timer"])
def test_the_unit_finds_the_next_slot_from_within_its_sandbox(updated, way):
    unit = dict(line.split("=", 1) for line in updated.first.text("real-root", f"{way}-service").splitlines())
    assert (unit["Result"], unit["ExecMainStatus"], unit["ActiveState"]) == ("success", "0", "inactive")
    assert f"the next boot runs kernel {updated.new.release}: slot USR-B" in updated.first.text("real-root", f"{way}-journal")


def test_nothing_is_fetched_before_somebody_says_so(updated):
    units = [dict(line.split("=", 1) for line in block.splitlines()) for block in
             updated.first.text("real-root", "units").strip().split("\n\n")]
    service, = [unit for unit in units if unit["Id"] == "modulus-fetch.service"]
    timer, = [unit for unit in units if unit["Id"] == "modulus-fetch.timer"]
    assert service["ActiveState"] == "inactive" and service["ExecMainStartTimestampMonotonic"] == "0"
    assert {unit["Id"]: unit["ActiveState"] for unit in units if unit is not service} == {
        "modulus-fetch.path": "active", "modulus-fetch.timer": "active"}
    assert re.search(r" \d\d:\d\d:\d\d UTC$", timer["NextElapseUSecRealtime"])
    assert not re.search(r" (00|12):00:00 UTC$", timer["NextElapseUSecRealtime"]), "every machine at the same moment"


def test_after_the_update_the_gate_is_open_and_no_unit_failed(updated):
    assert updated.first.section("real-root", "gate").code == 0
    assert updated.first.text("real-root", "failed-units").strip() == ""


@pytest.mark.parametrize("boot, kernel, place", [("second", "new", "new_place"), ("third", "old", "old_place")],
                         ids=["the-new-kernel", "the-old-one-again"])
def test_each_kernel_has_its_driver_before_switch_root_without_a_network(updated, boot, kernel, place):
    booted = getattr(updated, boot)
    driver = booted.driver("initramfs", DRIVER)
    assert (driver["reason"], driver["source"]) == ("loaded", "cache"), driver["text"]
    assert driver["origin"] == f"cache:{getattr(updated, place)}"
    assert booted.status("initramfs")["kernel"]["release"] == getattr(updated, kernel).release
    assert booted.nodes("initramfs") == ["/dev/dri/card0", "/dev/dri/renderD128"]
    assert "virtio_net" not in booted.modules("initramfs"), "there is a network card"
