# SPDX-License-Identifier: Apache-2.0
"""Bundles that must not be used: nothing is loaded, the kernel is not tainted, the boot goes on, and status says why.

One guest carries many drivers that all ask for its GPU, each with a bundle that is wrong in its own way.
"""

import pytest

from rig.bundles import other_release
from rig.scenarios import DRIVER, OTHER_SYMBOL

REASONS = {
    "other-release": "wrong-kernel",
    "other-build": "wrong-kernel",
    "other-crc": "wrong-kernel",
    "other-flags": "wrong-kernel",
    "other-vermagic": "wrong-kernel",
    "flipped-chunk": "corrupt",
    "truncated": "corrupt",
    "flipped-manifest": "untrusted",
    "garbage-signature": "corrupt",
    "unsigned": "untrusted",
    "unknown-key": "untrusted",
    "other-version": "no-bundle",
    "absent": "no-bundle",
    "broken-conf": "bad-config",
    "no-match": "bad-config",
}
EXIT_CODES = {"no-bundle": 3, "wrong-kernel": 3, "untrusted": 4, "corrupt": 4, "bad-config": 8}
DRIVER_MODULES = {"hello_gpu", "virtio_gpu", "drm", "drm_kms_helper", "drm_shmem_helper"}


def test_the_guest_asked_for_every_one_of_them(refused):
    assert {driver["name"] for driver in refused.boot.status("initramfs")["drivers"]} == set(REASONS)


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_is(refused, name):
    driver = refused.boot.driver("initramfs", name)
    assert driver["reason"] == REASONS[name], driver["text"]


@pytest.mark.parametrize("name", ["other-release", "other-build", "other-crc", "other-flags", "other-vermagic",
                                  "flipped-chunk", "truncated", "flipped-manifest", "garbage-signature", "unsigned", "unknown-key"])
def test_the_rejected_bundle_is_named_with_its_own_reason(refused, name):
    rejected = {entry["origin"].split("/")[-1]: entry for entry in refused.boot.driver("initramfs", name)["rejected"]}
    assert rejected[f"{name}.tar.zst"]["reason"] == REASONS[name]
    assert rejected[f"{name}.tar.zst"]["text"]


def test_a_bundle_for_another_release_is_told_apart_by_both_releases(refused, workshop):
    driver = refused.boot.driver("initramfs", "other-release")
    assert workshop.kernel.release in driver["text"] and other_release(workshop.kernel) in driver["text"]


def test_a_bundle_without_a_build_id_that_does_not_fit_is_told_by_the_symbol(refused):
    text = refused.boot.driver("initramfs", "other-crc")["text"]
    assert "hello_gpu" in text and f" {OTHER_SYMBOL} " in text


def test_a_module_for_another_release_in_a_bundle_for_this_one_is_told_by_its_vermagic(refused, workshop):
    text = refused.boot.driver("initramfs", "other-vermagic")["text"]
    assert "hello_gpu has vermagic" in text
    assert workshop.kernel.release in text and other_release(workshop.kernel) in text


def test_the_kernel_was_not_asked_about_any_of_them(refused):
    assert refused.boot.kernel_log(), "the guest's kernel log was not kept"
    assert not refused.boot.kernel_log("hello_gpu") and not refused.boot.kernel_log("drm")
    assert all(driver["kernel_log"] == [] for driver in refused.boot.status("initramfs")["drivers"])


def test_a_broken_file_is_named_with_its_line(refused):
    assert "/etc/modulus/broken-conf.conf:1" in refused.boot.driver("initramfs", "broken-conf")["text"]


def test_nothing_was_loaded(refused):
    for where in ("initramfs", "real-root"):
        assert not DRIVER_MODULES & refused.boot.modules(where)
        assert refused.boot.nodes(where) == []
    assert all(driver["modules"] == [] for driver in refused.boot.status("initramfs")["drivers"])


def test_the_kernel_is_not_tainted(refused):
    assert refused.boot.taint("real-root") == 0
    assert refused.boot.status("initramfs")["taint"] == {"before": 0, "after": 0}


def test_nothing_was_cached(refused):
    assert [path for path in refused.boot.text("real-root", "cache").splitlines() if path.endswith(".zst")] == []


def test_the_boot_reached_its_end(refused):
    assert refused.boot.ended


def test_each_refusal_is_one_line_in_the_journal(refused):
    for name, reason in REASONS.items():
        lines = [line for line in refused.boot.console.splitlines() if f" {name}: {reason}:" in line]
        assert len(lines) == 1, (name, lines)


@pytest.mark.parametrize("name", REASONS)
def test_status_says_why(refused, name):
    lines = refused.boot.text("real-root", "status-text").splitlines()
    assert len([line for line in lines if line.startswith(f"{name} ") and f": {REASONS[name]}:" in line]) == 1


def test_status_in_the_real_root_exits_with_the_code_of_the_first_failure(refused):
    first = refused.boot.status("initramfs")["drivers"][0]["reason"]
    assert refused.boot.section("real-root", "status-text").code == EXIT_CODES[first]


def test_an_empty_key_directory_trusts_nobody(without_keys):
    driver = without_keys.boot.driver("initramfs", DRIVER)
    assert driver["reason"] == "untrusted"
    assert "key" in driver["text"]
    assert not DRIVER_MODULES & without_keys.boot.modules("real-root")
    assert without_keys.boot.taint("real-root") == 0
    assert without_keys.boot.section("real-root", "status-text").code == 4
