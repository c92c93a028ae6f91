# SPDX-License-Identifier: Apache-2.0
"""Hosts whose initramfs was made by somebody who does not know of us: Debian 13's systemd, dracut, Ignition and ostree, and
of ours nothing. (Debian 12's systemd takes no units from credentials.) The kernel is the one of all other guests.

Around the same initramfs there are a first stage like Flatcar's, a boot loader with a disk of its own, and a deployment
that ostree made.
"""

import inspect
import shutil
import sys
from pathlib import Path

from . import cache, cpio, debian, disk, guest, initramfs, places, trees
from .debian import Kernel
from .host import GRUB_MODULES, UEFI_CODE, RigError, run

RELEASE = "trixie"
PACKAGES = ["systemd", "systemd-sysv", "udev", "kmod", "dracut-core", "ignition", "ostree-boot", "busybox-static", "cpio", "zstd"]
UPDATED_PACKAGES = ["systemd", "systemd-sysv", "udev", "kmod", "dbus", "ostree-boot", "busybox-static"]
MODULES = [*initramfs.BASE_MODULES, "ignition", "ostree", "no-relabel", "stock-host", "modulus-probe"]
# what dracut wants around itself; the mounts end with it
CHROOT = """
root=$1 modules=$2 work=$3
shift 3
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/run"
mount --bind "$work" "$root/mnt"
mkdir -p "$root/usr/lib/modules"
mount --bind "$modules" "$root/usr/lib/modules"
exec chroot "$root" "$@"
"""

ESP_MIB = 96
OEM_MIB = 8
TYPE_ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
TYPE_LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"
UUID_ESP = "6a4c0f7d-51ab-4a3e-9d52-7a2f3c8b1e01"
UUID_OEM = "6a4c0f7d-51ab-4a3e-9d52-7a2f3c8b1e02"
OSTREE_OS = "stock"


def debian13() -> Path:
    """What its packages are, unpacked and set up."""
    return debian.other_root(RELEASE, PACKAGES)


def updated() -> Path:
    """That Debian as a host which runs and updates itself: with what systemd-logind needs, without what makes an initramfs."""
    return debian.other_root(RELEASE, UPDATED_PACKAGES, "updated")


def image(kernel: Kernel) -> Path:
    """The initramfs, by that Debian's own dracut."""
    tree = debian13()

    def make(folder: Path) -> None:
        initramfs.private_base(folder / "base", tree / "usr" / "lib" / "dracut", set(initramfs.EMPTY_MODULES))
        (folder / "conf").touch()
        (folder / "conf.d").mkdir()
        run("unshare", "--mount", "sh", "-euc", CHROOT, "chroot", tree, kernel.modules.parent, folder,
            "env", "dracutbasedir=/mnt/base", "dracut", "--force", "--quiet", "--conf", "/mnt/conf", "--confdir", "/mnt/conf.d",
            "--kver", kernel.release, "--no-hostonly", "--no-early-microcode", "--nofscks", "--reproducible",
            *initramfs.UNPACKED, "--modules", " ".join(MODULES), "--drivers", " ".join(initramfs.DRIVERS),
            "/mnt/initramfs.img")
        for left in ("base", "conf.d"):
            shutil.rmtree(folder / left)

    key = cache.digest(str(tree), str(kernel.modules), places.GUEST, inspect.getsource(sys.modules[__name__]),
                       inspect.getsource(initramfs))
    return cache.kept("initramfs-stock", key, make, keep=2) / "initramfs.img"


def two_stages(kernel: Kernel, second: Path, folder: Path, oem: dict[str, bytes]) -> Path:
    """An initramfs like Flatcar's: a busybox that switches into `second`. Behind it an archive with `oem` (path -> program),
    as a PXE server would send it."""
    initramfs.unpack(second, folder / "second")
    run("mksquashfs", folder / "second", folder / "second.squashfs", "-comp", "lz4", "-all-root", "-quiet", "-no-progress")
    needs = [kernel.modules / path for path in trees.closure(kernel, {"loop", "squashfs", "overlay"}, without=set())]
    entries = [cpio.script("init", (places.GUEST / "stock" / "first-stage.sh").read_bytes()),
               cpio.script("busybox", trees.BUSYBOX.read_bytes()),
               cpio.Entry("second.squashfs", (folder / "second.squashfs").read_bytes())]
    entries += [cpio.Entry(path.name, path.read_bytes()) for path in needs]
    (folder / "first.img").write_bytes(cpio.archive(entries))
    more = [cpio.directory("oem")]
    for path, program in oem.items():
        more += [cpio.directory(str(parent)) for parent in reversed(Path(path).parents) if len(parent.parts) > 1]
        more.append(cpio.script(path, program))
    return cpio.append(folder / "first.img", more, folder / "two-stages.img")


