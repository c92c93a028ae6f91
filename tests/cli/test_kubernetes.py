# SPDX-License-Identifier: Apache-2.0
"""The container image, byte by byte the same, and the DaemonSet: right by the API's own types, and with exactly its
mounts, arguments and rights the program does its work in a container."""
import functools
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import threading
import time

import pytest
import yaml

import elf
from bundlemaker import File, modules
from program import DONE, MODULUS_BOOT, NO_BUNDLE, TREE, snapshot

FOLDER = TREE / "docs/kubernetes"
CONTAINED = TREE / "tests/tools/contained.py"
EPOCH = "1795392000"
RUNNING = os.uname().release


def make_image(where: pathlib.Path, *more: str) -> pathlib.Path:
    subprocess.run([FOLDER / "image.sh", MODULUS_BOOT, TREE / "LICENSE", "0.1.0", EPOCH, where, *more], check=True)
    return where


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return make_image(tmp_path_factory.mktemp("image") / "one", "https://git.example.com/modulus")


def blob(image: pathlib.Path, descriptor: dict) -> pathlib.Path:
    return image / "blobs" / descriptor["digest"].replace(":", "/")


def layer(image: pathlib.Path) -> tarfile.TarFile:
    (manifest,) = json.loads((image / "index.json").read_text())["manifests"]
    (one,) = json.loads(blob(image, manifest).read_text())["layers"]
    return tarfile.open(blob(image, one))


def documents() -> dict[str, dict]:
    return {one["kind"]: one for one in yaml.safe_load_all((FOLDER / "daemonset.yaml").read_text())}


def pod() -> dict:
    return documents()["DaemonSet"]["spec"]["template"]["spec"]


# --- the image -------------------------------------------------------------------------------------

def test_the_same_program_gives_the_same_image(image, tmp_path):
    (tmp_path / "deeper").mkdir()
    os.umask(0o077)
    try:
        time.sleep(1.1)  # another second
        other = make_image(tmp_path / "deeper/two", "https://git.example.com/modulus")
    finally:
        os.umask(0o022)
    content = [{path.relative_to(one).as_posix(): path.read_bytes() for path in one.rglob("*") if path.is_file()}
               for one in (image, other)]
    assert content[0] == content[1] and len(content[0]) == 5


def test_tools_read_it_and_see_what_it_is(image):
    seen = json.loads(subprocess.run(["skopeo", "inspect", f"oci:{image}:0.1.0"], capture_output=True, check=True).stdout)
    assert seen["Labels"] == {"org.opencontainers.image.title": "modulus", "org.opencontainers.image.version": "0.1.0",
                              "org.opencontainers.image.licenses": "Apache-2.0 AND LGPL-2.1-or-later",
                              "org.opencontainers.image.source": "https://git.example.com/modulus"}
    assert (seen["Architecture"], seen["Os"], seen["Created"]) == ("amd64", "linux", "2026-11-23T00:00:00Z")


def test_skopeo_copies_it_which_verifies_every_digest(image, tmp_path):
    subprocess.run(["skopeo", "copy", "-q", f"oci:{image}:0.1.0", f"docker-archive:{tmp_path}/image.tar:modulus:0.1.0"], check=True)


def test_one_layer_has_the_program_and_its_licence_and_nothing_else(image):
    with layer(image) as files:
        members = {member.name: member for member in files}
        assert sorted(name for name, member in members.items() if member.isfile()) == [
            "usr/bin/modulus", "usr/share/licenses/modulus/LICENSE"]
        assert {(member.uid, member.gid, member.mtime) for member in members.values()} == {(0, 0, int(EPOCH))}
        assert members["usr/bin/modulus"].mode == 0o755
        assert files.extractfile("usr/bin/modulus").read() == MODULUS_BOOT.read_bytes()


def test_what_is_no_image_is_not_removed_for_it(tmp_path):
    (tmp_path / "mine").write_text("mine")
    done = subprocess.run([FOLDER / "image.sh", MODULUS_BOOT, TREE / "LICENSE", "0.1.0", EPOCH, tmp_path], capture_output=True)
    assert done.returncode != 0 and (tmp_path / "mine").read_text() == "mine"


# --- the manifest, by the types of the API ---------------------------------------------------------

def check_type(value, type_name: str, where: str) -> list[str]:
    """Complaints about a value that the API would read as this type of its OpenAPI description."""
    from kubernetes import client
    if found := re.fullmatch(r"list\[(.+)\]", type_name):
        if not isinstance(value, list):
            return [f"{where}: not a list"]
        return [line for i, one in enumerate(value) for line in check_type(one, found[1], f"{where}[{i}]")]
    if found := re.fullmatch(r"dict\(str, (.+)\)", type_name):
        return [line for key, one in value.items() for line in check_type(one, found[1], f"{where}.{key}")]
    if not hasattr(client, type_name):
        kinds = {"str": str, "int": int, "bool": bool, "object": (str, int)}  # object: IntOrString and the like
        right = isinstance(value, kinds[type_name]) and (type_name == "bool" or not isinstance(value, bool))
        return [] if right else [f"{where}: {value!r} is no {type_name}"]
    model = getattr(client, type_name)
    by_name = {name: attribute for attribute, name in model.attribute_map.items()}
    complaints = [f"{where}.{name}: no such field" for name in value if name not in by_name]
    for name, one in value.items():
        if name in by_name:
            complaints += check_type(one, model.openapi_types[by_name[name]], f"{where}.{name}")
    if not complaints:
        try:  # its constructor knows the required fields
            model(**{by_name[name]: one for name, one in value.items()})
        except ValueError as wrong:
            complaints.append(f"{where}: {wrong}")
    return complaints


