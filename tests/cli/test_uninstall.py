# SPDX-License-Identifier: Apache-2.0
"""`modulus uninstall`: the host is what it was before, and nothing of anybody else's is touched."""
import dataclasses
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bundlemaker import RELEASE, TEST_KEY, File, cut_at, digest_of, module_file, runtime
from cachemachine import CacheMachine, recipe
from program import DONE, MODULUS, MODULUS_BOOT, SYSTEM, TREE, USAGE, snapshot
from test_cache_places import inside, needs_mounts
from tracing import needs_strace

UNITS = sorted(path for path in (TREE / "ignition/units").iterdir() if path.name.startswith("modulus"))
FILES = (File("usr/bin/gpu-smi", b"#!/bin/sh\n", 0o755), File("usr/lib64/libgpu.so.1.0", b"library " * 3000))
OTHERS = {  # what operators and other software have, with names that one might take for ours
    "etc/modulus/auth.json": "{}", "etc/systemd/system/modulus-mine.service": "[Unit]\nDescription=mine\n",
    "etc/ld.so.conf.d/gpu.conf": "/opt/gpu/lib\n", "usr/local/bin/tool": "#!/bin/sh\n",
    "etc/kernel/postinst.d/grub": "#!/bin/sh\n",
    "oem/bin/ours-by-another-name": (TREE / "ignition/hooks/oem-postinst").read_text(),
    "opt/drivers/other/bin/x": "x", "etc/modprobe.d/modulus-gpu.conf": "options gpu x=1\n",
}
HOOKS = {"etc/kernel/postinst.d/modulus": "kernel-installed", "etc/kernel/install.d/95-modulus.install": "kernel-installed",
         "oem/bin/oem-postinst": "oem-postinst"}
LINKS = {"opt/drivers/legacy": "/opt/modulus/archive/legacy/1", "usr/local/bin/legacy-smi": "/opt/drivers/legacy/bin/legacy-smi",
         "usr/local/bin/other-smi": "/opt/gpu/bin/other-smi",
         "etc/systemd/system/multi-user.target.wants/modulus-mine.service": "/etc/systemd/system/modulus-mine.service"}


class Host(CacheMachine):
    """As it was before anything of Modulus was there."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        shutil.rmtree(self.root / "etc")
        shutil.rmtree(self.root / "usr/lib/modulus")
        for path in ("opt", "usr/local/bin", "usr/bin", "usr/lib/systemd/system", "etc/ld.so.conf.d", "var/lib",
                     "etc/systemd/system/multi-user.target.wants", "etc/kernel/postinst.d", "etc/kernel/install.d", "oem/bin"):
            (self.root / path).mkdir(parents=True, exist_ok=True)
        self.write_root("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
        self.write_live("proc/meminfo", "MemTotal:  9000000 kB\nMemAvailable:  8000000 kB\n")
        self.device()
        self.module_is_live("alpha", "beta")

    def install(self, name: str = "gpu", serial: int = 1) -> None:
        """The snippet's files, a boot that loads from the cache, its second half, and that it was good."""
        for unit in UNITS:
            self.write_root(f"etc/systemd/system/{unit.name}", unit.read_text())
        wants = self.root / "etc/systemd/system/multi-user.target.wants"
        for unit in ("modulus-finish.service", "modulus-bless.service", f"modulus@{name}-1.0.service"):
            (wants / unit).unlink(missing_ok=True)
            (wants / unit).symlink_to(f"/etc/systemd/system/{'modulus@.service' if '@' in unit else unit}")
        for path, hook in HOOKS.items():
            self.write_root(path, (TREE / "ignition/hooks" / hook).read_text())
        self.write_root("etc/modulus/modulus", "the program")
        self.write_root("etc/modulus/modulus.conf", "[Policy]\nBudget=60s\n")
        self.driver(name)
        self.key(TEST_KEY)
        bundle = recipe(serial=serial, name=name)
        files = tuple(module_file(module, driver=name) for module in ("alpha", "beta"))
        self.keep(dataclasses.replace(bundle, files=files).build(), name=name)
        data = runtime(*FILES, cut=cut_at(4096), fields={"version": "1.0", "name": name}).build()
        self.write_root(f"var/lib/modulus/bundles/any/{name}-runtime-{digest_of(data)}.tar.zst", data)
        for command in ("boot", "finish", "bless"):
            assert self.boot(command).code == DONE
        assert (self.root / f"opt/drivers/{name}").is_symlink()

    def uninstall(self, *words: str, code: int = DONE) -> list[str]:
        done = self.command("uninstall", *words)
        assert done.returncode == code, done
        return done.stdout.splitlines()

    @property
    def all(self) -> dict[str, object]:
        """All but memory that goes with the boot, and the loader's own cache."""
        return snapshot(self.root, self.live, without=("run/modulus", "etc/ld.so.cache", "run/cdi", "run/modprobe.d", "var/cache"))

    def paths(self, lines: list[str], word: str) -> set[str]:
        return {line.removeprefix(word + " ").split(":")[0] for line in lines if line.startswith(word + " ")}


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_what_was_installed_is_gone_and_the_host_is_as_before(host):
    before = host.all
    host.install()
    lines = host.uninstall()
    assert host.all == before
    removed = host.paths(lines, "removed")
    assert {"/opt/drivers/gpu", "/usr/local/bin/gpu-smi", "/etc/ld.so.conf.d/modulus-gpu.conf", "/etc/modulus/gpu.conf",
            "/etc/modulus/modulus", "/var/lib/modulus/runtime/gpu/1.0",
            f"/etc/modulus/keys/{TEST_KEY.public.name}.pub"} <= removed
    assert {f"/etc/systemd/system/{unit.name}" for unit in UNITS} <= removed


