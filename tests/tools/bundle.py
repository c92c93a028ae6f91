#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The second implementation of docs/bundle.md: reads a bundle front to back, once, and believes nothing.

It was written from that page, not from stage/, and shares no code with it; tests hold the two against each other.
Everything that is wrong with a bundle is one exception, Refused, with the reason word and a sentence.

    bundle.py KEYS-DIR BUNDLE...      verifies each, says so, exits 4 when one is refused
"""
import hashlib
import json
import re
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import minisign
import zstdframe

MANIFEST_MAGIC, SIGNATURES_MAGIC = 0x184D2A50, 0x184D2A51
FRAME_HEADER = struct.Struct("<II")

# docs/bundle.md, "Limits"
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
MANIFEST_BYTES = MIB
MANIFEST_MARKS = 65536  # { [ and , outside strings
SIGNATURES_BYTES = 16 * KIB
SIGNATURES = 8
CHUNK_BYTES = 4 * MIB
WINDOW_BYTES = 8 * MIB
FILES = LINKS = 4096
UNPACKED_BYTES = 2 * GIB
PATH_BYTES = 200
NAME_BYTES = RELEASE_BYTES = 64
VERMAGIC_BYTES = GLOB_BYTES = 256
LOAD_NAMES = OPTIONS = 64
MATCH_GLOBS = 512
OPTION_BYTES = 4096
BUILD_ID_BYTES = range(8, 33)
INTEGER = 2**63 - 1

BLOCK = 512  # of a tar


class Refused(Exception):
    def __init__(self, reason: str, text: str):
        super().__init__(f"{reason}: {text}")
        self.reason, self.text = reason, text


def corrupt(text: str) -> Refused:
    return Refused("corrupt", text)


@dataclass(frozen=True)
class Verified:
    manifest: dict
    digest: str
    key: minisign.PublicKey


# --- 1. the header frames, 2. the signature --------------------------------------------------------

def _exactly(stream: BinaryIO, length: int, where: str) -> bytes:
    data = b""
    while len(data) < length:
        more = stream.read(length - len(data))
        if not more:
            raise corrupt(f"truncated in {where}")
        data += more
    return data


def _frame(stream: BinaryIO, magic: int, limit: int, what: str) -> bytes:
    found, length = FRAME_HEADER.unpack(_exactly(stream, FRAME_HEADER.size, f"the {what} frame's header"))
    if found != magic:
        raise corrupt(f"no {what} frame")
    if length > limit:
        raise corrupt(f"{what} above {limit} bytes")
    return _exactly(stream, length, f"the {what}")


def signer(manifest: bytes, signatures: bytes, keys: Iterable[minisign.PublicKey]) -> minisign.PublicKey:
    """The key that one of the signatures is by; Refused when none holds."""
    try:
        found = minisign.parse_signatures(signatures)
    except minisign.NotSignatures as why:
        raise corrupt(f"signatures: {why}") from None
    if len(found) > SIGNATURES:
        raise corrupt(f"more than {SIGNATURES} signatures")
    keys = list(keys)
    for signature in found:
        for key in keys:
            if key.id == signature.id and signature.holds(key, manifest):
                return key
    raise Refused("untrusted", "not signed by a known key")


# --- 3. the manifest -------------------------------------------------------------------------------

NAME = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{NAME_BYTES - 1}}}")
WORD = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._+~-]{{0,{NAME_BYTES - 1}}}")  # version, kernel.release
MODULE = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{NAME_BYTES - 1}}}")
PRINTABLE = re.compile(r"[\x20-\x7e]+")
HEX = re.compile(r"(?:[0-9a-f]{2})+")
PATH = re.compile(r"[A-Za-z0-9_+@~,:=][A-Za-z0-9._+@~,:=-]*(?:/[A-Za-z0-9_+@~,:=][A-Za-z0-9._+@~,:=-]*)*")
RUNTIME = re.compile(r"usr/(?:bin|share|lib[a-z0-9]*)/.+")
NOT_RUNTIME = re.compile(r"usr/lib/(?:modules|firmware|systemd|udev)(?:/.*)?")


STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _no_duplicates(pairs: list) -> dict:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text[:20]} is not a whole number")


def _json(data: bytes) -> object:
    outside_strings = STRING.sub(b"", data)
    if sum(map(outside_strings.count, (b"{", b"[", b","))) > MANIFEST_MARKS:
        raise corrupt("manifest: too many values")
    try:
        return json.loads(data.decode("utf-8", "strict"), object_pairs_hook=_no_duplicates, parse_float=_no_number,
                          parse_constant=_no_number)
    except (ValueError, RecursionError) as why:
        raise corrupt(f"manifest: not JSON: {type(why).__name__}") from None


Check = Callable[[object], bool]


def _text(pattern: re.Pattern, limit: int = 1 << 30) -> Check:
    return lambda v: isinstance(v, str) and len(v) <= limit and pattern.fullmatch(v) is not None


def _whole(limit: int, least: int = 0) -> Check:
    return lambda v: type(v) is int and least <= v <= limit


def _list(limit: int, check: Check) -> Check:
    return lambda v: isinstance(v, list) and len(v) <= limit and all(check(one) for one in v)


def _object(value: object, where: str, fields: dict[str, Check], optional: frozenset = frozenset()) -> dict:
    """Exactly these fields, each of its own kind; the first that is not is named."""
    if not isinstance(value, dict):
        raise corrupt(f"manifest: {where or 'it'} is not an object")
    for name, check in fields.items():
        if name not in value:
            if name not in optional:
                raise corrupt(f"manifest: {where}{name} is missing")
        elif not check(value[name]):
            raise corrupt(f"manifest: {where}{name} is not what it may be")
    for name in value:
        if name not in fields:
            raise corrupt(f"manifest: {where}{ascii(name)} is unknown")
    return value


_sha256 = _text(HEX, 64)
_SHA256: Check = lambda v: _sha256(v) and len(v) == 64
_ANY: Check = lambda v: True
TOP: dict[str, Check] = {
    "format": lambda v: type(v) is int and v == 1,
    "name": _text(NAME),
    "version": _text(WORD),
    "flavor": lambda v: v == "" or _text(NAME)(v),
    "serial": _whole(INTEGER),
    "created": _whole(INTEGER),
    "kind": lambda v: v in ("modules", "firmware", "runtime") if isinstance(v, str) else False,
    "kernel": _ANY,
    "load": _list(LOAD_NAMES, _text(MODULE)),
    "match": _list(MATCH_GLOBS, lambda v: _text(PRINTABLE, GLOB_BYTES)(v) and ":" in v),
    "options": _list(OPTIONS, lambda v: _text(PRINTABLE, OPTION_BYTES)(v) and v[0].isalnum()),
    "requires": _SHA256,
    "files": _list(FILES, _ANY),
    "links": _list(LINKS, _ANY),
    "unpacked": _whole(UNPACKED_BYTES),
    "chunks": _list(1 << 30, _ANY),
}
KERNEL: dict[str, Check] = {
    "release": _text(WORD),
    "machine": _text(MODULE),
    "build_id": lambda v: _text(HEX)(v) and len(v) // 2 in BUILD_ID_BYTES,
    "vermagic": _text(PRINTABLE, VERMAGIC_BYTES),
}
_path = _text(PATH, PATH_BYTES)
FILE = {"path": _path, "size": _whole(UNPACKED_BYTES), "mode": lambda v: type(v) is int and v in (0o644, 0o755),
        "sha256": _SHA256}
LINK = {"path": _path, "target": lambda v: _path(v) and "/" not in v}
CHUNK = {"stored": _whole(CHUNK_BYTES, 1), "size": _whole(CHUNK_BYTES, 1), "sha256": _SHA256}


def _in_its_tree(manifest: dict, path: str) -> bool:
    if manifest["kind"] == "runtime":
        return RUNTIME.fullmatch(path) is not None and NOT_RUNTIME.fullmatch(path) is None
    if path.startswith("usr/lib/firmware/"):
        return True
    return manifest["kind"] == "modules" and _module(manifest, path) is not None


def _module(manifest: dict, path: str) -> str | None:
    """The module's name, "-" as "_"; None when the path is not a module's."""
    place = f"usr/lib/modules/{manifest['kernel']['release']}/modulus/{manifest['name']}/"
    name = path.removeprefix(place).removesuffix(".ko")
    if not path.startswith(place) or not path.endswith(".ko") or not MODULE.fullmatch(name):
        return None
    return name.replace("-", "_")


def _check_places(manifest: dict) -> None:
    for at, link in enumerate(manifest["links"]):
        if link["path"].endswith(".ko"):
            raise corrupt(f"manifest: links[{at}].path: a module must be a file")
    paths = [entry["path"] for entry in manifest["files"] + manifest["links"]]
    for path in paths:
        if not _in_its_tree(manifest, path):
            raise corrupt(f"manifest: path {path} is outside the trees of kind {manifest['kind']}")
    known = set(paths)
    if len(known) != len(paths):
        raise corrupt("manifest: a path is named twice")
    for path in paths:
        parts = path.split("/")
        if any("/".join(parts[:n]) in known for n in range(1, len(parts))):
            raise corrupt(f"manifest: something is below the file or link that {path} passes through")


def _check_order(manifest: dict) -> None:
    paths = [file["path"] for file in manifest["files"]]
    modules = [path for path in paths if path.endswith(".ko") and not path.startswith("usr/lib/firmware/")]
    rest = paths[len(modules):]
    if manifest["kind"] != "modules":
        modules, rest = [], paths
    if paths[:len(modules)] != modules or rest != sorted(rest):
        raise corrupt("manifest: files are out of order")
    names = [_module(manifest, path) for path in modules]
    if len(set(names)) != len(names):
        raise corrupt("manifest: a module is there twice")
    for name in manifest["load"]:
        if name.replace("-", "_") not in names:
            raise corrupt(f"manifest: load: {name} is not in files")
    if manifest["kind"] == "modules" and not manifest["load"]:
        raise corrupt("manifest: load is empty")
    if manifest["kind"] != "modules" and (manifest["load"] or manifest["match"] or manifest["options"]):
        raise corrupt("manifest: load, match and options are for kind modules")


def tar_bytes(files: list[dict]) -> int:
    return sum(BLOCK + -(-file["size"] // BLOCK) * BLOCK for file in files) + 2 * BLOCK


def parse_manifest(data: bytes) -> dict:
    """Bytes whose signature held -> the manifest."""
    manifest = _object(_json(data), "", TOP, frozenset({"kernel", "requires"}))
    if manifest["kind"] == "modules":
        _object(manifest.get("kernel"), "kernel.", KERNEL, frozenset({"build_id"}))
    elif "kernel" in manifest:
        raise corrupt("manifest: kernel is for kind modules")
    if not manifest["files"]:
        raise corrupt("manifest: files is empty")
    for list_name, fields in (("files", FILE), ("links", LINK), ("chunks", CHUNK)):
        for at, entry in enumerate(manifest[list_name]):
            _object(entry, f"{list_name}[{at}].", fields)
    _check_places(manifest)
    _check_order(manifest)
    if sum(chunk["size"] for chunk in manifest["chunks"]) != manifest["unpacked"]:
        raise corrupt("manifest: unpacked is not the sum of the chunks")
    if tar_bytes(manifest["files"]) != manifest["unpacked"]:
        raise corrupt("manifest: unpacked is not the size of a tar of these files")
    return manifest


# --- 4. the chunks, 5. the tar ---------------------------------------------------------------------

def _chunks(stream: BinaryIO, manifest: dict) -> Iterator[bytes]:
    """Tar bytes, each chunk's hash checked before anything else looks at it."""
    for at, chunk in enumerate(manifest["chunks"]):
        stored = _exactly(stream, chunk["stored"], f"chunk {at}")
        if hashlib.sha256(stored).hexdigest() != chunk["sha256"]:
            raise corrupt(f"chunk {at} does not match its hash")
        try:
            yield zstdframe.decompress(stored, chunk["size"], WINDOW_BYTES)
        except zstdframe.Bad as why:
            raise corrupt(f"chunk {at}: {why}") from None
    if stream.read(1):
        raise corrupt("data after the last chunk")


