# SPDX-License-Identifier: Apache-2.0
"""What goes on the guest's partitions: the /usr tree and the root tree, small (busybox) or a real Debian with systemd.

The GPU driver is in neither: it is left out of every module tree, and the root's modprobe.d would refuse it too. So
only a bundle can have loaded it. A kernel argument is not used for that, because Modulus obeys those.
"""

import shutil
from pathlib import Path

from . import places
from .debian import Kernel
from .host import RigError, run

BUSYBOX = Path("/usr/bin/busybox")
GPU_MODULE = "virtio_gpu"
MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
OS_RELEASE = 'ID=modulus-test\nNAME="Modulus test system"\nVERSION_ID=1\n'
# /usr has its own partition; the others are mounts on a running system, and /dev/zero is a file without end
NOT_ON_ROOT = ["usr", "dev", "proc", "sys", "run"]
REPORT_UNIT = "modulus-report.service"


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """A file and its parents."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def programs(folder: Path, where: str, scripts: dict[str, str]) -> None:
    """busybox and the test's scripts in `folder`, which the guest sees as `where`."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(BUSYBOX, folder / "busybox")
    for name, source in scripts.items():
        write(folder / name, (places.GUEST / source).read_text().replace("/usr/bin/", f"{where}/"), 0o755)


def closure(kernel: Kernel, wanted: set[str], without: set[str]) -> list[Path]:
    """Paths, below the module tree, of the wanted modules and everything that they need (modules.dep), without some."""
    found = {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        path, _, needs = line.partition(":")
        found[Path(path).name.split(".")[0].replace("-", "_")] = [path, *needs.split()]
    if missing := wanted - set(found):
        raise RigError(f"{kernel.modules} has no {' '.join(sorted(missing))}")
    left_out = {found[name][0] for name in without}
    return sorted(Path(path) for path in {path for name in wanted for path in found[name]} - left_out)


def module_tree(kernel: Kernel, usr: Path, modules: list[Path]) -> None:
    """`usr`/lib/modules/<release> with exactly these modules, indexed."""
    target = usr / "lib" / "modules" / kernel.release
    target.mkdir(parents=True)
    for index in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy(kernel.modules / index, target / index)
    for module in modules:
        (target / module).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kernel.modules / module, target / module)
    base = usr.parent / f"{usr.name}.depmod"
    (base / "lib").mkdir(parents=True)
    (base / "lib" / "modules").symlink_to(usr / "lib" / "modules")
    run("depmod", "-b", base, kernel.release)
    shutil.rmtree(base)


def small_usr(folder: Path, kernel: Kernel, modules: list[Path]) -> Path:
    """A /usr with busybox as the whole system, whose PID 1 reports and powers off."""
    programs(folder / "bin", "/usr/bin", {"modulus-report": "report.sh", "modulus-test-init": "init.sh"})
    for name in ("sbin", "lib64"):
        (folder / name).mkdir()
    write(folder / "lib" / "os-release", OS_RELEASE)
    module_tree(kernel, folder, modules)
    return folder


def _common_root(folder: Path) -> None:
    write(folder / "etc" / "modprobe.d" / "no-gpu.conf", f"install {GPU_MODULE} /bin/false\n")
    # Debian's Ignition relabels, and asks this file for the policy's name
    write(folder / "etc" / "selinux" / "config", "SELINUX=disabled\nSELINUXTYPE=stub\n")
    # the root that was mounted `ro` becomes writable later, as on every Debian
    write(folder / "etc" / "fstab", "LABEL=ROOT / ext4 defaults 0 0\n")
    for name in ("dev", "proc", "sys", "run", "tmp", "usr", "var/lib", "var/log"):
        (folder / name).mkdir(parents=True, exist_ok=True)


def _finish_unit(folder: Path) -> None:
    """Enabled, as the snippet does it; there is no systemd in the small roots that would read it."""
    write(folder / "etc" / "systemd" / "system" / "multi-user.target.wants" / "modulus-finish.service", "[Service]\n")


def enable(root: Path, unit: str, target: str = "multi-user.target") -> None:
    """As `systemctl enable` leaves it; an instance's link is to its template."""
    name, _, rest = unit.partition("@")
    wants = root / "etc" / "systemd" / "system" / f"{target}.wants"
    wants.mkdir(exist_ok=True)
    (wants / unit).symlink_to(f"/usr/lib/systemd/system/{f'{name}@.service' if rest else unit}")


def small_root(folder: Path) -> Path:
    """The root of a machine whose /usr is a partition of its own."""
    _common_root(folder)
    _finish_unit(folder)
    for name, target in MERGED.items():
        (folder / name).symlink_to(target)
    (folder / "etc" / "os-release").symlink_to("../usr/lib/os-release")
    return folder


def lone_root(folder: Path) -> Path:
    """A root that needs no /usr: busybox in /bin, /usr an empty directory on which nothing is ever mounted."""
    _common_root(folder)
    _finish_unit(folder)
    programs(folder / "bin", "/bin", {"modulus-report": "report.sh", "modulus-test-init": "init.sh"})
    write(folder / "etc" / "os-release", OS_RELEASE)
    return folder


def debian_usr(folder: Path, debian: Path, kernel: Kernel, modules: list[Path]) -> Path:
    """The /usr of a real Debian, plus a unit that reports when the boot is complete."""
    shutil.copytree(debian / "usr", folder, symlinks=True)
    programs(folder / "bin", "/usr/bin", {"modulus-report": "report.sh", "modulus-finale": "finale.sh",
                                                "modulus-test-init": "init.sh"})
    units = folder / "lib" / "systemd" / "system"
    shutil.copy(places.GUEST / REPORT_UNIT, units / REPORT_UNIT)
    (units / "multi-user.target.wants").mkdir(exist_ok=True)
    (units / "multi-user.target.wants" / REPORT_UNIT).symlink_to(f"../{REPORT_UNIT}")
    module_tree(kernel, folder, modules)
    return folder


def debian_root(folder: Path, debian: Path) -> Path:
    """The rest of that Debian, before its first boot."""
    shutil.copytree(debian, folder, symlinks=True,
                    ignore=lambda where, names: NOT_ON_ROOT if Path(where) == debian else [])
    _common_root(folder)
    write(folder / "etc" / "machine-id", "uninitialized\n")
    (folder / "etc" / "systemd" / "system" / "default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
    return folder
