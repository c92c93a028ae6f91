# SPDX-License-Identifier: Apache-2.0
"""Kernels that take signed modules only: UEFI Secure Boot (`secure_boot`), module.sig_enforce=1 (`read_only_root`) and
lockdown=integrity (`usr_by_type`). Modules with a signature that the kernel trusts are loaded before switch-root; an
unsigned one is refused before the kernel is asked, and leaves no taint."""

import pytest

from rig.scenarios import DRIVER, SIGNED, UNKNOWN, UNSIGNED

GPU_NODES = ["/dev/dri/card0", "/dev/dri/renderD128"]
MODULE = "hello_gpu"
TAINT_OUT_OF_TREE, TAINT_UNSIGNED = 1 << 12, 1 << 13    # admin-guide/tainted-kernels: O, E


@pytest.fixture(params=["secure_boot", "read_only_root", "usr_by_type"])
def strict(request):
    """A boot of a kernel that demands signatures."""
    return request.getfixturevalue(request.param).boot


@pytest.fixture(params=["read_only_root", "usr_by_type"])
def without_firmware(request):
    """The same, without a firmware whose keys the kernel trusts."""
    return request.getfixturevalue(request.param).boot


def test_these_kernels_really_demand_signatures(secure_boot, read_only_root, usr_by_type):
    assert secure_boot.boot.kernel_log("secureboot: Secure boot enabled")
    assert secure_boot.boot.kernel_log("Kernel is locked down")
    assert "module.sig_enforce=1" in read_only_root.boot.kernel_log("Command line:")[0].split()
    assert not read_only_root.boot.kernel_log("Kernel is locked down")
    assert usr_by_type.boot.kernel_log("Kernel is locked down from command line")


def test_an_unsigned_module_is_refused_and_named(strict):
    driver = strict.driver("initramfs", UNSIGNED)
    assert driver["reason"] == "unsigned-module"
    assert f"{MODULE} carries no kernel signature" in driver["text"]
    assert driver["modules"] == [] and driver["cached"] is None


def test_an_unsigned_module_is_refused_before_the_kernel_is_asked(strict):
    assert strict.driver("initramfs", UNSIGNED)["kernel_log"] == []
    assert not strict.kernel_log("unsigned module is rejected")


def test_an_unsigned_module_leaves_no_taint(strict):
    assert not strict.taint("real-root") & TAINT_UNSIGNED
    assert strict.status("initramfs")["taint"]["before"] == 0


def test_where_no_key_is_enrolled_the_module_never_gets_in(without_firmware):
    assert MODULE not in without_firmware.modules("real-root")
    assert not without_firmware.kernel_log(MODULE)
    assert without_firmware.taint("real-root") == 0


def test_modules_that_debian_signed_are_loaded(strict):
    driver = strict.driver("initramfs", DRIVER)
    assert driver["reason"] == "loaded", driver["text"]
    assert {"virtio_gpu", "drm"} <= strict.modules("initramfs")
    assert strict.nodes("initramfs") == GPU_NODES


def test_a_module_signed_by_a_key_in_the_firmwares_db_is_loaded_before_switch_root(secure_boot):
    driver = secure_boot.boot.driver("initramfs", SIGNED)
    assert driver["reason"] == "loaded", driver["text"]
    assert [(module["name"], module["from"]) for module in driver["modules"]] == [(MODULE, "bundle")]
    assert MODULE in secure_boot.boot.modules("initramfs") and MODULE not in secure_boot.boot.modules("before")


def test_the_kernel_took_its_signature_for_valid(secure_boot):
    assert secure_boot.boot.status("initramfs")["taint"] == {"before": 0, "after": TAINT_OUT_OF_TREE}
    assert secure_boot.boot.kernel_log(f"{MODULE}: hello")
    assert not secure_boot.boot.kernel_log("module verification failed")


@pytest.mark.parametrize("kernel", ["secure_boot", "usr_by_type"])
def test_a_module_signed_by_an_unknown_key_is_unsigned_to_the_kernel_and_its_words_are_kept(request, kernel):
    words = {"secure_boot": "Loading of module with unavailable key is rejected",
             "usr_by_type": "Lockdown: modulus: unsigned module loading is restricted"}[kernel]
    driver = request.getfixturevalue(kernel).boot.driver("initramfs", UNKNOWN)
    assert driver["reason"] == "unsigned-module", driver["text"]
    assert MODULE in driver["text"]
    assert driver["modules"] == []
    assert any(words in line for line in driver["kernel_log"]), driver["kernel_log"]


def test_status_exits_with_the_code_of_a_kernel_that_said_no(strict):
    assert strict.section("real-root", "status-text").code == 5


def test_a_refused_driver_does_not_keep_the_next_one_from_its_turn(strict):
    names = [driver["name"] for driver in strict.status("initramfs")["drivers"]]
    assert names.index(UNSIGNED) < names.index(DRIVER)
    assert strict.ended
