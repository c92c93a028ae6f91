# SPDX-License-Identifier: Apache-2.0
"""The recipe behind `make nvidia-bundles`, on a machine whose apt has a package of a small driver. tests/boot runs it with the
real one."""
import os
import shutil
import signal
import subprocess
import time

import pytest

import elf
from bundlemaker import RELEASE
from program import DONE, MODULUS, TREE, environment, modulus
from workshop import MODINFO

RECIPE = TREE / "ignition/drivers/nvidia/bundles.sh"
MODULES = ["nvidia", "nvidia-uvm", "nvidia-modeset", "nvidia-drm", "nvidia-peermem"]
SOURCE = MODINFO % (elf.vermagic(RELEASE), "") + "int value;\n"
# where the driver calls the function of which newer kernels have another form
CALL = """
resize:
    /* Attempt to resize BAR1 to the largest supported size */
    r = pci_resize_resource(pci_dev, NV_GPU_BAR1, requested_size);

    if (r) {
        if (r == -ENOSPC)
"""
OLD_KERNEL = "int __must_check pci_resize_resource(struct pci_dev *dev, int i, int size);\n"
NEW_KERNEL = OLD_KERNEL.replace("size);", "size,\n\t\t\t\t     int exclude_bars);")
# of NVIDIA's Makefile: modules, NV_KERNEL_MODULES and KCFLAGS; it shows what it got, and takes as long as the test wants
MAKEFILE = """modules:
\t@cp nvidia/nv-pci.c $(SYSOUT)/compiled.c
\t@for m in $(NV_KERNEL_MODULES); do gcc -g $(KCFLAGS) -c -o $$m.ko module.c || exit 1; done
\t@while [ -e $(SYSOUT)/wait ]; do touch $(SYSOUT)/waiting; sleep 0.02; done
"""
APT_GET = """#!/bin/sh
case "$*" in
*indextargets*) echo 'http://packages.invalid/debian bookworm' ;;
*update*) [ ! -e {folder}/unreachable ] || {{ echo 'Err: could not resolve'; exit 100; }} ;;
*download*) cp {folder}/*.deb . ;;
esac
"""
APT_CACHE = """#!/bin/sh
case "$*" in *madison*) [ ! -e {folder}/driver.deb ] || echo 'nvidia-open-kernel-dkms | 535.1-2 | somewhere contrib/Packages' ;; esac
"""


class Machine:
    def __init__(self, folder):
        self.folder, self.apt, self.out, self.cache = folder, folder / "apt", folder / "out", folder / "cache"
        self.kernel, self.build = folder / "kernel", folder / "kernel/build"
        for path in (self.apt, self.build):
            path.mkdir(parents=True)
        (self.build / "Makefile").write_text("")
        (self.build / ".config").write_text("")
        (self.build / "Module.symvers").write_text("0x11111111\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n")
        self.header = self.build / "include/linux/pci.h"
        self.header.parent.mkdir(parents=True)
        self.header.write_text(OLD_KERNEL)
        for name, text in (("apt-get", APT_GET), ("apt-cache", APT_CACHE)):
            (self.apt / name).write_text(text.format(folder=self.apt))
            (self.apt / name).chmod(0o755)
        self.key, public = folder / "key", folder / "key.pub"
        assert modulus("keygen", "--secret", self.key, "--public", public).returncode == DONE
        self.package(SOURCE)

    def package(self, source: str, call: str = CALL) -> None:
        tree = self.folder / "deb"
        shutil.rmtree(tree, ignore_errors=True)
        driver = tree / "usr/src/nvidia-535.1"
        (driver / "nvidia").mkdir(parents=True)
        (driver / "nvidia/nv-pci.c").write_text(call)
        (driver / "Kbuild").write_text("")
        (driver / "Makefile").write_text(MAKEFILE)
        (driver / "module.c").write_text(source)
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN/control").write_text("Package: driver\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: test\n")
        subprocess.run(["dpkg-deb", "--build", tree, self.apt / "driver.deb"], check=True, capture_output=True)

    def start(self, **changes: str | None) -> subprocess.Popen:
        words = {"KERNEL": RELEASE, "KERNEL_DIR": self.kernel, "KERNEL_BUILD": self.build, "KEY": self.key, "OUT": self.out,
                 "MODULUS": MODULUS, "MODULUS_CACHE": self.cache, "PATH": f"{self.apt}:{os.environ['PATH']}", **changes}
        return subprocess.Popen([RECIPE], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                start_new_session=True,
                                env=environment(**{name: str(value) for name, value in words.items() if value is not None}))

    def run(self, **changes: str | None) -> tuple[int, str, str]:
        program = self.start(**changes)
        out, err = program.communicate(timeout=60)
        return program.returncode, out, err

    def kept(self) -> list[str]:
        """What is in the recipe's cache under a name, and the bundles."""
        return sorted(path.name for place in (self.cache / "nvidia", self.out) if place.is_dir()
                      for path in place.iterdir() if not path.name == ".lock")


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_the_bundle_holds_the_five_modules_and_loads_four(machine):
    code, out, err = machine.run()
    assert code == 0, err
    bundle = machine.out / f"nvidia-535.1-{RELEASE}.tar.zst"
    assert out.splitlines()[-1] == str(bundle)
    assert modulus("verify", "--keys", machine.folder, bundle).returncode == DONE
    said = modulus("inspect", bundle).stdout
    assert [line for line in MODULES if f"/{line}.ko" not in said] == []
    manifest = modulus("inspect", "--json", bundle).stdout
    assert '"nvidia-peermem"' not in manifest.split('"files"')[0] and '"nvidia-drm"' in manifest


