# SPDX-License-Identifier: Apache-2.0
"""Stock hosts (stock.py) that an operator turns on with nothing but the two snippets of ignition/snippet.sh. Each function
prepares one machine, boots it several times and returns what the guests said."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from . import bundles, disk, guest, places, stock, trees
from .host import run
from .machines import (ASK_SETTINGS, FIRST_BOOT, ROOT_ARGUMENT, ROOT_MIB, SMALL_INIT, SMALL_USR_MIB, USR_ARGUMENTS, UUID_ROOT,
                       UUID_USR, Usr, Workshop, driver_file)
from .report import Report
from .webserver import WebServer

DRIVER = "virtio-gpu"
OEM_PROGRAM = "/oem/modulus/modulus"
OSTREE_MIB = 384
SNIPPET = places.PROJECT / "ignition" / "snippet.sh"


class Snippets:
    """What snippet.sh makes of a driver file and the fleet's key, and an Ignition config that merges it."""

    def __init__(self, shop: Workshop, room: Path, driver: str, program: list[object]):
        (room / f"{DRIVER}.conf").write_text(driver)
        self._oem = program if program[0] == "--oem" else []
        run(SNIPPET, "--driver", room / f"{DRIVER}.conf", "--key", shop.key.public, *program, "--output", room)
        self.files = json.loads((room / "modulus-injected.ign").read_text())
        kargs = json.loads((room / "modulus-injected-kargs.ign").read_text())
        self.arguments: list[str] = kargs["kernelArguments"]["shouldExist"]
        self.config = room / "config.ign"
        self.config.write_text(json.dumps({"ignition": {"version": "3.3.0", "config": {"merge": [
            {"source": "data:;base64," + base64.b64encode(json.dumps(snippet).encode()).decode()}
            for snippet in (self.files, kargs)]}}}))

    @property
    def smbios(self) -> list[str]:
        """QEMU's arguments that do what the kernel arguments do."""
        strings = run(SNIPPET, "--smbios", *self._oem).splitlines()
        return [word for text in strings for word in ("-smbios", f"type=11,value={text}")]


def _served(shop: Workshop, room: Path) -> Path:
    """A folder for a web server, with the program for the initramfs in it."""
    (room / "www").mkdir()
    bundles.copy(shop.programs.boot, room / "www" / "modulus-boot")
    return room / "www"


def _by_url(shop: Workshop, server: WebServer) -> list[object]:
    return ["--binary", shop.programs.boot, "--url", f"{server.url}/modulus-boot"]


def by_loader(shop: Workshop) -> SimpleNamespace:
    """UEFI, GRUB, and arguments that Ignition itself has to set: the first start ends with a restart. Provisioned by the
    second, its bundle on /usr; the third is from a /usr without any bundle; then all our files are removed."""
    room = shop.room("by-loader")
    initrd = stock.image(shop.kernel)
    parts = disk.fresh_folder(room / "parts")
    loader = stock.loader_partitions(shop.kernel, initrd, parts, ["rw", ROOT_ARGUMENT, *USR_ARGUMENTS, SMALL_INIT], FIRST_BOOT)
    root = shop.root_image(room, trees.small_root, {})

    def made(name: str, on_usr: dict[str, Path]) -> Path:
        usr = shop.usr_image(room, f"usr-{name}", Usr(on_usr))
        return disk.assemble(room / f"{name}.raw", [
            *loader, disk.Partition("USR-A", disk.TYPE_USR, UUID_USR, usr, SMALL_USR_MIB),
            disk.Partition("ROOT", disk.TYPE_ROOT, UUID_ROOT, root, ROOT_MIB)])

    bundle = shop.bundle(room, DRIVER)
    with_bundle, without = made("with", {DRIVER: bundle}), made("without", {})
    layer = disk.overlay(with_bundle, room / "disk.qcow2")
    memory = stock.firmware(room)

    def boot(name: str, config: Path | None = None, network: bool = False, whole: bool = True) -> Report:
        return shop.start(f"by-loader-{name}", room, initrd, [],
                          guest.Hardware(layer, ignition=config, network=network, firmware=memory), whole)

    with WebServer(_served(shop, room)) as server:
        snippets = Snippets(shop, room, driver_file(), _by_url(shop, server))
        before = boot("before", snippets.config, network=True, whole=False)
        asked_before = list(server.asked)
        first = boot("first", snippets.config, network=True)
    disk.exchange_base(layer, without)
    second = boot("second")
    return SimpleNamespace(before=before, first=first, second=second, bundle=bundle, snippets=snippets,
                           asked_before=asked_before, server=server)


