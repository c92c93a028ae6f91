# SPDX-License-Identifier: Apache-2.0
"""Which kernel the next boot runs: slots, ostree, boot loaders, and what is said where none of them tells."""
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bundlemaker import RELEASE
from cachemachine import NEXT, OLDER, CacheMachine, place_of, recipe
from fakehost import Machine
from kernelfile import bzimage
from netmachine import plain_environment
from program import DONE, KERNEL, MODULUS, NO_BUNDLE
from test_cache_places import OstreeMachine, loop_device, needs_mounts, needs_ostree, run

EFI = "sys/firmware/efi/efivars/{}-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
GRUB_CFG = (Path(__file__).parents[1] / "fuzz/corpus/grubcfg/debian").read_text()


def kernel_of(machine: Machine, expect_code: int | None = None, before: tuple[str, ...] = ()) -> dict:
    """What `check --next` says of the kernel."""
    done = subprocess.run([*before, MODULUS, "check", "--next", "--json", *machine.roots], capture_output=True, text=True,
                          env=plain_environment())
    assert done.stdout, done.stderr
    if expect_code is not None:
        assert done.returncode == expect_code, done.stdout
    answer = json.loads(done.stdout)
    (row,) = [f for f in answer["findings"] if f["what"] == "kernel"]
    return {**answer["kernel"], "row": row}


@pytest.fixture
def host(tmp_path):
    return CacheMachine(tmp_path)


def efi(machine: Machine, **variables: str) -> None:
    for name, text in variables.items():
        machine.write_live(EFI.format(name), b"\6\0\0\0" + text.encode("utf-16-le") + b"\0\0")


# --- nothing tells ---

def test_without_a_boot_loader_the_newest_is_an_inference_and_said_to_be_one(host):
    host.installed("6.1.0-9-test", "6.1.0-10-test", RELEASE, NEXT)
    kernel = kernel_of(host)
    assert kernel["release"] == NEXT and kernel["inferred"] and not kernel["running"]
    assert kernel["row"]["level"] == "warn" and kernel["row"]["reason"] == "unknown-kernel" and "--kernel" in kernel["row"]["remedy"]


def test_a_directory_that_a_package_of_modules_left_is_no_kernel(host):
    host.installed("6.99.0-gone", NEXT)
    host.write_root(f"usr/lib/modules/{NEXT}/modules.builtin", "")
    assert kernel_of(host)["release"] == NEXT


def test_with_no_kernel_at_all_it_is_unknown(host):
    kernel = kernel_of(host, KERNEL)
    assert kernel["release"] is None and kernel["row"]["level"] == "fail" and kernel["row"]["reason"] == "unknown-kernel"
    done = host.command("fetch", "--next")
    assert done.returncode == KERNEL and "unknown-kernel" in done.stderr


# --- systemd-boot ---

def entry(machine: Machine, name: str, release: str, where: str = "boot", **keys: str) -> None:
    text = f"title x\nlinux /0123/{release}/linux\n" + "".join(f"{k.replace('_', '-')} {v}\n" for k, v in keys.items())
    machine.write_root(f"{where}/loader/entries/{name}", text)


@pytest.fixture
def systemd_boot(host):
    host.installed(OLDER, RELEASE, NEXT)
    efi(host, LoaderInfo="systemd-boot 252")
    for release in (OLDER, RELEASE, NEXT):
        entry(host, f"0123-{release}.conf", release, "efi", version=release, sort_key="debian", machine_id="0123")
    return host


def test_systemd_boot_starts_its_first_entry(systemd_boot):
    kernel = kernel_of(systemd_boot)
    assert kernel["release"] == NEXT and not kernel["inferred"] and "its first entry" in kernel["how"]


def test_systemd_boot_obeys_loader_conf_a_variable_and_one_boot_in_this_order(systemd_boot):
    systemd_boot.write_root("efi/loader/loader.conf", f"default 0123-{OLDER}*\n")
    assert kernel_of(systemd_boot)["release"] == OLDER
    efi(systemd_boot, LoaderEntryDefault=f"0123-{RELEASE}.conf")
    assert kernel_of(systemd_boot)["release"] == RELEASE and kernel_of(systemd_boot)["running"]
    efi(systemd_boot, LoaderEntryOneShot=f"0123-{NEXT}.conf")
    kernel = kernel_of(systemd_boot)
    assert kernel["release"] == NEXT and "one boot" in kernel["how"]


