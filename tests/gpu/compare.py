# SPDX-License-Identifier: Apache-2.0
"""What the program makes of GPUs, held against what the driver, /dev and NVIDIA's tools say. Pure: each function takes
what was said and returns complaints, none of them if all agree. tests/cli/test_gpu_compare.py has them on recorded
machines."""
import json
import os
import re
import stat
import xml.etree.ElementTree as xml
from dataclasses import dataclass
from pathlib import Path

# of drivers that are no part of this one: GPUDirect Storage, and channels between machines, which IMEX makes
NOT_OURS = re.compile(r"/dev/(nvidia-fs\d*|nvidia-caps-imex-channels/.*)")
# what the toolkit adds for a GPU that is not the driver's own: DRM nodes are the kernel's, and the links to them
DRM = re.compile(r"/dev/dri/(card|renderD)\d+")
# libraries of OpenGL, Vulkan and X, which bundles of ours need not have
GRAPHICS = re.compile(r"lib(GL|EGL|GLES|nvidia-(gl|egl|glsi|glvk|rtcore|gtk|gpucomp|api|vksc|wayland|fbc|tls)|"
                      r"nvoptix|vdpau|glxserver)")


@dataclass(frozen=True)
class Node:
    major: int
    minor: int
    mode: int
    uid: int
    gid: int

    def __str__(self) -> str:
        return f"{self.major}:{self.minor} {self.mode:04o} {self.uid}:{self.gid}"


def planned(plan: dict) -> dict[str, Node]:
    return {one["path"]: Node(one["major"], one["minor"], one["mode"], one["uid"], one["gid"]) for one in plan["nodes"]}


def listed(dev: Path = Path("/dev")) -> dict[str, Node]:
    """NVIDIA's character devices that are there."""
    found = {}
    for path in [*dev.glob("nvidia*"), *dev.glob("nvidia*/*")]:
        about = path.lstat()
        if stat.S_ISCHR(about.st_mode):
            found[str(path)] = Node(os.major(about.st_rdev), os.minor(about.st_rdev), stat.S_IMODE(about.st_mode),
                                    about.st_uid, about.st_gid)
    return found


def nodes(plan: dict, there: dict[str, Node], whole: bool) -> list[str]:
    """whole: somebody made all nodes that there are to make. NVIDIA's own tools make some only when they are asked for, and
    in a container there are those of its GPUs."""
    wanted = planned(plan)
    complaints = [f"{path}: is {there[path]}, would be {node}" for path, node in wanted.items()
                  if path in there and there[path] != node]
    complaints += [f"{path}: is not there, would be {node}" for path, node in wanted.items() if whole and path not in there]
    complaints += [f"{path}: is {node}, and nothing would be" for path, node in there.items()
                   if path not in wanted and not NOT_OURS.fullmatch(path)]
    return complaints


@dataclass(frozen=True)
class Gpu:
    address: str
    minor: int
    uuid: str


def smi_gpus(text: str) -> tuple[str, list[Gpu]]:
    """Driver version and GPUs, in its order, of `nvidia-smi -q -x`."""
    log = xml.fromstring(text)
    return log.findtext("driver_version"), [
        Gpu(one.get("id").lower()[-12:], int(one.findtext("minor_number")), one.findtext("uuid")) for one in log.iter("gpu")]


def proc_gpus(gpus: Path = Path("/proc/driver/nvidia/gpus")) -> dict[str, int]:
    """Address -> minor, as the driver says."""
    found = {}
    for path in gpus.iterdir():
        said = re.search(r"^Device Minor:\s*(\d+)$", (path / "information").read_text(), re.M)
        if said:
            found[path.name.lower()] = int(said[1])
    return found


def paths(edits: dict) -> list[str]:
    return [node["path"] for node in edits.get("deviceNodes", [])]


def devices(spec: dict | None) -> dict[str, list[str]]:
    """Name -> nodes, of a specification."""
    return {one["name"]: paths(one["containerEdits"]) for one in (spec or {"devices": []})["devices"]}


