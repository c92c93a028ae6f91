# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of an init that failed is what the report says, errno by errno; and a module that is live already
is no failure. Where the driver of one flavour found no device, that of another gets its turn in the same boot."""

import errno
import os

import pytest

from rig.faultboots import ERRNOS, FLAVOURS, WRONG

SECOND = 1_000_000
# all others are `init-failed`. ENOEXEC is what the kernel itself says of a module that is not for it
REASONS = {errno.ENOMEM: "no-space", errno.EKEYREJECTED: "unsigned-module", errno.ENOEXEC: "wrong-kernel", errno.ENODEV: "no-device"}


@pytest.mark.parametrize("code", ERRNOS)
def test_an_init_that_returns_an_errno_is_told_by_its_name(failing_inits, code):
    driver = failing_inits.boot.driver("initramfs", f"errno-{code}")
    assert driver["reason"] == REASONS.get(code, "init-failed"), driver["text"]
    assert "fault_errno" in driver["text"] and os.strerror(code) in driver["text"]
    assert driver["modules"] == []


@pytest.mark.parametrize("code", ERRNOS)
def test_what_such_an_init_said_is_in_the_report(failing_inits, code):
    said = [line for line in failing_inits.boot.driver("initramfs", f"errno-{code}")["kernel_log"] if "this is error" in line]
    assert said == [f"fault_errno: this is error {code}"]


def test_an_init_that_returns_eexist_is_not_taken_for_a_live_module(failing_inits):
    assert failing_inits.boot.driver("initramfs", f"errno-{errno.EEXIST}")["reason"] == "init-failed"
    assert "fault_errno" not in failing_inits.boot.modules("real-root")


def test_a_module_that_is_live_already_is_used_as_it_is(failing_inits):
    first, second = (failing_inits.boot.driver("initramfs", name) for name in ("live-first", "live-second"))
    assert (first["reason"], second["reason"]) == ("loaded", "loaded")
    assert [module["from"] for module in first["modules"]] == ["bundle"]
    assert [module["from"] for module in second["modules"]] == ["live"]
    assert len(failing_inits.boot.kernel_log("hello_gpu: hello")) == 1


def test_after_a_flavour_that_found_no_device_the_other_is_loaded_in_the_same_boot(failing_inits):
    boot = failing_inits.boot
    driver = boot.driver("initramfs", FLAVOURS)
    assert (driver["reason"], driver["flavor"]) == ("loaded", "proprietary"), driver["text"]
    assert [(module["name"], module["from"]) for module in driver["modules"]] == [("fault_slow", "bundle")]
    assert "fault_slow" in boot.modules("initramfs") and "fault_enodev" not in boot.modules("initramfs")
    (first,) = (entry for entry in driver["rejected"] if entry["reason"] != "no-bundle")    # the other drivers'
    assert first["reason"] == "no-device" and "fault_enodev found no device that it can drive" in first["text"]
    assert driver["kernel_log"][-1] == "fault_enodev: this device is not supported"


def test_a_bundle_for_another_device_is_not_tried(failing_inits):
    driver = failing_inits.boot.driver("initramfs", WRONG)
    assert driver["reason"] == "no-device" and driver["devices"] and driver["modules"] == []
    assert "drives none of the driver's devices here" in driver["text"]
    assert not failing_inits.boot.kernel_log("fault_einval")


def test_no_failing_init_holds_the_boot_up(failing_inits):
    status = failing_inits.boot.status("initramfs")
    assert status["finished_us"] - status["started_us"] < 60 * SECOND