def test_systemd_boot_saved_is_the_entry_of_last_time(systemd_boot):
    systemd_boot.write_root("efi/loader/loader.conf", "default @saved\n")
    efi(systemd_boot, LoaderEntryLastBooted=f"0123-{OLDER}.conf")
    assert kernel_of(systemd_boot)["release"] == OLDER


def test_a_name_of_an_entry_does_nothing_to_a_terminal(systemd_boot):
    entry(systemd_boot, "z\x1b[2J.conf", NEXT, "efi", version="99", sort_key="a")
    assert "\\x1b[2J" in kernel_of(systemd_boot)["how"]


def test_an_entry_without_tries_left_comes_last(systemd_boot):
    entries = systemd_boot.root / "efi/loader/entries"
    (entries / f"0123-{NEXT}.conf").rename(entries / f"0123-{NEXT}+0-3.conf")
    assert kernel_of(systemd_boot)["release"] == RELEASE


def test_images_that_are_entries_themselves_make_it_an_inference(systemd_boot):
    systemd_boot.write_root("efi/EFI/Linux/linux.efi", "MZ")
    assert kernel_of(systemd_boot)["inferred"]
    systemd_boot.write_root("efi/loader/loader.conf", f"default 0123-{OLDER}.conf\n")
    kernel = kernel_of(systemd_boot)
    assert kernel["release"] == OLDER and not kernel["inferred"]


# --- GRUB ---

def grubenv(machine: Machine, where: str = "grub", **values: str) -> None:
    text = "# GRUB Environment Block\n" + "".join(f"{k}={v}\n" for k, v in values.items())
    machine.write_root(f"boot/{where}/grubenv", text.ljust(1024, "#"))


def test_debians_grub_starts_its_default_or_what_was_saved(host):
    host.write_root("boot/grub/grub.cfg", GRUB_CFG)
    kernel = kernel_of(host)
    assert kernel["release"] == "6.1.0-100-amd64" and not kernel["inferred"] and "grub.cfg" in kernel["how"]
    grubenv(host, saved_entry="gnulinux-advanced-5e5b>gnulinux-6.1.0-99-amd64-advanced-5e5b")
    assert kernel_of(host)["release"] == "6.1.0-99-amd64"
    grubenv(host, saved_entry="1>1", next_entry="0")
    kernel = kernel_of(host)
    assert kernel["release"] == "6.1.0-100-amd64" and "one boot" in kernel["how"]


def test_fedoras_grub_starts_the_newest_entry_or_what_was_saved(host):
    host.installed(OLDER, RELEASE, NEXT)
    host.write_root("boot/grub2/grub.cfg", "insmod blscfg\nblscfg\n")
    for release in (OLDER, NEXT):
        host.write_root(f"boot/loader/entries/0123-{release}.conf", f"version {release}\nlinux /vmlinuz-{release}\n")
    assert kernel_of(host)["release"] == NEXT
    grubenv(host, "grub2", saved_entry=f"0123-{OLDER}")
    kernel = kernel_of(host)
    assert kernel["release"] == OLDER and "saved_entry" in kernel["how"]
    grubenv(host, "grub2", saved_entry=f"0123-{OLDER}", next_entry=f"0123-{NEXT}")
    assert kernel_of(host)["release"] == NEXT


@pytest.mark.parametrize("text", ["menuentry x {\n", "\0" * 100, "menuentry a {\n" * 600,
                                  "set default=$x\n" + GRUB_CFG.replace("set default", "set d")],
                         ids=["cut", "zeros", "too-many", "computed"])
def test_a_grub_cfg_that_does_not_tell_makes_it_an_inference(host, text):
    host.installed(NEXT)
    host.write_root("boot/grub/grub.cfg", text)
    kernel = kernel_of(host)
    assert kernel["release"] == NEXT and kernel["inferred"]


