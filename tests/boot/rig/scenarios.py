# SPDX-License-Identifier: Apache-2.0
"""The machines that the tests boot. Each function prepares one machine, boots it once or twice and returns what the
guests said; a test file asserts on that. Listed by how long they take, longest first: two run side by side.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from . import bundles, disk, guest, modules, places, secureboot, trees
from .machines import (ASK_SETTINGS, DEBIAN_USR_MIB, FIRST_BOOT, LONE_INIT, ROOT_MIB, SMALL_INIT, SMALL_USR_MIB, USR_ARGUMENTS,
                       UUID_USR, VAR_MIB, VIRTIO_GPU_MATCH, Usr, Workshop, driver_file)
from .report import Report
from .webserver import WebServer, private_authority

DRIVER = "virtio-gpu"
# A module in its bundle that no boot loads and no tree of the guest holds; it drives nothing
EXTRA = "dummy"


def _real(shop: Workshop, name: str) -> tuple[Path, Path, Callable[[str, Usr], Path]]:
    """Room, bundle, and a maker of disks (by the contents of /usr) for a Debian with systemd before its first boot."""
    room = shop.room(name)
    shop.say(f"bundle: {bundles.MODULE} and all that it needs, signed with a fresh key")
    bundle = shop.bundle(room, DRIVER, more=(EXTRA,))
    root = shop.root_image(room, lambda folder: trees.debian_root(folder, shop.debian), {})

    def make_disk(what: str, usr: Usr) -> Path:
        return shop.disk(room, what, [shop.usr_image(room, f"usr-{what}", usr)], root, usr_mib=DEBIAN_USR_MIB)

    return room, bundle, make_disk


def _real_first_boot(shop: Workshop, name: str, room: Path, layer: Path) -> Report:
    return shop.boot(f"{name}-first", room, shop.ignition_initramfs, ["rw", *USR_ARGUMENTS, *FIRST_BOOT], layer,
                     config=shop.ignition_config(room, {DRIVER: driver_file(extra="Load=virtio-gpu\n")}))


def real_system(shop: Workshop) -> SimpleNamespace:
    """A Debian with systemd, provisioned by Ignition on its first boot; the bundle is on /usr."""
    room, bundle, make_disk = _real(shop, "real-system")
    layer = disk.overlay(make_disk("with", Usr({DRIVER: bundle}, in_tree=True, real=True)), room / "disk.qcow2")
    return SimpleNamespace(first=_real_first_boot(shop, "real-system", room, layer), bundle=bundle)


def demonstration(shop: Workshop) -> SimpleNamespace:
    """The same, and then booted again from a /usr without the bundle. For the demo; the tests have `provisioned`."""
    room, bundle, make_disk = _real(shop, "demonstration")
    shop.say("disks: one with the bundle on its /usr partition, one without")
    with_bundle = make_disk("with", Usr({DRIVER: bundle}, in_tree=True, real=True))
    without = make_disk("without", Usr(in_tree=True, real=True))
    layer = disk.overlay(with_bundle, room / "disk.qcow2")
    shop.say("first boot, provisioned by Ignition")
    first = _real_first_boot(shop, "demonstration", room, layer)
    disk.exchange_base(layer, without)
    shop.say("second boot, the bundle removed from /usr")
    second = shop.boot("demonstration-second", room, shop.ignition_initramfs, ["rw", *USR_ARGUMENTS], layer)
    return SimpleNamespace(first=first, second=second, bundle=bundle)


def provisioned(shop: Workshop) -> SimpleNamespace:
    """Provisioned by Ignition; then booted again from a /usr without any bundle, root `ro` as Debian has it."""
    room = shop.room("provisioned")
    bundle = shop.bundle(room, DRIVER)
    root = shop.root_image(room, trees.small_root, {})
    with_bundle = shop.disk(room, "with", [shop.usr_image(room, "usr-with", Usr({DRIVER: bundle}))], root)
    without = shop.disk(room, "without", [shop.usr_image(room, "usr-without", Usr())], root)
    layer = disk.overlay(with_bundle, room / "disk.qcow2")
    arguments = ["ro", *USR_ARGUMENTS, SMALL_INIT]
    first = shop.boot("provisioned-first", room, shop.ignition_initramfs, arguments + FIRST_BOOT, layer,
                      config=shop.ignition_config(room, {DRIVER: driver_file()}))
    disk.exchange_base(layer, without)
    second = shop.boot("provisioned-second", room, shop.ignition_initramfs, arguments, layer)
    return SimpleNamespace(first=first, second=second, bundle=bundle)


def _remote(url: str, budget: str = "60s", version: str = "1") -> str:
    """A driver file whose bundle is on a web server."""
    return driver_file(version, extra=f"[Source]\nFrom=cache: usr: {url}/{{kernel}}/{{name}}.tar.zst\n[Policy]\nBudget={budget}\n")


def _served(shop: Workshop, room: Path) -> tuple[Path, Path]:
    """A folder for a web server with the bundle in it, and the bundle."""
    bundle = shop.bundle(room, DRIVER)
    shelf = room / "www" / shop.kernel.release
    shelf.mkdir(parents=True)
    return room / "www", bundles.copy(bundle, shelf / bundle.name)


def fetched(shop: Workshop) -> SimpleNamespace:
    """Provisioned by Ignition, no bundle on /usr: fetched in the initramfs; then booted again, the server gone."""
    room = shop.room("fetched")
    www, bundle = _served(shop, room)
    root = shop.root_image(room, trees.small_root, {})
    layer = disk.overlay(shop.disk(room, "disk", [shop.usr_image(room, "usr", Usr())], root), room / "disk.qcow2")
    arguments = ["rw", *USR_ARGUMENTS, SMALL_INIT, ASK_SETTINGS]
    with WebServer(www) as server:
        first = shop.boot("fetched-first", room, shop.network_initramfs(), arguments + FIRST_BOOT, layer, network=True,
                          config=shop.ignition_config(room, {DRIVER: _remote(server.url)}))
    second = shop.boot("fetched-second", room, shop.network_initramfs(), arguments, layer, network=True)
    return SimpleNamespace(first=first, second=second, bundle=bundle, server=server)


# Instances of modulus@.service: one is good, and nobody has a driver file for the other
INSTANCE, UNKNOWN_INSTANCE = f"modulus@{DRIVER}-1.service", "modulus@nobody-knows-1.service"
DHCP = "[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\n"


def by_command(shop: Workshop) -> SimpleNamespace:
    """A Debian with systemd whose initramfs has nothing of Modulus; what `systemctl enable` leaves enables two
    instances. The driver's file names another version than the instance does, and a web server. Nothing wants
    network-online.target."""
    room = shop.room("by-command")
    www, bundle = _served(shop, room)
    units = "lib/systemd/system"
    usr = Usr(in_tree=True, real=True, files={
        "bin/modulus": shop.programs.boot, f"{units}/modulus@.service": places.UNITS / "modulus@.service",
        f"{units}/modulus-ready.target": places.UNITS / "modulus-ready.target",
        **{f"{units}/{unit}": places.GUEST / unit for unit in ("containerd.service", "gpu-user.service")}})

    def root(folder: Path) -> Path:
        made = trees.debian_root(folder, shop.debian)
        for unit in (INSTANCE, UNKNOWN_INSTANCE, "containerd.service", "gpu-user.service"):
            trees.enable(made, unit)
        trees.enable(made, "systemd-networkd-wait-online.service", "network-online.target")
        return made

    with WebServer(www) as server:
        files = shop.operator_files({DRIVER: _remote(server.url, version="none")})
        image = shop.root_image(room, root, {**files, "/etc/systemd/network/dhcp.network": DHCP})
        made = shop.disk(room, "disk", [shop.usr_image(room, "usr", usr)], image, usr_mib=DEBIAN_USR_MIB)
        layer = disk.overlay(made, room / "disk.qcow2")
        booted = shop.boot("by-command", room, shop.foreign_initramfs, ["rw", *USR_ARGUMENTS], layer, network=True)
    return SimpleNamespace(boot=booted, bundle=bundle, server=server)


def _away(shop: Workshop, name: str, url: str, budget: str = "60s", files: dict[str, str] | None = None, network: bool = True,
          clock: str | None = None, handler: str = "networkd", arguments: tuple[str, ...] = ()) -> SimpleNamespace:
    """A machine that was provisioned earlier and has no bundle. One boot."""
    room = shop.room(name)
    drivers = {DRIVER: _remote(url, budget)}
    root = shop.root_image(room, trees.small_root, {**shop.operator_files(drivers), **(files or {})})
    layer = disk.overlay(shop.disk(room, "disk", [shop.usr_image(room, "usr", Usr())], root), room / "disk.qcow2")
    report = shop.boot(name, room, shop.network_initramfs(handler), ["rw", *USR_ARGUMENTS, SMALL_INIT, ASK_SETTINGS, *arguments], layer,
                       network=network, clock=clock)
    return SimpleNamespace(boot=report)


# An address that no DHCP server of QEMU gives
STATIC = "10.0.2.77"
STATIC_ARGUMENTS = ("net.ifnames=0", f"ip={STATIC}::{guest.HOST_ADDRESS}:255.255.255.0::eth0:none", "nameserver=10.0.2.3")


def _by(shop: Workshop, handler: str) -> SimpleNamespace:
    """An image that brings its network up by NetworkManager or by dracut's scripts. The first boot is next to Ignition, and
    nothing says `ip=`; the other machine was provisioned earlier, and its `ip=` is the only one who knows an address."""
    room = shop.room(f"by-{handler}")
    www, _ = _served(shop, room)
    root = shop.root_image(room, trees.small_root, {})
    layer = disk.overlay(shop.disk(room, "disk", [shop.usr_image(room, "usr", Usr())], root), room / "disk.qcow2")
    with WebServer(www) as server:
        first = shop.boot(f"by-{handler}-first", room, shop.network_initramfs(handler),
                          ["rw", *USR_ARGUMENTS, SMALL_INIT, ASK_SETTINGS, *FIRST_BOOT], layer, network=True,
                          config=shop.ignition_config(room, {DRIVER: _remote(server.url)}))
        later = _away(shop, f"by-{handler}-later", server.url, handler=handler, arguments=STATIC_ARGUMENTS).boot
    return SimpleNamespace(first=first, later=later, server=server)


def by_manager(shop: Workshop) -> SimpleNamespace:
    return _by(shop, "manager")


def by_legacy(shop: Workshop) -> SimpleNamespace:
    return _by(shop, "legacy")


def no_clock(shop: Workshop) -> SimpleNamespace:
    """The battery of the clock is empty: it is 1999, and the server's certificate is not valid yet. The kernel command line
    says `ip=dhcp`, as many do."""
    room = shop.room("no-clock-server")
    www, _ = _served(shop, room)
    authority, tls = private_authority(room / "tls")
    with WebServer(www, tls) as server:
        made = _away(shop, "no-clock", server.url, files={"/etc/modulus/ca.pem": authority.read_text()},
                     clock="1999-01-01T00:00:00", arguments=("ip=dhcp",))
    made.server, made.valid_from = server, tls[0].stat().st_mtime
    return made


def no_server(shop: Workshop) -> SimpleNamespace:
    """A network, and nobody who answers at that address."""
    return _away(shop, "no-server", f"http://{guest.HOST_ADDRESS}:1", budget="40s")


def no_card(shop: Workshop) -> SimpleNamespace:
    """No network card at all."""
    return _away(shop, "no-card", f"http://{guest.HOST_ADDRESS}:1", network=False)


def _configured(shop: Workshop, name: str, usr: Usr, drivers: dict[str, str], arguments: list[str], gpu: bool = True,
                with_key: bool = True, secure_boot: secureboot.SecureBoot | None = None,
                whole: bool = True, initrd: Path | None = None, files: dict[str, str] | None = None) -> SimpleNamespace:
    """A machine that was provisioned earlier: its files are on the root already. One boot."""
    room = shop.room(name)
    root = shop.root_image(room, trees.small_root, {**shop.operator_files(drivers, with_key), **(files or {})})
    layer = disk.overlay(shop.disk(room, "disk", [shop.usr_image(room, "usr", usr)], root), room / "disk.qcow2")
    report = shop.boot(name, room, initrd or shop.plain_initramfs, [*USR_ARGUMENTS, SMALL_INIT, *arguments], layer, gpu,
                       secure_boot=secure_boot, whole=whole)
    return SimpleNamespace(boot=report, layer=layer)


def added_on(shop: Workshop) -> SimpleNamespace:
    """An initramfs that was made without us, and our add-on behind it."""
    room = shop.room("added-on-parts")
    made = _configured(shop, "added-on", Usr({DRIVER: shop.bundle(room, DRIVER)}, in_tree=True), {DRIVER: driver_file()}, ["rw"],
                       initrd=shop.added_on_initramfs(room))
    made.foreign = shop.foreign_initramfs
    return made


def without_systemd(shop: Workshop) -> SimpleNamespace:
    """dracut's own scripts are PID 1 of the initramfs, which find /usr in fstab. Two machines: one gets its driver, and one is of
    no use without a driver that fails."""
    room = shop.room("without-systemd-parts")
    on_usr = {DRIVER: shop.bundle(room, DRIVER), FAILING: shop.bundle_of(room, FAILING, shop.faults["fault_einval"])}

    fstab = f"LABEL=ROOT / ext4 defaults 0 0\nPARTUUID={UUID_USR} /usr erofs ro 0 0\n"

    def machine(driver: str, extra: str, whole: bool) -> Report:
        return _configured(shop, f"without-systemd-{driver}", Usr({driver: on_usr[driver]}, in_tree=True),
                           {driver: driver_file(extra=extra)}, ["ro"], whole=whole, initrd=shop.initramfs_without_systemd,
                           files={"/etc/fstab": fstab}).boot

    return SimpleNamespace(boot=machine(DRIVER, "", True),
                           required=machine(FAILING, "[Policy]\nRequired=yes\nOnFailure=reboot\n", False))


# Drivers with the same module in their bundles, for kernels that demand a signature; tried in this order
UNKNOWN, UNSIGNED, SIGNED = "hello-1-unknown-key", "hello-2-unsigned", "hello-3-signed"


def secure_boot(shop: Workshop) -> SimpleNamespace:
    """UEFI Secure Boot. A module from outside the kernel's tree, three times: signed by a stranger, unsigned, signed by
    a key in the firmware's `db`. And the kernel's own GPU driver, as Debian signed it."""
    room = shop.room("secure-boot-parts")
    enrolled = secureboot.enrolled_key(room)
    on_usr = {
        UNKNOWN: shop.bundle_of(room, UNKNOWN, shop.hello, module_key=secureboot.foreign_key(room)),
        UNSIGNED: shop.bundle_of(room, UNSIGNED, shop.hello),
        SIGNED: shop.bundle_of(room, SIGNED, shop.hello, module_key=enrolled),
        DRIVER: shop.bundle(room, DRIVER),
    }
    return _configured(shop, "secure-boot", Usr(on_usr), {name: driver_file() for name in on_usr}, ["rw"],
                       secure_boot=secureboot.machine(room, shop.kernel, enrolled))


# What is wrong with the init of a module in tests/modules/faults: driver -> module
FAULTS = {f"fault-{name}": f"fault_{name}" for name in
          ("einval", "enodev", "killable", "oops", "slow", "stuck", "symbol")}
# how long the driver may take: together more than the unit's own TimeoutStartSec=, which each of them moves along
HANGS = {"fault-killable": 5, "fault-stuck": 27}
HELLO = "hello"


def faulty(shop: Workshop) -> SimpleNamespace:
    """One GPU and many drivers for it whose modules misbehave. The last two are sound, one without a build-id."""
    room = shop.room("faults")
    on_usr = {name: shop.bundle_of(room, name, shop.faults[module]) for name, module in FAULTS.items()}
    on_usr[HELLO] = shop.bundle_of(room, HELLO, shop.hello, with_build_id=False)
    on_usr[DRIVER] = shop.bundle(room, DRIVER)
    drivers = {name: driver_file(extra=f"[Policy]\nBudget={HANGS[name]}s\n" if name in HANGS else "")
               for name in on_usr}
    return _configured(shop, "faulty", Usr(on_usr, in_tree=True), drivers, ["rw"])

# Who asks for the device, in this order
RIVAL, FAILING = "a-rival", "zz-failing"


def rivals(shop: Workshop) -> SimpleNamespace:
    """A rival holds the GPU, the real driver takes it, and one that fails takes it from that."""
    room = shop.room("rivals-parts")
    on_usr = {RIVAL: shop.bundle_of(room, RIVAL, shop.rival), DRIVER: shop.bundle(room, DRIVER),
              FAILING: shop.bundle_of(room, FAILING, shop.faults["fault_einval"])}
    drivers = {RIVAL: driver_file(), DRIVER: driver_file(match=VIRTIO_GPU_MATCH, extra="Evict=rival_gpu\n"),
               FAILING: driver_file(match=VIRTIO_GPU_MATCH, extra="Evict=virtio_gpu\n")}
    return _configured(shop, "rivals", Usr(on_usr, in_tree=True), drivers, ["rw"])


def required(shop: Workshop) -> SimpleNamespace:
    """Two machines whose operator says that they are of no use without this driver, and its module fails."""
    room = shop.room("required-parts")
    bundle = shop.bundle_of(room, FAILING, shop.faults["fault_einval"])

    def machine(policy: str, *arguments: str) -> Report:
        drivers = {FAILING: driver_file(extra=f"[Policy]\nRequired=yes\n{policy}")}
        return _configured(shop, f"required-{len(policy)}", Usr({FAILING: bundle}, in_tree=True), drivers,
                           ["rw", *arguments], whole=False).boot

    # dracut's emergency shell, where none is allowed, does that instead
    return SimpleNamespace(emergency=machine("", "rd.shell=0", "rd.emergency=poweroff"),
                           reboot=machine("OnFailure=reboot\n"))


def stopped_early(shop: Workshop) -> SimpleNamespace:
    """The driver is loaded, and the machine is shut down while it is still in its initramfs; then booted again."""
    bundle = shop.bundle(shop.room("stopped-early-parts"), DRIVER)
    first = _configured(shop, "stopped-early", Usr({DRIVER: bundle}, in_tree=True), {DRIVER: driver_file()},
                        ["rw", "modulus-test.poweroff"], whole=False)
    second = shop.boot("started-again", shop.room("started-again"), shop.plain_initramfs,
                       ["rw", *USR_ARGUMENTS, SMALL_INIT], first.layer)
    return SimpleNamespace(first=first.boot, second=second)


def read_only_root(shop: Workshop) -> SimpleNamespace:
    """Root mounted `ro`, a driver file with keys that nobody knows, a bundle that holds the driver module alone. The
    kernel takes signed modules only, which that driver's are, and those of a second driver are not."""
    room = shop.room("alone")
    on_usr = {DRIVER: shop.bundle(room, DRIVER, with_dependencies=False),
              UNSIGNED: shop.bundle_of(room, UNSIGNED, shop.hello)}
    drivers = {DRIVER: driver_file(extra="Colour=blue\n[Weather]\nRain=no\n"), UNSIGNED: driver_file()}
    return _configured(shop, "read-only-root", Usr(on_usr, in_tree=True), drivers, ["ro", "module.sig_enforce=1"])


