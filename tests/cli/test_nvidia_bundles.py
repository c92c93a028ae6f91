# SPDX-License-Identifier: Apache-2.0
"""The recipe behind `make nvidia-bundles`, on a machine whose apt has a package of a small driver. tests/boot runs it with the
real one."""
import gzip
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import elf
from bundlemaker import RELEASE
from program import DONE, MODULUS, TREE, environment, modulus
from workshop import MODINFO

RECIPE = TREE / "ignition/drivers/nvidia/bundles.sh"
MODULES = ["nvidia", "nvidia-uvm", "nvidia-modeset", "nvidia-drm", "nvidia-peermem"]
SOURCE = MODINFO % (elf.vermagic(RELEASE), "") + 'const char version[] __attribute__((section(".modinfo"))) = "version=535.1";\nint value;\n'
OPEN, PROPRIETARY, FIRMWARE = "nvidia-open-kernel-dkms", "nvidia-kernel-dkms", "firmware-nvidia-gsp"
# GPUs: two Pascals, which the proprietary modules drive alone; a Turing and a Hopper, which both do
README = """In the below table, if three IDs are listed, the first is the PCI Device ID.

| Product Name                                    | PCI ID         |
| ----------------------------------------------- | -------------- |
| Quadro RTX 8000                                 | 1E30 1028 129E |
| NVIDIA H100 PCIe                                | 2331           |
"""
LISTS = {"nvidia.ids": "10DE1B02\n10DE1B06\n10DE1E30\n10DE1E37\n10DE2331\n", "nvidia-open.ids": "10DE1E37\n"}
RULES = {"open": ["pci:v000010DEd*bc03sc0[02]*", "!pci:v000010DEd00001B0[26]*"],
         "proprietary": ["pci:v000010DEd00001B0[26]*", "pci:v000010DEd00001E3[07]*", "pci:v000010DEd00002331*"]}