# --- what is done with it ---

def test_fetch_next_brings_what_the_next_kernel_needs(host):
    data = recipe(NEXT).build()
    host.installed(RELEASE, NEXT)
    host.offer(data, NEXT)
    done = host.command("fetch", "--next")
    assert done.returncode == DONE and f"the next boot runs kernel {NEXT}: inferred" in done.stderr, done.stderr
    assert list(host.good()) == [place_of(data, NEXT)]


def test_fetch_next_has_nothing_to_do_when_it_is_the_running_kernel(host):
    host.installed(OLDER, RELEASE)
    host.offer(recipe().build())
    done = host.command("fetch", "--next")
    assert done.returncode == DONE and f"the next boot runs the running kernel, {RELEASE}" in done.stderr
    assert host.good() == {}


def test_fetch_all_is_for_every_kernel_that_is_installed(host):
    built = {release: recipe(release).build() for release in (OLDER, RELEASE, NEXT)}
    host.installed(*built)
    for release, data in built.items():
        host.offer(data, release)
    assert host.command("fetch", "--all").returncode == DONE
    assert sorted(host.good()) == sorted(place_of(data, release) for release, data in built.items())


def test_a_kernel_without_a_bundle_does_not_keep_the_others_from_theirs(host):
    data = recipe(NEXT).build()
    host.installed(OLDER, RELEASE, NEXT)
    host.offer(data, NEXT)
    done = host.command("fetch", "--all")
    assert done.returncode == NO_BUNDLE and list(host.good()) == [place_of(data, NEXT)]


def test_the_build_of_the_next_kernel_is_read_from_its_image(host):
    """A bundle for another build of the same release is not what the next boot can use."""
    def of_build(build_id: str) -> bytes:
        return recipe(NEXT, edit_kernel={"build_id": build_id}).build()
    host.installed(NEXT)
    host.write_root(f"boot/vmlinuz-{NEXT}", bzimage("ab" * 20, NEXT))
    host.offer(of_build("cd" * 20), NEXT)
    done = host.command("fetch", "--next")
    assert done.returncode == NO_BUNDLE and "wrong-kernel" in done.stderr and "wanted is build abababababab" in done.stderr
    data = of_build("ab" * 20)
    host.offer(data, NEXT)
    assert host.command("fetch", "--next").returncode == DONE and list(host.good()) == [place_of(data, NEXT)]


@pytest.mark.parametrize("words", [("--next", "--all"), ("--kernel", NEXT, "--all"), ("--kernel", "../x"), ("--kernel", "")])
def test_words_that_exclude_each_other_and_a_release_that_is_none(host, words):
    assert host.command("fetch", *words).returncode == 2


# --- slots ---

USR_TYPE = "5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6"


class SlotMachine(CacheMachine):
    """/usr is on verity on the third partition of a disk that has an A and a B, as Flatcar's has; which of them boots next
    is in real GPT attributes."""

    def __init__(self, folder: Path, a: tuple[int, int, int] = (1, 0, 1), b: tuple[int, int, int] = (2, 1, 0)):
        super().__init__(folder)
        self.disk = self.live / "dev/sda"
        self.disk.parent.mkdir(exist_ok=True)
        with open(self.disk, "wb") as image:
            image.truncate(16 << 20)
        words = ["-n", "1:2048:+64K", "-t", "1:ef00"]
        for number, name, (priority, tries, successful) in ((3, "USR-A", a), (4, "USR-B", b)):
            bits = priority | tries << 4 | successful << 8
            words += ["-n", f"{number}:0:+5M", "-t", f"{number}:{USR_TYPE}", "-c", f"{number}:{name}",
                      "-A", f"{number}:=:{bits << 48:016x}"]
        run("sgdisk", *words, self.disk)
        sys = self.live / "sys"
        for number in (3, 4):
            self.write_live(f"sys/devices/pci/block/sda/sda{number}/partition", f"{number}\n")
        self.write_live("sys/devices/virtual/block/dm-0/dev", "254:0\n")
        for place in ("dev/block", "class/block"):
            (sys / place).mkdir(parents=True)
        (sys / "dev/block/254:0").symlink_to("../../devices/virtual/block/dm-0")
        (sys / "devices/virtual/block/dm-0/slaves").mkdir()
        (sys / "devices/virtual/block/dm-0/slaves/sda3").symlink_to("../../../../pci/block/sda/sda3")
        (sys / "class/block/sda3").symlink_to("../../devices/pci/block/sda/sda3")
        self.write_live("proc/self/mountinfo", f"1 0 253:1 / {self.root} rw - ext4 /dev/sda9 rw\n"
                                               f"2 1 254:0 / {self.root}/usr ro - ext4 /dev/mapper/usr ro\n")

    def offset(self, number: int) -> int:
        info = run("sgdisk", "-i", str(number), self.disk)
        return 512 * int(info.split("First sector: ")[1].split()[0])