def separate_var(shop: Workshop) -> SimpleNamespace:
    """Root `ro`, and a /var of its own that only fstab names. A copy of the bundle in its cache has a flipped bit; on
    /usr it is sound. Then booted again from a /usr without any bundle."""
    room = shop.room("separate-var")
    bundle = shop.bundle(room, DRIVER)
    name = bundles.cached_name(bundle, DRIVER)
    var = shop.var_image(room, {name: bundles.flip_in_chunk(bundle, room / "flipped")})
    files = {**shop.operator_files({DRIVER: driver_file()}), "/etc/fstab": "PARTLABEL=VAR /var ext4 defaults 0 2\n"}
    root = shop.root_image(room, trees.small_root, files)
    with_bundle = shop.disk(room, "with", [shop.usr_image(room, "usr-with", Usr({DRIVER: bundle}))], root, var=var)
    without = shop.disk(room, "without", [shop.usr_image(room, "usr-without", Usr())], root, var=var)
    layer = disk.overlay(with_bundle, room / "disk.qcow2")
    arguments = ["ro", *USR_ARGUMENTS, SMALL_INIT]
    first = shop.boot("separate-var-first", room, shop.plain_initramfs, arguments, layer)
    disk.exchange_base(layer, without)
    second = shop.boot("separate-var-second", room, shop.plain_initramfs, arguments, layer)
    left = disk.take_out(layer, 1 + SMALL_USR_MIB + ROOT_MIB, VAR_MIB, room / "var-left.ext4")
    return SimpleNamespace(first=first, second=second, bundle=bundle, name=name, left=left)


