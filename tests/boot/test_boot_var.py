# SPDX-License-Identifier: Apache-2.0
"""The cache is on a /var of its own, which the initramfs does not mount; what is damaged in it is put aside."""

import hashlib

import pytest

from rig import disk
from rig.host import run
from rig.scenarios import DRIVER

GPU_NODES = ["/dev/dri/card0", "/dev/dri/renderD128"]
CACHE = "/lib/modulus/bundles"


@pytest.fixture(params=["first", "second"])
def either_boot(request, separate_var):
    return getattr(separate_var, request.param)


def test_a_damaged_copy_is_reported_and_the_sound_one_loaded(separate_var):
    driver = separate_var.first.driver("initramfs", DRIVER)
    assert driver["reason"] == "loaded", driver["text"]
    assert driver["source"] == "usr"
    assert [(entry["reason"], entry["origin"].rpartition("/")[2]) for entry in driver["rejected"]] == [
        ("corrupt", separate_var.name)]
    assert any("moved to quarantine" in line for line in driver["warnings"]), driver["warnings"]


def test_the_first_boot_caches_on_the_unmounted_var(separate_var, workshop):
    driver = separate_var.first.driver("initramfs", DRIVER)
    assert driver["cached"] == f"/var{CACHE}/{workshop.kernel.release}/{separate_var.name}"


def test_the_second_boot_hits_the_cache_there(separate_var):
    driver = separate_var.second.driver("initramfs", DRIVER)
    assert driver["reason"] == "loaded", driver["text"]
    assert driver["source"] == "cache" and driver["rejected"] == []
    assert driver["origin"].endswith(separate_var.name)


def test_the_gpu_is_there_before_switch_root(either_boot):
    assert either_boot.nodes("initramfs") == GPU_NODES


def test_nothing_is_left_mounted_and_the_root_is_as_it_was(either_boot):
    assert either_boot.mounts("initramfs") == either_boot.mounts("before")


def test_the_roots_own_var_is_untouched(either_boot):
    """What is written there would be hidden by the mount to come."""
    assert separate_var_files(either_boot) == []


def separate_var_files(boot) -> list[str]:
    return [line for line in boot.text("real-root", "cache").splitlines() if line.startswith("/var/")]


def test_the_file_system_is_sound_and_holds_the_good_copy_and_the_evidence(separate_var, workshop):
    run("e2fsck", "-fn", separate_var.left)
    shelf = disk.files_of(separate_var.left, f"{CACHE}/{workshop.kernel.release}")
    assert shelf == {separate_var.name: separate_var.bundle.stat().st_size}
    aside = disk.files_of(separate_var.left, f"{CACHE}/.quarantine")
    assert aside == {separate_var.name: separate_var.bundle.stat().st_size}
    digests = []
    for folder in (workshop.kernel.release, ".quarantine"):
        out = separate_var.left.with_suffix(".out")
        run("debugfs", "-R", f"dump {CACHE}/{folder}/{separate_var.name} {out}", separate_var.left)
        digests.append(hashlib.sha256(out.read_bytes()).hexdigest())
    good = hashlib.sha256(separate_var.bundle.read_bytes()).hexdigest()
    assert digests[0] == good != digests[1]
