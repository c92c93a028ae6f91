# SPDX-License-Identifier: Apache-2.0
"""What brings the next kernel's bundles before a reboot: the hooks that updaters run, by the real program on a machine of
directories. The hooks are the files that are shipped; only /run is one of the test's, with a `modulus` in it that knows where
that machine is. tests/boot/test_boot_updates.py has the same on booted machines."""
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from badserver import BadServer, good, status
from cachemachine import NEXT, OLDER, RELEASE, CacheMachine, place_of, recipe
from netmachine import plain_environment
from program import CONFIG, DONE, KERNEL, MODULUS, NO_BUNDLE, TREE, UNTRUSTED, USAGE
from test_cache_places import needs_mounts
from test_next import SlotMachine, needs_sgdisk

HOOKS = TREE / "ignition/hooks"
OEM, INSTALLED = HOOKS / "oem-postinst", HOOKS / "kernel-installed"
NAMESPACE = """
mount -t tmpfs tmpfs /run
mkdir -p /run/modulus/bin
cp -a "$1"/. /run/modulus/bin
shift
exec "$@"
"""


@pytest.fixture
def host(tmp_path):
    """Its device is there, and a kernel has been installed beside the running one."""
    host = CacheMachine(tmp_path)
    host.device()
    host.installed(RELEASE, NEXT)
    return host


def device_gone(host: CacheMachine) -> None:
    shutil.rmtree(host.live / "sys/bus/pci/devices")


def hook(host: CacheMachine, *words: object, program: str | None = None, tools: dict[str, str] | None = None,
         **environment: str) -> subprocess.CompletedProcess:
    """The words, a hook and what runs it, on that machine. program: a script that is there in place of `modulus`."""
    found = host.root.parent / "bin"
    shutil.rmtree(found, ignore_errors=True)
    found.mkdir()
    for name, script in {"modulus": program or f'exec {MODULUS} "$@" {" ".join(host.roots)}', **(tools or {})}.items():
        (found / name).write_text(f"#!/bin/sh\n{script}\n")
        (found / name).chmod(0o755)
    return subprocess.run(["unshare", "-m", "sh", "-euc", NAMESPACE, "sh", *map(str, [found, *words])], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, env=plain_environment(**environment), timeout=120)


# --- fetch: whose device is here ---

def test_of_drivers_without_a_device_nothing_is_asked(host):
    device_gone(host)
    with BadServer() as server:
        host.driver(Source=f"From=cache: {server.serve('/x', good(recipe(NEXT).build()))}")
        done = host.command("fetch", "--next", "--present", "--refresh")
        assert done.returncode == DONE and "no driver that is configured has its device here" in done.stderr
        assert "next boot" not in done.stderr and server.requests == [] and host.cached == []
        host.device()
        assert host.command("fetch", "--next", "--present", "--refresh").returncode == DONE
        assert len(server.requests) == 1
    assert len(host.good()) == 1


def test_of_several_drivers_those_with_a_device_are_fetched(host):
    host.driver("other", text="[Driver]\nVersion=1.0\nMatch=pci:v0000FFFF*\n")
    host.offer(recipe(NEXT).build(), NEXT)
    done = host.command("fetch", "--next", "--present")
    assert done.returncode == DONE and "other: no-device: " in done.stderr, done.stderr
    assert list(host.good()) == [place_of(recipe(NEXT).build(), NEXT)]
    assert host.command("fetch", "--next").returncode == NO_BUNDLE, "all of them are asked for where nobody says otherwise"


def test_a_driver_file_that_cannot_be_used_is_said_with_or_without_devices(host):
    host.driver("broken", text="[Driver]\nVersion=1\n")
    device_gone(host)
    done = host.command("fetch", "--next", "--present")
    assert done.returncode == CONFIG and "broken: bad-config: " in done.stderr


# --- fetch and check: an update that is not yet the next boot's ---

def new_usr(host: CacheMachine, *releases: str) -> Path:
    """What an update has written, as it is mounted."""
    tree = host.root.parent / "mnt"
    for release in releases or (NEXT,):
        (tree / "lib/modules" / release).mkdir(parents=True, exist_ok=True)
    return tree


