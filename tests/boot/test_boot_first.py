# SPDX-License-Identifier: Apache-2.0
"""A machine provisioned by Ignition: first boot from the bundle on /usr, second boot from the cache.

`initramfs` is what a unit between modulus.service and switch-root saw; `real-root` is PID 1 after it.
"""

import hashlib

import pytest

from rig.bundles import Parts
from rig.scenarios import DRIVER

CLOSURE = {"virtio_gpu", "drm", "drm_kms_helper", "drm_shmem_helper", "virtio_dma_buf"}
GPU_NODES = ["/dev/dri/card0", "/dev/dri/renderD128"]


@pytest.fixture(params=["first", "second"])
def either_boot(request, provisioned):
    return getattr(provisioned, request.param)


def test_nothing_but_modulus_brings_the_gpu(either_boot):
    assert not CLOSURE & either_boot.modules("before")
    assert either_boot.nodes("before") == []


def test_the_gpu_is_there_before_switch_root(either_boot):
    assert either_boot.section("initramfs", "initrd").code == 0, "the report was not made in the initramfs"
    assert CLOSURE <= either_boot.modules("initramfs")
    assert either_boot.nodes("initramfs") == GPU_NODES


def test_the_gpu_is_still_there_in_the_real_root(either_boot):
    assert either_boot.section("real-root", "initrd").code != 0, "still in the initramfs"
    assert CLOSURE <= either_boot.modules("real-root")
    assert either_boot.nodes("real-root") == GPU_NODES
    assert either_boot.uptime("real-root") > either_boot.uptime("initramfs")


def test_in_tree_modules_leave_the_kernel_untainted(either_boot):
    assert either_boot.taint("before") == 0
    assert either_boot.taint("real-root") == 0


def test_the_first_boot_takes_the_bundle_on_usr(provisioned):
    driver = provisioned.first.driver("initramfs", DRIVER)
    assert driver["reason"] == "loaded"
    assert driver["source"] == "usr"
    assert driver["origin"].startswith("usr:") and driver["origin"].endswith(f"/{DRIVER}.tar.zst")
    assert set(GPU_NODES) <= set(driver["nodes"])


def test_the_first_boot_leaves_the_bundle_in_the_cache(provisioned, workshop):
    digest = hashlib.sha256(Parts.of(provisioned.bundle).manifest).hexdigest()
    driver = provisioned.first.driver("initramfs", DRIVER)
    assert driver["digest"] == digest
    assert driver["cached"] == f"/var/lib/modulus/bundles/{workshop.kernel.release}/{DRIVER}-modules-{digest}.tar.zst"
    assert driver["cached"] in provisioned.first.text("real-root", "cache").splitlines()


def test_the_second_boot_takes_the_cache_although_usr_has_no_bundle(provisioned):
    driver = provisioned.second.driver("initramfs", DRIVER)
    assert driver["reason"] == "loaded"
    assert driver["source"] == "cache"
    assert driver["origin"].startswith("cache:")
    assert driver["digest"] == provisioned.first.driver("initramfs", DRIVER)["digest"]


def test_each_module_comes_from_the_bundle_and_is_inserted_once(either_boot):
    modules = either_boot.driver("initramfs", DRIVER)["modules"]
    names = [module["name"].replace("-", "_") for module in modules]
    assert len(names) == len(set(names))
    assert {name for name, module in zip(names, modules) if module["from"] == "bundle"} == CLOSURE


def test_the_report_names_the_device_the_phases_and_the_kernel(either_boot, workshop):
    status = either_boot.status("initramfs")
    driver = either_boot.driver("initramfs", DRIVER)
    assert status["format"] == 1 and status["stage"] == "initramfs"
    assert status["kernel"]["release"] == workshop.kernel.release and status["kernel"]["build_id"]
    assert status["taint"] == {"before": 0, "after": 0}
    assert status["started_us"] < status["finished_us"] <= either_boot.uptime("initramfs") * 1_000_000 + 10_000
    assert len(driver["devices"]) == 1 and driver["devices"][0].startswith("0000:")
    assert {"load", "nodes"} <= {phase["name"] for phase in driver["phases"]}


def test_both_boots_report_what_the_journal_says_in_one_line(either_boot):
    lines = [line for line in either_boot.console.splitlines() if f"{DRIVER}: loaded:" in line]
    assert len(lines) == 1, lines


def test_the_copy_in_run_tells_the_same_in_the_real_root(either_boot):
    text = either_boot.section("real-root", "status-text")
    assert text.code == 0
    assert DRIVER in text.text and "loaded" in text.text
    assert either_boot.section("real-root", "status-json").code == 0


def test_the_second_boot_found_and_left_the_root_read_only(provisioned):
    for where in ("before", "initramfs"):
        (root,) = [mount for mount in provisioned.second.mounts(where) if mount.target == "/sysroot"]
        assert "ro" in root.options
