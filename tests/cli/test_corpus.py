# SPDX-License-Identifier: Apache-2.0
"""Every bundle of tests/corpus is refused or taken as it must be, by the program and by the second reader, cheaply and
without a trace outside the target."""
import hashlib
import io
import re
import shutil
import subprocess

import pytest

import bundle
from bundlemaker import BLOCK, END, TEST_KEY, File, bundle_file, compact, firmware, header, signed_by
from corpus import GOOD, KEYS, REFUSE
from program import DONE, MODULUS, TREE, UNTRUSTED, environment, snapshot
from zstdframe import raw, runs

PEAK_KIB = 32 << 10
PUBLIC = [key.public for key in KEYS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture
def place(folder):
    """A directory with something beside the target."""
    place = folder / "place"
    (place / "target").mkdir(parents=True)
    (place / "beside").write_text("x")
    yield place
    shutil.rmtree(place)


def second_reader(data: bytes) -> str:
    """The reason word, or "good"."""
    try:
        bundle.verify(io.BytesIO(data), PUBLIC)
    except bundle.Refused as why:
        return why.reason
    return "good"


def message(case, file, stderr: str) -> None:
    """One line: who, the word, which file, what."""
    start = f"modulus: {case.reason}: {file}: "
    assert stderr.startswith(start) and stderr.count("\n") == 1 and stderr.endswith("\n")
    assert case.holds(stderr.removeprefix(start)), f"{stderr!r} does not match {case.says!r}"
    assert re.fullmatch(r"[ -~]*\n", stderr), "text from outside that was not escaped"


def test_the_corpus_is_large_enough():
    assert len(REFUSE) >= 150 and len(GOOD) >= 50


@pytest.mark.parametrize("name", REFUSE)
def test_refused(name, folder, place, keys, spawner):
    case = REFUSE[name]
    data = case.build()
    assert second_reader(data) == case.reason
    file = folder / "refused.tar.zst"
    file.write_bytes(data)
    before = snapshot(place)

    verified = spawner.run(MODULUS, "verify", "--keys", keys, file, env=environment())
    assert (verified.code, verified.out) == (UNTRUSTED, b"")
    message(case, file, verified.err.decode(errors="replace"))
    unpacked = spawner.run(MODULUS, "unpack", "--keys", keys, file, place / "target", env=environment(), cwd=place)
    assert (unpacked.code, unpacked.out, unpacked.err) == (UNTRUSTED, b"", verified.err)

    assert snapshot(place) == before
    assert max(verified.peak_kib, unpacked.peak_kib) <= PEAK_KIB, (verified, unpacked)


def everything_below(folder) -> dict:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_symlink() or path.is_file()}


@pytest.mark.parametrize("name", GOOD)
def test_taken(name, folder, keys, spawner, tmp_path):
    data = GOOD[name]()
    wanted = {}
    found = bundle.verify(io.BytesIO(data), PUBLIC, lambda file, blocks: wanted.update({file["path"]: b"".join(blocks)}))
    file = folder / "good.tar.zst"
    file.write_bytes(data)

    verified = spawner.run(MODULUS, "verify", "--keys", keys, file, env=environment())
    assert verified.code == DONE, verified
    assert f"sha256 {found.digest}, signed by key {found.key.name}\n" in verified.out.decode()
    assert verified.peak_kib <= PEAK_KIB, verified
    unpacked = spawner.run(MODULUS, "unpack", "--keys", keys, file, tmp_path / "target", env=environment())
    assert (unpacked.code, unpacked.out, unpacked.err) == (DONE, b"", b"")
    there = everything_below(tmp_path / "target")
    assert {path: at.read_bytes() for path, at in there.items() if not at.is_symlink()} == wanted
    assert {path: str(at.readlink()) for path, at in there.items() if at.is_symlink()} == {
        link["path"]: link["target"] for link in found.manifest["links"]}
    for entry in found.manifest["files"]:
        assert there[entry["path"]].stat().st_mode & 0o7777 == entry["mode"]

    # plain tools read it
    assert subprocess.run(["zstd", "-q", "-t", file], capture_output=True).returncode == 0
    listed = subprocess.run(["tar", "--zstd", "-tf", file], capture_output=True, text=True)
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.splitlines() == [entry["path"] for entry in found.manifest["files"]]


def test_two_gib_of_tar_are_taken_in_little_memory(tmp_path, keys, spawner):
    """Just inside the limit; the runs of zeros are some kilobytes as they are stored."""
    two_gib, four_mib = 2 << 30, 4 << 20
    size = two_gib - 3 * BLOCK
    digest = hashlib.sha256()
    block = bytes(four_mib)
    for _ in range(size // four_mib):
        digest.update(block)
    digest.update(bytes(size % four_mib))
    path = "usr/lib/firmware/x"
    # the header is a chunk by itself, so that all others are zeros alone
    plain_sizes = [BLOCK] + [four_mib] * (two_gib // four_mib - 1) + [four_mib - BLOCK]
    frames = [raw(header(path, size)), runs(four_mib >> 17), raw(bytes(four_mib - BLOCK), window=(17, 0))]
    stored = [frames[0]] + [frames[1]] * (len(plain_sizes) - 2) + [frames[2]]

    def edit(manifest: dict) -> None:
        manifest["files"] = [{"path": path, "size": size, "mode": 0o644, "sha256": digest.hexdigest()}]
        manifest["unpacked"] = two_gib
        manifest["chunks"] = [{"stored": len(frame), "size": plain, "sha256": hashlib.sha256(frame).hexdigest()}
                              for frame, plain in zip(stored, plain_sizes)]

    manifest, _ = firmware(File(path, b""), tar=lambda files: END, edit=edit).manifest()
    data = bundle_file(compact(manifest), signed_by(TEST_KEY)(compact(manifest)), stored)
    file = tmp_path / "large.tar.zst"
    file.write_bytes(data)
    done = spawner.run(MODULUS, "verify", "--keys", keys, file, env=environment())
    assert done.code == DONE and done.peak_kib <= PEAK_KIB, done
    assert second_reader(data) == "good"


def test_the_limits_of_the_second_reader_are_those_of_the_program():
    text = (TREE / "stage" / "limit.h").read_text()
    found = {name: eval(value) for name, value in re.findall(r"#define LIMIT_(\w+) ([0-9(][0-9ul<>() ]*)$", re.sub(
        r"(?<=[0-9])u(?:ll)?\b", "", text), flags=re.M)}
    same = ["MANIFEST_BYTES", "SIGNATURES_BYTES", "SIGNATURES", "CHUNK_BYTES", "FILES", "LINKS", "UNPACKED_BYTES", "PATH_BYTES",
            "NAME_BYTES", "RELEASE_BYTES", "VERMAGIC_BYTES", "LOAD_NAMES", "MATCH_GLOBS", "GLOB_BYTES", "OPTION_BYTES", "OPTIONS"]
    assert {name: found[name] for name in same} == {name: getattr(bundle, name) for name in same}
    assert found["BUILD_ID_BYTES"] == bundle.BUILD_ID_BYTES[-1]
