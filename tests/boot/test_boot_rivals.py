# SPDX-License-Identifier: Apache-2.0
"""One GPU and three drivers, in this order: a rival that takes the device; the real driver, which evicts the rival; one
that evicts the real driver and then fails, so that the real one must get the device back."""

from rig.scenarios import DRIVER, FAILING, RIVAL

GIVEN_UP = "was taken from me"


def test_the_rival_had_the_device_first(rivals):
    assert rivals.boot.driver("initramfs", RIVAL)["reason"] == "loaded"
    assert "rival_gpu: virtio" in rivals.boot.text("real-root", "kernel-log")


def test_the_rival_gave_the_device_up_and_the_driver_has_it_before_switch_root(rivals):
    driver = rivals.boot.driver("initramfs", DRIVER)
    assert driver["reason"] == "loaded", driver["text"]
    assert GIVEN_UP in rivals.boot.text("real-root", "kernel-log")
    assert "/dev/dri/card0" in rivals.boot.text("initramfs", "nodes").split()


def test_after_a_failure_the_device_is_back_with_whom_it_was_taken_from(rivals):
    driver = rivals.boot.driver("initramfs", FAILING)
    assert driver["reason"] == "init-failed" and "fault_einval" in driver["text"]
    bound = dict(line.split() for line in rivals.boot.text("real-root", "virtio-drivers").splitlines() if " " in line)
    assert "virtio_gpu" in bound.values() and "rival-of-the-gpu" not in bound.values(), bound
    assert "/dev/dri/card0" in rivals.boot.text("real-root", "nodes").split()


def test_only_the_driver_that_is_live_keeps_its_rivals_away(rivals):
    lines = rivals.boot.text("real-root", "modprobe.d").split("\n")
    assert [line for line in lines if ":blacklist " in line] == [f"/run/modprobe.d/modulus-{DRIVER}.conf:blacklist rival_gpu"]
