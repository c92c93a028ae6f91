# SPDX-License-Identifier: Apache-2.0
"""What others already publish: directories, images in KMM's shape, Debian packages, tars; and no more of it than is visible."""
import gzip
import io
import lzma
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

import elf
import zstdframe
from bundlemaker import RELEASE
from ocilayout import Image
from program import DONE
from workshop import PLACE

LAYER = "application/vnd.oci.image.layer.v1.tar"
KMM = f"opt/lib/modules/{RELEASE}"
PACKED = {"plain": bytes, "gzip": gzip.compress, "xz": lzma.compress, "zstd": zstdframe.compress}


def ko(name: str, version: str = "1") -> bytes:
    return elf.module(name, RELEASE, info={"version": version})


def tar(*entries: tuple, folder: str = "") -> bytes:
    """(path, content): a file; (path, None): a directory; (path, "hard" or "link", target): a link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        for path, content, *target in entries:
            info = tarfile.TarInfo(folder + path)
            if target:
                info.type, info.linkname = {"hard": tarfile.LNKTYPE, "link": tarfile.SYMTYPE}[content], target[0]
                made.addfile(info)
            elif content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                made.addfile(info)
            else:
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def image(workshop):
    """Layers, the lowest first -> what the bundle of that image holds: name -> version."""
    def build(*layers: bytes, **changes) -> dict[str, str]:
        folder = workshop.folder / "image"
        shutil.rmtree(folder, ignore_errors=True)
        Image.of(*((LAYER, layer) for layer in layers)).write(folder, "latest")
        workshop.build(modules=folder, **changes)
        return versions(workshop)
    return build


def versions(workshop) -> dict[str, str]:
    """Of each module in the bundle that was built last."""
    return {path.removeprefix(PLACE): content.split(b"\0version=")[1].split(b"\0")[0].decode()
            for path, content in workshop.files.items()}


def tree(root: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


# --- directories -----------------------------------------------------------------------------------

@pytest.mark.parametrize("folder", ["opt/lib/modules", "usr/lib/modules", "lib/modules"])
def test_a_directory_tree_of_an_image_gives_this_kernels_modules(workshop, folder):
    tree(workshop.modules, {f"{folder}/{RELEASE}/extra/deep/alpha.ko": ko("alpha"), f"{folder}/{RELEASE}/beta.ko.xz": lzma.compress(ko("beta")),
                            f"{folder}/6.1.0-1-other/gamma.ko": elf.module("gamma", "6.1.0-1-other"), "usr/share/delta.ko": ko("delta")})
    (workshop.modules / folder / RELEASE / "build").symlink_to("/nowhere")
    workshop.build()
    assert versions(workshop) == {"alpha.ko": "1", "beta.ko": "1"}


def test_in_a_directory_kmms_place_goes_before_that_of_the_image_itself(workshop):
    tree(workshop.modules, {f"{KMM}/alpha.ko": ko("alpha"), f"lib/modules/{RELEASE}/kernel/beta.ko": ko("beta")})
    workshop.build()
    assert versions(workshop) == {"alpha.ko": "1"}


@pytest.mark.parametrize("deep,taken", [(16, True), (17, False)])
def test_directories_may_be_so_deep_and_no_deeper(workshop, deep, taken):
    tree(workshop.modules, {"d/" * deep + "alpha.ko": ko("alpha")})
    if taken:
        workshop.build()
    else:
        workshop.refuses("directories are more than 16 deep")


# --- images ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("pack", PACKED)
def test_an_image_in_kmms_shape(image, pack):
    layers = (PACKED[pack](tar(("etc/os-release", b"ID=x\n"))),
              PACKED[pack](tar((f"{KMM}/extra/alpha.ko", ko("alpha")), (f"{KMM}/beta.ko.xz", lzma.compress(ko("beta"))),
                               (f"{KMM}/modules.dep", b""), ("opt/lib/modules/6.1.0-1-other/gamma.ko", ko("gamma")))))
    assert image(*layers) == {"alpha.ko": "1", "beta.ko": "1"}


def test_the_layers_of_an_image_may_be_packed_differently(image):
    assert image(*(pack(tar((f"{KMM}/{name}.ko", ko(name)))) for name, pack in PACKED.items())) == {
        f"{name}.ko": "1" for name in PACKED}


@pytest.mark.parametrize("prefix", ["", "./", "/"])
def test_a_layer_may_spell_its_paths_in_three_ways(image, prefix):
    assert image(tar((f"{KMM}/alpha.ko", ko("alpha")), (f"{KMM}/beta.ko", ko("beta")), folder="./"),
                 tar((f"{KMM}/.wh.beta.ko", b""), folder=prefix)) == {"alpha.ko": "1"}


def test_in_an_image_kmms_place_goes_before_that_of_the_image_itself(image):
    """Whatever layer it is in."""
    own, kmm = tar((f"lib/modules/{RELEASE}/kernel/alpha.ko", ko("alpha", "own"))), tar((f"{KMM}/alpha.ko", ko("alpha", "kmm")))
    assert image(own, kmm) == image(kmm, own) == {"alpha.ko": "kmm"}
    assert image(own) == {"alpha.ko": "own"}


BASE = ((f"{KMM}", None), (f"{KMM}/alpha.ko", ko("alpha")), (f"{KMM}/sub", None), (f"{KMM}/sub/beta.ko", ko("beta")),
        (f"{KMM}/sub/deep/gamma.ko", ko("gamma")), (f"{KMM}/subway.ko", ko("subway")))
ALL = {"alpha.ko": "1", "beta.ko": "1", "gamma.ko": "1", "subway.ko": "1"}


def without(*names: str, **more: str) -> dict[str, str]:
    return {name: version for name, version in ALL.items() if name.removesuffix(".ko") not in names} | {
        f"{name}.ko": version for name, version in more.items()}


@pytest.mark.parametrize("layers,left", [
    ([], ALL),
    ([[(f"{KMM}/alpha.ko", ko("alpha", "2"))]], without("alpha", alpha="2")),
    ([[(f"{KMM}/.wh.alpha.ko", b"")]], without("alpha")),
    ([[(f"{KMM}/.wh.sub", b"")]], without("beta", "gamma")),
    ([[(f"{KMM}/sub/.wh.deep", b"")]], without("gamma")),
    ([[(f"{KMM}/sub/.wh..wh..opq", b"")]], without("beta", "gamma")),
    ([[(f"{KMM}/sub/.wh..wh..opq", b""), (f"{KMM}/sub/delta.ko", ko("delta"))]], without("beta", "gamma", delta="1")),
    ([[(f"{KMM}/sub/delta.ko", ko("delta")), (f"{KMM}/sub/.wh..wh..opq", b"")]], without("beta", "gamma", delta="1")),
    ([[("opt/lib/.wh.modules", b""), (f"{KMM}/delta.ko", ko("delta"))]], {"delta.ko": "1"}),
    ([[(".wh..wh..opq", b""), (f"{KMM}/delta.ko", ko("delta"))]], {"delta.ko": "1"}),
    ([[(f"{KMM}/.wh.alpha.ko", b"")], [(f"{KMM}/alpha.ko", ko("alpha", "3"))]], without("alpha", alpha="3")),
    # a whiteout is about the layers below, not about its own
    ([[(f"{KMM}/alpha.ko", ko("alpha", "2")), (f"{KMM}/.wh.alpha.ko", b"")]], without("alpha", alpha="2")),
    ([[(f"{KMM}/.wh.alpha.ko", b"")], [(f"{KMM}/.wh.subway.ko", b"")]], without("alpha", "subway")),
    ([[(f"{KMM}/.wh.sub", b"")], [(f"{KMM}/sub/beta.ko", ko("beta", "2"))]], without("beta", "gamma", beta="2")),
    # what is replaced by something of another kind
    ([[(f"{KMM}/sub", b"now a file")]], without("beta", "gamma")),
    ([[(f"{KMM}/sub", "link", "/elsewhere")]], without("beta", "gamma")),
    ([[(f"{KMM}/alpha.ko", None)]], without("alpha")),
    ([[(f"{KMM}/alpha.ko", "link", "sub/beta.ko")]], without("alpha")),
    # a directory again is the same directory
    ([[(f"{KMM}/sub", None)]], ALL),
    # of one path twice in one layer the later counts
    ([[(f"{KMM}/alpha.ko", ko("alpha", "2")), (f"{KMM}/alpha.ko", ko("alpha", "3"))]], without("alpha", alpha="3")),
    # names that are no ASCII are nobody's business
    ([[("usr/share/doc/größe", b"x"), (f"{KMM}/.wh.alpha.ko", b"")]], without("alpha")),
], ids=["base-alone", "replaced", "file-whited-out", "directory-whited-out", "directory-in-a-directory", "opaque", "opaque-first",
        "opaque-last", "tree-whited-out", "root-opaque", "there-again", "whiteout-of-its-own-layer", "two-whiteouts", "directory-there-again",
        "directory-to-file", "directory-to-link", "file-to-directory", "file-to-link", "directory-twice", "twice-in-a-layer", "umlauts"])
def test_layers_are_applied_in_order_and_whiteouts_count(image, layers, left):
    assert image(tar(*BASE), *(gzip.compress(tar(*layer)) for layer in layers)) == left


def test_an_image_whose_modules_are_all_whited_out_has_none(workshop, image):
    Image.of((LAYER, tar(*BASE)), (LAYER, tar((f"{KMM}/.wh..wh..opq", b"")))).write(workshop.folder / "image", "latest")
    workshop.refuses(f"holds no kernel module (*.ko) for {RELEASE}", modules=workshop.folder / "image")


def test_an_image_for_another_kernel_is_said_to_have_none_for_this(workshop):
    Image.of((LAYER, tar(("opt/lib/modules/6.1.0-1-other/alpha.ko", ko("alpha"))))).write(workshop.folder / "image", "latest")
    workshop.refuses(f"holds no kernel module (*.ko) for {RELEASE}", modules=workshop.folder / "image")


def test_a_hard_link_is_named(workshop):
    Image.of((LAYER, tar((f"{KMM}/alpha.ko", ko("alpha")), (f"{KMM}/beta.ko", "hard", f"{KMM}/alpha.ko")))).write(
        workshop.folder / "image", "latest")
    workshop.refuses(f"{KMM}/beta.ko is a hard link to {KMM}/alpha.ko", modules=workshop.folder / "image")


@pytest.mark.parametrize("count,taken", [(128, True), (129, False)])
def test_so_many_layers_and_no_more(workshop, count, taken):
    folder = workshop.folder / "image"
    Image.of(*[(LAYER, tar())] * (count - 1), (LAYER, tar((f"{KMM}/alpha.ko", ko("alpha"))))).write(folder, "latest")
    if taken:
        workshop.build(modules=folder)
    else:
        workshop.refuses("129 layers; the limit is 128", modules=folder)


@pytest.mark.parametrize("size,taken", [(4 << 20, True), ((4 << 20) + 1, False)])
def test_an_index_of_so_many_bytes_and_no_more(workshop, size, taken):
    folder = Image.of((LAYER, tar((f"{KMM}/alpha.ko", ko("alpha"))))).write(workshop.folder / "image", "latest")
    index = folder / "index.json"
    index.write_bytes(index.read_bytes().ljust(size))
    if taken:
        workshop.build(modules=folder)
    else:
        workshop.refuses("index.json: File too large", modules=folder)


def test_what_is_wrong_with_a_layout_is_said(workshop):
    folder = Image.of((LAYER, gzip.compress(tar(*BASE)))).write(workshop.folder / "image", "latest")
    (blob,) = [path for path in (folder / "blobs/sha256").iterdir() if path.read_bytes()[:2] == b"\x1f\x8b"]
    whole = blob.read_bytes()
    blob.write_bytes(whole[:len(whole) // 2])
    workshop.refuses(str(blob), modules=folder)
    blob.unlink()
    workshop.refuses(str(blob), modules=folder)
    (folder / "index.json").write_text("{")
    workshop.refuses("index.json: not JSON", modules=folder)
    (folder / "index.json").write_text('{"manifests":[{"digest":"sha256:../../../../etc/passwd"}]}')
    workshop.refuses("without a sha256 digest", modules=folder)
    (folder / "index.json").write_text('{"manifests":[{},{}]}')
    workshop.refuses("holds 2 images; one is expected", modules=folder)


# --- packages and tars -----------------------------------------------------------------------------

@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
@pytest.mark.parametrize("pack", ["gzip", "xz", "zstd", "none"])
def test_a_debian_package_with_modules(workshop, pack):
    root = tree(workshop.folder / "root", {
        f"lib/modules/{RELEASE}/updates/dkms/alpha.ko": ko("alpha"), f"lib/modules/{RELEASE}/beta.ko.xz": lzma.compress(ko("beta")),
        "lib/modules/6.1.0-1-other/updates/alpha.ko": ko("alpha"), "usr/share/doc/x/README": b"x",
        "DEBIAN/control": b"Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.com>\nDescription: x\n"})
    package = workshop.folder / "x.deb"
    done = subprocess.run(["dpkg-deb", "-b", "--root-owner-group", f"-Z{pack}", root, package], capture_output=True, text=True)
    if "unknown compression" in done.stderr:
        pytest.skip("this dpkg-deb cannot write that")
    assert done.returncode == DONE, done.stderr
    workshop.build(modules=package)
    assert versions(workshop) == {"alpha.ko": "1", "beta.ko": "1"}


@pytest.mark.parametrize("pack", PACKED)
@pytest.mark.parametrize("folder", ["", "./", f"lib/modules/{RELEASE}/", f"release-1.0/lib/modules/{RELEASE}/extra/"])
def test_a_tar_with_modules(workshop, pack, folder):
    archive = workshop.folder / "modules.tar"
    archive.write_bytes(PACKED[pack](tar(("alpha.ko", ko("alpha")), ("sub/beta.ko.zst", zstdframe.compress(ko("beta"))),
                                         ("data.tar.gz", b"just a name"), folder=folder)))
    workshop.build(modules=archive)
    assert versions(workshop) == {"alpha.ko": "1", "beta.ko": "1"}


@pytest.mark.parametrize("content", [b"", b"x" * 2000, tar(("README", b"x")), b"!<arch>\n"], ids=["empty", "text", "no-module", "empty-ar"])
def test_a_file_that_is_no_place_with_modules(workshop, content):
    archive = workshop.folder / "modules.tar"
    archive.write_bytes(content)
    workshop.refuses("modules.tar", modules=archive)


def test_a_tar_that_is_cut_off(workshop):
    archive = workshop.folder / "modules.tar"
    archive.write_bytes(gzip.compress(tar(("alpha.ko", ko("alpha")), ("beta.ko", ko("beta"))))[:-30])
    workshop.refuses("modules.tar", modules=archive)
