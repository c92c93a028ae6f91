# SPDX-License-Identifier: Apache-2.0
"""What container engines are told: by `finish`, valid by the schema of CDI's authors, and good enough for a loader."""
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

import elf
from bundlemaker import File, modules, runtime
from program import DONE

VERSION = "535.261.03"
FILE = "run/cdi/modulus-nvidia.json"
MULTIARCH = f"{elf.machine()}-linux-gnu"
LIBRARIES = f"usr/lib/{MULTIARCH}"
# fetched by `make deps`
PACKAGE = Path(os.environ.get("MODULUS_CACHE") or Path.home() / ".cache/modulus") / (
    "golang-github-container-orchestrated-devices-container-device-interface-dev_0.5.2-2_all.deb")


@pytest.fixture
def gpus(machine):
    """Two GPUs whose driver is live: its minors are not in the order of the PCI addresses."""
    machine.ready(modules("nvidia", "nvidia-uvm", fields={"version": VERSION}).build())
    machine.driver(text=f"[Driver]\nVersion={VERSION}\nMatch=pci:v00001AF4d*\n")
    machine.module_is_live("nvidia", "nvidia_uvm")
    machine.write_live("sys/module/nvidia/version", VERSION + "\n")
    for address, minor in (("0000:07:00.0", 1), ("0000:08:00.0", 0)):
        machine.write_live(f"proc/driver/nvidia/gpus/{address}/information", f"Model: \t\t x\nDevice Minor: \t {minor}\n")
        machine.write_live(f"dev/nvidia{minor}", "")
    for node in ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"):
        machine.write_live(f"dev/{node}", "")
    return machine


def finish(machine):
    assert machine.boot().driver["reason"] == "loaded"
    done = machine.boot("finish")
    assert done.code == DONE
    return done


def compiled(path: Path, *words: str, source: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([elf.tool("gcc"), "-x", "c", "-", "-shared", "-nostdlib", "-o", str(path), *words], input=source.encode(), check=True)
    return path


@pytest.fixture
def libcuda(gpus, tmp_path):
    """A library that answers, in a bundle of the runtime on /usr."""
    path = compiled(tmp_path / "libcuda", "-Wl,-soname,libcuda.so.1", source="int cuInit(void) { return 42; }")
    gpus.usr(runtime(File("usr/bin/nvidia-smi", b"#!/bin/sh\necho it is me\n", 0o755),
                     File(f"{LIBRARIES}/libcuda.so.{VERSION}", path.read_bytes()), fields={"version": VERSION},
                     links=((f"{LIBRARIES}/libcuda.so.1", f"libcuda.so.{VERSION}"),)).build(), "runtime.tar.zst", "any")
    gpus.write_live(f"run/modulus/firmware/nvidia/{VERSION}/gsp_ga10x.bin", "")


# --- the file --------------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def validate():
    """Debian's package of the sources of CDI has the schema; it needs 60 others, so only its files are taken."""
    jsonschema = pytest.importorskip("jsonschema", reason="python3-jsonschema is not installed (make deps)")
    if not PACKAGE.exists():
        pytest.skip(f"{PACKAGE.name} was not fetched (make deps)")
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(PACKAGE)], stdout=subprocess.PIPE) as unpacked:
        with tarfile.open(fileobj=unpacked.stdout, mode="r|") as files:
            found = {Path(file.name).name: json.load(files.extractfile(file)) for file in files
                     if file.name.endswith(("/schema/schema.json", "/schema/defs.json"))}
    schema, defs = found["schema.json"], found["defs.json"]
    # as later versions of the schema have it
    schema["properties"].setdefault("containerEdits", {"$ref": "defs.json#/definitions/containerEdits"})
    # as engines read it: what they do not know they refuse
    for kind in (schema, *(kind for kind in defs["definitions"].values() if "properties" in kind)):
        kind["additionalProperties"] = False
    resolver = jsonschema.RefResolver("", schema, store={"defs.json": defs})
    return jsonschema.Draft7Validator(schema, resolver=resolver).validate


def test_the_file_is_valid_by_the_schema_of_cdi(libcuda, gpus, validate):
    finish(gpus)
    spec = json.loads((gpus.live / FILE).read_text())
    validate(spec)
    assert len(spec["containerEdits"]["mounts"]) == 8  # libcuda by three names in two directories, a program, firmware
    # and it is no formality
    for edits in (spec["containerEdits"], spec["devices"][0]["containerEdits"]):
        edits["deviceNodes"][0]["pfad"] = edits["deviceNodes"][0].pop("path")
        with pytest.raises(Exception, match="'pfad' was unexpected|'path' is a required property"):
            validate(spec)
        edits["deviceNodes"][0]["path"] = edits["deviceNodes"][0].pop("pfad")
    validate(spec)