def smi(plan: dict, version: str, gpus: list[Gpu]) -> list[str]:
    """Version; which number, and which UUID where we know it, stands for which GPU."""
    ours = devices(plan["cdi"])
    complaints = [] if plan["version"] == version else [f"version: {plan['version']} here, {version} by nvidia-smi"]
    numbers = [name for name in ours if name.isdigit()]
    if len(numbers) != len(gpus):
        complaints.append(f"GPUs: {len(numbers)} here, {len(gpus)} by nvidia-smi")
    for i, gpu in enumerate(gpus):
        for name in (str(i), gpu.uuid):
            if name in ours and f"/dev/nvidia{gpu.minor}" not in ours[name]:
                complaints.append(f"{name}: {' '.join(ours[name])} here, /dev/nvidia{gpu.minor} by nvidia-smi")
    complaints += [f"{name}: no such GPU by nvidia-smi" for name in ours
                   if name.startswith("GPU-") and name not in {gpu.uuid for gpu in gpus}]
    return complaints


def proc(plan: dict, gpus: dict[str, int]) -> list[str]:
    """A node for each GPU that the driver names, by its minor."""
    wanted = planned(plan)
    return [f"{address}: /dev/nvidia{minor} would not be made" for address, minor in gpus.items()
            if f"/dev/nvidia{minor}" not in wanted]


def _libraries(edits: dict) -> set[str]:
    """File names of what is mounted, without those that differ by a link only."""
    return {Path(one["hostPath"]).name for one in edits.get("mounts", [])
            if re.fullmatch(r"lib.+\.so\.\d+(\.\d+)+", Path(one["hostPath"]).name)}


def ctk(plan: dict, theirs: dict) -> list[str]:
    """nvidia-ctk's specification: the same devices by number, the same nodes for all, no library of it missing in ours."""
    ours, complaints = plan["cdi"], []
    if not ours:
        return [f"{len(theirs['devices'])} devices by nvidia-ctk, no specification here"]
    for name, nodes_ in devices(theirs).items():
        mine = devices(ours).get(name)
        if not re.fullmatch(r"\d+|all", name):
            continue
        if mine is None:
            complaints.append(f"{name}: not here, by nvidia-ctk {' '.join(nodes_)}")
            continue
        missing, more = set(nodes_) - set(mine), set(mine) - set(nodes_)
        complaints += [f"{name}: {path} by nvidia-ctk, not here" for path in sorted(missing) if not DRM.fullmatch(path)]
        complaints += [f"{name}: {path} here, not by nvidia-ctk" for path in sorted(more) if not DRM.fullmatch(path)]
    complaints += [f"{name}: here, not by nvidia-ctk" for name in devices(ours) if re.fullmatch(r"\d+|all", name)
                   and name not in devices(theirs)]
    missing = set(paths(theirs["containerEdits"])) - set(paths(ours["containerEdits"]))
    complaints += [f"{path}: for every container by nvidia-ctk, not here" for path in sorted(missing)]
    if ours["containerEdits"].get("mounts"):
        missing = _libraries(theirs["containerEdits"]) - _libraries(ours["containerEdits"])
        complaints += [f"{name}: mounted by nvidia-ctk, not here" for name in sorted(missing) if not GRAPHICS.match(name)]
    return complaints


def status(report: dict, plan: dict, there: dict[str, Node], live: set[str]) -> list[str]:
    """The report of this boot: what it says of NVIDIA's driver is so now. live: names of modules in the kernel."""
    complaints = []
    for driver in report["drivers"]:
        modules = {module["name"].replace("-", "_") for module in driver["modules"]}
        if "nvidia" not in modules:
            continue
        if driver["reason"] != "loaded":
            complaints.append(f"{driver['name']}: {driver['reason']}: {driver['text']}")
        if driver["version"] != plan["version"]:
            complaints.append(f"{driver['name']}: version {driver['version']} in the report, {plan['version']} is live")
        complaints += [f"{name}: in the report, and not live" for name in sorted(modules - live)]
        complaints += [f"{path}: in the report, and not there" for path in driver["nodes"]
                       if path.startswith("/dev/nvidia") and path not in there]
    return complaints