def test_the_kernel_of_a_mounted_usr_is_fetched_for_and_checked(host):
    tree, data = new_usr(host, OLDER), recipe(OLDER).build()
    with BadServer() as server:
        host.driver(Source=f"From=cache: {server.serve('/x', good(data))}")
        done = host.command("fetch", "--next-usr", tree)
    assert done.returncode == DONE and f"the next boot runs kernel {OLDER}: an update is at {tree}" in done.stderr, done.stderr
    assert list(host.good()) == [place_of(data, OLDER)]
    answer = json.loads(host.command("check", "--next-usr", tree, "--json").stdout)
    assert answer["ready"] and answer["kernel"]["release"] == OLDER and not answer["kernel"]["inferred"]


def test_its_own_bundles_count(host):
    tree, data = new_usr(host), recipe(NEXT).build()
    (tree / f"lib/modulus/bundles/{NEXT}").mkdir(parents=True)
    (tree / f"lib/modulus/bundles/{NEXT}/gpu.tar.zst").write_bytes(data)
    assert host.command("check", "--next-usr", tree).returncode == DONE
    assert host.command("check", "--next").returncode == NO_BUNDLE
    assert host.command("fetch", "--next-usr", tree).returncode == DONE and list(host.good()) == [place_of(data, NEXT)]


@pytest.mark.parametrize("releases", [None, (), (NEXT, OLDER)], ids=["absent", "no-kernel", "two-kernels"])
def test_a_directory_that_holds_no_update_is_unknown_kernel(host, releases):
    tree = host.root.parent / "mnt\n"
    for release in releases or ():
        (tree / "lib/modules" / release).mkdir(parents=True)
    if releases is not None:
        tree.mkdir(exist_ok=True)
    for command in ("fetch", "check"):
        done = host.command(command, "--next-usr", tree)
        assert done.returncode == KERNEL and "unknown-kernel" in done.stdout + done.stderr
        assert "mnt\\x0a" in done.stdout + done.stderr, "what came from outside is escaped"


@pytest.mark.parametrize("words", [("fetch", "--next", "--next-usr", "x"), ("check", "--next", "--next-usr", "x"),
                                   ("fetch", "--next-usr", "x", "--all"), ("check", "--kernel", NEXT, "--next-usr", "x")])
def test_only_one_kernel_can_be_meant(host, words):
    assert host.command(*words).returncode == USAGE


# --- Flatcar's hook ---

# as flatcar-postinst calls it
POSTINST = 'set -euo pipefail; umask 0022; "$0" B "$1"; echo "the slot is made the next one"'


def postinst(host: CacheMachine, tree: Path, **more) -> tuple[bool, subprocess.CompletedProcess]:
    """Did the update go on?"""
    done = hook(host, "bash", "-c", POSTINST, OEM, tree, **more)
    assert done.returncode == 0 or "made the next one" not in done.stdout
    return done.returncode == 0, done


@needs_mounts
@needs_sgdisk
def test_the_hook_brings_the_new_kernels_bundle_while_the_slot_is_not_yet_the_next_one(tmp_path):
    """The partition table is changed after the hook: by it the running slot boots next."""
    host, data = SlotMachine(tmp_path, (2, 0, 1), (1, 0, 0)), recipe(NEXT).build()
    host.device()
    host.installed(RELEASE)
    assert json.loads(host.command("check", "--next", "--json").stdout)["kernel"]["running"]
    with BadServer() as server:
        host.driver(Source=f"From=cache: {server.serve('/x', good(data))}", Policy="Gate=yes")
        went_on, done = postinst(host, new_usr(host))
    assert went_on and "update: may go on" in done.stdout, done.stderr
    assert list(host.good()) == [place_of(data, NEXT)]


@needs_mounts
def test_the_gate_holds_an_update_without_a_bundle_until_it_is_there(host):
    host.driver(Policy="Gate=yes")
    went_on, done = postinst(host, new_usr(host))
    assert not went_on and done.returncode == NO_BUNDLE and "update: held" in done.stdout
    host.keep(recipe(NEXT).build(), NEXT)
    assert postinst(host, new_usr(host))[0]


