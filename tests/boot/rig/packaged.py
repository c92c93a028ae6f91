# SPDX-License-Identifier: Apache-2.0
"""A Debian on one partition whose kernel is updated by dpkg while it runs, and which is then started with that kernel. See
guest/package.sh for what happens to it.
"""

import shutil
from pathlib import Path
from types import SimpleNamespace

from . import bundles, debian, disk, places, trees
from .machines import SMALL_INIT, UUID_ROOT, Workshop, driver_file
from .scenarios import DHCP, DRIVER
from .updates import UPDATES_UNIT, place_of
from .webserver import WebServer

# where the snippet modulus-packages puts it
HOOK = "etc/kernel/postinst.d/modulus"
# the system, and 400 MB that the kernel's package unpacks to
ROOT_MIB = 1024
UNITS = ("modulus-finish.service", "modulus-bless.service", UPDATES_UNIT)


def packaged(shop: Workshop) -> SimpleNamespace:
    """The older kernel runs, with its bundle; dpkg installs the other, with a network; then that one starts, with none."""
    room, older = shop.room("packaged"), shop.for_other_kernel
    old_bundle, new_bundle = (maker.bundle(disk.fresh_folder(room / maker.kernel.release), DRIVER) for maker in (older, shop))
    www = room / "www" / shop.kernel.release
    www.mkdir(parents=True)
    bundles.copy(new_bundle, www / f"{DRIVER}.tar.zst")
    old_place, new_place = place_of(old_bundle, older.kernel.release), place_of(new_bundle, shop.kernel.release)
    with WebServer(room / "www") as server:
        driver = driver_file(extra=f"[Source]\nFrom=cache: {server.url}/{{kernel}}/{{name}}.tar.zst\n")
        root = _root(room / "root", shop, {**shop.operator_files({DRIVER: driver}), "/etc/systemd/network/dhcp.network": DHCP})
        cached = root / old_place.lstrip("/")
        cached.parent.mkdir(parents=True)
        bundles.copy(old_bundle, cached)
        image = disk.ext4(root, room / "root.ext4", "ROOT", ROOT_MIB)
        shutil.rmtree(root)
        layer = disk.overlay(disk.assemble(room / "disk.raw", [disk.Partition("ROOT", disk.TYPE_ROOT, UUID_ROOT, image, ROOT_MIB)]),
                             room / "disk.qcow2")
        first = older.boot("packaged-old", room, older.plain_initramfs, ["rw"], layer, network=True)
        asked = list(server.asked)
    second = shop.boot("packaged-new", room, shop.plain_initramfs, ["rw", SMALL_INIT], layer)
    return SimpleNamespace(first=first, second=second, asked=asked, new=shop.kernel, old_place=old_place, new_place=new_place)


def _root(folder: Path, shop: Workshop, files: dict[str, str]) -> Path:
    """All of that system, with the packages that dpkg is to install."""
    older = shop.for_other_kernel
    made = trees.debian_root(folder, shop.debian)
    (made / "usr").rmdir()
    usr = trees.debian_usr(made / "usr", shop.debian, older.kernel, older.in_tree)
    # what happens to this machine ends with its end
    (made / "etc/systemd/system" / trees.REPORT_UNIT).symlink_to("/dev/null")
    trees.write(usr / "bin/modulus-updates", (places.GUEST / "package.sh").read_text(), 0o755)
    for unit in UNITS:
        source = places.GUEST if unit == UPDATES_UNIT else places.UNITS
        shutil.copy(source / unit, usr / "lib/systemd/system" / unit)
        trees.enable(made, unit)
    trees.enable(made, "systemd-networkd-wait-online.service", "network-online.target")
    trees.write(made / HOOK, (places.HOOKS / "kernel-installed").read_text(), 0o755)
    for package in debian.kernel_packages(shop.kernel.release):
        debian.repacked(package, made / "var/cache/apt/archives")
    for path, text in files.items():
        trees.write(made / path.lstrip("/"), text)
    return made


ALL = {packaged.__name__: packaged}
