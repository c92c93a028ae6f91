# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's real driver, all of it before switch-root, for a GPU that is there for all that the kernel can tell."""

import hashlib
import json
import re

import pytest

from rig import bundles
from rig.nvidia import DRIVER, majors, nodes, version

# in the order of loading; nvidia-peermem is in the bundle for those who want it later
LOADED = ["nvidia", "nvidia_uvm", "nvidia_modeset", "nvidia_drm"]
ADDRESS = "0000:40:00.0"
BUNDLE_MAX_BYTES = 5_500_000


def _loaded(driver: dict, source: str) -> list[str]:
    return [module["name"].replace("-", "_") for module in driver["modules"] if module["from"] == source]


def test_the_driver_is_loaded_in_the_initramfs(nvidia_gpu):
    boot = nvidia_gpu.boot
    assert boot.section("initramfs", "initrd").code == 0, "the report was not made in the initramfs"
    driver = boot.driver("initramfs", DRIVER)
    assert driver["reason"] == "loaded", driver
    assert driver["source"] == "usr"
    assert driver["devices"] == [ADDRESS]
    assert set(LOADED) <= boot.modules("initramfs")
    assert not set(LOADED) & boot.modules("before")


def test_all_of_it_comes_from_the_bundle_in_the_order_that_the_driver_wants(nvidia_gpu):
    assert _loaded(nvidia_gpu.boot.driver("initramfs", DRIVER), "bundle") == LOADED


def test_what_it_needs_of_the_kernel_comes_from_usr(nvidia_gpu):
    boot = nvidia_gpu.boot
    assert {"drm", "drm_kms_helper", "video"} <= set(_loaded(boot.driver("initramfs", DRIVER), "kernel"))
    assert not {"drm", "video"} & boot.modules("before")


def test_the_driver_has_bound_the_gpu_and_names_it(nvidia_gpu):
    boot = nvidia_gpu.boot
    assert ADDRESS in boot.text("real-root", "bound").split()
    said = boot.text("real-root", "gpus")
    assert f"/proc/driver/nvidia/gpus/{ADDRESS}/information:" in said
    assert re.search(r"Model:\s+NVIDIA H100", said), said
    assert re.search(r"Device Minor:\s+0$", said, re.M), said


def test_the_options_of_the_driver_file_are_in_effect(nvidia_gpu):
    assert "PreserveVideoMemoryAllocations: 1" in nvidia_gpu.boot.text("real-root", "params").splitlines()


@pytest.mark.parametrize("name", ["nvidia-frontend", "nvidia-uvm", "nvidia-caps", "drm"])
def test_its_devices_have_majors(nvidia_gpu, name):
    assert re.search(rf"^ *\d+ {name}$", nvidia_gpu.boot.text("real-root", "majors"), re.M)


def test_the_node_that_the_kernel_makes_is_there_before_switch_root(nvidia_gpu):
    boot = nvidia_gpu.boot
    assert "/dev/dri/card0" in boot.nodes("initramfs")
    assert "/dev/dri/card0" in boot.driver("initramfs", DRIVER)["nodes"]


@pytest.fixture(params=["boot", "updated"])
def either(request, nvidia_gpu):
    """Each boot of that machine: with Debian's current kernel, and with another one."""
    return getattr(nvidia_gpu, request.param)


def test_the_nodes_that_nobody_else_makes_are_there_before_switch_root(either):
    numbers = majors(either)
    gpu, uvm = numbers["nvidia-frontend"], numbers["nvidia-uvm"]
    expected = {f"/dev/{name}": (device, "666", "0:0") for name, device in (
        ("nvidiactl", f"{gpu}:255"), ("nvidia0", f"{gpu}:0"), ("nvidia-modeset", f"{gpu}:254"), ("nvidia-uvm", f"{uvm}:0"),
        ("nvidia-uvm-tools", f"{uvm}:1"))}
    found = nodes(either, "initramfs")
    caps = {path for path in found if path.startswith("/dev/nvidia-caps/")}
    assert {path: found[path] for path in found if path not in caps} == expected
    assert all(found[path][0].split(":")[0] == numbers["nvidia-caps"] for path in caps)
    assert nodes(either, "real-root") == found
    assert {*expected, "/dev/dri/card0"} <= set(either.driver("initramfs", DRIVER)["nodes"])


def test_engines_find_them_by_number(either):
    for path, (device, _, _) in nodes(either, "initramfs").items():
        assert f" {device} -> ../{path.removeprefix('/dev/')}\n" in either.text("initramfs", "char-links")


def test_engines_find_them_by_the_gpus_number(either):
    told = json.loads(either.text("real-root", "cdi"))
    assert [device["name"] for device in told["devices"]] == ["0", "all"]
    for device in told["devices"]:
        assert [node["path"] for node in device["containerEdits"]["deviceNodes"]] == [
            "/dev/nvidia0", "/dev/dri/card0", "/dev/dri/renderD128"]