# driver -> what is done to its good bundle
SPOILT: dict[str, Callable[[Path, Path], Path]] = {
    "flipped-chunk": bundles.flip_in_chunk,
    "flipped-manifest": bundles.flip_in_manifest,
    "truncated": bundles.truncated,
    "garbage-signature": bundles.garbage_signature,
    "unsigned": bundles.unsigned,
}


# hello_gpu imports it, and so do modules that every guest's initramfs loads
OTHER_SYMBOL = "_printk"


def refused(shop: Workshop) -> SimpleNamespace:
    """One GPU, many drivers that ask for it, and none whose bundle may be used."""
    room = shop.room("spoilt")
    on_usr = {name: spoil(shop.bundle(room, name), room / f"{name}.spoilt") for name, spoil in SPOILT.items()}
    on_usr["unknown-key"] = shop.bundle(room, "unknown-key", shop.stranger)
    on_usr["other-version"] = shop.bundle(room, "other-version", version="2")
    on_usr["other-build"] = shop.bundle(room, "other-build", build_id="00" * 20)
    on_usr["other-release"] = shop.programs.build_for_another_release(
        shop.kernel, shop.key, room / "other-release.tar.zst", "other-release")
    other_crc = modules.with_other_crc(shop.hello, OTHER_SYMBOL, room / shop.hello.name)
    on_usr["other-crc"] = shop.bundle_of(room, "other-crc", other_crc, with_build_id=False)
    other_flags = modules.with_other_flags(shop.hello, disk.fresh_folder(room / "flags") / shop.hello.name)
    on_usr["other-flags"] = shop.bundle_of(room, "other-flags", other_flags, with_build_id=False)
    on_usr["other-vermagic"] = shop.programs.build_with_other_vermagic(
        shop.kernel, shop.key, room / "other-vermagic.tar.zst", "other-vermagic", shop.hello)
    drivers = {name: driver_file() for name in on_usr}
    drivers["absent"] = driver_file()
    drivers["broken-conf"] = "[Driver\nVersion=1\nthis is no line\n"
    drivers["no-match"] = "[Driver]\nVersion=1\n"
    return _configured(shop, "refused", Usr(on_usr, in_tree=True), drivers, ["rw"])


