# SPDX-License-Identifier: Apache-2.0
"""Stock hosts: an initramfs in which nothing is ours, and two Ignition snippets. The GPU is there before switch-root all the
same, on the first boot and on all later ones; by GRUB, behind a first stage like Flatcar's, and in an ostree deployment.
"""

import hashlib
import re

import pytest

from rig import initramfs, injected, stock
from rig.bundles import Parts
from rig.guest import HOST_ADDRESS
from rig.host import run
from rig.injected import DRIVER
from rig.pcap import TCP, UDP

CLOSURE = {"virtio_gpu", "drm", "drm_kms_helper", "drm_shmem_helper", "virtio_dma_buf"}
GPU_NODES = ["/dev/dri/card0", "/dev/dri/renderD128"]
SOURCES = {"loader-first": "usr", "loader-second": "cache", "stages-first": "usr", "stages-second": "cache",
           "deployed-first": "http", "deployed-missed": "http", "deployed-cached": "cache"}
# where systemd-debug-generator puts units that came as credentials
FROM_CREDENTIAL = "/run/systemd/generator.early/modulus.service"
QUICK_MS = 2000     # of a guest that is emulated; a process that cannot be started


@pytest.fixture(params=SOURCES)
def any_boot(request, by_loader, two_stages, deployed):
    machine, _, boot = request.param.partition("-")
    return getattr({"loader": by_loader, "stages": two_stages, "deployed": deployed}[machine], boot)


@pytest.fixture(scope="session")
def image(workshop, tmp_path_factory):
    """The stock initramfs, unpacked."""
    folder = tmp_path_factory.mktemp("stock")
    initramfs.unpack(stock.image(workshop.kernel), folder)
    return folder


def unit(report) -> dict[str, str]:
    return dict(line.split("=", 1) for line in report.text("initramfs", "unit").splitlines() if line)


def ours(report, where: str) -> list[str]:
    """Files of ours in the initramfs (the probes of the tests are not)."""
    found = report.text(where, "our-files").splitlines()
    return [path for path in found if path and not re.search(r"[/:]modulus-(probe|report)", path)]


def dhcp(report) -> list:
    return [packet for packet in report.packets if packet.protocol == UDP and packet.target_port in (67, 68)]


# --- the image -------------------------------------------------------------------------------------

def test_nothing_of_ours_is_in_the_image(workshop):
    names = [path for path in initramfs.listing(stock.image(workshop.kernel)) if "modulus" in path]
    assert names and all(re.search(r"/modulus-(probe|report)", path) for path in names)
    assert initramfs.gpu_modules(stock.image(workshop.kernel)) == []


@pytest.mark.parametrize("name, key, other", [
    ("ostree-prepare-root.service", "Before", "initrd-root-fs.target"),
    ("ignition-mount.service", "After", "ignition-remount-sysroot.service"),
    ("ignition-files.service", "After", "ignition-mount.service"),
    ("initrd-cleanup.service", "After", "initrd.target")])
def test_what_the_shorter_unit_does_not_name_follows_from_the_others(image, name, key, other):
    text = (image / "usr/lib/systemd/system" / name).read_text()
    names = [word for line in text.splitlines() if line.startswith(f"{key}=") for word in line.partition("=")[2].split()]
    assert other in names


@pytest.mark.parametrize("in_initrd", [True, False])
def test_systemd_wants_the_unit_in_the_initramfs_and_nowhere_else(tmp_path, in_initrd):
    for name in ("credentials", "normal", "early", "late"):
        (tmp_path / name).mkdir()
    (tmp_path / "credentials/systemd.extra-unit.modulus.service").write_text("[Service]\nExecStart=/bin/true\n")
    run("unshare", "--mount", "sh", "-euc", 'mount --bind "$1" "$2/mnt"; shift; exec chroot "$@"', "sh", tmp_path,
        stock.debian13(), "env", f"SYSTEMD_IN_INITRD={int(in_initrd)}", "CREDENTIALS_DIRECTORY=/mnt/credentials",
        f"SYSTEMD_PROC_CMDLINE={' '.join(run(injected.SNIPPET, '--arguments').split())}",
        "/usr/lib/systemd/system-generators/systemd-debug-generator", "/mnt/normal", "/mnt/early", "/mnt/late")
    assert (tmp_path / "early/modulus.service").is_file()
    wants = [path for path in tmp_path.rglob("*.wants/*") if path.name == "modulus.service"]
    assert [path.parent.name for path in wants] == (["initrd.target.wants"] if in_initrd else [])


# --- every boot ------------------------------------------------------------------------------------

def test_the_gpu_is_there_before_switch_root_and_stays(any_boot):
    assert not CLOSURE & any_boot.modules("before") and any_boot.nodes("before") == []
    assert any_boot.section("initramfs", "initrd").code == 0, "the report was not made in the initramfs"
    for where in ("initramfs", "real-root"):
        assert CLOSURE <= any_boot.modules(where)
        assert any_boot.nodes(where) == GPU_NODES