def test_the_drivers_control_node_can_be_opened(nvidia_gpu):
    assert nvidia_gpu.boot.section("real-root", "opened").code == 0


# --- firmware, libraries, programs -----------------------------------------------------------------

def _runtime(boot) -> dict:
    (driver,) = json.loads(boot.text("real-root", "runtime-json"))["drivers"]
    return driver["runtime"]


def test_its_firmware_is_there_before_switch_root(nvidia_gpu):
    boot = nvidia_gpu.boot
    assert boot.driver("initramfs", DRIVER)["firmware"]["reason"] == "loaded"
    assert f"/run/modulus/firmware/nvidia/{version(nvidia_gpu.bundle)}/gsp_ga10x.bin" in boot.text("real-root", "firmware")


def test_finish_installs_the_libraries_of_its_version(nvidia_gpu):
    boot, wanted = nvidia_gpu.boot, version(nvidia_gpu.bundle)
    assert boot.section("real-root", "finished").code == 0
    told = _runtime(boot)
    assert told["reason"] == "loaded" and told["warnings"] == [], told
    assert (told["path"], told["link"]) == (f"/var/lib/modulus/runtime/nvidia/{wanted}", "/opt/drivers/nvidia")


def test_nvidia_smi_starts_and_what_it_misses_is_the_silicon(nvidia_gpu):
    """Not libnvidia-ml.so ("couldn't find"), not the driver ("couldn't communicate"), not its version ("mismatch")."""
    boot = nvidia_gpu.boot
    assert boot.text("real-root", "smi").strip() == "No devices were found", boot.text("real-root", "smi")
    # it came as far as the chip's own processors, whose firmware was found
    assert boot.kernel_log("Timeout while polling for FSP boot complete") or "RmInitAdapter" in boot.console
    assert "Direct firmware load" not in boot.console


def test_nvidia_smi_is_on_the_path(nvidia_gpu):
    said = nvidia_gpu.boot.section("real-root", "smi-on-path")
    assert said.code == 0 and "NVIDIA System Management Interface" in said.text
    assert _runtime(nvidia_gpu.boot)["programs"] == "/usr/local/bin"


def test_a_container_with_only_the_volume_runs_it_too(nvidia_gpu):
    assert nvidia_gpu.boot.text("real-root", "container").strip() == "No devices were found"


@pytest.mark.parametrize("name", ["libcuda.so.1", "libnvidia-ml.so.1"])
def test_the_loader_knows_the_libraries(nvidia_gpu, name):
    assert f"{name} (libc6,x86-64) => /opt/drivers/nvidia/lib/{name}\n" in nvidia_gpu.boot.text("real-root", "ldconfig") + "\n"


def test_containers_get_the_libraries_and_the_firmware(nvidia_gpu):
    wanted = version(nvidia_gpu.bundle)
    mounts = {mount["containerPath"]: mount["hostPath"] for mount in
              json.loads(nvidia_gpu.boot.text("real-root", "cdi"))["containerEdits"]["mounts"]}
    tree = f"/var/lib/modulus/runtime/nvidia/{wanted}/usr"
    assert mounts["/usr/lib64/libcuda.so.1"] == f"{tree}/lib64/libcuda.so.{wanted}"
    assert mounts["/usr/bin/nvidia-smi"] == f"{tree}/bin/nvidia-smi"
    assert f"/lib/firmware/nvidia/{wanted}/gsp_ga10x.bin" in mounts


def test_the_second_finish_has_nothing_to_do(nvidia_gpu):
    assert not [line for line in nvidia_gpu.boot.text("real-root", "finish").splitlines() if "runtime of version" in line]


def test_what_operators_looked_at_is_as_it_was(nvidia_gpu):
    boot = nvidia_gpu.boot
    assert {"nvidia", "nvidia_uvm"} <= {line.split()[0] for line in boot.text("real-root", "lsmod").splitlines() if line}
    assert {"/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl"} <= set(boot.text("real-root", "devices").split())


def test_a_gpu_that_the_driver_refuses_has_no_nodes(unknown_gpu):
    assert nodes(unknown_gpu.boot, "initramfs") == {}


def test_the_version_that_runs_is_the_bundles(nvidia_gpu):
    assert nvidia_gpu.boot.driver("real-root", DRIVER)["version"] == version(nvidia_gpu.bundle)
    assert nvidia_gpu.boot.kernel_log(f"loading NVIDIA UNIX Open Kernel Module for x86_64  {version(nvidia_gpu.bundle)}")


def test_the_bundle_is_small(nvidia_gpu):
    assert nvidia_gpu.bundle.stat().st_size <= BUNDLE_MAX_BYTES


def test_what_the_driver_says_of_a_gpu_that_it_does_not_know_is_in_the_report(unknown_gpu):
    driver = unknown_gpu.boot.driver("initramfs", DRIVER)
    assert driver["reason"] == "no-device", driver
    assert {"NVRM: nvidia.ko because it does not include the required GPU", "NVRM: System Processor (GSP)."} <= set(driver["kernel_log"])
    assert f"NVRM: The NVIDIA GPU {ADDRESS} (PCI ID: 10de:2330)" in unknown_gpu.boot.text("real-root", "status-text")