def test_udev_and_engines_are_told_nothing_any_more(host):
    host.install()
    told = [host.write_live(f"run/{path}", "x") for path in ("modprobe.d/modulus-gpu.conf", "cdi/modulus-nvidia.json")]
    mine = [host.write_live(f"run/{path}", "x") for path in ("modprobe.d/gpu.conf", "cdi/nvidia.json")]
    host.uninstall()
    assert not any(path.exists() for path in told) and all(path.exists() for path in mine)


def live_files(host) -> dict[str, object]:
    """But the one that says who had the lock last."""
    return {path: what for path, what in snapshot(host.live).items() if not path.endswith("/run/modulus/lock")}


@needs_mounts
def test_an_images_root_leaves_the_running_machine_what_is_live(host):
    """In a name space the fake machine's /run is the real one's; with --live-root it goes with its root."""
    empty = host.all
    host.install()
    told = [host.write_live(f"run/{path}", "x") for path in ("modprobe.d/modulus-gpu.conf", "cdi/modulus-nvidia.json",
                                                             "modulus/runtime/gpu/1.0/usr/bin/gpu-smi")]
    told.append(host.write_live("run/ostree/staged-deployment-locked", "modulus\n"))
    (host.live / "run/extensions").mkdir()
    extension = host.live / "run/extensions/modulus-gpu"
    extension.symlink_to("/run/modulus/runtime/gpu/1.0")
    host.cmdline("systemd.set_credential_binary=systemd.extra-unit.modulus.service:W1VuaXRd")
    kept = live_files(host)
    script = f"mount -n --bind {host.live}/proc/cmdline /proc/cmdline\nmount -n --bind {host.live}/run /run"
    for dry in ("--dry-run",), ():
        done = inside(script, MODULUS, "uninstall", *dry, "--root", host.root)
        assert live_files(host) == kept
        assert "/opt/drivers/gpu" in done.stdout
        assert not [line for line in done.stdout.splitlines() if "/run/" in line or "kernel arguments" in line]
    host.cmdline("ro quiet")
    assert set(host.all) - set(empty) == {str(extension.parent), str(extension), str(told[-1].parent), str(told[-1])}
    assert {"/run/extensions/modulus-gpu", "/run/modulus/runtime/gpu/1.0"} <= host.paths(host.uninstall(), "removed")
    assert not extension.is_symlink() and not any(path.exists() for path in told)
    assert json.loads(host.status_file.read_text())["drivers"][0]["runtime"] is None