LIBRARIES = {"libcuda1": "libcuda", "libcudadebugger1": "libcudadebugger", "libnvcuvid1": "libnvcuvid",
             "libnvidia-allocator1": "libnvidia-allocator", "libnvidia-cfg1": "libnvidia-cfg", "libnvidia-encode1": "libnvidia-encode",
             "libnvidia-fbc1": "libnvidia-fbc", "libnvidia-ml1": "libnvidia-ml", "libnvidia-nvvm4": "libnvidia-nvvm",
             "nvidia-opencl-icd": "libnvidia-opencl", "libnvidia-opticalflow1": "libnvidia-opticalflow",
             "libnvidia-pkcs11-openssl3": "libnvidia-pkcs11-openssl3", "libnvidia-ptxjitcompiler1": "libnvidia-ptxjitcompiler"}
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
*download*) for word; do [ ! -e "{folder}/${{word%%=*}}.deb" ] || cp "{folder}/${{word%%=*}}.deb" .; done ;;
esac
"""
APT_CACHE = """#!/bin/sh
case "$*" in *madison*) for name; do :; done
[ ! -e "{folder}/$name.deb" ] || echo " $name | $(dpkg-deb -f "{folder}/$name.deb" Version) | somewhere contrib/Packages" ;; esac
"""

# NVIDIA's own list; the last one is of a branch before this driver's
CHIPS = [{"devid": "0x1B02", "name": "TITAN Xp", "features": ["runtimepm"]}, {"devid": "0x1b06", "name": "GTX", "features": []},
         {"devid": "0x1E30", "subdevid": "0x129E", "subvendorid": "0x1028", "name": "RTX", "features": ["geforce", "kernelopen"]},
         {"devid": "0x1E37", "name": "RTX", "features": ["kernelopen"]}, {"devid": "0x2331", "name": "H100", "features": ["kernelopen"]},
         {"devid": "0x1180", "name": "GTX 680", "legacybranch": "470.xx", "features": []}]

INSTALLER = """case "$1 $2" in "--extract-only --target") cp -a {tree} "$3" ;; *) exit 1 ;; esac
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
        self.tree = folder / "tree"
        self.package()
        self.package_lists()

    def deb(self, name: str, version: str = "535.1-2") -> None:
        """What is in self.tree, as a package."""
        (self.tree / "DEBIAN").mkdir()
        (self.tree / "DEBIAN/control").write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody\nDescription: test\n")
        subprocess.run(["dpkg-deb", "--build", self.tree, self.apt / f"{name}.deb"], check=True, capture_output=True)
        shutil.rmtree(self.tree)

    def source(self, folder: Path, source: str = SOURCE, call: str = CALL) -> None:
        (folder / "nvidia").mkdir(parents=True)
        (folder / "nvidia/nv-pci.c").write_text(call)
        (folder / "Kbuild").write_text("")
        (folder / "Makefile").write_text(MAKEFILE)
        (folder / "module.c").write_text(source)

    def package(self, source: str = SOURCE, call: str = CALL, name: str = OPEN) -> None:
        self.source(self.tree / "usr/src/nvidia-535.1", source, call)
        if name == OPEN:
            self.put("usr/share/doc/nvidia-open-kernel-dkms/README.md.gz")
            (self.tree / "usr/share/doc/nvidia-open-kernel-dkms/README.md.gz").write_bytes(gzip.compress(README.encode()))
        self.deb(name)

    def package_lists(self, **lists: str) -> None:
        for name, content in {**LISTS, **lists}.items():
            self.put(f"usr/share/nvidia/{name}", content)
        self.deb("nvidia-detect")

    def put(self, path: str, content: str = "535.1", mode: int = 0o644) -> None:
        file = self.tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(mode)

    def package_firmware(self, folder: str = "535.1") -> None:
        for name in ("gsp_ga10x.bin", "gsp_tu10x.bin"):
            self.put(f"lib/firmware/nvidia/{folder}/{name}", name)
        self.deb(FIRMWARE)

    def library(self, path: str, soname: str) -> None:
        (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-shared", "-nostdlib", "-x", "c", "/dev/null", f"-Wl,-soname,{soname}", "-o", self.tree / path], check=True)

    def package_runtime(self, version: str = "535.1", smi: str = "says 535.1") -> None:
        for name, library in LIBRARIES.items():
            self.library(f"usr/lib/x86_64-linux-gnu/nvidia/current/{library}.so.{version}", f"{library}.so.1")
            self.deb(name, f"{version}-2")
        self.put("usr/bin/nvidia-cuda-mps-control", mode=0o755)
        self.deb("nvidia-cuda-mps", f"{version}-2")
        self.put("usr/lib/nvidia/current/nvidia-smi", smi, 0o755)
        self.put("usr/lib/nvidia/current/nvidia-smi.1.gz")
        self.put("usr/share/bug/nvidia-smi/script", mode=0o755)
        self.deb("nvidia-smi", f"{version}-2")

    def installer(self, version: str = "535.1", chips: list[dict] = CHIPS) -> Path:
        """As NVIDIA's unpacks: libraries and programs at the top, those for 32 bits in 32/."""
        self.source(self.tree / "kernel-open")
        self.source(self.tree / "kernel")
        self.put(".manifest", f"NVIDIA Accelerated Graphics Driver for Linux-x86_64\n{version}\n0644 ...\n")
        self.put("firmware/gsp_ga10x.bin")
        if chips:
            self.put("supported-gpus/supported-gpus.json", json.dumps({"chips": chips}, indent=2))
        for path in ("libcuda.so.535.1", "libnvidia-ml.so.535.1", "libGLX_nvidia.so.535.1", "32/libcuda.so.535.1"):
            self.library(path, path.split("/")[-1].replace("535.1", "1"))
        for name in ("nvidia-smi", "nvidia-settings", "nvidia-installer"):
            self.put(name, mode=0o755)
        run = self.folder / f"NVIDIA-Linux-x86_64-{version}.run"
        run.write_text(INSTALLER.format(tree=shutil.move(self.tree, self.folder / f"unpacked-{version}")))
        return run

    def start(self, **changes: str | None) -> subprocess.Popen:
        words = {"KERNEL": RELEASE, "KERNEL_DIR": self.kernel, "KERNEL_BUILD": self.build, "KEY": self.key, "OUT": self.out, "BUNDLES": "modules",
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
    bundle = machine.out / f"nvidia-535.1-open-{RELEASE}.tar.zst"
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
    assert len(machine.kept()) == 4      # source, lists of GPUs, modules, bundle
    # another kernel: other modules of the same source
    (machine.build / ".config").write_text("CONFIG_OTHER=y\n")
    code, _, err = machine.run()
    assert code == 0 and "compiling" in err and len(machine.kept()) == 5


@pytest.mark.parametrize(("changes", "says"), [
    ({"KEY": None}, "KEY= is missing: the secret key that signs the bundle, by 'modulus keygen'"),
    ({"KEY": "/nonexistent"}, "KEY=/nonexistent is no file"),
    ({"OUT": None}, "OUT= is missing: the directory for the bundle"),
    ({"MODULUS": "/nonexistent"}, "/nonexistent is missing: run 'make', or name MODULUS="),
    ({"KERNEL": "9.9.9-none", "KERNEL_DIR": "", "KERNEL_BUILD": ""},
     "Debian has no linux-headers-9.9.9-none (any more): name KERNEL_DIR= and KERNEL_BUILD="),
    ({"KERNEL_BUILD": "/tmp"}, f"/tmp is no build tree of kernel {RELEASE}"),
    ({"NVIDIA_VERSION": "1.2"}, "Debian has no nvidia-open-kernel-dkms 1.2, but 535.1-2"),
    ({"NVIDIA_VERSION": "35.1"}, "Debian has no nvidia-open-kernel-dkms 35.1, but 535.1-2"),
    ({"FLAVOR": "open closed"}, "FLAVOR= has 'closed'; it takes open and proprietary"),
    ({"FLAVOR": "proprietary"},
     "this machine's package sources have no nvidia-kernel-dkms: it is in Debian's components contrib and non-free"),
    ({"BUNDLES": "modules libraries"}, "BUNDLES= has 'libraries'; it takes modules, firmware and runtime"),
    ({"BUNDLES": "firmware"}, "Debian has no firmware-nvidia-gsp 535.1"),
    ({"RUN": "/nonexistent"}, "RUN=/nonexistent is no file"),
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
    (machine.apt / f"{OPEN}.deb").unlink()
    code, _, err = machine.run()
    assert code == 1 and "this machine's package sources have no nvidia-open-kernel-dkms: it is in Debian's components contrib and non-free" in err


def test_a_driver_that_does_not_compile(machine):
    machine.package("no C at all\n")
    code, out, err = machine.run()
    assert code == 1 and out == ""
    assert "error" in err and err.splitlines()[-1] == f"modulus: nvidia: 535.1 does not compile for {RELEASE}"
    assert machine.kept() == ["gpus-535.1", "open-535.1"]


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
    assert machine.kept() == ["gpus-535.1", "open-535.1"]


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


# --- flavours, firmware, libraries ---

def manifest_of(bundle: Path) -> dict:
    return json.loads(modulus("inspect", "--json", bundle).stdout)


def test_three_bundles_of_one_version(machine):
    machine.package_firmware()
    machine.package_runtime()
    code, out, err = machine.run(BUNDLES=None)
    assert code == 0, err
    bundles = [machine.out / f"nvidia-535.1-{what}.tar.zst" for what in (f"open-{RELEASE}", "firmware", "runtime")]
    assert out.splitlines()[-3:] == [str(bundle) for bundle in bundles]
    assert modulus("verify", "--keys", machine.folder, *bundles).returncode == DONE
    modules, firmware, runtime = map(manifest_of, bundles)
    assert [(m["name"], m["version"], m["kind"], m["flavor"]) for m in (modules, firmware, runtime)] == [
        ("nvidia", "535.1", "modules", "open"), ("nvidia", "535.1", "firmware", ""), ("nvidia", "535.1", "runtime", "")]
    assert [file["path"] for file in firmware["files"]] == [
        "usr/lib/firmware/nvidia/535.1/gsp_ga10x.bin", "usr/lib/firmware/nvidia/535.1/gsp_tu10x.bin"]
    assert {file["path"] for file in runtime["files"]} == {
        *(f"usr/lib64/{library}.so.535.1" for library in LIBRARIES.values()), "usr/bin/nvidia-smi", "usr/bin/nvidia-cuda-mps-control"}
    assert {(link["path"], link["target"]) for link in runtime["links"]} == {
        pair for library in LIBRARIES.values() for pair in (
            (f"usr/lib64/{library}.so.1", f"{library}.so.535.1"), (f"usr/lib64/{library}.so", f"{library}.so.1"))}


def rules_of(machine: Machine, flavor: str) -> list[str]:
    manifest = manifest_of(machine.out / f"nvidia-535.1-{flavor}-{RELEASE}.tar.zst")
    assert manifest["flavor"] == flavor
    return manifest["match"]


def test_the_proprietary_modules(machine):
    machine.package(name=PROPRIETARY)
    code, _, err = machine.run(FLAVOR="proprietary")
    assert code == 0, err
    assert rules_of(machine, "proprietary") == RULES["proprietary"]
    assert "proprietary-535.1" in machine.kept()


def test_both_flavours_in_one_run_each_with_its_rules(machine):
    machine.package(name=PROPRIETARY)
    code, out, err = machine.run(FLAVOR="open proprietary")
    assert code == 0, err
    assert out.splitlines() == [str(machine.out / f"nvidia-535.1-{flavor}-{RELEASE}.tar.zst") for flavor in ("open", "proprietary")]
    assert {flavor: rules_of(machine, flavor) for flavor in RULES} == RULES


def test_a_thousand_gpus_fit_into_a_manifest(machine):
    ids = [f"10DE{number:04X}" for number in range(0x1000, 0x2FF0, 8)]
    machine.package_lists(**{"nvidia.ids": "\n".join(ids) + "\n"})
    code, _, err = machine.run()
    assert code == 0, err
    assert len(ids) > 1000 and len(rules_of(machine, "open")) == 512


def test_lists_that_name_nothing_make_no_bundle(machine):
    machine.package_lists(**{"nvidia.ids": "<html>\n"})
    code, out, err = machine.run()
    assert code == 1 and out == "" and err.splitlines()[-1] == (
        "modulus: nvidia: the lists of 535.1 name no GPU that the proprietary modules drive")


@pytest.mark.parametrize(("pack", "says"), [
    (lambda m: (m.package_firmware("535.0")), "firmware-nvidia-gsp 535.1 has no firmware in lib/firmware/nvidia/535.1"),
    (lambda m: (m.package_firmware(), m.package_runtime("536.2")), "Debian has no libcuda1 535.1, but 536.2-2"),
    (lambda m: (m.package_firmware(), m.package_runtime(smi="says 535.0")), "the packages fetched: nvidia-smi is not of version 535.1"),
    (lambda m: (m.package_firmware(), m.package_runtime(), m.put("usr/share/doc/empty"), m.deb("libnvidia-ml1")),
     "the packages fetched of 535.1: libnvidia-ml.so.535.1 is missing"),
    (lambda m: m.package(SOURCE.replace("535.1", "535.0")), "the source of 535.1 made a driver of another version"),
])
def test_what_is_of_another_version_makes_no_bundle(machine, pack, says):
    pack(machine)
    code, _, err = machine.run(BUNDLES=None)
    assert code == 1 and err.splitlines()[-1] == f"modulus: nvidia: {says}"
    assert not (machine.out / "nvidia-535.1-runtime.tar.zst").exists()


@pytest.mark.parametrize("flavor", ["open", "proprietary"])
def test_the_same_from_nvidias_installer(machine, flavor):
    (machine.apt / "unreachable").touch()
    run = machine.installer()
    code, _, err = machine.run(BUNDLES=None, RUN=run, FLAVOR=flavor)
    assert code == 0, err
    assert rules_of(machine, flavor) == RULES[flavor]
    assert [file["path"] for file in manifest_of(machine.out / "nvidia-535.1-firmware.tar.zst")["files"]] == [
        "usr/lib/firmware/nvidia/535.1/gsp_ga10x.bin"]
    assert [file["path"] for file in manifest_of(machine.out / "nvidia-535.1-runtime.tar.zst")["files"]] == [
        "usr/bin/nvidia-smi", "usr/lib64/libcuda.so.535.1", "usr/lib64/libnvidia-ml.so.535.1"]
    # unpacked once
    code, _, err = machine.run(BUNDLES="firmware", RUN=run)
    assert code == 0 and "unpacking" not in err


def test_an_installer_whose_proprietary_modules_do_not_drive_the_newest(machine):
    """From 560 on the list tells them apart."""
    both = [chip | {"features": [*chip["features"], "gsp_proprietary_supported"]} if "kernelopen" in chip["features"] else chip for chip in CHIPS]
    run = machine.installer(chips=[*both, {"devid": "0x2901", "name": "B200", "features": ["kernelopen"]}])
    code, _, err = machine.run(RUN=run, FLAVOR="open proprietary")
    assert code == 0, err
    assert {flavor: rules_of(machine, flavor) for flavor in RULES} == RULES


def test_an_installer_without_a_list_of_gpus(machine):
    code, _, err = machine.run(RUN=machine.installer(chips=[]))
    assert code == 1 and err.splitlines()[-1].endswith(".run has no supported-gpus.json: it is of a driver before 450")


def test_an_installer_that_is_none_or_of_another_version(machine):
    code, _, err = machine.run(RUN=machine.installer(), NVIDIA_VERSION="535.2")
    assert code == 1 and err.splitlines()[-1].endswith(".run is version 535.1, not 535.2")
    text = machine.folder / "text.run"
    text.write_text("exit 3\n")
    code, _, err = machine.run(RUN=text)
    assert code == 1 and err.splitlines()[-1] == f"modulus: nvidia: {text} does not unpack"
    text.write_text('mkdir "$3"\n')
    code, _, err = machine.run(RUN=text)
    assert code == 1 and err.splitlines()[-1] == f"modulus: nvidia: {text} is no installer of NVIDIA's: it has no .manifest with a version"
    assert not list(machine.out.glob("*.zst"))