def api_complaints(document: dict) -> list[str]:
    return check_type(document, {"DaemonSet": "V1DaemonSet", "Namespace": "V1Namespace"}[document["kind"]], document["kind"])


def test_the_manifests_are_right_by_the_types_of_the_api():
    pytest.importorskip("kubernetes", reason="python3-kubernetes is not installed (make deps)")
    found = documents()
    assert sorted(found) == ["DaemonSet", "Namespace"]
    assert {kind: api_complaints(one) for kind, one in found.items()} == {"DaemonSet": [], "Namespace": []}


@pytest.mark.parametrize("spoil, says", [
    (lambda spec: spec.update(tolerations=[{"key": "x", "operatr": "Exists"}]), "tolerations[0].operatr: no such field"),
    (lambda spec: spec["containers"][0].update(args="fetch"), "args: not a list"),
    (lambda spec: spec["containers"][0].pop("name"), "Invalid value for `name`, must not be `None`"),
    (lambda spec: spec["volumes"][0].pop("name"), "Invalid value for `name`, must not be `None`"),
    (lambda spec: spec.update(terminationGracePeriodSeconds="5"), "'5' is no int"),
])
def test_that_check_is_no_formality(spoil, says):
    pytest.importorskip("kubernetes", reason="python3-kubernetes is not installed (make deps)")
    daemonset = documents()["DaemonSet"]
    spoil(daemonset["spec"]["template"]["spec"])
    assert any(says in line for line in api_complaints(daemonset)), api_complaints(daemonset)


def test_the_manifest_agrees_with_itself():
    daemonset, spec = documents()["DaemonSet"], pod()
    (container,) = spec["containers"]
    assert daemonset["spec"]["selector"]["matchLabels"].items() <= daemonset["spec"]["template"]["metadata"]["labels"].items()
    assert daemonset["metadata"]["namespace"] == documents()["Namespace"]["metadata"]["name"]
    assert [one["name"] for one in spec["volumes"]] == [one["name"] for one in container["volumeMounts"]]
    for volume, mount in zip(spec["volumes"], container["volumeMounts"]):
        if "hostPath" in volume:
            assert mount["mountPath"] in (volume["hostPath"]["path"], "/host" + volume["hostPath"]["path"])
    version = re.search(r"^VERSION := (.+)$", (TREE / "Makefile").read_text(), re.M)[1]
    assert container["image"].endswith(f":{version}")


def test_the_pod_has_no_more_rights_than_it_needs():
    spec = pod()
    (container,) = spec["containers"]
    context = container["securityContext"]
    assert not {"hostPID", "hostNetwork", "hostIPC"} & set(spec) and spec["automountServiceAccountToken"] is False
    assert (context["privileged"], context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, False, True)
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert [one["mountPath"] for one in container["volumeMounts"] if not one.get("readOnly")] == [
        "/host", "/host/var/lib/modulus/bundles"]


# --- at work ---------------------------------------------------------------------------------------

class Node:
    """A node whose directories are in a folder, and the container as the manifest wants it."""

    def __init__(self, folder: pathlib.Path, image: pathlib.Path, machine):
        self.folder, self.image, self.machine = folder, image, machine
        (machine.root / "etc/ssl/certs").mkdir(parents=True)

    def on_host(self, path: str) -> pathlib.Path:
        return (self.machine.live if path.startswith("/run/") else self.machine.root) / path.lstrip("/")

    def popen(self, *arguments: str, also: dict[str, str] | None = None) -> subprocess.Popen:
        spec, tree = pod(), self.folder / "container"
        (container,) = spec["containers"]
        shutil.rmtree(tree, ignore_errors=True)
        with layer(self.image) as files:
            files.extractall(tree)
        for name, source in (also or {}).items():
            shutil.copy(source, tree / name)
        sources = {}
        for volume in spec["volumes"]:
            path = self.on_host(volume["hostPath"]["path"]) if "hostPath" in volume else self.folder / "empty"
            if "hostPath" not in volume or volume["hostPath"]["type"] == "DirectoryOrCreate":
                path.mkdir(parents=True, exist_ok=True)  # as the kubelet does it
            assert path.is_dir()
            sources[volume["name"]] = path
        lines = "".join(f"{sources[mount['name']]} {mount['mountPath']} {'ro' if mount.get('readOnly') else 'rw'}\n"
                        for mount in sorted(container["volumeMounts"], key=lambda mount: mount["mountPath"].count("/")))
        (self.folder / "mounts").write_text(lines)
        return subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/usr/bin/python3", str(CONTAINED), str(tree),
             *(arguments or ["/usr/bin/modulus", *container["args"]])],
            stdin=open(self.folder / "mounts"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *arguments: str, also: dict[str, str] | None = None) -> tuple[int, str]:
        with self.popen(*arguments, also=also) as process:
            said, _ = process.communicate(timeout=60)
        return process.returncode, said


