# SPDX-License-Identifier: Apache-2.0
"""An ostree host that updates itself to another kernel: Debian 13's systemd and ostree, two real kernels, an initramfs
for each in which nothing is ours."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from . import bundles, disk, guest, injected, places, stock, trees
from .debian import Kernel
from .host import RigError, run
from .injected import DRIVER
from .machines import PUBLIC_KEY, ROOT_ARGUMENT, UUID_ROOT, Workshop, driver_file
from .report import Report
from .webserver import WebServer

DISK_MIB = 768
UNITS = ["modulus-finish.service", "modulus-bless.service", "modulus-fetch-ostree.path", "modulus-gate-stop.service"]
MUTABLE = {"OSTREE_SYSROOT_DEBUG": "mutable-deployments"}
NETWORK = "[Match]\nType=ether\n[Network]\nDHCP=yes\n"
PUBLISH = "/publish"


def _system(folder: Path, files: dict[str, str], program: Path) -> Path:
    """The tree of a deployment, still without a kernel: systemd, ostree, our units as `make install` leaves them, and a
    program that is in no other place than the one that the snippet names."""
    tree = trees.debian_root(folder, stock.updated())
    shutil.rmtree(tree / "usr")
    shutil.copytree(stock.updated() / "usr", tree / "usr", symlinks=True)
    # without a policy of SELinux, which ostree would compile in a container of bubblewrap's
    for name in ("usr/lib/modules", "var", "etc/selinux"):
        shutil.rmtree(tree / name, ignore_errors=True)
    trees.programs(tree / "usr" / "bin", "/usr/bin", {"modulus-report": "report.sh", "modulus-finale": "ostree-update.sh"})
    units = tree / "usr" / "lib" / "systemd" / "system"
    for unit in (*places.UNITS.iterdir(), places.GUEST / trees.REPORT_UNIT):
        shutil.copy(unit, units / unit.name)
    for unit in (*UNITS, trees.REPORT_UNIT, "systemd-networkd.service"):
        trees.enable(tree, unit)
    trees.write(units / "modulus-gate.service.d" / "soon.conf", "[Service]\nRestartSec=2s\n")
    trees.write(tree / "etc" / "systemd" / "network" / "any.network", NETWORK)
    trees.write(tree / "etc" / "fstab", "")
    trees.write(tree / "etc" / "machine-id", f"{7:032x}\n")
    for path, text in files.items():
        trees.write(tree / path.lstrip("/"), text)
    shutil.copy(program, tree / "etc" / "modulus" / "modulus")
    for name in ("var", "sysroot", "boot"):
        (tree / name).mkdir(exist_ok=True)
    (tree / "ostree").symlink_to("sysroot/ostree")
    (tree / "etc").rename(tree / "usr" / "etc")
    return tree


def _commit(repo: Path, tree: Path, kernel: Kernel) -> None:
    """The tree with this kernel, under the one name that the host follows."""
    shutil.rmtree(tree / "usr" / "lib" / "modules", ignore_errors=True)
    trees.module_tree(kernel, tree / "usr", [])
    boot = tree / "usr" / "lib" / "modules" / kernel.release
    shutil.copy(kernel.vmlinuz, boot / "vmlinuz")
    # QEMU starts its own
    trees.write(boot / "initramfs.img", kernel.release)
    run("ostree", f"--repo={repo}", "commit", "-b", "test", f"--tree=dir={tree}", env=MUTABLE)


def _argument(entry: str) -> str:
    found = [word for word in entry.split() if word.startswith("ostree=")]
    if len(found) != 1:
        raise RigError(f"not one ostree= argument: {entry}")
    return found[0]


def _deployments(layer: Path, image: Path) -> list[str]:
    """The kernel arguments of the deployments, the first one first, as the guest left its boot loader's entries. It went down
    in good order, so there is no log to replay."""
    root = disk.take_out(layer, 1, DISK_MIB, image)
    names = disk.files_of(root, "/boot/loader/entries")
    entries = sorted((run("debugfs", "-R", f"cat /boot/loader/entries/{name}", root) for name in names),
                     key=lambda text: -int(text.partition("version ")[2].split()[0]))
    return [_argument(entry) for entry in entries]


def _publish_when_asked(server: WebServer, publish: Callable[[], object]) -> threading.Event:
    """`publish` runs once a guest has asked for it; set the event and nobody waits any more."""
    over = threading.Event()

    def wait() -> None:
        while not over.wait(0.1):
            if any(path == PUBLISH for path, _ in server.asked):
                publish()
                return

    threading.Thread(target=wait, daemon=True).start()
    return over


def ostree_updated(shop: Workshop) -> SimpleNamespace:
    """The old kernel's bundle is on a server, the new one's is not when the update is staged, and appears just before the
    machine goes down. Then the new deployment without a network, and then the old one."""
    room = shop.room("ostree-updated")
    old, new = shop.for_other_kernel.kernel, shop.kernel
    images = {kernel: stock.image(kernel) for kernel in (old, new)}
    made = {kernel: shop.programs.build(kernel, shop.key, room / f"{kernel.release}.tar.zst", DRIVER)
            for kernel in (old, new)}
    www, physical = disk.fresh_folder(room / "www"), disk.fresh_folder(room / "physical")

    def publish(kernel: Kernel) -> None:
        (www / kernel.release).mkdir()
        bundles.copy(made[kernel], www / f".{kernel.release}")
        (www / f".{kernel.release}").rename(www / kernel.release / f"{DRIVER}.tar.zst")

    publish(old)
    with WebServer(www) as server:
        driver = driver_file(extra=f"[Source]\nFrom=cache: {server.url}/{{kernel}}/{{name}}.tar.zst\n[Policy]\nGate=yes\n")
        tree = _system(room / "system", {f"/etc/modulus/{DRIVER}.conf": driver, PUBLIC_KEY: shop.key.public.read_text()},
                       shop.programs.boot)
        run("ostree", "admin", "init-fs", physical, env=MUTABLE)
        run("ostree", "admin", "os-init", f"--sysroot={physical}", stock.OSTREE_OS, env=MUTABLE)
        _commit(physical / "ostree" / "repo", tree, old)
        run("ostree", "admin", "deploy", f"--sysroot={physical}", f"--os={stock.OSTREE_OS}", "test", env=MUTABLE)
        _commit(physical / "ostree" / "repo", tree, new)
        shutil.rmtree(tree)
        # the journal of a boot outlives it
        (physical / "ostree" / "deploy" / stock.OSTREE_OS / "var" / "log" / "journal").mkdir(parents=True)
        (entry,) = physical.glob("boot/loader/entries/*.conf")
        before = _argument(entry.read_text())
        root = disk.ext4(physical, room / "root.ext4", "ROOT", DISK_MIB)
        layer = disk.overlay(disk.assemble(room / "disk.raw", [
            disk.Partition("ROOT", disk.TYPE_ROOT, UUID_ROOT, root, DISK_MIB)]), room / "disk.qcow2")
        root.unlink()
        shutil.rmtree(physical)

        def boot(name: str, kernel: Kernel, deployment: str, network: bool = False) -> Report:
            words = [ROOT_ARGUMENT, "rw", deployment, *run(injected.SNIPPET, "--arguments").split(),
                     f"modulus-test.publish={server.url}{PUBLISH}"]
            report = guest.boot(f"ostree-updated-{name}", room, kernel, images[kernel], words,
                                guest.Hardware(layer, network=network))
            shop.say(f"ostree-updated-{name}: booted in {report.seconds:.0f} s ({report.accelerator})")
            return report

        over = _publish_when_asked(server, lambda: publish(new))
        staged = boot("staged", old, before, network=True)
        over.set()
    deployments = _deployments(layer, room / "after.ext4")
    if len(deployments) != 2:
        raise AssertionError(f"the shutdown finalized nothing, see the journal on {layer}; the deployments are {deployments}")
    updated = boot("updated", new, deployments[0])
    rolled_back = boot("rolled-back", old, deployments[1])
    return SimpleNamespace(staged=staged, updated=updated, rolled_back=rolled_back, old=old, new=new, server=server)


ALL: dict[str, Callable[[Workshop], SimpleNamespace]] = {"ostree_updated": ostree_updated}