class _Tar:
    """Exactly so many bytes at a time, across chunks."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks, self._rest = chunks, memoryview(b"")

    def blocks(self, length: int) -> Iterator[memoryview]:
        while length:
            if not self._rest:
                self._rest = memoryview(next(self._chunks, b""))
                if not self._rest:
                    raise corrupt("tar: too short")  # cannot be: the sizes were added up
            block, self._rest = self._rest[:length], self._rest[length:]
            length -= len(block)
            yield block

    def take(self, length: int) -> bytes:
        return b"".join(self.blocks(length))

    def end(self) -> None:
        if self.take(2 * BLOCK) != bytes(2 * BLOCK):
            raise corrupt("tar: no end where the manifest's last file ends")
        if self._rest or next(self._chunks, b""):
            raise corrupt("tar: something behind the end")


def _octal(field: bytes) -> int:
    digits = field.rstrip(b" \0").lstrip(b" ")
    if not re.fullmatch(rb"[0-7]+", digits):
        raise corrupt("tar: a number that is not octal")
    return int(digits, 8)


def _check_header(header: bytes, file: dict) -> None:
    if header[257:265] != b"ustar\x0000":
        raise corrupt(f"tar: no ustar header for {file['path']}")
    if _octal(header[148:156]) != sum(header[:148]) + 8 * 0x20 + sum(header[156:]):
        raise corrupt(f"tar: the checksum of the header of {file['path']} is wrong")
    name, prefix = header[:100].rstrip(b"\0"), header[345:500].rstrip(b"\0")
    path = prefix + b"/" + name if prefix else name
    if path != file["path"].encode():
        raise corrupt(f"tar: not {file['path']}, which comes next")
    if any(header[500:]):
        raise corrupt(f"tar: something behind the header of {file['path']}")
    if header[156:157] != b"0":
        raise corrupt(f"tar: {file['path']} is not a regular file")
    if _octal(header[124:136]) != file["size"]:
        raise corrupt(f"tar: {file['path']} has another size")
    if _octal(header[100:108]) != file["mode"]:
        raise corrupt(f"tar: {file['path']} has another mode")
    if _octal(header[108:116]) or _octal(header[116:124]):
        raise corrupt(f"tar: {file['path']} is not root's")


Sink = Callable[[dict, Iterator[memoryview]], None]


def _files(tar: _Tar, manifest: dict, sink: Sink | None) -> None:
    for file in manifest["files"]:
        _check_header(tar.take(BLOCK), file)
        digest = hashlib.sha256()

        def content(file: dict = file, digest=digest) -> Iterator[memoryview]:
            for block in tar.blocks(file["size"]):
                digest.update(block)
                yield block

        if sink:
            sink(file, content())
        else:
            for _ in content():
                pass
        if digest.hexdigest() != file["sha256"]:
            raise corrupt(f"{file['path']} does not match its hash")
        if any(tar.take(-file["size"] % BLOCK)):
            raise corrupt(f"tar: something where {file['path']} is filled up")


def verify(stream: BinaryIO, keys: Iterable[minisign.PublicKey], sink: Sink | None = None) -> Verified:
    """Reads a bundle to its end. `sink` gets each file and must read its blocks; what it made of the last one is to be
    thrown away when Refused comes out."""
    data = _frame(stream, MANIFEST_MAGIC, MANIFEST_BYTES, "manifest")
    signatures = _frame(stream, SIGNATURES_MAGIC, SIGNATURES_BYTES, "signatures")
    key = signer(data, signatures, keys)
    manifest = parse_manifest(data)
    tar = _Tar(_chunks(stream, manifest))
    _files(tar, manifest, sink)
    tar.end()
    return Verified(manifest, hashlib.sha256(data).hexdigest(), key)


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__.strip().splitlines()[-1].strip(), file=sys.stderr)
        return 2
    keys = [minisign.PublicKey.parse(file.read_bytes()) for file in sorted(Path(sys.argv[1]).glob("*.pub"))]
    code = 0
    for path in sys.argv[2:]:
        try:
            with open(path, "rb") as stream:
                found = verify(stream, keys)
            print(f"{path}: good: {found.digest}, signed by {found.key.name}")
        except Refused as why:
            print(f"{path}: {why}", file=sys.stderr)
            code = 4
    return code


if __name__ == "__main__":
    sys.exit(main())
