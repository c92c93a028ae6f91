# SPDX-License-Identifier: Apache-2.0
"""The comparison of `make check-gpu`, on a machine made of directories: it holds where all agree, and each thing that
could be wrong makes it fail."""
import copy
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from program import BUILD, TREE

sys.path.insert(0, str(TREE / "tests/gpu"))
import compare  # noqa: E402
from compare import Node  # noqa: E402

VERSION = "535.261.03"
UUIDS = ["GPU-0f2d7b3c-9a4e-4c55-8f0b-6f3f2f0c7e21", "GPU-5a0d1b6e-3c55-4f0b-8f0e-1c9a7e2f4d10"]
# address -> minor: not in the order of the addresses
GPUS = {"0000:07:00.0": 1, "0000:08:00.0": 0}
DEVICES = "Character devices:\n  1 mem\n195 nvidia-frontend\n234 nvidia-caps\n511 nvidia-uvm\n\nBlock devices:\n  8 sd\n"
PARAMS = "ModifyDeviceFiles: 1\nDeviceFileUID: 0\nDeviceFileGID: 44\nDeviceFileMode: 432\n"


@pytest.fixture
def plan(machine):
    """What the program makes of two GPUs whose driver is live."""
    live = machine.write_live
    live("proc/devices", DEVICES)
    live("proc/driver/nvidia/params", PARAMS)
    live("proc/driver/nvidia/version", "NVRM version: x\n")
    live("sys/module/nvidia/version", VERSION + "\n")
    live("sys/module/nvidia_modeset/initstate", "live\n")
    for (address, minor), uuid in zip(GPUS.items(), UUIDS):
        live(f"proc/driver/nvidia/gpus/{address}/information", f"Model: \t\t x\nGPU UUID: \t {uuid}\nDevice Minor: \t {minor}\n")
        live(f"dev/nvidia{minor}", "")
        live(f"sys/bus/pci/devices/{address}/vendor", "0x10de\n")
    for name in ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset"):
        live(f"dev/{name}", "")
    library = machine.write_root(f"rt/usr/lib64/libcuda.so.{VERSION}", "")
    subprocess.run(["gcc", "-x", "c", "-", "-shared", "-o", library, "-Wl,-soname,libcuda.so.1"], input=b"", check=True)
    machine.plan = lambda *more: json.loads(subprocess.run([BUILD / "gpu/plan", machine.root, machine.live, *more],
                                                           capture_output=True, text=True, check=True).stdout)
    return machine.plan("/rt")


def smi_text(version: str = VERSION, minors=(1, 0), uuids=tuple(UUIDS)) -> str:
    gpus = "".join(f'<gpu id="0000{address.upper()}"><uuid>{uuid}</uuid><minor_number>{minor}</minor_number></gpu>'
                   for address, minor, uuid in zip(GPUS, minors, uuids))
    return f'<?xml version="1.0" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM "x.dtd">\n<nvidia_smi_log>' \
           f'<driver_version>{version}</driver_version>{gpus}</nvidia_smi_log>'


def ctk_spec() -> dict:
    """As nvidia-ctk gives it, hooks and all that is compared with nothing left out."""
    def edits(*names: str) -> dict:
        return {"deviceNodes": [{"path": f"/dev/{name}"} for name in names]}

    common = edits("nvidia-modeset", "nvidia-uvm", "nvidia-uvm-tools", "nvidiactl")
    common["mounts"] = [{"hostPath": f"/usr/lib64/{name}.so.{VERSION}", "containerPath": f"/usr/lib64/{name}.so.{VERSION}"}
                        for name in ("libcuda", "libGLX_nvidia")]
    return {"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "containerEdits": common, "devices": [
        {"name": "0", "containerEdits": edits("nvidia1", "dri/card1", "dri/renderD128")},
        {"name": "1", "containerEdits": edits("nvidia0")}, {"name": "all", "containerEdits": edits("nvidia0", "nvidia1")}]}


def report(**changed) -> dict:
    driver = {"name": "nvidia", "version": VERSION, "reason": "loaded", "text": "",
              "modules": [{"name": "nvidia"}, {"name": "nvidia-uvm"}], "nodes": ["/dev/nvidiactl", "/dev/nvidia0"]}
    return {"drivers": [{"name": "other", "version": "1", "reason": "no-device", "text": "", "modules": [], "nodes": []},
                        {**driver, **changed}]}


LIVE = {"nvidia", "nvidia_uvm"}


def test_all_agree(plan):
    there = compare.planned(plan)
    assert plan["warnings"] == []
    assert there["/dev/nvidia1"] == Node(195, 1, 0o660, 0, 44) and there["/dev/nvidia-uvm-tools"].major == 511
    assert compare.nodes(plan, there, whole=True) == []
    assert compare.proc(plan, GPUS) == []
    assert compare.smi(plan, *compare.smi_gpus(smi_text())) == []
    assert compare.ctk(plan, ctk_spec()) == []
    assert compare.status(report(), plan, there, LIVE) == []


