# SPDX-License-Identifier: Apache-2.0
"""docs/migrating.md: its commands do what it says, on a node as the earlier tool left it, and nothing of that tool's is
without a word."""
import os
import re
import subprocess

import pytest

import elf
from bundlemaker import RELEASE
from program import BUILD, TREE, environment

PAGE = (TREE / "docs/migrating.md").read_text()
OLD_VERSION = "535.104.05"
GPU = "pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00"
COMMANDS = ["compile", "download", "install", "status", "upload", "src"]
FLAGS = list("bBcCdDfgiruv")
VARIABLES = ["BIN_DIR", "CACHE_DIR", "INSTALL_DIR", "LD_ROOT", "CHROOT", "DOCKER", "DOWNLOAD", "FORCE", "GROUP", "INSTALL", "UPLOAD",
             "IMAGE_VOLSIZE_GIB", "S3_BUCKET", "COREOS_RELEASE_BOARD", "COREOS_RELEASE_VERSION"]


def block(name: str) -> str:
    """The commands behind <!-- run: NAME -->."""
    return re.search(rf"<!-- run: {name} -->\n\n```sh\n(.*?)^```$", PAGE, flags=re.M | re.S)[1]


def first_cells(title: str) -> str:
    section = PAGE.split(f"### {title}\n", 1)[1].split("\n#", 1)[0]
    return "\n".join(line.split("|")[1] for line in section.splitlines() if line.startswith("|"))


def test_each_command_flag_and_variable_of_the_earlier_tool_is_answered():
    assert [name for name in COMMANDS if not re.search(rf"`{name}\b", first_cells("Commands"))] == []
    assert [flag for flag in FLAGS if not re.search(rf"`-{flag}\b", first_cells("Flags"))] == []
    assert [name for name in VARIABLES if f"`MODULUS_{name}`" not in first_cells("Environment")] == []


def test_the_files_that_the_page_points_at_are_there():
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (TREE / "docs" / target).exists(), target


SHIMS = {
    # the program, on the node's directories
    "modulus": '#!/bin/sh\ncommand=$1; shift\n'
               'case $command in keygen|build) exec {program} "$command" "$@" ;;\n'
               'cache) sub=$1; shift; exec {program} cache "$sub" --root {root} --live-root {live} "$@" ;; esac\n'
               'exec {program} "$command" --root {root} --live-root {live} "$@"\n',
    # units by the real systemctl; a reboot is what the enabled instance runs in it
    "systemctl": '#!/bin/sh\n[ "$1" = reboot ] || exec /usr/bin/systemctl --root={root} "$@"\n'
                 'for unit in {root}/etc/systemd/system/multi-user.target.wants/modulus@*; do\n'
                 '  name=${{unit##*/modulus@}}; {program} finish --root {root} --live-root {live} --driver "${{name%.service}}"\ndone\n',
    "uname": f"#!/bin/sh\necho {RELEASE}\n",
}


@pytest.fixture
def node(machine, tmp_path):
    """As the earlier tool left it; the modules are live, since nothing can be inserted here."""
    root = machine.root
    machine.device(GPU, "0000:40:00.0")
    machine.module_is_live("nvidia", "nvidia_uvm")
    archive = f"opt/modulus/archive/nvidia/{OLD_VERSION}"
    for name in ("nvidia", "nvidia-uvm"):
        machine.write_root(f"{archive}/lib/modules/{RELEASE}/{name}.ko", elf.module(name, RELEASE))
        machine.write_root(f"{archive}/lib/modules/5.15.1-older/{name}.ko", elf.module(name, "5.15.1-older"))
    (root / "opt/drivers").mkdir()
    (root / "opt/drivers/nvidia").symlink_to(f"/{archive}")
    machine.write_root("etc/ld.so.conf.d/nvidia.conf", "/opt/drivers/nvidia/lib\n")
    old = machine.write_root("etc/systemd/system/modulus@.service", "[Service]\nExecStart=/bin/false\n[Install]\nWantedBy=multi-user.target\n")
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / f"modulus@nvidia-{OLD_VERSION}.service").symlink_to(f"/{old.relative_to(root)}")
    (root / f"usr/lib/modules/{RELEASE}").mkdir(parents=True)

    desk = tmp_path / "desk"
    (desk / "bin").mkdir(parents=True)
    for name, text in SHIMS.items():
        (desk / "bin" / name).write_text(text.format(program=BUILD / "modulus", root=root, live=machine.live) if "{" in text else text)
        (desk / "bin" / name).chmod(0o755)
    conf = (TREE / "ignition/drivers/nvidia.conf").read_text()
    assert "Load=nvidia nvidia-uvm nvidia-modeset nvidia-drm\n" in conf
    conf = conf.replace("Load=nvidia nvidia-uvm nvidia-modeset nvidia-drm\n", "Load=nvidia nvidia-uvm\n")
    (desk / "nvidia.conf").write_text(re.sub("^Version=.*", f"Version={OLD_VERSION}", conf, flags=re.M))
    (desk / "units").symlink_to(TREE / "ignition/units")

    def run(name: str) -> subprocess.CompletedProcess:
        script = re.sub(r"(?<=\s)/(etc|opt)/", rf"{root}/\1/", block(name))
        if name == "workshop":
            script = script.replace("--key fleet.key", f"--kernel-dir {root}/usr/lib/modules/{RELEASE} --key fleet.key")
        done = subprocess.run(["sh", "-euc", script], cwd=desk, capture_output=True, text=True,
                              env=environment(PATH=f"{desk / 'bin'}:{os.environ['PATH']}"))
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done

    machine.run, machine.old_unit = run, old
    return machine


def test_one_node_goes_over_by_the_commands_of_the_page(node):
    node.run("workshop")
    assert "nvidia: loaded: " in node.run("node").stderr
    assert f"nvidia {OLD_VERSION}: loaded" in node.run("after").stdout
    # and nothing of the earlier tool is in the way
    assert node.old_unit.read_bytes() == (TREE / "ignition/units/modulus@.service").read_bytes()
    assert not (node.root / "opt/drivers/nvidia").is_symlink() and not (node.root / "etc/ld.so.conf.d/nvidia.conf").exists()
    units = [f"modulus@nvidia-{OLD_VERSION}", "modulus-bless.service", "modulus-fetch.path", "modulus-fetch.timer", "modulus-fetch.service"]
    enabled = subprocess.run(["systemctl", f"--root={node.root}", "is-enabled", *units], capture_output=True, text=True)
    assert enabled.stdout == "enabled\n" * 4 + "static\n", enabled.stderr
    (cached,) = node.cached
    assert cached.startswith(f"{RELEASE}/nvidia-modules-")


def test_a_driver_that_no_device_asks_for_is_loaded_on_every_machine_with_acpi(machine):
    from bundlemaker import modules
    (match,) = re.findall(r"`Match=(acpi:\S+)`", PAGE)
    machine.driver(text=f"[Driver]\nVersion=1.0\nMatch={match}\n")
    machine.key()
    machine.usr(modules(fields={"match": []}).build())     # as build makes it where nobody says --match
    machine.module_is_live("alpha", "beta")
    assert machine.boot().driver["reason"] == "no-device"
    machine.write_live("sys/bus/acpi/devices/LNXSYSTM:00/modalias", "acpi:LNXSYSTM:\n")
    assert machine.boot().driver["reason"] == "loaded"
