# SPDX-License-Identifier: Apache-2.0
"""Where the bundle and the in-tree modules come from: a /usr that the OS mounted, or one that it did not."""

import re

from rig.scenarios import APART, DRIVER

IN_TREE = {"drm", "drm_kms_helper", "drm_shmem_helper", "virtio_dma_buf"}


def by_origin(driver: dict, origin: str) -> set[str]:
    return {module["name"].replace("-", "_") for module in driver["modules"] if module["from"] == origin}


def test_in_tree_dependencies_come_from_the_systems_own_usr(read_only_root):
    driver = read_only_root.boot.driver("initramfs", DRIVER)
    assert driver["reason"] == "loaded", driver["text"]
    assert by_origin(driver, "bundle") == {"virtio_gpu"}
    assert by_origin(driver, "kernel") == IN_TREE
    assert IN_TREE | {"virtio_gpu"} <= read_only_root.boot.modules("initramfs")
    assert read_only_root.boot.nodes("initramfs") == ["/dev/dri/card0", "/dev/dri/renderD128"]


def test_a_read_only_root_gets_the_cache_and_is_read_only_again(read_only_root):
    boot = read_only_root.boot
    for where in ("before", "initramfs"):
        (root,) = [mount for mount in boot.mounts(where) if mount.target == "/sysroot"]
        assert "ro" in root.options and "rw" not in root.options
    driver = boot.driver("initramfs", DRIVER)
    assert driver["source"] == "usr" and driver["cached"]
    assert driver["cached"] in boot.text("real-root", "cache").splitlines()
    (root,) = [mount for mount in boot.mounts("real-root") if mount.target == "/"]
    assert "ro" in root.options


def test_unknown_keys_and_sections_are_warnings_with_file_and_line(read_only_root):
    warnings = read_only_root.boot.status("initramfs")["warnings"]
    assert any(f"/etc/modulus/{DRIVER}.conf:4" in line and "Colour" in line for line in warnings), warnings
    assert any(f"/etc/modulus/{DRIVER}.conf:" in line and "Weather" in line for line in warnings), warnings
    assert read_only_root.boot.driver("initramfs", DRIVER)["reason"] == "loaded"


def test_an_unmounted_usr_is_found_by_its_partition_type(usr_by_type):
    boot = usr_by_type.boot
    assert not any("erofs" == mount.type for mount in boot.mounts("before")), "the OS mounted /usr by itself"
    driver = boot.driver("initramfs", DRIVER)
    assert driver["reason"] == "loaded", driver["text"]
    assert driver["source"] == "usr"
    assert boot.nodes("real-root") == ["/dev/dri/card0", "/dev/dri/renderD128"]


def test_a_partition_that_the_driver_file_names_has_its_bundle(usr_by_type):
    driver = usr_by_type.boot.driver("initramfs", APART)
    assert driver["reason"] == "loaded", driver["text"]
    assert driver["source"] == "partition"
    assert re.fullmatch(rf"partition:/dev/vd\w+:/modulus/bundles/[^/]+/{APART}\.tar\.zst", driver["origin"])


def test_a_partition_that_is_not_there_has_no_bundle(usr_by_type):
    driver = usr_by_type.boot.driver("initramfs", f"{APART}-not")
    assert driver["reason"] == "no-bundle"
    said = [entry["text"] for entry in driver["rejected"]]
    assert said == ["no device is PARTLABEL=NONE", "/dev/vda holds no file system that may be mounted for this"]


def test_what_was_mounted_to_look_is_unmounted_again(usr_by_type):
    assert usr_by_type.boot.mounts("initramfs") == usr_by_type.boot.mounts("before")


def test_two_usr_partitions_are_refused_with_both_named(two_usr_partitions):
    boot = two_usr_partitions.boot
    driver = boot.driver("initramfs", DRIVER)
    assert driver["reason"] == "ambiguous"
    named = (driver["text"] + " ".join(entry["text"] for entry in driver["rejected"])).lower()
    assert "/dev/vda1" in named and "/dev/vda2" in named, named
    assert not {"virtio_gpu", "drm"} & boot.modules("real-root")
    assert boot.mounts("initramfs") == boot.mounts("before")
    assert boot.ended
    assert boot.section("real-root", "status-text").code == 8
