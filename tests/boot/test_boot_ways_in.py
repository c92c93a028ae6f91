# SPDX-License-Identifier: Apache-2.0
"""Initramfs images that are not made by dracut with our module and systemd: the add-on behind one that knows nothing of us."""

from rig import initramfs
from rig.scenarios import DRIVER

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