@pytest.mark.parametrize("staged", [True, False])
def test_what_ostree_has_staged_is_let_go(host, staged):
    host.install()
    if staged:
        host.write_live("run/ostree/staged-deployment", "x")
    lock = host.write_live("run/ostree/staged-deployment-locked", "modulus\n")
    host.uninstall("gpu")
    assert "would remove /run/ostree/staged-deployment-locked" in host.uninstall("--dry-run") and lock.exists()
    assert "removed /run/ostree/staged-deployment-locked" in host.uninstall() and not lock.exists()
    assert host.uninstall() == ["nothing to remove"]


def test_a_lock_of_somebody_elses_on_what_is_staged_stays(host):
    host.install()
    host.write_live("run/ostree/staged-deployment", "x")
    lock = host.write_live("run/ostree/staged-deployment-locked", "zincati\n")
    assert not [line for line in host.uninstall() if "locked" in line] and lock.read_text() == "zincati\n"


def test_each_path_that_is_gone_was_said_and_no_other(host):
    host.install()
    before = {path for path in host.all if not Path(path).is_dir() or Path(path).is_symlink()}
    removed = host.paths(host.uninstall(), "removed")
    gone = {"/" + path.removeprefix(f"{host.root}/") for path in before - set(host.all)}
    trees = [path for path in removed if path.startswith("/var/lib/modulus/runtime/")]
    assert {path for path in gone if not path.startswith("/var/lib/modulus/runtime/")} == \
        {path for path in removed if not path.startswith(("/run/", *trees))}
    assert all(any(path.startswith(tree + "/") for tree in trees) or path.endswith("/.lock")
               for path in gone if path.startswith("/var/lib/modulus/runtime/"))


def test_a_dry_run_says_the_same_and_changes_nothing(host):
    host.install()
    before = {**snapshot(host.root), **snapshot(host.live)}
    would = host.paths(host.uninstall("--dry-run"), "would remove")
    assert {**snapshot(host.root), **snapshot(host.live)} == before
    assert host.paths(host.uninstall(), "removed") == would


def test_a_second_run_has_nothing_to_do(host):
    host.install()
    host.uninstall()
    before = host.all
    assert host.uninstall()[-1] == "nothing to remove"
    assert host.all == before


def test_what_is_not_ours_stays(host):
    for path, text in OTHERS.items():
        host.write_root(path, text)
    for path, target in LINKS.items():
        (host.root / path).symlink_to(target)
    before = host.all
    host.install()
    lines = host.uninstall()
    assert host.all == before
    assert {"/etc/modulus/auth.json", "/etc/systemd/system/modulus-mine.service"} <= host.paths(lines, "kept")


def test_a_hook_of_somebody_elses_stays_under_the_name_of_ours(host):
    mine = host.write_root("oem/bin/oem-postinst", "#!/bin/sh\nexec /oem/bin/ours-by-another-name \"$@\"\n")
    host.uninstall()
    assert mine.exists()


def test_one_driver_goes_and_the_others_keep_everything(host):
    host.install("gpu-x", serial=3)
    def files() -> dict[str, object]:
        return {path: what[2] for path, what in host.all.items() if not path.endswith("/.lock")}
    def remember(name: str) -> None:
        for path, text in {f"trials/{RELEASE}/{name}-ab.json": {"name": name}, f"trials/1.0-{name}/{name}-cd.json": {"name": name},
                           f"serials/{RELEASE}/{name}-modules-open.json": {"version": "1"}}.items():
            host.write_root(f"var/lib/modulus/{path}", json.dumps(text))
    remember("gpu-x")
    before = files()
    remember("gpu")
    host.install("gpu", serial=2)
    assert len(files()) > len(before) + 12
    lines = host.uninstall("gpu")
    assert files() == before
    assert not [line for line in lines if "gpu-x" in line]


def test_a_driver_that_is_loaded_stays_until_the_next_boot_and_it_says_so(host):
    host.install()
    status = json.loads(host.status_file.read_text())
    for module in status["drivers"][0]["modules"]:
        module["from"] = "bundle"
    host.status_file.write_text(json.dumps(status))
    assert "kept gpu: loaded, and works until the next boot" in host.uninstall()
    told = json.loads(host.status_file.read_text())["drivers"][0]
    assert (told["reason"], told["runtime"]) == ("loaded", None)