def test_finish_writes_it_and_says_so(libcuda, gpus):
    before = gpus.boot().status
    assert before["cdi"] is None and not (gpus.live / "run/cdi").exists()
    done = gpus.boot("finish")
    assert done.lines[-1] == f"cdi: /{FILE}: 3 devices, 8 mounts"
    assert done.status["cdi"] == {"file": f"/{FILE}", "other": None, "devices": ["0", "1", "all"], "mounts": 8, "warnings": []}
    assert f"containers: /{FILE}, 8 mounts\n  devices  0 1 all\n" in gpus.status().stdout
    spec = json.loads((gpus.live / FILE).read_text())
    assert [device["containerEdits"]["deviceNodes"] for device in spec["devices"]] == [
        [{"path": "/dev/nvidia1"}], [{"path": "/dev/nvidia0"}], [{"path": "/dev/nvidia1"}, {"path": "/dev/nvidia0"}]]


def test_finish_writes_it_where_boot_did_not_run(gpus):
    done = gpus.boot("finish")
    assert done.code == DONE and done.driver["reason"] == "loaded"
    assert done.status["cdi"]["devices"] == ["0", "1", "all"] and (gpus.live / FILE).exists()


def test_it_is_left_to_the_toolkit_where_that_has_one(gpus):
    finish(gpus)
    gpus.write_root("etc/cdi/nvidia.yaml", "---\ncdiVersion: 0.5.0\nkind: nvidia.com/gpu\n")
    done = gpus.boot("finish")
    assert done.lines == ["cdi: /etc/cdi/nvidia.yaml defines nvidia.com/gpu: containers are left to it"]
    assert not (gpus.live / FILE).exists()
    assert "containers: left to /etc/cdi/nvidia.yaml\n" in gpus.status().stdout


def test_a_machine_without_this_driver_has_none(machine):
    machine.ready(modules().build())
    machine.module_is_live("alpha", "beta")
    machine.write_live("proc/driver/nvidia/gpus/0000:07:00.0/information", "Device Minor: \t 0\n")
    machine.write_live("dev/nvidia0", "")
    assert finish(machine).status["cdi"] is None
    assert not (machine.live / "run/cdi").exists()


def test_what_stands_in_the_way_is_said_and_the_boot_goes_on(gpus):
    gpus.write_live("run/cdi", "a file")
    done = finish(gpus)
    assert done.lines == [f"cdi: containers are not told of the GPUs: /{FILE}: Not a directory"]
    assert done.status["cdi"] is None and done.status["finish"]


def test_libraries_of_another_driver_are_not_mixed_in(libcuda, gpus):
    finish(gpus)
    gpus.write_live("sys/module/nvidia/version", "550.54.14\n")
    done = finish(gpus)
    assert done.driver["runtime"]["reason"] == "wrong-version" and done.status["cdi"]["mounts"] == 0
    assert f"gpu: runtime: wrong-version: module nvidia is live in version 550.54.14, not {VERSION}" in done.lines
    assert "mounts" not in json.loads((gpus.live / FILE).read_text())["containerEdits"]


# --- in a container --------------------------------------------------------------------------------

# An engine's part: a /usr to write to, the mounts with their options, and nothing else; no ldconfig.
ENGINE = """
mount -t tmpfs tmpfs "$1" && mkdir "$1/up" "$1/work"
mount -t overlay -o lowerdir=/usr,upperdir="$1/up",workdir="$1/work" overlay /usr
while read -r from to; do
    mkdir -p "${to%/*}" && : > "$to" && mount --bind "$from" "$to" && mount -o remount,bind,ro,nosuid,nodev "$to"
done
shift
exec "$@"
"""


@pytest.mark.skipif(elf.EMULATED is not None, reason="the loader is this machine's own")
def test_a_loader_finds_the_driver_without_a_cache(libcuda, gpus, tmp_path):
    """On this machine's own /usr, which is of Debian's kind; /usr/lib64 is what the other kinds search."""
    finish(gpus)
    mounts = [f"{gpus.root}{mount['hostPath']} {mount['containerPath']}"
              for mount in json.loads((gpus.live / FILE).read_text())["containerEdits"]["mounts"]
              if mount["containerPath"].startswith("/usr")]
    (tmp_path / "upper").mkdir()

    def contained(given: list[str]) -> subprocess.CompletedProcess:
        code = ("import ctypes\nfor name in ('libcuda.so.1', 'libcuda.so'): print(ctypes.CDLL(name).cuInit(), flush=True)\n"
                "import subprocess; subprocess.run(['nvidia-smi'])")
        return subprocess.run(["unshare", "--mount", "sh", "-euc", ENGINE, "sh", str(tmp_path / "upper"), "/usr/bin/python3", "-c",
                               code], input="".join(line + "\n" for line in given), capture_output=True, text=True)

    if shutil.which("unshare") is None or "No such file" not in (without := contained([])).stderr:
        pytest.skip("namespaces or overlays are not allowed here")
    assert "libcuda.so.1: cannot open shared object file" in without.stderr
    done = contained(mounts)
    assert done.stdout.splitlines() == ["42", "42", "it is me"], done.stderr
