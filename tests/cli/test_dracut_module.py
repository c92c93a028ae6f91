# SPDX-License-Identifier: Apache-2.0
"""What the dracut module puts into an image, as dracut calls it; the images themselves are made in tests/boot."""

import subprocess

import pytest

from program import MODULUS_BOOT

# what dracut offers to a module, as far as install() uses it
DRACUT = '''
inst_simple() { mkdir -p "$initdir${2%/*}" && cp "$1" "$initdir$2"; }
inst_hook() { inst_simple "$3" "/lib/dracut/hooks/$1/$2-${3##*/}"; }
inst_multiple() { echo "$@" >> "$initdir/programs"; }
dracut_module_included() { case " $IN_IMAGE " in *" $1 "*) return 0;; esac; return 1; }
dfatal() { echo "$@" >&2; }
. "$moddir/module-setup.sh"
'''


def call(tmp_path, project, function: str, module: str = "50modulus", **variables: str) -> subprocess.CompletedProcess:
    image = tmp_path / "image"
    image.mkdir(exist_ok=True)
    return subprocess.run(["sh", "-euc", DRACUT + function], capture_output=True, text=True, env={
        "PATH": "/usr/bin:/bin", "initdir": str(image), "moddir": str(project / "dracut" / module), "SYSTEMCTL": "true",
        "systemdsystemunitdir": "/usr/lib/systemd/system", "systemdutildir": "/usr/lib/systemd",
        "systemdsystemconfdir": "/etc/systemd/system", "MODULUS_BINARY": str(MODULUS_BOOT), "IN_IMAGE": "systemd", **variables})


def install(tmp_path, project, **variables: str) -> subprocess.CompletedProcess:
    return call(tmp_path, project, "install", **variables)


def files(tmp_path) -> list[str]:
    image = tmp_path / "image"
    return sorted(str(path.relative_to(image)) for path in image.rglob("*") if path.is_file())


@pytest.fixture
def project():
    return MODULUS_BOOT.parents[1]


def test_rivals_named_in_dracut_conf_are_blacklisted_in_the_image(tmp_path, project):
    done = install(tmp_path, project, modulus_evict="nouveau nova_core")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "image/etc/modprobe.d/modulus-evict.conf").read_text() == "blacklist nouveau\nblacklist nova_core\n"


def test_without_rivals_nothing_but_program_and_unit_goes_in(tmp_path, project):
    done = install(tmp_path, project)
    assert done.returncode == 0, done.stderr
    assert files(tmp_path) == ["usr/bin/modulus", "usr/lib/systemd/system/modulus.service"]
    assert (tmp_path / "image/usr/bin/modulus").read_bytes() == MODULUS_BOOT.read_bytes()


HOOK = "lib/dracut/hooks/pre-pivot/55-modulus-pre-pivot.sh"


def test_an_image_without_systemd_gets_a_hook_and_no_unit(tmp_path, project):
    done = install(tmp_path, project, IN_IMAGE="base usrmount")
    assert done.returncode == 0, done.stderr
    assert files(tmp_path) == [HOOK, "usr/bin/modulus"]


@pytest.fixture
def systemd(tmp_path):
    """A system that has systemd and its networkd."""
    for name in ("systemd", "systemd-networkd"):
        program = tmp_path / "host/usr/lib/systemd" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch(mode=0o755)
    return str(tmp_path / "host")


@pytest.mark.parametrize("omitted, needs, network", [
    ("", "systemd-initrd", "systemd-networkd"),
    (" plymouth systemd-sysusers ", "systemd-initrd", "systemd-networkd"),
    (" systemd dracut-systemd ", "usrmount", "network"),
    (" systemd-initrd ", "usrmount", "network"),
])
def test_systemd_is_asked_for_unless_it_is_omitted_by_name(tmp_path, project, systemd, omitted, needs, network):
    def told(module):
        return call(tmp_path, project, "depends", module, dracutsysrootdir=systemd, omit_dracutmodules=omitted,
                    IN_IMAGE="").stdout.split()
    assert told("50modulus") == [needs]
    assert told("51modulus-net") == ["modulus", "kernel-network-modules", network]


def test_a_system_without_systemd_is_not_asked_for_it(tmp_path, project):
    assert call(tmp_path, project, "depends", dracutsysrootdir=str(tmp_path), IN_IMAGE="").stdout.split() == ["usrmount"]


def test_without_systemd_the_network_module_brings_no_unit(tmp_path, project):
    done = call(tmp_path, project, "install", "51modulus-net", IN_IMAGE="base network network-legacy")
    assert (done.returncode, done.stderr, files(tmp_path)) == (0, "", [])


# --- the hook, as dracut's init sources it ---------------------------------------------------------

INIT = """
emergency_shell() { echo "shell: $*"; }
mount() { echo "mount: $*"; }
mkdir() { :; }
. "$1"
echo "goes on: $?"
"""


def run_hook(tmp_path, project, program: str, required: str | None = None, vmcore: bool = False) -> list[str]:
    """What it does; the paths that it knows are moved into a directory."""
    text = (project / "dracut/50modulus/modulus-pre-pivot.sh").read_text()
    for path in ("/proc", "/run/modulus/required", "/usr/bin/modulus"):
        assert path in text
        text = text.replace(path, f"{tmp_path}{path}")
    for path, content in {"usr/bin/modulus": f"#!/bin/sh\n{program}", "proc/sysrq-trigger": "", "run/modulus/required": required,
                          "proc/vmcore": "" if vmcore else None}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            (tmp_path / path).write_text(content)
    (tmp_path / "usr/bin/modulus").chmod(0o755)
    (tmp_path / "hook.sh").write_text(text.replace("sleep 5", "sleep 0"))
    done = subprocess.run(["sh", "-uc", INIT, "sh", tmp_path / "hook.sh"], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "NEWROOT": "/new"})
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_hook_runs_the_program_and_goes_on_whatever_it_returns(tmp_path, project):
    said = run_hook(tmp_path, project, 'echo "modulus: $*"; exit 6')
    mount = "mount: -t tmpfs -o nosuid,nodev,mode=0755,size=16m modulus /run/modulus/bin"
    assert said == [mount, "modulus: boot --root /new", "goes on: 0"]


def test_the_hook_leaves_a_crash_kernel_alone(tmp_path, project):
    assert run_hook(tmp_path, project, "echo ran", vmcore=True) == ["goes on: 0"]


@pytest.mark.parametrize("target, key", [("emergency.target", ""), ("reboot.target", "b\n"), ("poweroff.target", "o\n")])
def test_the_hook_does_what_systemd_would_have_been_asked_for(tmp_path, project, target, key):
    said = run_hook(tmp_path, project, "exit 3", required=f"{target}\n")
    assert (tmp_path / "proc/sysrq-trigger").read_text() == key
    # where the kernel has no sysrq, somebody has to look
    assert said[-2:] == [f"shell: -n modulus modulus: a driver with Required=yes is not there ({target})", "goes on: 0"]