@pytest.mark.parametrize("field, value", [("major", 194), ("minor", 7), ("mode", 0o666), ("uid", 1), ("gid", 0)])
def test_a_node_of_other_numbers_owner_or_mode_is_said(plan, field, value):
    there = compare.planned(plan)
    there["/dev/nvidia1"] = replace(there["/dev/nvidia1"], **{field: value})
    (said,) = compare.nodes(plan, there, whole=False)
    assert said.startswith("/dev/nvidia1: is ")


def test_a_node_that_is_missing_or_too_much_is_said(plan):
    there = compare.planned(plan)
    there["/dev/nvidia7"] = there.pop("/dev/nvidia1")
    there["/dev/nvidia-fs0"] = Node(500, 0, 0o600, 0, 0)
    assert [line.split(":")[0] for line in compare.nodes(plan, there, whole=True)] == ["/dev/nvidia1", "/dev/nvidia7"]
    assert [line.split(":")[0] for line in compare.nodes(plan, there, whole=False)] == ["/dev/nvidia7"]


def test_what_is_in_dev_is_read_as_it_is(tmp_path):
    try:
        (tmp_path / "nvidia-caps").mkdir()
        for name, minor in (("nvidia0", 0), ("nvidia-caps/nvidia-cap1", 1)):
            os.mknod(tmp_path / name, 0o020640, os.makedev(195, minor))
    except PermissionError:
        pytest.skip("device nodes are not allowed here")
    (tmp_path / "nvidia.txt").write_text("")
    found = {path.removeprefix(f"{tmp_path}/"): node for path, node in compare.listed(tmp_path).items()}
    assert found == {"nvidia0": Node(195, 0, 0o640, 0, 0), "nvidia-caps/nvidia-cap1": Node(195, 1, 0o640, 0, 0)}


def test_gpus_are_read_from_proc_and_one_without_a_node_is_said(machine, plan):
    found = compare.proc_gpus(machine.live / "proc/driver/nvidia/gpus")
    assert found == GPUS
    assert compare.proc(plan, {**found, "0000:09:00.0": 2}) == ["0000:09:00.0: /dev/nvidia2 would not be made"]


@pytest.mark.parametrize("spoilt, says", [
    (smi_text(version="550.54"), f"version: {VERSION} here, 550.54 by nvidia-smi"),
    (smi_text(minors=(0, 1)), "0: /dev/nvidia1 here, /dev/nvidia0 by nvidia-smi"),
    (smi_text(minors=(1,)), "GPUs: 2 here, 1 by nvidia-smi"),
    (smi_text(uuids=(UUIDS[0], UUIDS[0])), f"{UUIDS[1]}: no such GPU by nvidia-smi"),
], ids=["version", "order", "count", "uuid"])
def test_nvidia_smi_that_says_otherwise_is_said(plan, spoilt, says):
    assert says in compare.smi(plan, *compare.smi_gpus(spoilt))


@pytest.mark.parametrize("spoil, says", [
    (lambda spec: spec["devices"].append({"name": "2", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia2"}]}}),
     "2: not here, by nvidia-ctk /dev/nvidia2"),
    (lambda spec: spec["devices"].pop(), "all: here, not by nvidia-ctk"),
    (lambda spec: spec["devices"][0]["containerEdits"]["deviceNodes"][0].update(path="/dev/nvidia0"),
     "0: /dev/nvidia1 here, not by nvidia-ctk"),
    (lambda spec: spec["containerEdits"]["deviceNodes"].append({"path": "/dev/nvidia-new"}),
     "/dev/nvidia-new: for every container by nvidia-ctk, not here"),
    (lambda spec: spec["containerEdits"]["mounts"].append({"hostPath": f"/usr/lib64/libnvcuvid.so.{VERSION}", "containerPath": "/x"}),
     f"libnvcuvid.so.{VERSION}: mounted by nvidia-ctk, not here"),
])
def test_nvidia_ctk_that_says_otherwise_is_said(plan, spoil, says):
    theirs = ctk_spec()
    spoil(theirs)
    assert says in compare.ctk(plan, theirs)


def test_no_specification_beside_one_of_nvidia_ctk_is_said(plan):
    nothing = copy.deepcopy(plan)
    nothing["cdi"] = None
    assert compare.ctk(nothing, ctk_spec()) == ["3 devices by nvidia-ctk, no specification here"]


@pytest.mark.parametrize("changed, says", [
    ({"reason": "init-failed", "text": "x"}, "nvidia: init-failed: x"),
    ({"version": "1"}, f"nvidia: version 1 in the report, {VERSION} is live"),
    ({"modules": [{"name": "nvidia"}, {"name": "nvidia-drm"}]}, "nvidia_drm: in the report, and not live"),
    ({"nodes": ["/dev/nvidia9"]}, "/dev/nvidia9: in the report, and not there"),
])
def test_a_report_that_is_not_true_is_said(plan, changed, says):
    assert compare.status(report(**changed), plan, compare.planned(plan), LIVE) == [says]


def test_without_libraries_of_ours_none_is_compared(machine, plan):
    bare = machine.plan()
    assert bare["warnings"] == [] and "mounts" not in bare["cdi"]["containerEdits"]
    assert compare.ctk(bare, ctk_spec()) == []


def test_nothing_is_written_by_the_look(machine, plan):
    before = machine.snapshot()
    machine.plan("/rt")
    assert machine.snapshot() == before and not (machine.live / "run/cdi").exists()
