# SPDX-License-Identifier: Apache-2.0
"""Bundles for tests, good ones and ones that are wrong in exactly one place.

A Recipe is the good bundle as a row of steps: files -> tar -> plain chunks -> stored chunks -> manifest -> its bytes ->
signatures -> the file. Each step can be replaced, and all that comes after it is done over what it gave: a bundle with
an odd tar has right hashes and a right signature, unless those are what is wrong.
"""
import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import elf
import zstdframe
from minisign import SecretKey

TEST_KEY = SecretKey.for_tests(1)
OTHER_KEY = SecretKey.for_tests(2)
UNKNOWN_KEY = SecretKey.for_tests(3)
RELEASE = "6.1.0-99-test"
NAME = "gpu"
MODULES = f"usr/lib/modules/{RELEASE}/modulus/{NAME}/"
BLOCK = 512
END = bytes(2 * BLOCK)


@dataclass(frozen=True)
class File:
    path: str
    content: bytes
    mode: int = 0o644


def module_file(name: str = "alpha", release: str = RELEASE, driver: str = NAME, **options) -> File:
    return File(f"usr/lib/modules/{release}/modulus/{driver}/{name}.ko", elf.module(name, release, **options))


# --- tar -------------------------------------------------------------------------------------------

def header(path: str, size: int, mode: int = 0o644, kind: bytes = b"0", link: bytes = b"", uid: int = 0, gid: int = 0,
           mtime: int = 0, magic: bytes = b"ustar\x0000", owner: bytes = b"root", size_field: bytes | None = None,
           checksum_off: int = 0) -> bytes:
    """One ustar header block (POSIX.1-2017, pax, "ustar Interchange Format")."""
    name, prefix = path.encode(), b""
    if len(name) > 100:
        at = name.index(b"/", len(name) - 101)
        prefix, name = name[:at], name[at + 1:]

    def octal(value: int, width: int) -> bytes:
        return b"%0*o\0" % (width - 1, value)

    block = b"".join([
        name.ljust(100, b"\0"), octal(mode, 8), octal(uid, 8), octal(gid, 8), size_field or octal(size, 12),
        octal(mtime, 12), b" " * 8, kind, link.ljust(100, b"\0"), magic, owner.ljust(32, b"\0"),
        owner.ljust(32, b"\0"), octal(0, 8), octal(0, 8), prefix.ljust(155, b"\0")]).ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % (sum(block) + checksum_off) + block[156:]


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


def entry(file: File, **options) -> bytes:
    return header(file.path, len(file.content), file.mode, **options) + padded(file.content)


def pax(records: dict[str, str], kind: bytes = b"x") -> bytes:
    """An extended header with these records."""
    body = b""
    for key, value in records.items():
        rest = f" {key}={value}\n".encode()
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length += 1
        body += str(length).encode() + rest
    return header("PaxHeader", len(body), kind=kind) + padded(body)


def plain_tar(files: list[File]) -> bytes:
    return b"".join(entry(file) for file in files) + END


# --- the steps -------------------------------------------------------------------------------------

def cut_at(size: int) -> Callable[[bytes], list[bytes]]:
    return lambda tar: [tar[at:at + size] for at in range(0, len(tar), size)]


def compact(manifest: dict) -> bytes:
    return json.dumps(manifest, separators=(",", ":")).encode()


def signed_by(*keys: SecretKey, **options) -> Callable[[bytes], bytes]:
    return lambda manifest: b"".join(key.signature(manifest, **options) for key in keys)


def frame(magic: int, content: bytes, length: int | None = None) -> bytes:
    return struct.pack("<II", magic, len(content) if length is None else length) + content


def bundle_file(manifest: bytes, signatures: bytes, stored: list[bytes]) -> bytes:
    return frame(0x184D2A50, manifest) + frame(0x184D2A51, signatures) + b"".join(stored)


def _nothing(manifest: dict) -> None:
    pass