needs_sgdisk = pytest.mark.skipif(shutil.which("sgdisk") is None, reason="sgdisk is not installed")


@needs_sgdisk
@pytest.mark.parametrize("a, b", [((2, 0, 1), (1, 0, 1)), ((1, 0, 1), (2, 0, 0)), ((1, 0, 1), (0, 1, 1))],
                         ids=["lower-priority", "no-tries", "priority-0"])
def test_the_running_slot_is_next_unless_the_other_one_is(tmp_path, a, b):
    machine = SlotMachine(tmp_path, a, b)
    machine.installed(RELEASE)
    kernel = kernel_of(machine)
    assert kernel["release"] == RELEASE and kernel["running"] and not kernel["inferred"]
    assert "slot USR-A (sda3)" in kernel["how"] and "running one" in kernel["how"]


@needs_sgdisk
def test_a_slot_that_cannot_be_read_is_no_reason_to_guess(tmp_path):
    machine = SlotMachine(tmp_path)
    machine.installed(RELEASE)
    kernel = kernel_of(machine, KERNEL)
    assert kernel["release"] is None and "slot USR-B" in kernel["row"]["text"]


@needs_sgdisk
def test_no_slot_that_could_boot_is_said(tmp_path):
    machine = SlotMachine(tmp_path, (1, 0, 0), (2, 0, 0))
    machine.installed(RELEASE)
    assert "no slot of /dev/sda" in kernel_of(machine, KERNEL)["row"]["text"]


@needs_sgdisk
def test_a_usr_that_is_on_no_slot_asks_the_boot_loader(tmp_path):
    machine = SlotMachine(tmp_path)
    run("sgdisk", "-t", "3:8300", machine.disk)
    machine.installed(NEXT)
    assert kernel_of(machine)["inferred"]


@needs_sgdisk
def test_the_other_slots_kernel_and_its_own_bundles_are_read(tmp_path):
    """The slot is a real ext4 file system on a block device, as an update has written it."""
    machine, data = SlotMachine(tmp_path), recipe(NEXT).build()
    machine.installed(RELEASE)
    tree = tmp_path / "slot"
    (tree / "lib/modules" / NEXT).mkdir(parents=True)
    (tree / "boot").mkdir()
    (tree / "boot/vmlinuz").write_bytes(bzimage("ab" * 20, NEXT))
    (tree / f"lib/modulus/bundles/{NEXT}").mkdir(parents=True)
    (tree / f"lib/modulus/bundles/{NEXT}/gpu.tar.zst").write_bytes(data)
    image = tmp_path / "usr.img"
    with open(image, "wb") as file:
        file.truncate(4 << 20)
    run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", tree, image)
    device = loop_device(image)
    if device is None:
        pytest.skip("loop devices are not allowed here")
    try:
        (machine.live / "dev/sda4").symlink_to(device)
        before = image.read_bytes()
        kernel = kernel_of(machine)
        assert kernel["release"] == NEXT and kernel["build_id"] == "ab" * 20 and not kernel["inferred"]
        assert kernel["how"] == "slot USR-B (sda4) has priority 2, 1 tries left"
        done = machine.command("fetch", "--next")
        assert done.returncode == DONE and "usr:next:/usr/lib/modulus/bundles" in done.stderr, done.stderr
        assert list(machine.good()) == [place_of(data, NEXT)]
        assert image.read_bytes() == before
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


