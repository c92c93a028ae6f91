# SPDX-License-Identifier: Apache-2.0
"""A kernel, what compiles modules for it, and a small root file system from Debian packages, taken from where this
machine takes its own.

Only package sources whose origin is Debian are used; the machine may have others. No mirror is named here.
"""

import inspect
import re
import shutil
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


def source_lines(release: str | None = None) -> list[str]:
    """`deb URI suite component` for each Debian package source of this machine, or for the same places' other release."""
    table = run("apt-get", "indextargets", "--format",
                "$(CREATED_BY)|$(ORIGIN)|$(ARCHITECTURE)|$(REPO_URI)|$(BASE_URI)|$(COMPONENT)|$(CODENAME)")
    lines = set()
    for row in table.splitlines():
        kind, origin, architecture, repository, base, component, own = row.split("|")
        if (kind, origin, architecture) != ("Packages", "Debian", "amd64"):
            continue
        suite = base.removeprefix(repository).removeprefix("dists/").rstrip("/")
        if release:     # bookworm-updates, bookworm-security
            suite = suite.replace(own.partition("-")[0], release)
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


def candidates(packages: list[str]) -> str:
    """`package version` of what apt would install now, one per line."""
    with tempfile.TemporaryDirectory() as folder:
        said = run("apt-cache", *_apt_options(Path(folder)), "policy", *packages)
    return "\n".join(re.findall(r"^\S+:$|^ +Candidate: \S+$", said, re.M))


def _dependencies(package: str) -> list[str]:
    """What `package` depends on, alternatives left out."""
    with tempfile.TemporaryDirectory() as folder:
        said = run("apt-cache", *_apt_options(Path(folder)), "depends", package)
    return re.findall(r"^ +Depends: (\S+)$", said, re.M)


def _kernel_package() -> str:
    """The package that linux-image-amd64 stands for today."""
    found = [name for name in _dependencies("linux-image-amd64") if re.fullmatch(r"linux-image-\d\S+-amd64", name)]
    if not found:
        raise RigError("the package linux-image-amd64 names no kernel")
    return found[0]


def download(folder: Path, packages: list[str]) -> None:
    """Their files, into that directory."""
    run("apt-get", *_apt_options(folder), "-q", "download", *packages, cwd=folder)


def _unpacked(folder: Path, packages: list[str]) -> Path:
    """The directory that these packages would have as their `/`. Nothing of theirs is run."""
    download(folder, packages)
    for deb in folder.glob("*.deb"):
        run("dpkg", "-x", deb, folder / "tree")
        deb.unlink()
    return folder / "tree"


def current_release() -> str:
    """That of Debian's current kernel."""
    return _kernel_package().removeprefix("linux-image-")


def other_release(current: str) -> str:
    """That of another kernel which Debian has together with what compiles modules for it: the oldest of the same series."""
    with tempfile.TemporaryDirectory() as folder:
        said = run("apt-cache", *_apt_options(Path(folder)), "search", "--names-only", r"^linux-(image|headers)-[0-9]+\.\S+-amd64$")
    images, headers = ({line.split()[0].removeprefix(kind) for line in said.splitlines() if line.startswith(kind)}
                       for kind in ("linux-image-", "linux-headers-"))

    def numbers(release: str) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", release.removesuffix("-amd64"))]

    # 6.1.0-56-amd64, not its -cloud and -rt
    found = [release for release in images & headers - {current} if re.fullmatch(r"[0-9.]+[+-](deb)?\d+-amd64", release)]
    if not found:
        raise RigError(f"Debian has no other kernel than {current} here")
    return min(found, key=lambda release: (numbers(release)[:2] != numbers(current)[:2], numbers(release)))


def kernel(release: str) -> Kernel:
    """A kernel of Debian's, unpacked, with its modules indexed."""
    package = f"linux-image-{release}"

    def make(folder: Path) -> None:
        tree = _unpacked(folder, [package])
        # unpacking runs no hooks: modules.dep does not exist until this
        run("depmod", "-b", tree, release)
        vmlinux.extract(folder / f"tree/boot/vmlinuz-{release}", folder / "vmlinux")

    folder = cache.kept("kernel", cache.digest(candidates([package]), inspect.getsource(vmlinux)), make, keep=2)
    return Kernel(release, folder / "vmlinux", folder / f"tree/boot/vmlinuz-{release}",
                  folder / f"tree/lib/modules/{release}")


def kernel_packages(release: str) -> list[Path]:
    """The files of that kernel's package, and of the tools that its maintainer scripts run; downloaded once."""
    names = [f"linux-image-{release}", "linux-base"]
    folder = cache.kept("kernel-packages", cache.digest(candidates(names)), lambda folder: download(folder, names), keep=2)
    return sorted(folder.glob("*.deb"))


def repacked(package: Path, folder: Path) -> Path:
    """The same package in that folder, its files compressed by something that an emulated guest unpacks in seconds."""
    made, packed, plain = folder / package.name, folder / "data.tar.xz", folder / "data.tar.zst"
    shutil.copy(package, made)
    run("ar", "x", made, packed.name, cwd=folder)
    run("sh", "-euc", f"xz -dc {packed.name} | zstd -q -3 -T0 -o {plain.name}", cwd=folder)
    run("ar", "d", made, packed.name, cwd=folder)
    run("ar", "qS", made, plain.name, cwd=folder)
    packed.unlink()
    plain.unlink()
    return made


def kernel_build(release: str) -> Path:
    """The build tree that modules for this kernel are compiled with, Module.symvers in it."""
    headers = f"linux-headers-{release}"
    # the compiler that it asks for as well is this machine's own
    packages = [headers, *(name for name in _dependencies(headers) if re.match(r"linux-(headers|kbuild)-", name))]

    def make(folder: Path) -> None:
        # the packages mean to lie in /usr/src, which is not where they are
        makefile = _unpacked(folder, packages) / "usr" / "src" / headers / "Makefile"
        said = makefile.read_text()
        makefile.write_text(said.replace("include /usr/src/", "include ../"))
        if "include ../linux-headers-" not in makefile.read_text():
            raise RigError(f"{headers}: its Makefile is not as expected:\n{said}")

    folder = cache.kept("headers", cache.digest(candidates(packages)), make, keep=2)
    return folder / "tree" / "usr" / "src" / headers


def _recipe(packages: list[str]) -> list[str]:
    return [f"--include={','.join(packages)}"] + [f"--dpkgopt=path-exclude={path}" for path in ROOT_WITHOUT]


def _bootstrap(folder: Path, packages: list[str], lines: list[str]) -> None:
    options = []
    for line in run("apt-config", "dump", *APT_TRANSPORT).splitlines():
        if not line.endswith(' "";'):
            options.append(f"--aptopt={line}")
    run("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", *_recipe(packages), *options, "", folder / "root", *lines)


def root() -> Path:
    """A minimal Debian with systemd; the directory is its `/`."""
    lines = source_lines()
    key = cache.digest("\n".join(lines + _recipe(ROOT_PACKAGES)), candidates(ROOT_PACKAGES + ["libc6", "base-files"]))
    return cache.kept("root", key, lambda folder: _bootstrap(folder, ROOT_PACKAGES, lines), keep=2) / "root"


def other_root(release: str, packages: list[str], what: str = "root") -> Path:
    """A minimal Debian of another release than this machine's. apt knows no versions of it here, so each `what` is made once."""
    lines = source_lines(release)
    key = cache.digest("\n".join(lines + _recipe(packages)))
    return cache.kept(f"{what}-{release}", key, lambda folder: _bootstrap(folder, packages, lines), keep=1) / "root"
