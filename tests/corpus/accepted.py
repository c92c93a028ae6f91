# SPDX-License-Identifier: Apache-2.0
"""Bundles that must be taken: each limit from inside, and all that the format leaves open."""
import json

import zstandard

import zstdframe
from bundlemaker import (MODULES, OTHER_KEY, TEST_KEY, UNKNOWN_KEY, BLOCK, File, Recipe, compact, cut_at, firmware, header, module_file,
                         modules, padded, runtime, signed_by, END)
from minisign import LEGACY, PREHASHED, SecretKey

from . import good

MIB = 1 << 20
FIRMWARE = "usr/lib/firmware/"
ALL_CHARACTERS = "AZaz09._+@~,:=-"
INTEGER = 2**63 - 1

good("modules", modules().build)
good("one-module", modules("alpha").build)
good("modules-and-firmware", Recipe(files=(module_file("alpha"), module_file("beta"), File(FIRMWARE + "gpu/x.bin", b"x"))).build)
good("modules-not-in-alphabetical-order", modules("zeta", "alpha", "mu").build)
good("modules-with-dashes", modules("nvidia-drm", "nvidia_uvm", "a-b_c", fields={"load": ["nvidia_drm", "nvidia-uvm"]}).build)
good("module-file-in-the-firmware-tree", firmware(File(FIRMWARE + "x.ko", b"not a module")).build)
good("firmware", firmware().build)
good("firmware-sorted-bytewise", firmware(*(File(FIRMWARE + name, b"x") for name in ("A", "B/x", "a-b", "a.b", "a/b", "b"))).build)
good("firmware-in-mode-0755", firmware(File(FIRMWARE + "x", b"x", 0o755)).build)
good("runtime", runtime(links=(("usr/lib/x86_64-linux-gnu/libgpu.so.1", "libgpu.so.1.0"), ("usr/bin/smi", "gpu-smi"))).build)
good("runtime-all-its-trees", runtime(*(File(path, b"x") for path in sorted((
    "usr/bin/x", "usr/lib/x", "usr/lib/gpu/modules/x", "usr/lib/x86_64-linux-gnu/x", "usr/lib32/x", "usr/lib64/x", "usr/libexec/gpu/x",
    "usr/share/vulkan/icd.d/x.json")))).build)
good("links-that-point-at-nothing-or-at-each-other", firmware(links=(
    (FIRMWARE + "a", "b"), (FIRMWARE + "b", "a"), (FIRMWARE + "c", "missing"), (FIRMWARE + "d", "d"))).build)
good("empty-file", firmware(File(FIRMWARE + "x", b"")).build)
good("path-of-all-characters", firmware(File(FIRMWARE + ALL_CHARACTERS + "/" + ALL_CHARACTERS, b"x")).build)

# --- each limit from inside ------------------------------------------------------------------------

TWO_HUNDRED = FIRMWARE + "d" * 50 + "/" + "e" * 50 + "/"
good("path-of-200-bytes", firmware(File(TWO_HUNDRED + "f" * (200 - len(TWO_HUNDRED)), b"x")).build)
good("link-target-of-97-bytes-beside-it", firmware(links=((TWO_HUNDRED + "l", "f" * 97),)).build)
good("name-and-flavor-of-64-bytes", modules(fields={"flavor": "f" * 64}, edit=lambda m: m.update(
    name="g" * 64, files=[{**f, "path": f["path"].replace("/gpu/", f"/{'g' * 64}/")} for f in m["files"]]),
    tar=lambda files: b"".join(header(f.path.replace("/gpu/", f"/{'g' * 64}/"), len(f.content)) + padded(f.content) for f in files) + END
    ).build)
good("version-of-64-bytes", modules(fields={"version": "1.0+~-_" + "v" * 57}).build)
good("module-name-of-64-bytes", modules("m" * 64).build)
good("kernel-release-of-64-bytes", modules(edit=lambda m: _release(m, "6" * 64),
                                           tar=lambda files: _tar_for(files, "6" * 64)).build)
good("kernel-machine-of-64-bytes", modules(edit=lambda m: m["kernel"].update(machine="m" * 64)).build)
good("kernel-vermagic-of-256-bytes", modules(edit=lambda m: m["kernel"].update(vermagic="~" * 255 + " ")).build)
good("kernel-build-id-of-8-bytes", modules(edit=lambda m: m["kernel"].update(build_id="0f" * 8)).build)
good("kernel-build-id-of-20-bytes", modules(edit=lambda m: m["kernel"].update(build_id="a5" * 20)).build)
good("kernel-build-id-of-32-bytes", modules(edit=lambda m: m["kernel"].update(build_id="f0" * 32)).build)
good("load-64-names-one-many-times", modules(fields={"load": ["alpha"] * 64}).build)
good("match-512-globs-of-256-bytes", modules(fields={"match": ["pci:" + "*" * 252] * 512}).build)
good("match-that-takes-away", modules(fields={"match": ["pci:*", "!pci:v0000BEEFd*"]}).build)
good("match-none", modules(fields={"match": []}).build)
good("options-64-lines", modules(fields={"options": ["alpha x=\"a b\" y=1"] * 64}).build)
good("options-of-4096-bytes", modules(fields={"options": ["alpha " + "x" * 4090]}).build)
good("options-of-commas", modules(fields={"options": ["alpha x=" + "," * 4088] * 64}).build)
good("serial-and-created-2-to-the-63-less-1", modules(fields={"serial": INTEGER, "created": INTEGER}).build)
good("serial-and-created-0", modules(fields={"serial": 0, "created": 0}).build)
good("requires", modules(fields={"requires": "0123456789abcdef" * 4}).build)
good("files-4096", firmware(*(File(f"{FIRMWARE}{i:04}", b"") for i in range(4096)), cut=cut_at(MIB)).build)
good("links-4096", firmware(links=tuple((f"{FIRMWARE}l{i:04}", "gpu") for i in range(4096))).build)
good("manifest-of-1-MiB", modules(encode=lambda m: compact(m).ljust(MIB)).build)
good("signatures-of-16-KiB", modules(sign=lambda m: TEST_KEY.signature(m, untrusted=b"untrusted comment:".ljust(
    (16 << 10) - len(TEST_KEY.signature(m, untrusted=b"")), b"x"))).build)
