# SPDX-License-Identifier: Apache-2.0
"""The initramfs that dracut makes with our module, looked at without booting it."""

import shutil
from pathlib import Path

import pytest

from rig import initramfs, places, unit_order
from rig.host import RigError
from rig.machines import ROOT_ARGUMENT, USR_ARGUMENTS

KERNEL_ARGUMENTS = " ".join([ROOT_ARGUMENT, "ro", *USR_ARGUMENTS])


@pytest.fixture(scope="session")
def tree(workshop, tmp_path_factory) -> Path:
    """The image with Ignition, unpacked."""
    folder = tmp_path_factory.mktemp("initramfs")
    initramfs.unpack(workshop.ignition_initramfs, folder)
    return folder


@pytest.mark.parametrize("image", ["plain_initramfs", "ignition_initramfs"])
def test_no_gpu_driver_and_no_drm_is_in_the_image(workshop, image):
    assert initramfs.gpu_modules(getattr(workshop, image)) == []


def test_the_image_holds_the_binary_that_was_built(tree, workshop):
    inside = tree / "usr/bin/modulus"
    assert inside.read_bytes() == workshop.programs.boot.read_bytes()
    assert inside.stat().st_mode & 0o7777 == 0o755


def test_the_unit_is_wanted_and_not_required_by_initrd_target(tree):
    # a plain rglob("modulus.service") leaves out links that dangle outside of the image's own root
    links = [path.relative_to(tree) for path in tree.rglob("*") if path.name == "modulus.service" and path.is_symlink()]
    assert links == [Path("etc/systemd/system/initrd.target.wants/modulus.service")]
    assert (tree / "usr/lib/systemd/system/modulus.service").is_file()


def test_no_key_and_no_configuration_is_in_the_image(tree):
    assert [path for path in tree.rglob("*") if path.suffix in (".key", ".pub", ".sec")] == []
    assert not (tree / "etc/modulus").exists()


def test_an_image_without_our_unit_is_not_made_at_all(workshop, tmp_path):
    module = tmp_path / "50modulus"
    shutil.copytree(places.DRACUT_MODULE, module)
    (module / "modulus.service").unlink()
    image = tmp_path / "initramfs.img"
    with pytest.raises(RigError, match="modulus: the program or what starts it could not be put into the image"):
        initramfs.build(workshop.kernel, workshop.programs.boot, image, with_ignition=False, own_module=module)
    assert not image.exists()


@pytest.mark.parametrize("first_boot", [True, False], ids=["first-boot", "later-boot"])
def test_systemd_finds_no_fault_with_the_order_of_units(tree, tmp_path, first_boot):
    booted = unit_order.as_booted(tree, tmp_path / "tree", KERNEL_ARGUMENTS, first_boot)
    assert unit_order.complaints(booted) == []


@pytest.mark.parametrize("first_boot", [True, False], ids=["first-boot", "later-boot"])
def test_that_check_would_see_an_ordering_cycle(tree, tmp_path, first_boot):
    booted = unit_order.as_booted(tree, tmp_path / "tree", KERNEL_ARGUMENTS, first_boot)
    unit = booted / "usr/lib/systemd/system/modulus.service"
    # a plausible mistake: wait for all of the initrd's file systems, yet run before they are parsed from fstab
    unit.write_text(unit.read_text().replace("[Service]", "After=initrd-fs.target\n[Service]"))
    assert any("ordering cycle" in line for line in unit_order.complaints(booted))


def test_that_check_would_see_an_unknown_key_in_a_unit(tree, tmp_path):
    booted = unit_order.as_booted(tree, tmp_path / "tree", KERNEL_ARGUMENTS, first_boot=True)
    for name in ("usr/lib/systemd/system/modulus.service", "etc/systemd/system/sysroot.mount"):
        unit = booted / name
        unit.write_text(unit.read_text() + "NoSuchKey=1\n")
    said = "\n".join(unit_order.complaints(booted))
    assert "modulus.service" in said and "sysroot.mount" in said