@needs_mounts
def test_a_bundle_in_the_network_opens_the_gate_only_when_it_is_good_to_its_end(host):
    data = recipe(NEXT).build()
    host.write_root("var/lib/modulus/bundles", "no directory: a machine without a cache\n")
    with BadServer() as server:
        urls = [server.serve("/bad", good(data[:-1] + bytes([data[-1] ^ 1]))), server.serve("/good", good(data))]
        host.driver(Source=f"From={urls[0]}", Policy="Gate=yes")
        went_on, done = postinst(host, new_usr(host))
        assert not went_on and done.returncode == UNTRUSTED and "does not match its hash" in done.stdout
        host.driver(Source=f"From={' '.join(urls)}", Policy="Gate=yes")
        assert postinst(host, new_usr(host))[0]


@needs_mounts
def test_without_a_gate_nothing_that_is_missing_holds_an_update(host):
    went_on, done = postinst(host, new_usr(host))
    assert went_on and "not ready: gpu: no-bundle" in done.stdout
    shutil.rmtree(host.root.parent / "mnt")
    assert postinst(host, host.root.parent / "mnt")[0]


@needs_mounts
def test_a_machine_without_the_device_is_updated_and_asks_nobody(host):
    device_gone(host)
    with BadServer() as server:
        host.driver(Source=f"From=cache: {server.serve('/x', good(recipe(NEXT).build()))}", Policy="Gate=yes")
        assert postinst(host, new_usr(host))[0] and server.requests == []


@needs_mounts
def test_the_gate_ends_when_its_time_is_over_or_somebody_opens_it(host):
    host.driver(Policy="Gate=2h")
    assert not postinst(host, new_usr(host))[0]
    host.write_live("run/modulus/gate-open", "")
    went_on, done = postinst(host, new_usr(host))
    assert went_on and "opened by /run/modulus/gate-open" in done.stdout
    (host.live / "run/modulus/gate-open").unlink()
    assert not postinst(host, new_usr(host))[0]
    state = host.root / "var/lib/modulus/gate.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "held_us": 2 * 3600 * 1_000_000}))
    went_on, done = postinst(host, new_usr(host))
    assert went_on and "Gate= has held for its time" in done.stdout


@needs_mounts
def test_a_machine_that_lost_the_program_is_updated(host):
    went_on, done = postinst(host, new_usr(host), program="", tools={"modulus": "exit 1"})
    assert not went_on, "a program that fails is no program that is gone"
    done = subprocess.run(["unshare", "-m", "sh", "-euc", 'mount -t tmpfs tmpfs /run\nexec "$@"', "sh", OEM, "B", new_usr(host)],
                          capture_output=True, text=True, env=plain_environment(PATH="/usr/bin:/bin"))
    if shutil.which("modulus", path="/run/modulus/bin:/usr/local/bin:/usr/bin:/usr/sbin:/etc/modulus:/bin"):
        pytest.skip("Modulus is installed here")
    assert done.returncode == 0 and "the update goes on" in done.stderr


def test_other_words_are_refused():
    assert subprocess.run([OEM, "B"], capture_output=True).returncode == USAGE


# --- packages of kernels ---

def hooks(host: CacheMachine, name: str, ours: str, later: str) -> Path:
    """A folder with our hook, and with one that comes later, as the boot loader's does, and must run."""
    folder = host.root.parent / name
    folder.mkdir(exist_ok=True)
    shutil.copy(INSTALLED, folder / ours)
    (folder / later).write_text("#!/bin/sh\necho the later one runs\n")
    (folder / later).chmod(0o755)
    return folder


def run_parts(host: CacheMachine, *words: str, **more) -> subprocess.CompletedProcess:
    """As the postinst of Debian's kernels runs its hooks."""
    folder = hooks(host, "postinst.d", "modulus", "zz-later")
    done = hook(host, "run-parts", "--verbose", "--exit-on-error", *[f"--arg={word}" for word in words], folder, **more)
    assert done.returncode == 0 and "the later one runs" in done.stdout, "a hook of ours failed the package manager"
    return done