def without_keys(shop: Workshop) -> SimpleNamespace:
    """A good bundle, and a key directory with nothing in it."""
    bundle = shop.bundle(shop.room("for-nobody"), DRIVER)
    return _configured(shop, "without-keys", Usr({DRIVER: bundle}), {DRIVER: driver_file()}, ["rw"], with_key=False)


def switched_off(shop: Workshop) -> SimpleNamespace:
    """Everything is there, and `modulus=off` on the kernel command line."""
    bundle = shop.bundle(shop.room("for-later"), DRIVER)
    return _configured(shop, "switched-off", Usr({DRIVER: bundle}, in_tree=True), {DRIVER: driver_file()},
                       ["rw", "modulus=off"])


def _lone(shop: Workshop, room: Path, on_usr: dict[str, Path], partitions: int, usr_type: str, gpu: bool = True,
          arguments: tuple[str, ...] = (), more_drivers: dict[str, str] | None = None,
          var: Path | None = None) -> SimpleNamespace:
    """The root needs no /usr, and the kernel arguments name none: its partition is found by type, or not looked for."""
    usr = shop.usr_image(room, "usr", Usr(on_usr))
    drivers = {name: driver_file() for name in on_usr} | (more_drivers or {})
    root = shop.root_image(room, trees.lone_root, shop.operator_files(drivers))
    layer = disk.overlay(shop.disk(room, "disk", [usr] * partitions, root, usr_type, var=var), room / "disk.qcow2")
    report = shop.boot(room.name, room, shop.plain_initramfs, ["ro", LONE_INIT, *arguments], layer, gpu)
    return SimpleNamespace(boot=report, layer=layer)


