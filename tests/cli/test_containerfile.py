# SPDX-License-Identifier: Apache-2.0
"""The container build of docs/ways-in.md, by buildah, on a Debian with a real dracut and a part of a real kernel's modules.
Of ostree there is what such a build asks for: a dracut module that does nothing, and a command that says it was run."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import elf
from bundlemaker import TEST_KEY, File, modules
from program import DONE, MODULUS, NO_BUNDLE, TREE, environment, modulus

sys.path.append(str(TREE / "tests/boot"))
from rig import cache, debian, initramfs  # noqa: E402

pytestmark = [pytest.mark.skipif(not shutil.which("buildah") or os.geteuid() != 0, reason="buildah is not installed (make deps), or not root"),
              pytest.mark.skipif(os.environ.get("STATIC") == "0", reason="the program of this build is no other system's")]
PAGE = (TREE / "docs/ways-in.md").read_text()
SECTION = PAGE.split("## A container build of Fedora CoreOS\n")[1].split("\n## ")[0]
DRACUT_PACKAGES = ["dracut-core", "cpio", "kpartx", "libdevmapper1.02.1", "dmsetup"]
# enough for an image that is made without a word of complaint about us
KERNEL_PARTS = ["kernel/fs", "kernel/crypto", "kernel/lib", "kernel/drivers/virtio", "kernel/drivers/block"]
BASE = """
FROM scratch
ADD debian.tar /
COPY extra/ /
RUN dpkg --force-depends --install /packages/*.deb
"""
OSTREE_MODULE = "check() { return 255; }\ndepends() { return 0; }\ninstall() { :; }\n"


def block(kind: str) -> str:
    (text,) = re.findall(rf"^```{kind}\n(.*?)^```$", SECTION, flags=re.M | re.S)
    return text


class Store:
    """buildah with images of its own."""

    def __init__(self, folder: Path):
        where = ["--root", folder / "images", "--runroot", folder / "run"]
        self.options = ["--storage-driver", "overlay", *where]
        if subprocess.run(["buildah", *map(str, self.options), "info"], capture_output=True).returncode != 0:
            # a file system that an overlay cannot be on: each layer is a copy of all below it
            shutil.rmtree(folder / "images", ignore_errors=True)
            self.options = ["--storage-driver", "vfs", *where]

    def __call__(self, *words: object) -> str:
        done = subprocess.run(["buildah", *map(str, self.options), *map(str, words)], capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def build(self, context: Path, tag: str, *words: str) -> None:
        self("bud", "--quiet", "--isolation", "chroot", "--network", "host", "--tag", tag, *words, context)


def base(folder: Path, release: str) -> None:
    """The context of an image that has what Fedora CoreOS's has, as far as the page uses it."""
    extra = folder / "extra"
    packages = cache.kept("dracut-packages", cache.digest(debian.candidates(DRACUT_PACKAGES)),
                          lambda into: debian.download(into, DRACUT_PACKAGES), keep=2)
    shutil.copytree(packages, extra / "packages", ignore=lambda _, files: [name for name in files if not name.endswith(".deb")])
    kernel, tree = debian.kernel(release).modules, extra / "usr/lib/modules" / release
    for part in KERNEL_PARTS:
        shutil.copytree(kernel / part, tree / part)
    for file in [*kernel.glob("modules.builtin*"), kernel / "modules.order"]:
        shutil.copy(file, tree)
    (extra / "lib").symlink_to("usr/lib")
    subprocess.run(["depmod", "-b", extra, release], check=True, capture_output=True)
    (extra / "lib").unlink()
    module = extra / "usr/lib/dracut/modules.d/98ostree/module-setup.sh"
    module.parent.mkdir(parents=True)
    module.write_text(OSTREE_MODULE)
    command = extra / "usr/bin/ostree"
    command.parent.mkdir()
    command.write_text('#!/bin/sh\necho "$*" > /ostree-was-run\n')
    for program in (module, command):
        program.chmod(0o755)
    subprocess.run(["tar", "-C", debian.root(), "--exclude=./usr/share/zoneinfo", "-cf", folder / "debian.tar", "."], check=True)
    (folder / "Containerfile").write_text(BASE)


def context(folder: Path, release: str) -> None:
    """What the page has in its directory, by the page's commands."""
    kernel = {"release": release, "machine": os.uname().machine, "vermagic": elf.vermagic(release)}
    file = File(f"usr/lib/modules/{release}/modulus/nvidia/alpha.ko", elf.module("alpha", release))
    (folder / "nvidia.tar.zst").write_bytes(modules().but(files=(file,), fields={"name": "nvidia", "kernel": kernel}).build())
    (folder / "nvidia.conf").write_text("[Driver]\nVersion=1.0\nMatch=pci:v00001AF4d*\n")
    (folder / "fleet.pub").write_text(TEST_KEY.public.text())
    script = block("sh").replace("/usr/src/modulus", str(TREE))
    subprocess.run(["sh", "-euc", script], cwd=folder, check=True, capture_output=True, env=environment(KERNEL=release), timeout=600)
    (folder / "Containerfile").write_text(block("Containerfile"))


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The file system of the image that the page makes, and its kernel."""
    release, folder = debian.current_release(), tmp_path_factory.mktemp("containers")
    store = Store(folder)
    for name, make in (("base", base), ("host", context)):
        (folder / name).mkdir()
        make(folder / name, release)
    store.build(folder / "base", "base")
    store.build(folder / "host", "gpu-host", "--build-arg", "BASE=localhost/base")
    container = store("from", "gpu-host").strip()
    yield Path(store("mount", container).strip()), release
    store("rm", container)
    store("rmi", "--all", "--force")
    shutil.rmtree(folder)       # a gigabyte


def test_the_initramfs_of_the_image_has_the_program_and_its_unit(image):
    tree, release = image
    made = tree / f"usr/lib/modules/{release}/initramfs.img"
    there = {path.removeprefix("usr/") for path in initramfs.listing(made)}     # one directory, under either name
    assert {"bin/modulus", "lib/systemd/system/modulus.service", "etc/systemd/system/initrd.target.wants/modulus.service"} <= there
    asked = subprocess.run(["lsinitrd", "--mod", made], capture_output=True, text=True, check=True).stdout.split()
    assert {"modulus", "ostree"} <= set(asked)


def test_its_units_are_enabled_and_the_layer_is_committed(image):
    tree, _ = image
    wanted = {path.name for path in (tree / "etc/systemd/system/multi-user.target.wants").iterdir()}
    assert {"modulus-finish.service", "modulus-bless.service", "modulus-fetch.timer", "modulus-fetch-ostree.path", "modulus-gate-stop.service"} <= wanted
    assert (tree / "ostree-was-run").read_text() == "container commit\n"


def test_the_kernel_of_the_image_would_get_its_driver(image, machine):
    tree, release = image
    machine.device()
    done = modulus("check", "--root", tree, "--live-root", machine.live, "--kernel", release)
    assert done.returncode == DONE and "nvidia" in done.stdout, done.stdout + done.stderr
    assert (tree / "usr/bin/modulus").read_bytes() == MODULUS.read_bytes()
    assert modulus("check", "--root", tree, "--live-root", machine.live, "--kernel", "6.0.0-other").returncode == NO_BUNDLE
