# SPDX-License-Identifier: Apache-2.0
"""Nodes and container devices of a machine with four GPUs, partitions and switches, from what the kernel's own /proc says of
them. What is behind each node says itself which it is."""

import json
import re

import pytest

from rig.mimic import GPUS, MODE, OWNER
from rig.nvidia import DRIVER, majors, nodes

# in the order of addresses; the minors are the driver's
GPU_MINORS = {"0000:40:00.0": 2, "0000:40:01.0": 0, "0000:40:02.0": 7, "0000:40:03.0": 1}
UUID = "GPU-8d4b1d3a-5f06-49e2-9c7b-000000000000"     # told of minor 0
# capability -> mode: the fabric's, MIG's two, instances 2 and 5 of the second GPU, and a part of the former
CAPS = {0: "400", 1: "400", 2: "444", 156: "444", 157: "444", 183: "444"}
OPEN = ("666", "0:0")


@pytest.fixture
def booted(many_gpus):
    return many_gpus.boot


def _expected(booted) -> dict[str, tuple[str, str, str, str]]:
    """Path -> major:minor, mode, owner, and what is behind it."""
    numbers = majors(booted)
    owned = MODE.lstrip("0"), f"{OWNER[0]}:{OWNER[1]}"
    gpu, uvm, switch, link, caps = (numbers[name] for name in (
        "nvidia", "nvidia-uvm", "nvidia-nvswitch", "nvidia-nvlink", "nvidia-caps"))
    return {
        **{f"/dev/nvidia{minor}": (f"{gpu}:{minor}", *owned, f"nvidia {minor} {address}") for address, minor in GPU_MINORS.items()},
        "/dev/nvidiactl": (f"{gpu}:255", *owned, "nvidiactl 255"),
        "/dev/nvidia-modeset": (f"{gpu}:254", *owned, "nvidia-modeset 254"),
        "/dev/nvidia-uvm": (f"{uvm}:0", *OPEN, "nvidia-uvm 0"),
        "/dev/nvidia-uvm-tools": (f"{uvm}:1", *OPEN, "nvidia-uvm 1"),
        "/dev/nvidia-nvswitch0": (f"{switch}:0", *OPEN, "nvidia-nvswitch 0"),
        "/dev/nvidia-nvswitch1": (f"{switch}:1", *OPEN, "nvidia-nvswitch 1"),
        "/dev/nvidia-nvswitchctl": (f"{switch}:255", *OPEN, "nvidia-nvswitch 255"),
        "/dev/nvidia-nvlink": (f"{link}:0", *OPEN, "nvidia-nvlink 0"),
        **{f"/dev/nvidia-caps/nvidia-cap{minor}": (f"{caps}:{minor}", mode, "0:0", f"nvidia-caps {minor}")
           for minor, mode in CAPS.items()},
    }


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def test_all_gpus_are_the_drivers(booted):
    driver = booted.driver("initramfs", DRIVER)
    assert driver["reason"] == "loaded" and sorted(driver["devices"]) == list(GPU_MINORS), driver
    assert len(GPU_MINORS) == GPUS


def test_the_nodes_are_those_of_the_table_before_switch_root(booted):
    assert nodes(booted, "initramfs") == {path: row[:3] for path, row in _expected(booted).items()}


def test_the_report_names_them(booted):
    assert sorted(booted.driver("initramfs", DRIVER)["nodes"]) == sorted(_expected(booted))


def test_behind_each_is_what_its_name_says(booted):
    said = dict(line.split(": ", 1) for line in _lines(booted.text("real-root", "read")))
    assert {path: text.strip() for path, text in said.items()} == {path: row[3] for path, row in _expected(booted).items()}


def _links(booted, section: str, where: str = "real-root") -> dict[str, str]:
    """Number -> where it leads, of those to nodes of this driver."""
    found = re.findall(r" (\d+:\d+) -> \.\./(nvidia\S*)$", booted.text(where, section), re.M)
    return {number: f"/dev/{path}" for number, path in found}


def test_engines_find_each_by_its_number(booted):
    assert _links(booted, "char-links", "initramfs") == {row[0]: path for path, row in _expected(booted).items()}


def _devices(nodes_of: dict[str, list[str]]) -> list[dict]:
    return [{"name": name, "containerEdits": {"deviceNodes": [{"path": path} for path in paths]}}
            for name, paths in nodes_of.items()]


def test_containers_get_gpus_in_the_order_of_addresses_whatever_their_minors(booted):
    paths = [f"/dev/nvidia{minor}" for minor in GPU_MINORS.values()]
    assert booted.section("real-root", "finished").code == 0
    assert json.loads(booted.text("real-root", "cdi")) == {
        "cdiVersion": "0.5.0", "kind": "nvidia.com/gpu",
        "devices": _devices({"0": paths[:1], "1": paths[1:2], UUID: paths[1:2], "2": paths[2:3], "3": paths[3:], "all": paths}),
        "containerEdits": {
            "env": ["NVIDIA_VISIBLE_DEVICES=void"],
            "deviceNodes": [{"path": f"/dev/{name}"} for name in (
                "nvidia-modeset", "nvidia-uvm-tools", "nvidia-uvm", "nvidiactl")]}}


def test_all_of_them_go_with_the_driver(booted):
    assert booted.section("real-root", "unload").code == 0, booted.text("real-root", "unload")
    assert _lines(booted.text("real-root", "gone")) == []
    assert _links(booted, "links-gone") == {}


def test_a_driver_that_says_do_not_modify_is_obeyed(booted):
    """The uvm device and the fabric's are nobody's to forbid but by the same word; the one that is there stays as it is."""
    assert booted.section("real-root", "load").code == 0, booted.text("real-root", "load")
    assert _lines(booted.text("real-root", "unmodified")) == ["/dev/nvidia0 600 0:0"]
    assert json.loads(booted.text("real-root", "unmodified-cdi"))["devices"] == _devices({
        "1": ["/dev/nvidia0"], UUID: ["/dev/nvidia0"], "all": ["/dev/nvidia0"]})
    assert booted.driver("real-root", DRIVER)["nodes"] == ["/dev/nvidia0"]