@pytest.fixture
def server(tmp_path):
    www = tmp_path / "www"
    www.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(www))
    handler.func.log_message = lambda *words: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield www, f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


@pytest.fixture
def node(tmp_path, image, machine, server):
    """Configured as an operator does it; the bundle for the kernel that runs here is on a web server."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "x", "/mnt"],
                                           capture_output=True).returncode != 0:
        pytest.skip("namespaces are not allowed here")
    machine.driver(text=f"[Driver]\nVersion=1.0\nMatch=pci:v00001AF4d*\n[Source]\nFrom=cache: {server[1]}/{{kernel}}.tar.zst\n")
    machine.key()
    return Node(tmp_path, image, machine)


def bundle_for_here() -> bytes:
    kernel = {"release": RUNNING, "machine": os.uname().machine, "vermagic": elf.vermagic(RUNNING)}
    file = File(f"usr/lib/modules/{RUNNING}/modulus/gpu/alpha.ko", elf.module("alpha", RUNNING))
    return modules().but(files=(file,), fields={"kernel": kernel}).build()


def cached(node) -> list[pathlib.Path]:
    return sorted((node.machine.root / "var/lib/modulus/bundles" / RUNNING).glob("*.tar.zst"))


def wait_for(what, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def test_the_container_fills_the_nodes_cache_and_ends_when_asked_to(node, server, tmp_path):
    (server[0] / f"{RUNNING}.tar.zst").write_bytes(bundle_for_here())
    before = snapshot(node.machine.root, node.machine.live)
    with node.popen() as process:
        try:
            wait_for(lambda: cached(node) or process.poll() is not None)
            assert process.poll() is None, process.stdout.read()
            line = process.stdout.readline()
            children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(children[0]), 15)
            assert process.wait(timeout=10) == DONE
        finally:
            process.kill()
    assert "gpu: modules of gpu 1.0 for kernel" in line and "fetched from http" in line
    (kept,) = cached(node)
    assert kept.read_bytes() == bundle_for_here()
    # and nothing else of the node was changed, but for the directories that the kubelet makes
    after = snapshot(node.machine.root, node.machine.live)
    changed = {path.removeprefix(str(tmp_path)) for path in after if after[path] != before.get(path)}
    assert {path for path in changed if not path.startswith("/root/var/lib")} == {"/live/run/modulus"}
    assert set(before) <= set(after)


def test_rebuild_in_the_container_replaces_a_damaged_bundle(node, server):
    (server[0] / f"{RUNNING}.tar.zst").write_bytes(bundle_for_here())
    assert node.run("/usr/bin/modulus", "fetch", "--root", "/host")[0] == DONE
    (kept,) = cached(node)
    kept.write_bytes(kept.read_bytes()[:-5] + b"wrong")
    code, said = node.run("/usr/bin/modulus", "rebuild", "--root", "/host")
    assert code == DONE and cached(node) == [kept] and kept.read_bytes() == bundle_for_here(), said


def test_the_probe_says_why_a_node_has_no_driver(node):
    probe = pod()["containers"][0]["readinessProbe"]["exec"]["command"]
    assert node.run(*probe)[0] != DONE  # no boot wrote a report
    node.machine.device()
    assert node.machine.boot().code == NO_BUNDLE
    code, said = node.run(*probe)
    assert code == NO_BUNDLE and "gpu 1.0: no-bundle: " in said


def test_the_probe_is_content_on_a_node_without_a_gpu(node):
    assert node.machine.boot().code == DONE
    code, said = node.run(*pod()["containers"][0]["readinessProbe"]["exec"]["command"])
    assert code == DONE and "no-device" in said


def test_the_container_can_write_nowhere_but_into_the_cache(node):
    """With the same mounts and rights, and a program that tries."""
    def touch(path: str) -> tuple[int, str]:
        return node.run("/busybox", "touch", path, also={"busybox": "/usr/bin/busybox"})

    for place in ("/host/etc/modulus", "/host/etc/ssl/certs", "/host/usr", "/host/var/lib/modulus", "/run/modulus", ""):
        code, said = touch(f"{place}/x")
        assert code != DONE and "Read-only file system" in said, said
    assert touch("/host/var/lib/modulus/bundles/x") == (DONE, "")
    assert node.run("/busybox", "chown", "1", "/host/var/lib/modulus/bundles/x", also={"busybox": "/usr/bin/busybox"})[0] != DONE
