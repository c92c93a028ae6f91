# SPDX-License-Identifier: Apache-2.0
"""A machine that is updated: two slots for /usr as Flatcar has them, an older kernel in the one that runs and the current one in
the other. See guest/updates.sh for what happens to it.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from . import bundles, disk, places, trees
from .machines import DEBIAN_USR_MIB, SMALL_INIT, USR_ARGUMENTS, UUID_USR, UUID_USR_B, Usr, Workshop, driver_file
from .scenarios import DHCP, DRIVER
from .webserver import WebServer

UPDATES_UNIT = "modulus-updates.service"
FETCH_UNITS = ("modulus-fetch.service", "modulus-fetch.path", "modulus-fetch.timer")
ENABLED = ("modulus-finish.service", "modulus-bless.service", "modulus-fetch.path", "modulus-fetch.timer")
# where the snippet modulus-flatcar puts it
HOOK = "oem/bin/oem-postinst"
# what changes the partition table, with the one library that a minimal Debian has not
TABLE_TOOL, TABLE_LIBRARY = Path("/usr/sbin/sgdisk"), Path("/usr/lib/x86_64-linux-gnu/libpopt.so.0")


def place_of(bundle: Path, release: str) -> str:
    """Where a guest's cache has it."""
    return f"/var/lib/modulus/bundles/{release}/{bundles.cached_name(bundle, DRIVER)}"


def updated(shop: Workshop) -> SimpleNamespace:
    """Slot A runs and is updated, with a network; then slot B boots, and A again, with none."""
    room = shop.room("updated")
    older = shop.for_other_kernel
    old_bundle, new_bundle = (maker.bundle(disk.fresh_folder(room / maker.kernel.release), DRIVER) for maker in (older, shop))
    shelf = room / "www" / shop.kernel.release
    shelf.mkdir(parents=True)
    bundles.copy(new_bundle, shelf / f"{DRIVER}.tar.zst")
    script = room / "modulus-updates"
    trees.write(script, (places.GUEST / "updates.sh").read_text(), 0o755)
    units = "lib/systemd/system"
    usr_a = older.usr_image(room, "usr-a", Usr(in_tree=True, real=True, files={
        "bin/modulus-updates": script, "sbin/sgdisk": TABLE_TOOL, "lib/x86_64-linux-gnu/libpopt.so.0": TABLE_LIBRARY.resolve(),
        f"{units}/{UPDATES_UNIT}": places.GUEST / UPDATES_UNIT,
        **{f"{units}/{unit}": places.UNITS / unit for unit in {*FETCH_UNITS, *ENABLED}}}))
    usr_b = shop.usr_image(room, "usr-b", Usr(files={"boot/vmlinuz": shop.kernel.vmlinuz}))

    def root(folder: Path) -> Path:
        made = trees.debian_root(folder, shop.debian)
        for unit in (*ENABLED, UPDATES_UNIT):
            trees.enable(made, unit)
        trees.enable(made, "systemd-networkd-wait-online.service", "network-online.target")
        trees.write(made / HOOK, (places.HOOKS / "oem-postinst").read_text(), 0o755)
        cached = made / place_of(old_bundle, older.kernel.release).lstrip("/")
        cached.parent.mkdir(parents=True)
        bundles.copy(old_bundle, cached)
        return made

    with WebServer(room / "www") as server:
        driver = driver_file(extra=f"[Source]\nFrom=cache: {server.url}/{{kernel}}/{{name}}.tar.zst\n[Policy]\nGate=yes\n")
        image = shop.root_image(room, root, {**shop.operator_files({DRIVER: driver}), "/etc/systemd/network/dhcp.network": DHCP})
        made = shop.disk(room, "disk", [usr_a, usr_b], image, disk.TYPE_FLATCAR_USR, DEBIAN_USR_MIB)
        disk.set_slot(made, 1, priority=2, tries=0, successful=True)
        disk.set_slot(made, 2, priority=1, tries=0, successful=False)
        layer = disk.overlay(made, room / "disk.qcow2")
        first = older.boot("updated-a", room, older.plain_initramfs, ["rw", *USR_ARGUMENTS], layer, network=True)
        asked = list(server.asked)
    other = [argument.replace(UUID_USR, UUID_USR_B) for argument in USR_ARGUMENTS]
    second = shop.boot("updated-b", room, shop.plain_initramfs, ["rw", *other, SMALL_INIT], layer)
    third = older.boot("updated-back", room, older.plain_initramfs, ["rw", *USR_ARGUMENTS, SMALL_INIT], layer)
    return SimpleNamespace(first=first, second=second, third=third, asked=asked, old=older.kernel, new=shop.kernel,
                           old_place=place_of(old_bundle, older.kernel.release),
                           new_place=place_of(new_bundle, shop.kernel.release))


ALL: dict[str, Callable[[Workshop], SimpleNamespace]] = {updated.__name__: updated}
