# SPDX-License-Identifier: Apache-2.0
"""A real Debian in which dpkg installs a real kernel package: its maintainer script runs our hook, and the bundle of that
kernel is in the cache before any reboot. The device is one of a directory, and the server one of the test's."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import elf
from badserver import BadServer, good
from bundlemaker import TEST_KEY, File, modules
from fakehost import Machine
from netmachine import plain_environment
from program import MODULUS, TREE
from test_cache_places import needs_mounts

sys.path.append(str(TREE / "tests/boot"))
from rig import cache, debian  # noqa: E402

pytestmark = [needs_mounts, pytest.mark.skipif(os.environ.get("STATIC") == "0", reason="the program of this build is no other system's")]
# An overlay in memory, so that the system that all tests share stays as it is. The package asks for what makes an
# initramfs, and linux-base for what asks questions: not here.
INSTALL = """
given=$1 debian=$2 memory=$3
mount -t tmpfs tmpfs "$memory"
mkdir "$memory/upper" "$memory/work" "$memory/root"
cp -a "$given/." "$memory/upper"
mount -t overlay overlay -o lowerdir="$debian",upperdir="$memory/upper",workdir="$memory/work" "$memory/root"
cd "$memory/root"
mount -t proc proc proc
mount -t tmpfs tmpfs run
mkdir -p run/modulus/bin
cp wrapper run/modulus/bin/modulus
chroot . env DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin \\
    sh -c 'exec dpkg --force-depends --install /packages/*.deb'
[ -e "boot/vmlinuz-$4" ]
cp -a var/lib/modulus "$given"
"""


def packages(release: str) -> list[Path]:
    """The kernel's, and that of the tools that its maintainer scripts run; downloaded once."""
    names = [f"linux-image-{release}", "linux-base"]
    folder = cache.kept("kernel-packages", cache.digest(debian.candidates(names)), lambda folder: debian.download(folder, names), keep=2)
    return sorted(folder.glob("*.deb"))


def bundle(release: str) -> bytes:
    kernel = {"release": release, "machine": os.uname().machine, "vermagic": elf.vermagic(release)}
    file = File(f"usr/lib/modules/{release}/modulus/gpu/alpha.ko", elf.module("alpha", release))
    return modules().but(files=(file,), fields={"kernel": kernel}).build()


def test_dpkg_installs_a_kernel_and_its_bundle_is_there(tmp_path):
    release = debian.current_release()
    given, memory = tmp_path / "given", tmp_path / "memory"
    memory.mkdir()
    (given / "packages").mkdir(parents=True)
    for package in packages(release):
        shutil.copy(package, given / "packages")
    machine = Machine(tmp_path / "fake")
    machine.device()
    shutil.copytree(machine.live, given / "live")
    shutil.copy(MODULUS, given / "program")
    (given / "wrapper").write_text('#!/bin/sh\nexec /program "$@" --live-root /live\n')
    hook = given / "etc/kernel/postinst.d/modulus"
    hook.parent.mkdir(parents=True)
    shutil.copy(TREE / "ignition/hooks/kernel-installed", hook)
    for program in (given / "wrapper", hook):
        program.chmod(0o755)
    keys = given / "etc/modulus/keys"
    keys.mkdir(parents=True)
    (keys / "test.pub").write_text(TEST_KEY.public.text())
    with BadServer() as server:
        server.serve(f"/{release}.tar.zst", good(bundle(release)))
        source = f"From=cache: {server.url('/{kernel}.tar.zst')}"
        (given / "etc/modulus/gpu.conf").write_text(f"[Driver]\nVersion=1.0\nMatch=pci:v00001AF4d*\n[Source]\n{source}\n")
        done = subprocess.run(["unshare", "-m", "sh", "-euc", INSTALL, "sh", given, debian.root(), memory, release],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, env=plain_environment(), timeout=300)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    cached = list((given / "modulus/bundles" / release).glob("gpu-modules-*.tar.zst"))
    assert len(cached) == 1 and cached[0].read_bytes() == bundle(release), said