def test_what_was_fetched_and_compiled_is_used_again(machine):
    assert machine.run()[0] == 0
    (machine.apt / "unreachable").touch()
    (machine.cache / "nvidia/.work.killed").mkdir()
    code, _, err = machine.run()
    assert code == 0 and "fetching" not in err and "compiling" not in err
    assert len(machine.kept()) == 3      # source, modules, bundle
    # another kernel: other modules of the same source
    (machine.build / ".config").write_text("CONFIG_OTHER=y\n")
    code, _, err = machine.run()
    assert code == 0 and "compiling" in err and len(machine.kept()) == 4


@pytest.mark.parametrize(("changes", "says"), [
    ({"KEY": None}, "KEY= is missing: the secret key that signs the bundle, by 'modulus keygen'"),
    ({"KEY": "/nonexistent"}, "KEY=/nonexistent is no file"),
    ({"OUT": None}, "OUT= is missing: the directory for the bundle"),
    ({"MODULUS": "/nonexistent"}, "/nonexistent is missing: run 'make', or name MODULUS="),
    ({"KERNEL": "9.9.9-none", "KERNEL_DIR": "", "KERNEL_BUILD": ""},
     "Debian has no linux-headers-9.9.9-none (any more): name KERNEL_DIR= and KERNEL_BUILD="),
    ({"KERNEL_BUILD": "/tmp"}, f"/tmp is no build tree of kernel {RELEASE}"),
    ({"NVIDIA_VERSION": "1.2"}, "Debian has no nvidia-open-kernel-dkms 1.2, but 535.1-2"),
])
def test_what_cannot_be_is_one_line_and_nothing_is_left(machine, changes, says):
    code, out, err = machine.run(**changes)
    assert code == 1 and out == ""
    assert err.splitlines()[-1] == f"modulus: nvidia: {says}"
    assert machine.kept() == []


def test_a_machine_without_apt_says_what_it_takes(machine):
    tools = machine.folder / "tools"
    tools.mkdir()
    for folder in ("/bin", "/usr/bin"):
        for tool in os.listdir(folder):
            if not tool.startswith("apt") and not (tools / tool).is_symlink():
                (tools / tool).symlink_to(f"{folder}/{tool}")
    code, _, err = machine.run(PATH=str(tools))
    assert code == 1 and err == "modulus: nvidia: nothing can be fetched without apt: a Debian 12 machine is needed\n"
    (tools / "patch").unlink()
    code, _, err = machine.run(PATH=str(tools))
    assert code == 1 and err.startswith("modulus: nvidia: patch is missing: on Debian, apt-get install ")


def test_package_sources_that_do_not_answer_or_lack_the_driver(machine):
    (machine.apt / "unreachable").touch()
    code, _, err = machine.run()
    assert code == 1 and err.splitlines() == ["Err: could not resolve", "modulus: nvidia: apt-get update failed"]
    (machine.apt / "unreachable").unlink()
    (machine.apt / "driver.deb").unlink()
    code, _, err = machine.run()
    assert code == 1 and "this machine's package sources have no nvidia-open-kernel-dkms: it is in Debian's component contrib" in err


def test_a_driver_that_does_not_compile(machine):
    machine.package("no C at all\n")
    code, out, err = machine.run()
    assert code == 1 and out == ""
    assert "error" in err and err.splitlines()[-1] == f"modulus: nvidia: 535.1 does not compile for {RELEASE}"
    assert machine.kept() == ["source-535.1"]


def test_interrupted_while_it_compiles_it_leaves_nothing_half_made(machine):
    (machine.build / "wait").touch()
    program = machine.start()
    until = time.monotonic() + 30
    while not (machine.build / "waiting").exists():
        assert program.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    os.killpg(program.pid, signal.SIGTERM)
    program.communicate(timeout=30)
    assert program.returncode != 0
    assert machine.kept() == ["source-535.1"]


@pytest.mark.parametrize(("header", "call", "compiled"), [
    (OLD_KERNEL, CALL, CALL),
    (NEW_KERNEL, CALL, CALL.replace("requested_size)", "requested_size, 0)")),
    (NEW_KERNEL, "another driver\n", "another driver\n"),
])
def test_the_driver_is_patched_where_the_kernel_asks_for_it(machine, header, call, compiled):
    machine.header.write_text(header)
    machine.package(SOURCE, call)
    code, _, err = machine.run()
    assert code == 0, err
    assert (machine.build / "compiled.c").read_text() == compiled
    assert ("pci-resize-resource.patch does not fit 535.1: left out" in err) == (call != CALL)