def kernel_install(host: CacheMachine, *words: str, **more) -> subprocess.CompletedProcess:
    folder = hooks(host, "install.d", "95-modulus.install", "99-later.install")
    plugins = f"{folder}/95-modulus.install {folder}/99-later.install"
    done = hook(host, "kernel-install", *words, KERNEL_INSTALL_PLUGINS=plugins, MACHINE_ID="0" * 31 + "1",
                BOOT_ROOT=str(host.root.parent / "boot"), **more)
    assert done.returncode == 0 and "the later one runs" in done.stdout, done.stderr
    return done


def debian(host: CacheMachine, release: str, **more) -> subprocess.CompletedProcess:
    return run_parts(host, release, f"/boot/vmlinuz-{release}", DEB_MAINT_PARAMS="configure 6.1.1-1", **more)


def fedora(host: CacheMachine, release: str, **more) -> subprocess.CompletedProcess:
    image = host.root.parent / "vmlinuz"
    image.write_bytes(b"MZ")
    return kernel_install(host, "add", release, str(image), **more)


BOTH = pytest.mark.parametrize("install", [debian, pytest.param(fedora, marks=pytest.mark.skipif(
    shutil.which("kernel-install") is None, reason="kernel-install is not installed"))])


@needs_mounts
@BOTH
def test_a_kernel_that_is_installed_gets_its_bundle(host, install):
    data = recipe(NEXT).build()
    host.offer(data, NEXT)
    install(host, NEXT)
    assert list(host.good()) == [place_of(data, NEXT)]


@needs_mounts
@BOTH
def test_a_machine_without_the_device_fetches_for_no_kernel(host, install):
    device_gone(host)
    host.offer(recipe(NEXT).build(), NEXT)
    assert "may start without" not in install(host, NEXT).stderr
    assert host.cached == []


@needs_mounts
@BOTH
def test_whatever_goes_wrong_the_kernel_is_installed(host, install):
    def said(**more) -> str:
        return install(host, NEXT, **more).stderr
    assert "no-bundle" in said() and "may start without its GPU drivers" in said()
    with BadServer() as server:
        host.driver(Source=f"From=cache: {server.serve('/x', status('500 Internal Server Error'))}")
        assert "network" in said()
    (host.root / "etc/modulus/gpu.conf").unlink()
    assert "no driver is configured" in said()
    for code in (1, 77, 139):
        assert "may start without" in said(program=f"exit {code}")
    assert "may start without" in said(program="kill -SEGV $$")
    assert host.cached == []


@needs_mounts
@BOTH
def test_a_fetch_that_does_not_end_does_not_hold_the_package_manager_up(host, install):
    """For ten minutes; here a second."""
    tools = {"timeout": '[ "$1" = 10m ] && shift && exec /usr/bin/timeout 1 "$@"'}
    assert "may start without" in install(host, NEXT, program="exec sleep 100", tools=tools).stderr


@needs_mounts
@pytest.mark.parametrize("parameters", ["triggered", "abort-upgrade 6.1.1-1", "remove"])
def test_other_steps_of_a_package_fetch_nothing(host, parameters):
    host.offer(recipe(NEXT).build(), NEXT)
    run_parts(host, NEXT, DEB_MAINT_PARAMS=parameters)
    assert host.cached == []
    run_parts(host, NEXT)
    assert len(host.good()) == 1, "a kernel that is no Debian package's says nothing about its step"


@needs_mounts
@pytest.mark.parametrize("words", [(), ("remove", NEXT), ("add",), ("add", ""), ("inspect",), ("--help",), ("../x",)])
def test_other_words_do_nothing_and_fail_nothing(host, words):
    host.offer(recipe(NEXT).build(), NEXT)
    assert hook(host, INSTALLED, *words).returncode == 0 and host.cached == []


def test_without_the_program_a_kernel_is_installed(tmp_path):
    if shutil.which("modulus", path=f"/run/modulus/bin:/usr/local/bin:/etc/modulus:{os.environ['PATH']}"):
        pytest.skip("Modulus is installed here")
    done = subprocess.run([INSTALLED, NEXT], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