def two_stages(shop: Workshop) -> SimpleNamespace:
    """Flatcar's way from kernel to real root, the program from /oem of an archive behind the initramfs. The second boot is
    a virtual machine's: the unit comes from its SMBIOS."""
    room = shop.room("two-stages")
    initrd = stock.two_stages(shop.kernel, stock.image(shop.kernel), disk.fresh_folder(room / "parts"),
                              {OEM_PROGRAM.lstrip("/"): shop.programs.boot.read_bytes()})
    bundle = shop.bundle(room, DRIVER)
    root = shop.root_image(room, trees.small_root, {})
    with_bundle = shop.disk(room, "with", [shop.usr_image(room, "usr-with", Usr({DRIVER: bundle}))], root)
    without = shop.disk(room, "without", [shop.usr_image(room, "usr-without", Usr())], root)
    layer = disk.overlay(with_bundle, room / "disk.qcow2")
    snippets = Snippets(shop, room, driver_file(), ["--oem", OEM_PROGRAM])
    arguments = ["rw", *USR_ARGUMENTS, SMALL_INIT]
    first = shop.boot("two-stages-first", room, initrd, [*arguments, *snippets.arguments, *FIRST_BOOT], layer,
                      config=snippets.config)
    disk.exchange_base(layer, without)
    second = shop.start("two-stages-second", room, initrd, [ROOT_ARGUMENT, *arguments],
                        guest.Hardware(layer, more=tuple(snippets.smbios)))
    return SimpleNamespace(first=first, second=second, bundle=bundle, snippets=snippets)


def deployed(shop: Workshop) -> SimpleNamespace:
    """Fedora CoreOS' layout, and a bundle that is on a web server only. Provisioned while Ignition's network is up; then
    the cache is gone, and the network is ours to bring up; then the cache; then our files are gone, the arguments not."""
    room = shop.room("deployed")
    initrd = stock.image(shop.kernel)
    root, deployment = stock.ostree_root(shop.kernel, disk.fresh_folder(room / "parts"), OSTREE_MIB)
    layer = disk.overlay(disk.assemble(room / "disk.raw", [
        disk.Partition("ROOT", disk.TYPE_ROOT, UUID_ROOT, root, OSTREE_MIB)]), room / "disk.qcow2")
    bundle = shop.bundle(room, DRIVER)
    www = _served(shop, room)
    (www / shop.kernel.release).mkdir()
    bundles.copy(bundle, www / shop.kernel.release / bundle.name)
    arguments = ["rw", deployment, SMALL_INIT, ASK_SETTINGS]
    with WebServer(www) as server:
        driver = driver_file(extra=f"[Source]\nFrom=cache: usr: {server.url}/{{kernel}}/{{name}}.tar.zst\n")
        snippets = Snippets(shop, room, driver, _by_url(shop, server))
        arguments += snippets.arguments

        def boot(name: str, *more: str, config: Path | None = None) -> Report:
            return shop.boot(f"deployed-{name}", room, initrd, [*arguments, *more], layer, config=config, network=True)

        first = boot("first", *FIRST_BOOT, "modulus-test.forget", config=snippets.config)
        missed = boot("missed")
    cached = boot("cached", "modulus-test.remove")
    removed = boot("removed")
    return SimpleNamespace(first=first, missed=missed, cached=cached, removed=removed, bundle=bundle, server=server,
                           snippets=snippets)


ALL: dict[str, Callable[[Workshop], SimpleNamespace]] = {
    scenario.__name__: scenario for scenario in (by_loader, deployed, two_stages)}
