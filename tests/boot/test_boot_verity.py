# SPDX-License-Identifier: Apache-2.0
"""A /usr under dm-verity, in two slots: bundles are read through it, and a block that it refuses is a failed read."""

from rig.scenarios import DRIVER

NODES = ["/dev/dri/card0", "/dev/dri/renderD128"]


def test_a_bundle_on_a_usr_under_verity_is_loaded_before_the_real_root(verity):
    boot = verity.first
    (usr,) = [mount for mount in boot.mounts("before") if mount.target == "/sysroot/usr"]
    assert usr.type == "erofs" and usr.source == "/dev/mapper/usr", usr
    driver = boot.driver("initramfs", DRIVER)
    assert (driver["reason"], driver["source"]) == ("loaded", "usr"), driver["text"]
    assert boot.nodes("initramfs") == boot.nodes("real-root") == NODES


def test_the_other_slot_has_none_and_gets_it_from_the_cache(verity):
    driver = verity.second.driver("initramfs", DRIVER)
    assert (driver["reason"], driver["source"]) == ("loaded", "cache"), driver["text"]
    assert verity.second.nodes("initramfs") == NODES and verity.second.ended


def test_a_block_that_verity_refuses_is_an_error_and_the_next_bundle_is_taken(verity):
    boot = verity.third
    driver = boot.driver("initramfs", DRIVER)
    assert (driver["reason"], driver["source"]) == ("loaded", "cache"), driver["text"]
    (refused,) = [entry for entry in driver["rejected"] if entry["origin"].startswith("usr:")]
    assert "Input/output error" in refused["text"], refused
    assert boot.nodes("initramfs") == NODES and boot.ended
