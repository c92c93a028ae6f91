# SPDX-License-Identifier: Apache-2.0
"""Bundles of firmware and of libraries and programs: from a tree, for one version of a driver and every kernel."""
import os
from pathlib import Path

import pytest

from bundlemaker import TEST_KEY
from program import DONE, USAGE, modulus
from workshop import Workshop

LIBRARIES = "usr/lib/x86_64-linux-gnu"


def put(tree: Path, path: str, content: bytes | str = b"", mode: int = 0o644) -> Path:
    """A file of a tree, or, where `content` is a word, a link."""
    file = tree / path
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        file.symlink_to(content)
    else:
        file.write_bytes(content)
        file.chmod(mode)
    return file


class TreeWorkshop(Workshop):
    """Without modules and kernel."""

    def __init__(self, folder):
        super().__init__(folder)
        self.tree = folder / "tree"
        self.tree.mkdir()

    def words(self, *more, kind: str = "runtime", **changes) -> list[str]:
        return super().words(*more, **{"kind": kind, "tree": self.tree, "kernel": None, "kernel_dir": None, "modules": None, **changes})


@pytest.fixture
def workshop(tmp_path):
    return TreeWorkshop(tmp_path)


def test_libraries_and_programs_with_modes_and_links(workshop, tmp_path):
    put(workshop.tree, "usr/bin/gpu-smi", b"program", 0o755)
    put(workshop.tree, "usr/bin/gpu-bug-report", b"script", 0o4700)
    put(workshop.tree, f"{LIBRARIES}/libgpu.so.1.0", b"library")
    put(workshop.tree, f"{LIBRARIES}/libgpu.so.1", "libgpu.so.1.0")
    put(workshop.tree, f"{LIBRARIES}/libgpu.so", "libgpu.so.1")
    put(workshop.tree, "usr/share/gpu/profiles.json", b"{}", 0o600)
    manifest = workshop.build().manifest
    assert {key: manifest[key] for key in ("name", "version", "kind", "load", "match", "options")} == {
        "name": "gpu", "version": "1.0", "kind": "runtime", "load": [], "match": [], "options": []}
    assert "kernel" not in manifest
    # 0600 of the builder's is nobody's business: readable for all, and executable when it was
    assert [(file["path"], file["mode"]) for file in manifest["files"]] == [
        ("usr/bin/gpu-bug-report", 0o755), ("usr/bin/gpu-smi", 0o755), (f"{LIBRARIES}/libgpu.so.1.0", 0o644),
        ("usr/share/gpu/profiles.json", 0o644)]
    assert manifest["links"] == [{"path": f"{LIBRARIES}/libgpu.so", "target": "libgpu.so.1"},
                                 {"path": f"{LIBRARIES}/libgpu.so.1", "target": "libgpu.so.1.0"}]
    assert b"\tfile:gpu-1.0-runtime\n" in workshop.output.read_bytes()


def test_what_comes_out_is_what_went_in(workshop, tmp_path):
    put(workshop.tree, "usr/bin/gpu-smi", b"program", 0o755)
    put(workshop.tree, f"{LIBRARIES}/libgpu.so.1.0", os.urandom(5_000_000))    # more than one chunk
    put(workshop.tree, f"{LIBRARIES}/libgpu.so.1", "libgpu.so.1.0")
    workshop.build()
    out = tmp_path / "unpacked"
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "test.pub").write_text(TEST_KEY.public.text())
    assert modulus("unpack", "--keys", keys, workshop.output, out).returncode == DONE
    for path in (file for file in workshop.tree.rglob("*") if not file.is_dir()):
        twin = out / path.relative_to(workshop.tree)
        assert twin.is_symlink() == path.is_symlink() and twin.read_bytes() == path.read_bytes()
        assert twin.lstat().st_mode == path.lstat().st_mode


def test_firmware(workshop):
    put(workshop.tree, "usr/lib/firmware/gpu/1.0/gsp.bin", b"firmware")
    put(workshop.tree, "usr/lib/firmware/gpu/1.0/alias.bin", "gsp.bin")
    manifest = workshop.build(kind="firmware").manifest
    assert manifest["kind"] == "firmware" and [file["path"] for file in manifest["files"]] == ["usr/lib/firmware/gpu/1.0/gsp.bin"]
    assert manifest["links"] == [{"path": "usr/lib/firmware/gpu/1.0/alias.bin", "target": "gsp.bin"}]


def test_the_same_tree_gives_the_same_bytes(tmp_path):
    made = []
    for name in ("one", "two"):
        workshop = TreeWorkshop(tmp_path / name)
        for path in ("usr/bin/b", "usr/bin/a", "usr/lib/a-b", "usr/lib/a/b")[:: 1 if name == "one" else -1]:
            put(workshop.tree, path, path.encode())
        workshop.build()
        made.append(workshop.output.read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize("kind, path", [
    ("runtime", "usr/lib/modules/x"), ("runtime", "usr/lib/firmware/x"), ("runtime", "usr/lib/systemd/system/x.service"),
    ("runtime", "etc/passwd"), ("runtime", "usr/sbin/x"), ("runtime", "usr/lib/.hidden"), ("firmware", "usr/lib/x"),
    ("firmware", "usr/bin/x")])
def test_a_place_that_no_bundle_may_hold_is_named(workshop, kind, path):
    put(workshop.tree, path, b"x")
    workshop.refuses(f"{path}: a path that no bundle may hold", kind=kind)


@pytest.mark.parametrize("target", ["/etc/passwd", "../bin/x", "deeper/x"])
def test_a_link_that_leads_elsewhere_is_named(workshop, target):
    put(workshop.tree, "usr/lib/file", b"x")
    put(workshop.tree, "usr/lib/link", target)
    workshop.refuses("usr/lib/link: a link may lead to a file beside it only")


def test_neither_a_file_nor_a_directory(workshop):
    (workshop.tree / "usr/lib").mkdir(parents=True)
    os.mkfifo(workshop.tree / "usr/lib/fifo")
    workshop.refuses("usr/lib/fifo is neither a file nor a directory")


def test_an_empty_tree_and_none(workshop):
    workshop.refuses("tree: no files")
    workshop.refuses("nowhere: No such file or directory", tree=workshop.folder / "nowhere")


@pytest.mark.parametrize("words", [("--kernel", "6.1.0"), ("--modules", "x"), ("--from-kernel",), ("--load", "x"), ("--match", "pci:*"),
                                   ("--option", "x y=1"), ("--firmware", "x"), ("--module-key", "x")])
def test_words_of_modules_are_a_usage_error(workshop, words):
    put(workshop.tree, "usr/lib/x", b"x")
    done = workshop.run(*words)
    assert done.returncode == USAGE and "take no kernel and no modules" in done.stderr
    assert not workshop.output.exists()


@pytest.mark.parametrize("says, change", [("need --tree", {"tree": None}), ("--tree belongs to", {"kind": None}),
                                          ("--kind takes modules, firmware or runtime", {"kind": "libraries"})])
def test_kind_and_tree_belong_together(workshop, says, change):
    done = workshop.run(**change)
    assert done.returncode == USAGE and says in done.stderr


def test_the_images_tag_has_the_kind_where_the_kernel_would_be(workshop, tmp_path):
    put(workshop.tree, "usr/lib/x", b"x")
    assert workshop.run("--flavor", "open", "--oci-layout", tmp_path / "layout", output=None).returncode == DONE
    assert '"1.0-runtime-open"' in (tmp_path / "layout/index.json").read_text()