@pytest.mark.parametrize("any_boot, source", SOURCES.items(), indirect=["any_boot"])
def test_it_comes_from_where_it_should(any_boot, source):
    driver = any_boot.driver("initramfs", DRIVER)
    assert (driver["reason"], driver["source"]) == ("loaded", source), driver


def test_the_unit_is_the_injected_one_and_did_its_work(any_boot):
    assert unit(any_boot) | {"FragmentPath": FROM_CREDENTIAL, "ActiveState": "active", "Result": "success",
                             "ExecMainStatus": "0"} == unit(any_boot)
    assert any_boot.text("initramfs", "failed-units").split() == []


def test_the_real_root_can_complete_the_boot_with_the_same_program(any_boot):
    assert any_boot.section("real-root", "status-text").code == 0
    assert any_boot.section("real-root", "finish").code == 0


# --- a boot loader, and arguments that Ignition sets -----------------------------------------------

def test_ignition_sets_the_arguments_and_the_machine_restarts_before_anything_is_provisioned(by_loader):
    assert not by_loader.before.ended and ("initramfs", "cmdline") not in by_loader.before.sections
    assert "reboot: Restarting system" in by_loader.before.console
    assert by_loader.asked_before == []


def test_the_boot_loader_hands_the_arguments_on_as_they_were_made(by_loader):
    for report in (by_loader.first, by_loader.second):
        words = report.text("initramfs", "cmdline").split()
        assert [word for word in words if word in by_loader.snippets.arguments] == by_loader.snippets.arguments
    assert "ignition.firstboot=1" in by_loader.first.text("initramfs", "cmdline")
    assert "ignition.firstboot" not in by_loader.second.text("initramfs", "cmdline")


@pytest.mark.parametrize("machine", ["by_loader", "deployed"])
def test_ignition_fetches_the_program_once(request, machine):
    asked = request.getfixturevalue(machine).server.asked
    assert [code for path, code in asked if path == "/modulus-boot"] == [200]


def test_a_second_boot_asks_no_network(by_loader, two_stages, deployed):
    assert deployed.cached.packets == []    # the others have no card
    for report in (by_loader.second, two_stages.second, deployed.cached):
        assert "network" not in {phase["name"] for phase in report.driver("initramfs", DRIVER)["phases"]}


# --- two stages, /oem, SMBIOS ----------------------------------------------------------------------

def test_the_program_may_be_in_the_initramfs(two_stages):
    assert "/oem/modulus/modulus" in ours(two_stages.first, "initramfs")
    assert not [path for path in ours(two_stages.first, "initramfs") if path.endswith("/etc/modulus/modulus")]


def test_the_unit_may_come_from_the_smbios(two_stages):
    assert "modulus" not in two_stages.second.text("initramfs", "cmdline").replace("modulus-test-init", "")


# --- an ostree deployment, and a network that is ours ----------------------------------------------

def test_the_deployment_is_what_ostree_made_of_it(deployed):
    for report in (deployed.first, deployed.cached):
        mounts = {mount.target: mount for mount in report.mounts("initramfs")}
        assert "ro" in mounts["/sysroot/usr"].options and "/sysroot/sysroot" in mounts
    assert not deployed.first.section("real-root", "cache").code


def test_a_miss_brings_the_network_up_by_what_the_image_has(deployed):
    assert dhcp(deployed.missed)
    assert deployed.missed.driver("initramfs", DRIVER)["digest"] == hashlib.sha256(Parts.of(deployed.bundle).manifest).hexdigest()
    talkers = {packet.source for packet in deployed.missed.packets if packet.protocol == TCP} - {HOST_ADDRESS}
    assert len(talkers) == 1


def test_nothing_of_that_network_is_left_for_the_real_root(deployed):
    def links(where: str) -> str:   # without the queue, which the kernel never takes back
        return re.sub(r"qdisc \w+", "", deployed.missed.text(where, "network"))

    for where in ("initramfs", "real-root"):
        assert links(where) == links("before")
        for what in ("network-settings", "network-files", "hostname"):
            assert deployed.missed.text(where, what) == deployed.missed.text("before", what)
        assert "systemd-network" not in deployed.missed.text(where, "processes").split()
    assert not [path for path in ours(deployed.missed, "initramfs") if "network" in path]


def test_without_our_files_the_arguments_do_nothing_and_cost_nothing(deployed):
    report = deployed.removed
    assert set(deployed.snippets.arguments) <= set(report.text("initramfs", "cmdline").split())
    assert not report.has_status("real-root") and not CLOSURE & report.modules("real-root")
    assert report.text("initramfs", "failed-units").split() == []
    said = unit(report)
    assert (said["FragmentPath"], said["Result"]) == (FROM_CREDENTIAL, "success")
    assert int(said["ExecMainExitTimestampMonotonic"]) - int(said["ExecMainStartTimestampMonotonic"]) < QUICK_MS * 1000
