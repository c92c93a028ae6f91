# SPDX-License-Identifier: Apache-2.0
"""A kernel and a small root file system from Debian packages, taken from where this machine takes its own.

Only package sources whose origin is Debian are used; the machine may have others. No mirror is named here.
"""

import inspect
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import cache, vmlinux
from .host import RigError, run

ROOT_PACKAGES = ["systemd", "systemd-sysv", "udev", "kmod", "dbus", "busybox-static"]
# Bulk that no boot needs
ROOT_WITHOUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/i18n/*"]
# How this machine reaches its package sources; the guest's root is fetched the same way
APT_TRANSPORT = ["Acquire::http", "Acquire::https", "Acquire::Retries", "Acquire::Check-Valid-Until",
                 "Acquire::Check-Date"]


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel package."""
    release: str
    vmlinux: Path       # what QEMU starts
    vmlinuz: Path       # what the package ships, with the GNU build-id
    modules: Path       # the directory that is lib/modules/<release>


def source_lines() -> list[str]:
    """`deb URI suite component` for each Debian package source of this machine."""
    table = run("apt-get", "indextargets", "--format",
                "$(CREATED_BY)|$(ORIGIN)|$(ARCHITECTURE)|$(REPO_URI)|$(BASE_URI)|$(COMPONENT)")
    lines = set()
    for row in table.splitlines():
        kind, origin, architecture, repository, base, component = row.split("|")
        if (kind, origin, architecture) != ("Packages", "Debian", "amd64"):
            continue
        suite = base.removeprefix(repository).removeprefix("dists/").rstrip("/")
        lines.add(f"deb {repository} {suite} {component}")
    if not lines:
        raise RigError("apt knows no package source of Debian for amd64; run `apt-get update` first")
    return sorted(lines)


def _apt_options(folder: Path) -> list[str]:
    """apt-get options that hide every source but Debian's."""
    listing = folder / "debian.list"
    listing.write_text("\n".join(source_lines()) + "\n")
    return ["-o", f"Dir::Etc::SourceList={listing}", "-o", "Dir::Etc::SourceParts=/dev/null",
            "-o", "APT::Sandbox::User=root"]


def _candidates(packages: list[str]) -> str:
    """`package version` of what apt would install now, one per line."""
    with tempfile.TemporaryDirectory() as folder:
        said = run("apt-cache", *_apt_options(Path(folder)), "policy", *packages)
    return "\n".join(re.findall(r"^\S+:$|^ +Candidate: \S+$", said, re.M))


def _kernel_package() -> str:
    """The package that linux-image-amd64 stands for today."""
    with tempfile.TemporaryDirectory() as folder:
        said = run("apt-cache", *_apt_options(Path(folder)), "depends", "linux-image-amd64")
    found = re.search(r"Depends: (linux-image-(\d\S+-amd64))$", said, re.M)
    if not found:
        raise RigError(f"linux-image-amd64 names no kernel:\n{said}")
    return found[1]


def kernel() -> Kernel:
    """Debian's current kernel, unpacked, with its modules indexed."""
    package = _kernel_package()
    release = package.removeprefix("linux-image-")

    def make(folder: Path) -> None:
        run("apt-get", *_apt_options(folder), "-q", "download", package, cwd=folder)
        (deb,) = folder.glob("*.deb")
        run("dpkg", "-x", deb, folder / "tree")
        deb.unlink()
        # unpacking runs no hooks: modules.dep does not exist until this
        run("depmod", "-b", folder / "tree", release)
        vmlinux.extract(folder / f"tree/boot/vmlinuz-{release}", folder / "vmlinux")

    folder = cache.kept("kernel", cache.digest(_candidates([package]), inspect.getsource(vmlinux)), make, keep=2)
    return Kernel(release, folder / "vmlinux", folder / f"tree/boot/vmlinuz-{release}",
                  folder / f"tree/lib/modules/{release}")


def root() -> Path:
    """A minimal Debian with systemd; the directory is its `/`."""
    lines = source_lines()
    recipe = [f"--include={','.join(ROOT_PACKAGES)}"] + [f"--dpkgopt=path-exclude={path}" for path in ROOT_WITHOUT]

    def make(folder: Path) -> None:
        options = []
        for line in run("apt-config", "dump", *APT_TRANSPORT).splitlines():
            if not line.endswith(' "";'):
                options.append(f"--aptopt={line}")
        run("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", *recipe, *options,
            "", folder / "root", *lines)

    key = cache.digest("\n".join(lines + recipe), _candidates(ROOT_PACKAGES + ["libc6", "base-files"]))
    return cache.kept("root", key, make, keep=2) / "root"