def firmware(folder: Path) -> Path:
    """The memory of a machine with UEFI and without Secure Boot."""
    return Path(shutil.copy(UEFI_CODE.with_name("OVMF_VARS_4M.fd"), folder / "firmware.fd"))


def loader_partitions(kernel: Kernel, initrd: Path, folder: Path, arguments: list[str],
                      first_boot: list[str]) -> list[disk.Partition]:
    """GRUB with a kernel, and the partition whose grub.cfg it reads for further arguments, as Flatcar's does. A file
    there says that the machine has yet to be provisioned."""
    run("grub-mkimage", "-O", "x86_64-efi", "-d", GRUB_MODULES, "-p", "/EFI/BOOT", "-o", folder / "grub.efi",
        "part_gpt", "fat", "ext2", "normal", "configfile", "linux", "search", "search_label", "test")
    trees.write(folder / "grub.cfg", f"""\
search --no-floppy --set oem --label OEM
source ($oem)/grub.cfg
if [ -f ($oem)/first_boot ]; then
    set first_boot="{' '.join(first_boot)}"
fi
linux /vmlinuz {' '.join(guest.KERNEL_ARGUMENTS + arguments)} $first_boot $linux_append
initrd /initramfs.img
boot
""")
    esp = folder / "esp.fat"
    with open(esp, "wb") as fresh:
        fresh.truncate(ESP_MIB * disk.MIB)
    run("mkfs.vfat", "-n", "EFI-SYSTEM", esp)
    run("mmd", "-i", esp, "::/EFI", "::/EFI/BOOT")
    for source, target in ((folder / "grub.efi", "EFI/BOOT/BOOTX64.EFI"), (folder / "grub.cfg", "EFI/BOOT/grub.cfg"),
                           (kernel.vmlinuz, "vmlinuz"), (initrd, "initramfs.img")):
        run("mcopy", "-i", esp, source, f"::/{target}")
    trees.write(folder / "oem" / "grub.cfg", 'set linux_append=""\n')
    trees.write(folder / "oem" / "first_boot", "")
    oem = disk.ext4(folder / "oem", folder / "oem.ext4", "OEM", OEM_MIB)
    return [disk.Partition("EFI-SYSTEM", TYPE_ESP, UUID_ESP, esp, ESP_MIB),
            disk.Partition("OEM", TYPE_LINUX, UUID_OEM, oem, OEM_MIB)]


def ostree_root(kernel: Kernel, folder: Path, size_mib: int) -> tuple[Path, str]:
    """The file system of a host like Fedora CoreOS: one deployment, made by ostree(1). And its kernel argument."""
    tree, physical = trees.small_root(folder / "deployed"), folder / "physical"
    for name in ("usr", "var"):
        shutil.rmtree(tree / name)
    trees.small_usr(tree / "usr", kernel, [])
    (tree / "etc").rename(tree / "usr" / "etc")
    for name in ("var", "sysroot"):
        (tree / name).mkdir()
    (tree / "ostree").symlink_to("sysroot/ostree")
    # it asks for both; QEMU starts its own
    for name in ("vmlinuz", "initramfs.img"):
        trees.write(tree / "usr" / "lib" / "modules" / kernel.release / name, name)
    physical.mkdir()
    mutable = {"OSTREE_SYSROOT_DEBUG": "mutable-deployments"}
    run("ostree", "admin", "init-fs", physical, env=mutable)
    run("ostree", "admin", "os-init", f"--sysroot={physical}", OSTREE_OS, env=mutable)
    run("ostree", f"--repo={physical}/ostree/repo", "commit", "-b", "test", f"--tree=dir={tree}", env=mutable)
    run("ostree", "admin", "deploy", f"--sysroot={physical}", f"--os={OSTREE_OS}", "test", env=mutable)
    (entry,) = physical.glob("boot/loader/entries/*.conf")
    words = entry.read_text().split()
    arguments = [word for word in words if word.startswith("ostree=")]
    if len(arguments) != 1:
        raise RigError(f"{entry} has not one ostree= argument")
    return disk.ext4(physical, folder / "root.ext4", "ROOT", size_mib), arguments[0]
