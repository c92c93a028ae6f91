# SPDX-License-Identifier: Apache-2.0
"""Where the cache is when the target is not a plain, writable root: ostree, a full disk, a root that stays read-only."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bundlemaker import RELEASE
from cachemachine import CacheMachine, place_of, recipe
from fakehost import Machine
from netmachine import plain_environment
from program import DONE, MODULUS, RESOURCES

CAN_MOUNT = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode == 0
needs_mounts = pytest.mark.skipif(not CAN_MOUNT, reason="mounts are not allowed here")


def run(*words: object, **more) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, **more)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def inside(script: str, *words: object, expect: int = DONE) -> subprocess.CompletedProcess:
    """`modulus WORDS` after a script, in a mount namespace of its own."""
    done = subprocess.run(["unshare", "-m", "sh", "-euc", f'{script}\nexec "$@"', "sh", *map(str, words)],
                          capture_output=True, text=True, env=plain_environment())
    assert done.returncode == expect, done.stderr
    return done


# --- ostree ---

class OstreeMachine(Machine):
    """A physical sysroot that ostree(1) made, with one deployment. `root` is that deployment; the physical root is
    mounted at its /sysroot, as ostree-prepare-root(1) does in the initramfs."""

    def __init__(self, folder: Path):
        tree, self.physical = folder / "tree", folder / "physical"
        kernel = tree / "usr/lib/modules" / RELEASE
        kernel.mkdir(parents=True)
        for name in ("vmlinuz", "initramfs.img"):
            (kernel / name).write_text(name)
        (tree / "usr/lib/os-release").write_text("ID=the-os\nPRETTY_NAME=it\nVERSION=1\n")
        for name in ("usr/etc", "boot", "sysroot", "var", "proc", "dev", "run", "sys", "tmp"):
            (tree / name).mkdir(parents=True)
        (tree / "ostree").symlink_to("sysroot/ostree")
        self.physical.mkdir()
        env = {**os.environ, "OSTREE_SYSROOT_DEBUG": "mutable-deployments"}
        run("ostree", "admin", "init-fs", self.physical, env=env)
        run("ostree", "admin", "os-init", f"--sysroot={self.physical}", "the-os", env=env)
        run("ostree", f"--repo={self.physical}/ostree/repo", "commit", "-b", "test", f"--tree=dir={tree}", env=env)
        run("ostree", "admin", "deploy", f"--sysroot={self.physical}", "--os=the-os", "test", env=env)
        (deployment,) = self.physical.glob("ostree/deploy/the-os/deploy/*.0")
        super().__init__(folder / "m")
        shutil.rmtree(self.root)
        self.root = deployment
        (entry,) = self.physical.glob("boot/loader/entries/*.conf")
        (options,) = [line for line in entry.read_text().splitlines() if line.startswith("options ")]
        self.cmdline(options.removeprefix("options "))
        self.write_live("run/ostree-booted", "")
        self.key()
        self.driver()
        self.device()
        self.module_is_live("alpha", "beta")

    @property
    def var(self) -> Path:
        return self.physical / "ostree/deploy/the-os/var"

    def mounts(self, readonly: bool) -> str:
        script = f"mount --bind {self.physical} {self.root}/sysroot\n"
        if readonly:  # sysroot.readonly=true: only the stateroot's var stays writable
            script += f"mount --bind {self.root}/sysroot/ostree/deploy/the-os/var {self.root}/sysroot/ostree/deploy/the-os/var\n"
            script += f"mount -o remount,bind,ro {self.root}/sysroot\n"
        return script


needs_ostree = pytest.mark.skipif(shutil.which("ostree") is None, reason="ostree is not installed")


@needs_ostree
@needs_mounts
@pytest.mark.parametrize("readonly", [False, True], ids=["writable", "readonly-sysroot"])
def test_on_an_ostree_host_the_cache_is_in_the_stateroot(tmp_path, readonly):
    machine, data = OstreeMachine(tmp_path), recipe().build()
    machine.usr(data)
    inside(machine.mounts(readonly), MODULUS, "boot", *machine.roots)
    status = machine.status_file.read_text()
    assert '"source": "usr"' in status and f'"cached": "/var/lib/modulus/bundles/{place_of(data)}"' in status
    kept = machine.var / "lib/modulus/bundles" / place_of(data)
    assert kept.read_bytes() == data
    assert not (machine.root / "var").exists() or not any((machine.root / "var").iterdir())
    # the next boot, of a deployment that brings no bundle
    shutil.rmtree(machine.root / "usr/lib/modulus")
    inside(machine.mounts(readonly), MODULUS, "boot", *machine.roots)
    status = machine.status_file.read_text()
    assert '"source": "cache"' in status and f"cache:/var/lib/modulus/bundles/{place_of(data)}" in status


@needs_ostree
@needs_mounts
def test_a_rollback_to_another_deployment_finds_the_same_cache(tmp_path):
    machine, data = OstreeMachine(tmp_path), recipe().build()
    machine.usr(data)
    inside(machine.mounts(False), MODULUS, "boot", *machine.roots)
    shutil.rmtree(machine.root / "usr/lib/modulus")
    other = machine.root.with_name("0" * 64 + ".1")
    shutil.copytree(machine.root, other, symlinks=True)
    machine.root = other
    inside(machine.mounts(False), MODULUS, "boot", *machine.roots)
    assert '"source": "cache"' in machine.status_file.read_text()


@needs_ostree
@needs_mounts
def test_without_the_stateroot_the_boot_goes_on_and_says_why(tmp_path):
    machine = OstreeMachine(tmp_path)
    machine.usr(recipe().build())
    machine.cmdline("quiet")
    inside(machine.mounts(False), MODULUS, "boot", *machine.roots)
    status = machine.status_file.read_text()
    assert '"reason": "loaded"' in status and "not cached: cache-unreachable: " in status
    assert not list(machine.var.rglob("*.tar.zst"))


# --- disks ---

def ready(machine: CacheMachine) -> bytes:
    data = recipe().build()
    machine.offer(data)
    machine.device()
    machine.module_is_live("alpha", "beta")
    return data


@needs_mounts
def test_a_full_disk_loads_from_memory_and_says_no_space(tmp_path):
    machine = CacheMachine(tmp_path)
    ready(machine)
    full = f"mount -t tmpfs -o size=1m tmpfs {machine.root}/var; head -c 900k /dev/zero > {machine.root}/var/ballast"
    inside(full, MODULUS, "boot", *machine.roots)
    status = machine.status_file.read_text()
    assert '"reason": "loaded"' in status and "not cached: no-space: " in status and '"cached": null' in status
    done = inside(full, MODULUS, "fetch", *machine.roots, expect=RESOURCES)
    assert "gpu: no-space: cache: 0 MiB free" in done.stderr


@needs_mounts
def test_a_root_that_nobody_may_remount_loads_from_memory(tmp_path):
    machine = CacheMachine(tmp_path)
    ready(machine)
    done = subprocess.run(["unshare", "-m", "sh", "-euc",
                           f'mount --bind {machine.root} {machine.root}; mount -o remount,bind,ro {machine.root}\n'
                           'exec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$@"', "sh", MODULUS, "boot", *machine.roots],
                          capture_output=True, text=True, env=plain_environment())
    assert done.returncode == DONE, done.stderr
    status = machine.status_file.read_text()
    assert '"reason": "loaded"' in status and '"cached": null' in status
    assert "its file system is read-only" in status and machine.cached == []


@needs_mounts
def test_a_read_only_root_is_written_and_read_only_again(tmp_path):
    machine = CacheMachine(tmp_path / "m")
    data = ready(machine)
    tree = tmp_path / "tree"
    shutil.copytree(machine.root, tree, symlinks=True)
    done = inside(f"mount -t tmpfs tmpfs {machine.root}; cp -a {tree}/. {machine.root}; mount -o remount,ro {machine.root}\n"
                  f'"$@"; test -s {machine.root}/var/lib/modulus/bundles/{place_of(data)}\n'
                  f"! touch {machine.root}/var/x 2> /dev/null; grep ' {machine.root} ' /proc/self/mounts; set -- true",
                  MODULUS, "boot", *machine.roots)
    assert " ro," in done.stdout
    assert f'"cached": "/var/lib/modulus/bundles/{place_of(data)}"' in machine.status_file.read_text()


@needs_mounts
@pytest.mark.parametrize("fstab,recorded", [("/dev/vda1 / ext4 defaults 0 1", True), ("/dev/vda1 / ext4 ro,noatime 0 1", False), ("", False)],
                         ids=["becomes-writable", "stays-read-only", "nobody-says"])
def test_an_attempt_on_a_read_only_root_is_recorded_only_if_it_can_be_closed_later(tmp_path, fstab, recorded):
    machine = CacheMachine(tmp_path / "m")
    ready(machine)
    machine.write_root("etc/fstab", fstab + "\n")
    tree = tmp_path / "tree"
    shutil.copytree(machine.root, tree, symlinks=True)
    done = inside(f"mount -t tmpfs tmpfs {machine.root}; cp -a {tree}/. {machine.root}; mount -o remount,ro {machine.root}\n"
                  f'"$@"; find {machine.root}/var -type f; set -- true', MODULUS, "boot", *machine.roots)
    assert (".json" in done.stdout) == recorded
    assert ("the root stays read-only" in machine.status_file.read_text()) != recorded


# --- a file system of its own ---

def loop_device(image: Path) -> str | None:
    done = subprocess.run(["losetup", "-f", "--show", str(image)], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


@pytest.fixture
def disk(tmp_path):
    """An ext4 file system on a loop device: the device, and its label and UUID as fstab would name them."""
    image, label = tmp_path / "disk.ext4", f"mod{os.getpid()}"
    with open(image, "wb") as stream:
        stream.truncate(32 << 20)
    run("mke2fs", "-q", "-t", "ext4", "-L", label, image)
    device = loop_device(image)
    if device is None:
        pytest.skip("loop devices are not allowed here")
    uuid = run("blkid", "-p", "-s", "UUID", "-o", "value", device).strip()
    yield {"device": device, "LABEL": f"LABEL={label}", "UUID": f"UUID={uuid}", "image": image}
    run("losetup", "-d", device)


def mounted(device: str) -> bool:
    return f"{device} " in Path("/proc/self/mounts").read_text()


def listed(disk, folder: str) -> str:
    """Names in a directory of the file system, which must be sound."""
    run("e2fsck", "-fn", disk["image"])
    return run("debugfs", "-R", f"ls -p {folder}", disk["image"])


@needs_mounts
@pytest.mark.parametrize("how", ["device", "LABEL", "UUID"])
def test_the_cache_on_a_partition_is_written_read_and_gone(tmp_path, disk, how):
    machine = CacheMachine(tmp_path / "m")
    data = ready(machine)
    machine.write_root("etc/modulus/modulus.conf", f"[Source]\nCache={disk[how]}\n")
    driver = machine.boot().driver
    assert (driver["source"], driver["cached"]) == ("usr", f"{disk[how]}:/modulus/bundles/{place_of(data)}"), driver
    assert not mounted(disk["device"]) and machine.cached == []
    assert place_of(data).split("/")[1] in listed(disk, f"/modulus/bundles/{RELEASE}")
    shutil.rmtree(machine.root / "usr/lib/modulus")
    driver = machine.boot().driver
    assert (driver["source"], driver["reason"]) == ("cache", "loaded"), driver
    assert machine.command("cache", "verify").stdout == f"{place_of(data)}: good\n"
    assert not mounted(disk["device"])


@needs_mounts
@pytest.mark.parametrize("how", ["device", "LABEL", "UUID"])
def test_a_var_of_its_own_is_reached_by_the_targets_fstab(tmp_path, disk, how):
    machine = CacheMachine(tmp_path / "m")
    data = ready(machine)
    machine.write_root("etc/fstab", f"{disk[how]} /var ext4 defaults 0 2\n")
    machine.write_root("usr/lib/systemd/system/multi-user.target.wants/modulus-finish.service", "")
    driver = machine.boot().driver
    assert driver["cached"] == f"/var/lib/modulus/bundles/{place_of(data)}" and driver["warnings"] == [], driver
    assert machine.cached == [] and not mounted(disk["device"])
    assert place_of(data).split("/")[1] in listed(disk, f"/lib/modulus/bundles/{RELEASE}")
    assert ".json" in listed(disk, f"/lib/modulus/trials/{RELEASE}")  # attempts are recorded there too
    shutil.rmtree(machine.root / "usr/lib/modulus")
    assert machine.boot().driver["source"] == "cache"


@needs_mounts
def test_a_partition_that_is_mounted_elsewhere_is_shared_and_stays_writable(tmp_path, disk):
    machine = CacheMachine(tmp_path / "m")
    data = ready(machine)
    machine.write_root("etc/modulus/modulus.conf", f"[Source]\nCache={disk['device']}\n")
    done = inside(f'mount {disk["device"]} /mnt; "$@"; touch /mnt/still-writable; cat /mnt/modulus/bundles/{place_of(data)} | wc -c; set -- true',
                  MODULUS, "fetch", *machine.roots)
    assert done.stdout.strip() == str(len(data))


@needs_mounts
@pytest.mark.parametrize("make", [("mkfs.erofs", "-q"), ("mke2fs", "-q", "-t", "ext2"), None], ids=["erofs", "ext2", "nothing"])
def test_a_file_system_that_is_not_for_keeping_is_cache_unreachable(tmp_path, make):
    machine = CacheMachine(tmp_path / "m")
    ready(machine)
    image = tmp_path / "disk"
    with open(image, "wb") as stream:
        stream.truncate(8 << 20)
    if make and make[0] == "mkfs.erofs":
        run(make[0], image, machine.root)
    elif make:
        run(*make, image)
    device = loop_device(image)
    if device is None:
        pytest.skip("loop devices are not allowed here")
    try:
        machine.write_root("etc/modulus/modulus.conf", f"[Source]\nCache={device}\n")
        driver = machine.boot().driver
    finally:
        run("losetup", "-d", device)
    assert driver["reason"] == "loaded" and driver["cached"] is None
    assert any(f"not cached: cache-unreachable: {device}:/modulus/bundles: {device} holds no file system" in line
               for line in driver["warnings"]), driver["warnings"]
