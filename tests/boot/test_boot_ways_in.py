# SPDX-License-Identifier: Apache-2.0
"""Initramfs images that are not made by dracut with our module and systemd: the add-on behind one that knows nothing of us, and
a hook where dracut's own scripts are PID 1."""

from rig import initramfs
from rig.scenarios import DRIVER, FAILING

GPU_NODES = ["/dev/dri/card0", "/dev/dri/renderD128"]


def test_the_image_below_the_add_on_knows_nothing_of_us(added_on):
    listing = initramfs.listing(added_on.foreign)
    assert "usr/lib/systemd/systemd" in listing
    assert [path for path in listing if "modulus" in path] == []


def test_the_add_on_brings_the_gpu_before_switch_root(added_on):
    boot = added_on.boot
    assert boot.section("initramfs", "initrd").code == 0, "the report was not made in the initramfs"
    assert "virtio_gpu" not in boot.modules("before") and boot.nodes("before") == []
    assert boot.driver("initramfs", DRIVER)["reason"] == "loaded"
    assert boot.nodes("initramfs") == GPU_NODES


def test_what_the_add_on_left_is_finished_in_the_real_root(added_on):
    boot = added_on.boot
    assert boot.section("real-root", "initrd").code != 0, "still in the initramfs"
    assert boot.nodes("real-root") == GPU_NODES
    assert boot.section("real-root", "finish").code == 0
    assert "/run/modulus/bin/modulus" in boot.text("real-root", "run").splitlines()



def test_without_systemd_a_hook_brings_the_gpu_before_switch_root(without_systemd, workshop):
    assert [path for path in initramfs.listing(workshop.initramfs_without_systemd) if path.endswith("/modulus.service")] == []
    boot = without_systemd.boot
    assert "systemd" not in boot.text("before", "processes").split()
    assert boot.section("initramfs", "initrd").code == 0, "the report was not made in the initramfs"
    assert "virtio_gpu" not in boot.modules("before") and boot.nodes("before") == []
    driver = boot.driver("initramfs", DRIVER)
    assert (driver["reason"], driver["source"], driver["warnings"]) == ("loaded", "usr", [])
    assert boot.nodes("initramfs") == boot.nodes("real-root") == GPU_NODES


def test_without_systemd_the_real_root_can_run_what_was_left_in_run(without_systemd):
    """dracut's scripts mount /run noexec, and it moves along."""
    boot = without_systemd.boot
    options = {mount.target: mount.options for mount in boot.mounts("real-root")}
    assert "noexec" in options["/run"] and "noexec" not in options["/run/modulus/bin"]
    assert boot.section("real-root", "finish").code == 0, boot.text("real-root", "finish")
    (cached,) = [path for path in boot.text("real-root", "cache").splitlines() if path.endswith(".tar.zst")]
    assert cached == boot.driver("initramfs", DRIVER)["cached"]


def test_without_systemd_a_required_driver_that_fails_reboots_all_the_same(without_systemd):
    assert f"{FAILING}: Required=yes, and it is not there: asking for reboot.target" in without_systemd.required.console
    assert ("real-root", "status") not in without_systemd.required.sections, "no switch-root"
    assert "sysrq: Resetting" in without_systemd.required.console