def test_of_the_modules_after_the_one_that_failed_none_is_tried(unknown_gpu):
    assert _loaded(unknown_gpu.boot.driver("initramfs", DRIVER), "bundle") == []
    assert not set(LOADED) & unknown_gpu.boot.modules("initramfs")


# --- after the boot ---

def test_modprobe_finds_peermem_in_the_bundle(nvidia_gpu):
    """Without InfiniBand's own peer memory its init refuses, which only the real module can say."""
    said = nvidia_gpu.boot.section("real-root", "peermem")
    assert said.code != 0 and "nvidia_peermem: init-failed: nvidia: nvidia_peermem: Invalid argument" in said.text, said.text


def _device_nodes(boot, section: str) -> set[str]:
    return set(boot.text("real-root", section).split())


def test_one_module_goes_with_its_nodes_and_modprobe_brings_both_back(nvidia_gpu):
    boot, uvm = nvidia_gpu.boot, {"/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"}
    assert boot.section("real-root", "uvm-out").code == 0, boot.text("real-root", "uvm-out")
    assert boot.section("real-root", "uvm-in").code == 0, boot.text("real-root", "uvm-in")
    with_uvm, without = _device_nodes(boot, "with-uvm"), _device_nodes(boot, "without-uvm")
    assert uvm <= with_uvm and with_uvm - without == uvm
    assert {"/dev/nvidiactl", "/dev/nvidia0"} <= without


def test_a_driver_in_use_is_not_unloaded(nvidia_gpu):
    said = nvidia_gpu.boot.section("real-root", "in-use")
    assert said.code == 1 and re.search(r"nvidia is in use: \d+ times by programs or devices", said.text), said.text


def test_the_driver_goes_with_its_nodes_and_comes_again(nvidia_gpu):
    boot = nvidia_gpu.boot
    assert boot.section("real-root", "unload").code == 0, boot.text("real-root", "unload")
    left = {line.split()[0] for line in boot.text("real-root", "unloaded").splitlines() if line}
    assert not set(LOADED) & left and {"drm", "video"} <= left
    assert boot.text("real-root", "gone").split() in ([], ["/dev/nvidia-caps"])
    assert boot.section("real-root", "load").code == 0, boot.text("real-root", "load")
    assert set(LOADED) <= boot.modules("real-root")     # reported by the init, which runs last
    assert boot.driver("real-root", DRIVER)["reason"] == "loaded"


def test_container_engines_are_told_of_both(nvidia_gpu):
    boot = nvidia_gpu.boot
    assert "modulus-nvidia.json" not in boot.text("real-root", "cdi-gone")
    assert json.loads(boot.text("real-root", "cdi-again")) == json.loads(boot.text("real-root", "cdi"))


def test_udev_and_modprobe_are_told_of_every_module_and_of_its_devices(nvidia_gpu):
    told = nvidia_gpu.boot.text("real-root", "told").splitlines()
    assert {line.split()[1] for line in told if line.startswith("install ")} == {*LOADED, "nvidia_peermem"}
    assert "alias pci:v000010DEd*sv*sd*bc03sc02i00* nvidia" in told
    assert any(line.startswith("alias char-major-195-") for line in told)


# --- after an update of the OS ---

def test_another_kernel_gets_the_bundle_that_was_brought_for_it(nvidia_gpu):
    boot, following = nvidia_gpu.updated, nvidia_gpu.following
    assert nvidia_gpu.boot.section("real-root", "ahead").code == 0, nvidia_gpu.boot.text("real-root", "ahead")
    releases = [one.status("initramfs")["kernel"]["release"] for one in (nvidia_gpu.boot, boot)]
    assert releases[1] == nvidia_gpu.other.release and releases[0] != releases[1]
    driver = boot.driver("initramfs", DRIVER)
    assert (driver["reason"], driver["source"]) == ("loaded", "cache"), driver
    assert driver["digest"].endswith(hashlib.sha256(bundles.Parts.of(following).manifest).hexdigest())
    assert _loaded(driver, "bundle") == LOADED
    assert set(LOADED) <= boot.modules("initramfs") and not set(LOADED) & boot.modules("before")
    assert ADDRESS in boot.text("real-root", "bound").split()


def test_its_libraries_are_those_that_were_there(nvidia_gpu):
    """Firmware and libraries are bound to no kernel: nothing is unpacked again."""
    boot = nvidia_gpu.updated
    assert boot.section("real-root", "finished").code == 0
    assert not [line for line in boot.text("real-root", "finished").splitlines() if "runtime of version" in line]
    assert _runtime(boot)["reason"] == "loaded"
    assert _runtime(boot)["path"] == _runtime(nvidia_gpu.boot)["path"]
    assert json.loads(boot.text("real-root", "cdi")) == json.loads(nvidia_gpu.boot.text("real-root", "cdi"))