# Its bundle is on a partition that its file names; nothing else looks there
APART = "zz-apart"


def usr_by_type(shop: Workshop) -> SimpleNamespace:
    """The kernel is locked down, and two more drivers have a module that it does not take. A fourth driver's bundle is
    on a partition for bundles; a fifth names one that is not there, and one without a file system."""
    room = shop.room("usr-by-type")
    on_usr = {DRIVER: shop.bundle(room, DRIVER),
              UNKNOWN: shop.bundle_of(room, UNKNOWN, shop.hello, module_key=secureboot.foreign_key(room)),
              UNSIGNED: shop.bundle_of(room, UNSIGNED, shop.hello)}
    apart = {APART: driver_file(extra="[Source]\nFrom=partition:PARTLABEL=VAR\n"),
             f"{APART}-not": driver_file(extra="[Source]\nFrom=partition:PARTLABEL=NONE partition:/dev/vda\n")}
    var = shop.bundles_image(room, {name: shop.bundle(room, name) for name in apart})
    return _lone(shop, room, on_usr, partitions=1, usr_type=disk.TYPE_USR, arguments=("lockdown=integrity",),
                 more_drivers=apart, var=var)


def two_usr_partitions(shop: Workshop) -> SimpleNamespace:
    room = shop.room("two-usr-partitions")
    return _lone(shop, room, {DRIVER: shop.bundle(room, DRIVER)}, partitions=2, usr_type=disk.TYPE_FLATCAR_USR)


def no_gpu(shop: Workshop) -> SimpleNamespace:
    room = shop.room("no-gpu")
    return _lone(shop, room, {DRIVER: shop.bundle(room, DRIVER)}, partitions=1, usr_type=disk.TYPE_USR, gpu=False)


ALL: dict[str, Callable[[Workshop], SimpleNamespace]] = {
    scenario.__name__: scenario for scenario in (
        real_system, by_command, by_manager, by_legacy, faulty, fetched, no_clock, no_server, no_card, provisioned, separate_var, secure_boot,
        required, refused, rivals, stopped_early, without_systemd, read_only_root, added_on,
        without_keys, switched_off, usr_by_type, two_usr_partitions, no_gpu)}
