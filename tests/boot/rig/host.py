# SPDX-License-Identifier: Apache-2.0
"""Commands of the build machine: run them, or say plainly which package is missing."""

import os
import shutil
import subprocess
from pathlib import Path

# tool -> Debian package that brings it
TOOLS = {
    "apt-get": "apt",
    "busybox": "busybox-static",
    "cpio": "cpio",
    "depmod": "kmod",
    "dmsetup": "dmsetup",
    "dpkg": "dpkg",
    "dracut": "dracut-core",
    "gcc": "gcc",
    "grub-mkimage": "grub-common",
    "make": "make",
    "openssl": "openssl",
    "mkfs.erofs": "erofs-utils",
    "mcopy": "mtools",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mksquashfs": "squashfs-tools",
    "mmdebstrap": "mmdebstrap",
    "openssl": "openssl",
    "ostree": "ostree",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "sbsign": "sbsigntool",
    "sgdisk": "gdisk",
    "systemctl": "systemd",
    "udevadm": "udev",
    "veritysetup": "cryptsetup-bin",
    "xz": "xz-utils",
    "zstd": "zstd",
}
DRACUT_BASE = Path("/usr/lib/dracut")
OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd")
UEFI_CODE = OVMF_CODE.with_name("OVMF_CODE_4M.fd")
GRUB_MODULES = Path("/usr/lib/grub/x86_64-efi")
# what is needed and is no program -> Debian package
FILES = {DRACUT_BASE / "modules.d" / "30ignition": "ignition", OVMF_CODE: "ovmf",
         GRUB_MODULES: "grub-efi-amd64-bin"}


class RigError(Exception):
    """The rig itself failed (a tool, a download, a guest that never ended); not a verdict on Modulus."""


def environment() -> dict[str, str]:
    """The caller's environment, in English, with the system's own tools first."""
    own = dict(os.environ)
    own["LC_ALL"] = "C.UTF-8"
    own["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin:" + own.get("PATH", "")
    return own


def run(*command: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run one command; its standard output, or RigError with everything that it said."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env={**environment(), **(env or {})}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()
        raise RigError(f"{' '.join(words)}\nended with {done.returncode}:\n{said}")
    return done.stdout


def require_tools() -> None:
    """Raise RigError that names every missing package at once."""
    if os.geteuid() != 0:
        raise RigError("the boot tests must run as root (they build root file systems)")
    path = environment()["PATH"]
    missing = {package for tool, package in TOOLS.items() if not shutil.which(tool, path=path)}
    missing |= {package for path, package in FILES.items() if not path.exists()}
    if missing:
        raise RigError("missing on this machine; run `make deps`, or: apt-get install " + " ".join(sorted(missing)))