# --- ostree ---

CHROOT = """
mount --bind {root} {root}
mount -t tmpfs tmpfs {root}/run
mount -t tmpfs tmpfs {root}/tmp
mount --rbind {physical} {root}/sysroot
mount --bind {physical}/boot {root}/boot
mount --bind /usr {root}/usr
mount -t proc proc {root}/proc
mount --bind /dev {root}/dev
mkdir {root}/run/bin
printf '#!/bin/sh\\nexit 0\\n' > {root}/run/bin/systemctl
chmod +x {root}/run/bin/systemctl
touch {root}/run/ostree-booted
PATH=/run/bin:$PATH chroot {root} ostree admin deploy {how} --os=the-os test >&2
[ ! -e {root}/run/ostree/staged-deployment ] || cat {root}/run/ostree/staged-deployment
"""


class UpdatedOstree(OstreeMachine):
    """An update of that host by ostree(1) itself, run inside the booted deployment."""

    def update(self, release: str, how: str = "--stage") -> None:
        tree = self.physical.parent / "tree"
        os.rename(tree / "usr/lib/modules" / RELEASE, tree / "usr/lib/modules" / release)
        run("ostree", f"--repo={self.physical}/ostree/repo", "commit", "-b", "test", f"--tree=dir={tree}")
        for name in ("bin", "lib", "lib64", "sbin"):
            if not (self.root / name).exists():
                (self.root / name).symlink_to(f"usr/{name}")
        done = subprocess.run(["unshare", "-m", "-p", "-f", "sh", "-euc",
                               CHROOT.format(root=self.root, physical=self.physical, how=how)],
                              capture_output=True, env={**plain_environment(), "OSTREE_SYSROOT_DEBUG": "mutable-deployments"})
        if done.returncode != 0:
            pytest.skip(f"ostree cannot be run in a deployment here: {done.stderr.decode()[-200:]}")
        if done.stdout:
            self.write_live("run/ostree/staged-deployment", done.stdout)

    def asked(self) -> dict:
        script = f"mount --bind {self.physical} {self.root}/sysroot\nmount --bind {self.physical}/boot {self.root}/boot\n"
        return kernel_of(self, before=("unshare", "-m", "sh", "-euc", script + 'exec "$@"', "sh"))


@needs_ostree
@needs_mounts
def test_ostree_without_an_update_boots_what_runs(tmp_path):
    kernel = UpdatedOstree(tmp_path).asked()
    assert kernel["release"] == RELEASE and kernel["running"] and not kernel["inferred"]
    assert "ostree's first entry" in kernel["how"]


@needs_ostree
@needs_mounts
def test_ostree_boots_the_staged_deployment_next(tmp_path):
    machine = UpdatedOstree(tmp_path)
    machine.update(NEXT)
    assert (machine.live / "run/ostree/staged-deployment").exists()
    kernel = machine.asked()
    assert kernel["release"] == NEXT and not kernel["inferred"] and "staged" in kernel["how"]
    machine.write_live("run/ostree/staged-deployment-locked", "")
    assert "held back" in machine.asked()["how"]


@needs_ostree
@needs_mounts
def test_ostree_boots_the_pending_deployment_next(tmp_path):
    machine = UpdatedOstree(tmp_path)
    machine.update(NEXT, "--no-merge")
    assert not (machine.live / "run/ostree/staged-deployment").exists()
    kernel = machine.asked()
    assert kernel["release"] == NEXT and "ostree's first entry" in kernel["how"]


@needs_ostree
@needs_mounts
@pytest.mark.parametrize("content", [b"", b"x" * 100, None], ids=["empty", "rubbish", "gone"])
def test_a_staged_deployment_that_cannot_be_read_is_no_reason_to_guess(tmp_path, content):
    machine = UpdatedOstree(tmp_path)
    golden = (Path(__file__).parents[1] / "fuzz/corpus/gvariant/staged").read_bytes()
    machine.write_live("run/ostree/staged-deployment", golden if content is None else content)
    assert machine.asked()["row"]["reason"] == "unknown-kernel"
