# SPDX-License-Identifier: Apache-2.0
"""When there is nothing to do, nothing is done: no GPU in the machine, or modulus=off."""

from rig import disk
from rig.scenarios import DRIVER


def test_without_a_gpu_the_reason_is_no_device_and_all_is_well(no_gpu):
    driver = no_gpu.boot.driver("initramfs", DRIVER)
    assert driver["reason"] == "no-device"
    assert driver["source"] is None and driver["modules"] == [] and driver["rejected"] == []
    assert no_gpu.boot.section("real-root", "status-text").code == 0


def test_without_a_gpu_nothing_is_mounted(no_gpu):
    assert no_gpu.boot.mounts("initramfs") == no_gpu.boot.mounts("before")


def test_without_a_gpu_nothing_is_written_outside_run(no_gpu):
    assert no_gpu.boot.section("initramfs", "changed").text.strip() == ""
    assert disk.written_bytes(no_gpu.layer) == 0


def test_that_check_would_see_a_write_to_the_disk(read_only_root):
    assert disk.written_bytes(read_only_root.layer) > 0


def test_without_a_gpu_no_module_is_loaded(no_gpu):
    assert no_gpu.boot.modules("initramfs") == no_gpu.boot.modules("before")
    assert no_gpu.boot.taint("real-root") == 0


def test_without_a_gpu_hardly_any_time_is_spent(no_gpu, record_property):
    # The bar is 10 ms on a real processor. Software emulation takes 10 to 20 times as long, and its processor has no
    # RDRAND: whoever asks this early for random numbers has to wait a second for the kernel to gather some.
    cpu_us = no_gpu.boot.status("initramfs")["cpu_us"]
    record_property("cpu_us", cpu_us)
    assert 0 < cpu_us < (10_000 if no_gpu.boot.accelerator == "kvm" else 700_000)


def test_modulus_off_does_nothing_at_all(switched_off):
    boot = switched_off.boot
    assert boot.ended
    assert not boot.has_status("initramfs") and not boot.has_status("real-root")
    assert boot.section("initramfs", "run").code != 0, "/run/modulus exists"
    assert boot.modules("initramfs") == boot.modules("before")
    assert boot.mounts("initramfs") == boot.mounts("before")


def test_with_modulus_off_nothing_else_loads_the_driver(switched_off):
    assert not {"virtio_gpu", "drm"} & switched_off.boot.modules("real-root")
    assert switched_off.boot.nodes("real-root") == []
    assert switched_off.boot.taint("real-root") == 0