@needs_strace
def test_a_run_that_was_interrupted_anywhere_is_ended_by_the_next(host, tmp_path):
    """Each path goes by one system call; the process is killed at each of them."""
    before = host.all
    host.install()
    kept = tmp_path / "kept"
    shutil.copytree(host.root, kept / "root", symlinks=True)
    shutil.copytree(host.live, kept / "live", symlinks=True)
    for at in range(1, 200, 3):
        for name in ("root", "live"):
            shutil.rmtree(tmp_path / name)
            shutil.copytree(kept / name, tmp_path / name, symlinks=True)
        killed = host.command("uninstall", before=("strace", "-f", "-o", "/dev/null", "-e", "trace=unlinkat,renameat",
                                                   "-e", f"inject=unlinkat,renameat:signal=KILL:when={at}"))
        if killed.returncode == DONE:
            break
        links = [path for path in (host.root / "usr/local/bin").iterdir() if path.is_symlink()]
        assert all((host.root / os.readlink(path).split("/bin/")[0].lstrip("/")).is_symlink() for path in links)
        assert host.uninstall()
        assert set(host.all) == set(before), at
    assert at > 30


def test_a_tree_that_is_mounted_in_a_container_stays_and_goes_later(host):
    host.install()
    host.mounts("9 1 253:1 /var/lib/modulus/runtime/gpu/1.0 /usr/local/nvidia ro - ext4 /dev/vda1 ro\n", process=4321)
    lines = host.uninstall()
    assert "/var/lib/modulus/runtime/gpu/1.0" in host.paths(lines, "kept")
    assert (host.root / "var/lib/modulus/runtime/gpu/1.0/usr/bin/gpu-smi").exists()
    shutil.rmtree(host.live / "proc/4321")
    host.uninstall()
    assert not (host.root / "var/lib/modulus").exists()


def test_what_an_image_ships_stays_and_what_that_means_is_said(host):
    host.install()
    host.write_root("usr/lib/modulus/gpu.conf", "[Driver]\nVersion=1.0\nMatch=pci:v00001AF4d*\n")
    assert {"/usr/lib/modulus/gpu.conf", "/usr/lib/modulus"} <= host.paths(host.uninstall(), "kept")
    masked = host.driver("gpu", "")
    assert "/etc/modulus/gpu.conf" in host.paths(host.uninstall(), "kept")
    assert masked.exists()


def test_kernel_arguments_that_run_it_are_named(host):
    host.cmdline("ro systemd.set_credential_binary=systemd.extra-unit.modulus.service:W1VuaXRd rd.systemd.wants=modulus.service")
    assert "kernel arguments" in host.paths(host.uninstall(), "kept")


def test_a_cache_in_another_place_is_emptied_of_ours_alone(host):
    host.install()
    host.write_root("etc/modulus/modulus.conf", "[Source]\nCache=/srv/cache\n")
    mine = host.write_root("srv/cache/notes.txt", "mine")
    data = recipe(serial=9).build()
    place = host.write_root(f"srv/cache/{RELEASE}/gpu-modules-{digest_of(data)}.tar.zst", data)
    bad = host.write_root(f"srv/cache/.quarantine/gpu-modules-{digest_of(data)}.tar.zst", b"bad")
    host.uninstall()
    assert mine.exists() and not place.exists() and not bad.exists()


@pytest.mark.parametrize("name", ["../x", "a/b", "", "GPU", "."])
def test_a_name_that_no_driver_can_have_is_refused(host, name):
    host.install()
    before = host.all
    host.uninstall(name, code=USAGE)
    assert host.all == before


def test_what_cannot_be_removed_is_said_and_the_rest_goes(host):
    host.install()
    data = host.write_root("etc/modulus/gpu.conf", "x")
    subprocess.run(["chattr", "+i", data], check=False, capture_output=True)
    try:
        if os.access(data, os.W_OK) and subprocess.run(["lsattr", data], capture_output=True, text=True).stdout[4:5] != "i":
            pytest.skip("no immutable files here")
        host.uninstall(code=SYSTEM)
        assert data.exists() and not (host.root / "opt/drivers/gpu").is_symlink()
    finally:
        subprocess.run(["chattr", "-i", data], check=False, capture_output=True)


def test_the_program_of_the_initramfs_has_it_too(host):
    assert "usage: modulus uninstall" in subprocess.run([MODULUS_BOOT, "uninstall", "--help"], capture_output=True, text=True).stdout
