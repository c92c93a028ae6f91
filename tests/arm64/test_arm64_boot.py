# SPDX-License-Identifier: Apache-2.0
"""Debian's arm64 kernel with the arm64 program in its initramfs: a bundle that was made on this machine is loaded, because its
build-id, which was read from the kernel's image, is the one that the running kernel tells."""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TREE / "tests/boot"), str(TREE / "tests/tools")]

from program import DONE, modulus
from rig import cache, cpio, debian

PROGRAM = TREE / "build/arm64/modulus-boot"
QEMU = "qemu-system-aarch64"
LIMIT_S = 400
MATCH = "pci:v00001AF4d00001050*"
# the shell and the module loader of somebody else's initramfs
INIT = """#!/bin/busybox sh
bb=/bin/busybox
$bb mount -t proc proc /proc; $bb mount -t sysfs sysfs /sys; $bb mount -t devtmpfs dev /dev
for module in {bus}; do $bb insmod /$module; done
say() {{ echo; echo "--- $1 ---"; }}
say boot
/modulus boot --root /sysroot; echo "exit $?"
say status; /modulus status --json
say machine; $bb uname -m
say live; $bb ls /sys/module
say nodes; $bb ls /dev/dri
say end
$bb poweroff -f
"""
FETCH = """
. {deps}/own-apt.sh
own_apt_begin "$PWD/apt" deb arm64
own_apt update
kernel=$(own_apt -s install --no-install-recommends linux-image-arm64 | sed -n 's/^Inst \\(linux-image-[0-9][^ ]*\\).*/\\1/p')
own_apt download "$kernel" busybox-static
for deb in *.deb; do dpkg-deb --extract "$deb" tree; done
rm -rf apt *.deb
depmod -b tree "${{kernel#linux-image-}}"
"""

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="a matter of make check-arm64")


@pytest.fixture(scope="module")
def tree() -> Path:
    """Debian's arm64 kernel and busybox, unpacked."""
    def make(folder: Path) -> None:
        subprocess.run(["sh", "-euc", FETCH.format(deps=TREE / "tests/deps")], cwd=folder, check=True, capture_output=True)
    key = cache.digest(debian.candidates(["linux-image-amd64", "busybox-static"]), FETCH)
    return cache.kept("kernel-arm64", key, make, keep=1) / "tree"


def needed(tree: Path, release: str, module: str) -> list[Path]:
    """The files that make a module, in the order in which they are loaded."""
    said = subprocess.run(["modprobe", "-d", tree, "-S", release, "--show-depends", module], capture_output=True, text=True, check=True)
    return [Path(line.split()[1]) for line in said.stdout.splitlines() if line.startswith("insmod ")]


@pytest.fixture(scope="module")
def booted(tree, tmp_path_factory) -> dict[str, str]:
    """What the guest said, by the marks."""
    folder = tmp_path_factory.mktemp("arm64")
    (image,) = (tree / "boot").glob("vmlinuz-*")
    release = image.name.removeprefix("vmlinuz-")
    key = [folder / name for name in ("secret", "public")]
    assert modulus("keygen", "--secret", key[0], "--public", key[1]).returncode == DONE
    bundle = folder / "gpu.tar.zst"
    done = modulus("build", "--name", "gpu", "--version", "1", "--kernel", release, "--kernel-dir", tree / "lib/modules" / release,
                   "--from-kernel", "--with-deps", "--module", "virtio-gpu", "--match", MATCH, "--key", key[0], "--output", bundle)
    assert done.returncode == DONE, done.stderr
    bus = needed(tree, release, "virtio_pci")
    inside = {f"sysroot/etc/modulus/{name}": data for name, data in {
        "gpu.conf": f"[Driver]\nVersion=1\nMatch={MATCH}\n".encode(), "keys/fleet.pub": key[1].read_bytes()}.items()}
    inside[f"sysroot/usr/lib/modulus/bundles/{release}/gpu.tar.zst"] = bundle.read_bytes()
    inside |= {path.name: path.read_bytes() for path in bus}
    folders = {str(parent) for name in inside for parent in Path(name).parents} - {"."}
    entries = [cpio.directory(name) for name in sorted(folders | {"bin", "proc", "sys", "dev", "run", "sysroot/var"})]
    entries += [cpio.Entry(name, data) for name, data in inside.items()]
    entries += [cpio.script(name, data) for name, data in {
        "init": INIT.format(bus=" ".join(path.name for path in bus)).encode(), "modulus": PROGRAM.read_bytes(),
        "bin/busybox": (tree / "bin/busybox").read_bytes()}.items()]
    (folder / "initrd").write_bytes(cpio.archive(entries))
    console = folder / "console"
    subprocess.run([QEMU, "-M", "virt", "-cpu", "cortex-a72", "-m", "1024", "-nodefaults", "-no-reboot", "-display", "none",
                    "-serial", f"file:{console}", "-device", "virtio-gpu-pci", "-kernel", image, "-initrd", folder / "initrd",
                    "-append", "console=ttyAMA0 quiet panic=-1"], timeout=LIMIT_S, check=True)
    text = console.read_text(errors="replace").replace("\r", "")
    said = re.split(r"^--- (\w+) ---\n", text, flags=re.M)
    assert said[-2:-1] == ["end"], text
    return {**dict(zip(said[1::2], said[2::2])), "bundle": modulus("inspect", "--json", bundle).stdout}


def test_the_bundle_of_this_build_of_the_kernel_is_loaded(booted):
    status, kernel = json.loads(booted["status"]), json.loads(booted["bundle"])["kernel"]
    (driver,) = status["drivers"]
    assert driver["reason"] == "loaded" and "exit 0\n" in booted["boot"], booted
    assert booted["machine"].strip() == status["kernel"]["machine"] == kernel["machine"] == "aarch64"
    assert re.fullmatch("[0-9a-f]{40}", kernel["build_id"]) and status["kernel"]["build_id"] == kernel["build_id"]
    assert {module["from"] for module in driver["modules"]} == {"bundle"}
    assert "virtio_gpu" in booted["live"].split() and "card0" in booted["nodes"].split()
