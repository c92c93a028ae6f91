# SPDX-License-Identifier: Apache-2.0
"""A booted Debian in which dpkg installs a real kernel package: its maintainer script runs our hook, the bundle of that kernel
is in the cache before any reboot, and the kernel finds it in its initramfs without a network."""

import re

from rig.packaged import HOOK
from rig.scenarios import DRIVER


def test_the_kernels_package_is_installed_and_its_maintainer_script_ran_the_hook(packaged):
    dpkg = packaged.first.section("real-root", "dpkg")
    assert dpkg.code == 0, dpkg.text
    assert re.search(rf"^ii +linux-image-{re.escape(packaged.new.release)} ", packaged.first.text("real-root", "installed"), re.M)
    assert f"vmlinuz-{packaged.new.release}" in packaged.first.text("real-root", "images").split()
    ran = dpkg.text.index(f"/{HOOK}:")
    assert f"for kernel {packaged.new.release}, serial 1, fetched from http://" in dpkg.text[ran:], dpkg.text


def test_then_its_bundle_is_in_the_cache_by_one_transfer_and_the_one_to_go_back_to_stays(packaged):
    assert set(packaged.first.text("real-root", "cache").split()) == {packaged.old_place, packaged.new_place}
    assert packaged.asked == [(f"/{packaged.new.release}/{DRIVER}.tar.zst", 200)]


def test_the_next_kernel_is_the_installed_one_and_would_get_its_driver(packaged):
    check = packaged.first.section("real-root", "next")
    assert check.code == 0 and packaged.new.release in check.text and packaged.new_place in check.text, check.text


def test_the_running_kernel_kept_its_driver_and_no_unit_failed(packaged):
    assert packaged.first.driver("real-root", DRIVER)["origin"] == f"cache:{packaged.old_place}"
    assert packaged.first.text("real-root", "failed-units").strip() == ""


def test_the_new_kernel_has_its_gpu_before_switch_root_without_a_network(packaged):
    driver = packaged.second.driver("initramfs", DRIVER)
    assert (driver["reason"], driver["origin"]) == ("loaded", f"cache:{packaged.new_place}"), driver["text"]
    assert packaged.second.status("initramfs")["kernel"]["release"] == packaged.new.release
    assert packaged.second.nodes("initramfs") == ["/dev/dri/card0", "/dev/dri/renderD128"]
    assert "virtio_net" not in packaged.second.modules("initramfs"), "there is a network card"