@dataclass(frozen=True)
class Recipe:
    files: tuple[File, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    fields: dict = field(default_factory=dict)  # over the manifest's defaults, before edit
    tar: Callable[[list[File]], bytes] = plain_tar
    cut: Callable[[bytes], list[bytes]] = cut_at(2048)
    pack: Callable[[bytes], bytes] = zstdframe.compress
    edit: Callable[[dict], object] = _nothing
    encode: Callable[[dict], bytes] = compact
    sign: Callable[[bytes], bytes] = signed_by(TEST_KEY)
    join: Callable[[bytes, bytes, list[bytes]], bytes] = bundle_file

    def but(self, **steps) -> "Recipe":
        return replace(self, **steps)

    def manifest(self) -> tuple[dict, list[bytes]]:
        """The manifest, and the stored chunks."""
        plain = self.cut(self.tar(list(self.files)))
        stored = [self.pack(chunk) for chunk in plain]
        kind = self.fields.get("kind", "modules")
        kernel = {"release": RELEASE, "machine": elf.machine(), "vermagic": elf.vermagic(RELEASE)}
        of_modules = kind == "modules"
        manifest = {
            "format": 1, "name": NAME, "version": "1.0", "flavor": "", "serial": 1, "created": 0, "kind": kind,
            **({"kernel": kernel} if of_modules else {}),
            "load": [file.path.rpartition("/")[2][:-3] for file in self.files[:1]] if of_modules else [],
            "match": ["pci:*"] if of_modules else [], "options": [],
            "files": [{"path": file.path, "size": len(file.content), "mode": file.mode,
                       "sha256": hashlib.sha256(file.content).hexdigest()} for file in self.files],
            "links": [{"path": path, "target": target} for path, target in self.links],
            "unpacked": sum(map(len, plain)),
            "chunks": [{"stored": len(packed), "size": len(chunk), "sha256": hashlib.sha256(packed).hexdigest()}
                       for packed, chunk in zip(stored, plain)],
            **self.fields,
        }
        self.edit(manifest)
        return manifest, stored

    def build(self) -> bytes:
        manifest, stored = self.manifest()
        data = self.encode(manifest)
        return self.join(data, self.sign(data), stored)


def modules(*names: str, **options) -> Recipe:
    """A good bundle of kernel modules."""
    return Recipe(files=tuple(module_file(name) for name in names or ("alpha", "beta")), **options)


def firmware(*files: File, **options) -> Recipe:
    return Recipe(files=files or (File("usr/lib/firmware/gpu/one.bin", b"firmware " * 300),
                                  File("usr/lib/firmware/gpu/two.bin", b"")),
                  fields={"kind": "firmware", **options.pop("fields", {})}, **options)


def runtime(*files: File, **options) -> Recipe:
    return Recipe(files=files or (File("usr/bin/gpu-smi", b"#!/bin/sh\n", 0o755),
                                  File("usr/lib/x86_64-linux-gnu/libgpu.so.1.0", b"library " * 300)),
                  fields={"kind": "runtime", **options.pop("fields", {})}, **options)


def manifest_of(data: bytes) -> bytes:
    """A bundle's manifest, as it is."""
    return data[8:8 + int.from_bytes(data[4:8], "little")]


def signatures_of(data: bytes) -> bytes:
    rest = data[8 + len(manifest_of(data)):]
    return rest[8:8 + int.from_bytes(rest[4:8], "little")]


def digest_of(data: bytes) -> str:
    return hashlib.sha256(manifest_of(data)).hexdigest()


def renamed(recipe: Recipe, name: str) -> Recipe:
    """The same bundle of modules, of another driver."""
    def path(old: str) -> str:
        return old.replace(f"/modulus/{NAME}/", f"/modulus/{name}/")

    return recipe.but(fields={**recipe.fields, "name": name},
                      files=tuple(File(path(file.path), file.content, file.mode) for file in recipe.files))


def spoil(data: bytes, at: int, with_bytes: bytes) -> bytes:
    return data[:at] + with_bytes + data[at + len(with_bytes):]