BIG = bytes(i * i // 7 % 251 for i in range(4099)) * 1022  # a little less than 4 MiB, in two chunks when cut at 4 MiB
good("chunk-of-4-MiB-of-tar", firmware(File(FIRMWARE + "x", BIG), cut=cut_at(4 * MIB)).build)
good("chunk-of-4-MiB-stored", firmware(File(FIRMWARE + "x", BIG[:MIB]), pack=lambda tar: _filled(tar, 4 * MIB), cut=cut_at(8 * MIB)).build)
good("chunks-of-one-byte", firmware(File(FIRMWARE + "x", b"x"), cut=cut_at(1)).build)
good("chunk-cut-inside-a-header", modules(cut=cut_at(700)).build)
good("window-of-8-MiB", modules(pack=lambda tar: zstdframe.raw(tar, window=(23, 0))).build)
good("window-of-1-KiB", modules(pack=lambda tar: zstdframe.raw(tar, window=(10, 0))).build)

# --- what a frame may be ---------------------------------------------------------------------------

good("frames-with-checksums", modules(pack=lambda tar: zstdframe.compress(tar, write_checksum=True)).build)
good("frames-without-content-size", modules(pack=lambda tar: zstdframe.compress(tar, write_content_size=False)).build)
good("frames-with-content-size-in-eight-bytes", modules(pack=lambda tar: zstdframe.raw(tar, content_size=len(tar))).build)
good("frames-at-level-22", modules(pack=lambda tar: zstdframe.compress(tar, level=22)).build)
good("frames-of-a-streaming-writer", modules(pack=lambda tar: _streamed(tar)).build)

# --- what a signature may be -----------------------------------------------------------------------

good("signed-legacy", modules(sign=signed_by(TEST_KEY, algorithm=LEGACY)).build)
good("signed-prehashed", modules(sign=signed_by(TEST_KEY, algorithm=PREHASHED)).build)
good("signed-by-the-other-key", modules(sign=signed_by(OTHER_KEY)).build)
good("signed-by-both-keys", modules(sign=signed_by(TEST_KEY, OTHER_KEY)).build)
good("eight-signatures-the-last-by-a-known-key", modules(sign=signed_by(*map(SecretKey.for_tests, range(100, 107)), TEST_KEY)).build)
good("eight-signatures-the-first-by-a-known-key", modules(sign=signed_by(TEST_KEY, *map(SecretKey.for_tests, range(100, 107)))).build)
good("unknown-key-first", modules(sign=signed_by(UNKNOWN_KEY, TEST_KEY)).build)
good("one-known-key-wrong-the-other-right", modules(sign=lambda m: OTHER_KEY.signature(m + b" ") + TEST_KEY.signature(m)).build)
good("trusted-comment-empty", modules(sign=signed_by(TEST_KEY, comment=b"")).build)
good("trusted-comment-of-odd-bytes", modules(sign=signed_by(TEST_KEY, comment=b"\t\x1b[31m\xff\xfe\r")).build)
good("untrusted-comment-empty", modules(sign=signed_by(TEST_KEY, untrusted=b"untrusted comment:")).build)
good("last-line-without-its-line-feed", modules(sign=lambda m: TEST_KEY.signature(m)[:-1]).build)

# --- what JSON may look like -----------------------------------------------------------------------

good("manifest-indented", modules(encode=lambda m: json.dumps(m, indent="\t").encode() + b"\r\n").build)
good("manifest-keys-in-another-order", modules(encode=lambda m: json.dumps(m, sort_keys=True).encode()).build)
good("manifest-with-escapes", modules(encode=lambda m: compact(m).replace(b'"gpu"', b'"\\u0067p\\u0075"').replace(
    b"usr/lib", b"usr\\/lib")).build)


def _release(manifest: dict, release: str) -> None:
    manifest["kernel"]["release"] = release
    for file in manifest["files"]:
        file["path"] = f"usr/lib/modules/{release}/modulus/gpu/" + file["path"].rpartition("/")[2]


def _tar_for(files: list[File], release: str) -> bytes:
    renamed = [File(f"usr/lib/modules/{release}/modulus/gpu/" + file.path.removeprefix(MODULES), file.content) for file in files]
    return b"".join(header(file.path, len(file.content)) + padded(file.content) for file in renamed) + END


def _streamed(tar: bytes) -> bytes:
    stream = zstandard.ZstdCompressor(level=19).compressobj()
    return b"".join(stream.compress(tar[at:at + 100]) for at in range(0, len(tar), 100)) + stream.flush()


def _filled(tar: bytes, size: int) -> bytes:
    """A frame of exactly `size` bytes: empty blocks say nothing, three bytes each; one repeat block more mends the rest."""
    plain = zstdframe.raw(tar, window=(17, 0), block_kind=0)
    head, body = plain[:6], plain[6:]
    missing = size - len(plain)
    repeats = missing % 3
    filler = b"\2\0\0x" * repeats + b"\0\0\0" * ((missing - 4 * repeats) // 3)
    assert len(head + filler + body) == size and len(tar) > BLOCK
    return head + filler + body
