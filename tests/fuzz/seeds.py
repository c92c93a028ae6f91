#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the corpus files that follow a pattern, which are all that are not text: seeds.py CORPUS-DIR. The same bytes each time."""
import gzip
import io
import json
import struct
import sys
import tarfile
from hashlib import sha256
from pathlib import Path

SIGNED = b"~Module signature appended~\n"


# --- notes: ELF note sections, kernel images ---

def note(name: bytes, kind: int, desc: bytes) -> bytes:
    def padded(b: bytes) -> bytes:
        return b + bytes(-len(b) % 4)
    return struct.pack("<III", len(name), len(desc), kind) + padded(name) + padded(desc)


BUILD_ID = note(b"GNU\0", 3, bytes(range(20)))
XEN = note(b"Xen\0", 6, b"linux\0")


def vmlinux(notes: bytes) -> bytes:
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 64, 64, 4096)
    at = len(header) + 2 * len(load)
    return (header + load + struct.pack("<IIQQQQQQ", 4, 4, at, 0, 0, len(notes), len(notes), 4) + notes).ljust(520, b"\0")


def bzimage(payload: bytes) -> bytes:
    setup = bytearray(1024)
    setup[0x1f1] = 1
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", setup, 0x248, 0, len(payload))
    return bytes(setup) + payload


def notes() -> dict[str, bytes]:
    return {
        "build-id": BUILD_ID,
        "second": XEN + BUILD_ID,
        "none": XEN,
        "unpadded-end": XEN + BUILD_ID[:12] + b"GNU\0" + bytes(18),
        "too-long": struct.pack("<III", 4, 0xfffffffd, 3) + b"GNU\0" + bytes(20),
        "name-too-long": struct.pack("<III", 0xffffffff, 20, 3) + b"GNU\0" + bytes(20),
        "short-id": note(b"GNU\0", 3, bytes(7)),
        "cut": BUILD_ID[:11],
        "vmlinux": vmlinux(XEN + BUILD_ID),
        "vmlinux-lies": vmlinux(BUILD_ID).replace(struct.pack("<Q", len(BUILD_ID)), struct.pack("<Q", 2**64 - 1)),
        "bzimage": bzimage(gzip.compress(vmlinux(BUILD_ID), mtime=0)),
        "bzimage-not-compressed": bzimage(bytes(64)),
    }


# --- module: ELF relocatable files ---

def module(sections: dict[str, bytes], tail: bytes = b"", **over: int) -> bytes:
    names = b"\0" + b"".join(n.encode() + b"\0" for n in sections) + b".shstrtab\0"
    table = [bytes(64)]
    body, at = b"", 64
    for name, data in list(sections.items()) + [(".shstrtab", names)]:
        offset = names.index(b"\0" + name.encode() + b"\0") + 1
        kind, link = 3 if name in (".shstrtab", ".strtab") else 1, 0
        if name == ".symtab":
            kind, link = 2, list(sections).index(".strtab") + 1
        table.append(struct.pack("<IIQQQQIIQQ", offset, kind, 2, 0, at + len(body), over.get("size", len(data)), link, 0, 1, 0))
        body += data
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 1, 62, 1, 0, 0, over.get("shoff", at + len(body)), 0, 64, 0, 0,
                         64, over.get("shnum", len(table)), over.get("shstrndx", len(table) - 1))
    return header + body + b"".join(table) + tail


def versions(*symbols: tuple[str, int]) -> bytes:
    return b"".join(struct.pack("<Q56s", crc, name.encode()) for name, crc in symbols)


def symbol_table(*names: str) -> dict[str, bytes]:
    """Undefined global symbols, and one that is defined."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    entries = [struct.pack("<IBBHQQ", strings.index(b"\0" + name.encode() + b"\0") + 1, 0x10, 0, 0, 0, 0) for name in names]
    return {".symtab": bytes(24) + b"".join(entries) + struct.pack("<IBBHQQ", 1, 0x12, 0, 1, 0, 0), ".strtab": strings}


MODINFO = b"license=GPL\0depends=drm,i2c-core\0name=x\0vermagic=6.1.0-1-amd64 SMP mod_unload modversions \0"


def modules() -> dict[str, bytes]:
    whole = {".modinfo": MODINFO, "__versions": versions(("printk", 0x1234), ("module_layout", 0x89abcdef)),
             "__ksymtab_strings": b"x_init\0x_exit\0NAMESPACE\0"}
    return {
        "module": module(whole),
        "signed": module(whole, tail=b"signature" + SIGNED),
        "no-versions": module({".modinfo": MODINFO}),
        "no-modinfo": module({".text": bytes(16)}),
        "unterminated": module({".modinfo": MODINFO[:-1], "__ksymtab_strings": b"x_init"}),
        "odd-versions": module({".modinfo": MODINFO, "__versions": versions(("a", 1), ("a", 2)) + bytes(63)}),
        "long-name": module({".modinfo": MODINFO, "__versions": versions(("n" * 56, 1))}),
        "symbols": module(whole | symbol_table("printk", "module_layout", "x_init", "gone")),
        "symbols-only": module({".modinfo": MODINFO} | symbol_table("printk")),
        "symbols-past-names": module({".modinfo": MODINFO} | symbol_table("printk") | {".strtab": b"\0prin"}),
        "size-lies": module(whole, size=2**64 - 1),
        "shoff-lies": module(whole, shoff=2**64 - 64),
        "shnum-lies": module(whole, shnum=0xffff),
        "shstrndx-lies": module(whole, shstrndx=0xffff),
        "cut": module(whole)[:63],
    }


# --- manifest: many names ---

def manifest(kind: str, paths: list[str], links: tuple = (), **more: object) -> bytes:
    kernel = {"release": "6.1", "machine": "x86_64", "vermagic": "x"}
    size = 512 * len(paths) + 1024
    document = {"format": 1, "name": "x", "version": "1", "flavor": "", "serial": 0, "created": 0, "kind": kind,
                **({"kernel": kernel} if kind == "modules" else {}), "load": ["a"] if kind == "modules" else [], "match": [],
                "options": [], "files": [{"path": p, "size": 0, "mode": 420, "sha256": "00" * 32} for p in paths],
                "links": [{"path": p, "target": "t"} for p in links], "unpacked": size,
                "chunks": [{"stored": 9, "size": size, "sha256": "00" * 32}], **more}
    return json.dumps(document, separators=(",", ":")).encode()


def manifests() -> dict[str, bytes]:
    modules, firmware = "usr/lib/modules/6.1/modulus/x/", "usr/lib/firmware/"
    return {
        "three-modules": manifest("modules", [f"{modules}{n}.ko" for n in ("a", "b-c", "b_d")]),
        "one-module-twice": manifest("modules", [f"{modules}{n}.ko" for n in ("a", "b-c_d", "e", "b_c-d")]),
        "module-behind-firmware": manifest("modules", [f"{modules}a.ko", f"{firmware}x", f"{modules}b.ko"]),
        "file-above-a-file": manifest("firmware", [f"{firmware}{n}" for n in ("g", "g-a", "g.b", "g/c")]),
        "file-above-a-link": manifest("firmware", [f"{firmware}g"], (f"{firmware}g-a", f"{firmware}g/c/d")),
        "link-in-place-of-a-file": manifest("firmware", [f"{firmware}g"], (f"{firmware}g",)),
        "out-of-order": manifest("firmware", [f"{firmware}b", f"{firmware}a"]),
        "runtime-in-systemd": manifest("runtime", ["usr/lib/systemd/x"]),
        "not-the-sum": manifest("firmware", [f"{firmware}a"], unpacked=2048),
        "load-what-is-not-there": manifest("modules", [f"{modules}b.ko"]),
    }


# --- stream: zstd frames and whole bundles ---

def block(kind: int, last: bool, length: int, data: bytes) -> bytes:
    return struct.pack("<I", length << 3 | kind << 1 | last)[:3] + data


def frame(*blocks: bytes, size: int | None = None, window: int = 0) -> bytes:
    """RFC 8878: single segment with an 8-byte size, or a window and no size."""
    head = bytes([0xe0]) + struct.pack("<Q", size) if size is not None else bytes([0, window])
    return b"\x28\xb5\x2f\xfd" + head + b"".join(blocks)


def raw(data: bytes, last: bool = True) -> bytes:
    return block(0, last, len(data), data)


def repeated(byte: bytes, length: int, last: bool = True) -> bytes:
    return block(1, last, length, byte)


def bundle(chunks: list[tuple[bytes, int]], file_size: int, signatures: bytes = b"", tail: bytes = b"") -> bytes:
    entries = ",".join(f'{{"stored":{len(c)},"size":{n},"sha256":"{sha256(c).hexdigest()}"}}' for c, n in chunks)
    manifest = ('{"format":1,"name":"x","version":"1","flavor":"","serial":0,"created":0,"kind":"firmware","load":[],'
                '"match":[],"options":[],"files":[{"path":"usr/lib/firmware/x","size":%d,"mode":420,"sha256":"%s"}],'
                '"links":[],"unpacked":%d,"chunks":[%s]}' % (file_size, "00" * 32, sum(n for _, n in chunks), entries)).encode()
    return (struct.pack("<II", 0x184D2A50, len(manifest)) + manifest + struct.pack("<II", 0x184D2A51, len(signatures)) +
            signatures + b"".join(c for c, _ in chunks) + tail)


def streams() -> dict[str, bytes]:
    half = frame(raw(b"x" * 300, False), repeated(b"y", 724), size=1024)
    good = bundle([(half, 1024), (half, 1024)], 512)
    return {
        "raw-frame": frame(raw(b"abc" * 200), size=600),
        "two-frames": half + half,
        "no-size": frame(repeated(b"x", 512)),
        "says-more": frame(raw(b"abc"), size=4096),
        "says-10-gib": frame(repeated(b"x", 1 << 17, False), repeated(b"x", 1 << 17), size=10 << 30),
        "huge-window": frame(repeated(b"x", 512), window=0xff),
        "window-8-mib": frame(repeated(b"x", 512), window=13 << 3),
        "window-9-mib": frame(repeated(b"x", 512), window=13 << 3 | 1),
        "grows": frame(*[repeated(b"x", 1 << 17, False)] * 40, repeated(b"x", 1)),
        "reserved-block": frame(block(3, True, 0, b"")),
        "format-0.7": b"\x27\xb5\x2f\xfd\x20\3\x40\0\3abc\xc0\0\0",
        "skippable": struct.pack("<II", 0x184D2A5F, 3) + b"abc" + half,
        "bundle": good,
        "bundle-signed": bundle([(half, 1024), (half, 1024)], 512, b"untrusted comment: x\n"),
        "bundle-and-more": good + b"x",
        "bundle-cut": good[:-1],
        "bundle-no-chunks": bundle([], 0),
        "bundle-other-chunk": good[:-1] + b"?",
        "manifest-length-lies": struct.pack("<II", 0x184D2A50, (1 << 20) + 1) + b"{}",
        "manifest-too-short": struct.pack("<II", 0x184D2A50, 3) + b"{}",
        "signatures-too-long": struct.pack("<II", 0x184D2A50, 2) + b"{}" + struct.pack("<II", 0x184D2A51, 16385),
    }


# --- unpack: tars for the four files of fuzz_unpack.c ---

PART = "0123456789-" * 5 + "0123456789"
FILES = [("usr/lib/firmware/a", b"hello", 0o644), (f"usr/lib/firmware/d/{PART}/{PART}", b"x" * 1000, 0o755),
         ("usr/lib/firmware/d/empty", b"", 0o644), ("usr/lib/firmware/z", b"z" * 2048, 0o644)]


def tar(files: list = FILES, kind: int = tarfile.USTAR_FORMAT, **over: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for at, (path, data, mode) in enumerate(files):
            info = tarfile.TarInfo(path)
            info.size, info.mode, info.uname, info.gname = len(data), mode, "root", "root"
            for key, value in over.items() if at == 0 else ():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()[:sum(512 + -(-len(d) // 512) * 512 for _, d, _ in files) + 1024]


def tars() -> dict[str, bytes]:
    first = FILES[:1]
    return {
        "good": tar(),
        "gnu-long-name": tar(kind=tarfile.GNU_FORMAT),
        "pax": tar(kind=tarfile.PAX_FORMAT, pax_headers={"comment": "x"}),
        "pax-path": tar([("usr/lib/firmware/b", b"hello", 0o644)] + FILES[1:], tarfile.PAX_FORMAT,
                        pax_headers={"path": "usr/lib/firmware/a"}),
        "xattr": tar(kind=tarfile.PAX_FORMAT, pax_headers={"SCHILY.xattr.user.x": "y"}),
        "sparse": tar(kind=tarfile.PAX_FORMAT, pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                                                            "GNU.sparse.name": "usr/lib/firmware/a",
                                                            "GNU.sparse.realsize": "5"}),
        "symlink": tar(type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0),
        "hardlink": tar(type=tarfile.LNKTYPE, linkname="../../etc/passwd", size=0),
        "device": tar(type=tarfile.CHRTYPE, devmajor=1, devminor=3, size=0),
        "directory": tar(type=tarfile.DIRTYPE, size=0),
        "other-order": tar([FILES[1], FILES[0], *FILES[2:]]),
        "other-content": tar([("usr/lib/firmware/a", b"hellO", 0o644), *FILES[1:]]),
        "setuid": tar([("usr/lib/firmware/a", b"hello", 0o4755), *FILES[1:]]),
        "owner": tar(uid=1000),
        "dotdot": tar([("../../../../x", b"hello", 0o644), *FILES[1:]]),
        "absolute": tar([("/x", b"hello", 0o644), *FILES[1:]]),
        "only-one": tar(first),
        "one-more": tar(FILES + first),
        "one-end-block": tar()[:-512] + b"x" * 512,
        "dirty-padding": tar().replace(b"hello\0", b"hello?"),
        "empty": b"",
    }


# --- http: answers to one file, routes, leases ---

def answer(status: str, *headers: str, body: str = "") -> str:
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *headers, "")) + body


def transfers() -> dict[str, bytes]:
    etag, other, date = 'ETag: "a"', 'ETag: "b"', "Last-Modified: Mon, 23 Nov 2026 08:00:00 GMT"
    first = answer("200 OK", etag, date, "Content-Length: 10", body="0123456\n")

    def part(begin: int, *headers: str) -> str:
        return answer("206 Partial Content", *headers, f"Content-Range: bytes {begin}-9/10", body="89")

    zeros = "0" * 32
    table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    texts = {
        "whole": first,
        "rest": first + part(8, etag),
        "rest-by-date": answer("200 OK", date, body="x") + part(1, date),
        "whole-again": first + answer("200 OK", etag, body="0123456\n89"),
        "shorter-now": first + answer("200 OK", etag, body="012"),
        "other-part": first + part(7, etag),
        "other-file": first + part(8, other),
        "no-range": first + answer("206 Partial Content", etag, body="89"),
        "no-validator": answer("200 OK", body="x") + answer("200 OK", body="xy"),
        "weak": answer("200 OK", 'ETag: W/"a"', body="x") + part(1, 'ETag: W/"a"'),
        "part-first": part(0, etag),
        "range-of-2-64": first + part(2**64, etag),
        "redirect": answer("302 Found", "Location: https://elsewhere/", etag, "Content-Encoding: gzip") + first,
        "early-hints": answer("103 Early Hints", "Link: </x>") + first,
        "encoded": answer("200 OK", "Content-Encoding: gzip"),
        "identity": answer("200 OK", "Content-Encoding: Identity", body="x"),
        "challenge": answer("401 Unauthorized", 'WWW-Authenticate: Bearer realm="https://a/",service="s"', "WWW-Authenticate: Basic"),
        "later": answer("503 Service Unavailable", "Retry-After: 5") + first,
        "no-empty-line": "HTTP/1.1 200 OK\r\nETag: \"a\"\r\n",
        "folded": answer("200 OK", 'ETag:\t "a" \t', " folded", body="x"),
        "nul": answer("200 OK", "ETag: a\0b", "\0", body="x"),
        "long-line": answer("200 OK", "ETag: " + "x" * 1000, body="x") + answer("200 OK", "ETag: " + "x" * 1000, body="xy"),
        "too-many": answer("200 OK", *["X: " + "x" * 90] * 30),
        "route": table + "ens3\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n",
        "route-local": table + "ens3\t0002000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n",
        "route-ipv6": f"{zeros} 00 {zeros} 00 fe80{zeros[6:]}02 00000400 00000001 00000000 00000003     ens3\n",
        "route-ipv6-lo": f"{zeros} 00 {zeros} 00 {zeros} ffffffff 00000001 00000000 00200200       lo\n",
        "lease": "# private\nADDRESS=10.0.2.15\nDNS=10.0.2.3 10.0.2.4\nDNS=1.1.1.1  8.8.8.8\nROUTER=10.0.2.2\n",
        "resolver": "search example\nnameserver 10.0.2.3\nnameserver ::1\n",
        "empty": "",
    }
    return {name: text.encode() for name, text in texts.items()}


# --- oci: documents, challenges, templates ---

BUNDLE_TYPE = "application/vnd.modulus.bundle.v1.tar+zstd"


def descriptor(digit: str, **fields: object) -> dict:
    return {"digest": "sha256:" + digit * 64, "size": 1, **fields}


def registry_texts() -> dict[str, bytes]:
    layer, other = descriptor("a", mediaType=BUNDLE_TYPE), descriptor("b", mediaType="application/x-tar")
    platforms = [descriptor(digit, platform={"architecture": name, "os": "linux"}) for digit, name in (("a", "amd64"), ("b", "arm64"))]
    documents = {
        "manifest": {"schemaVersion": 2, "config": other, "layers": [other, layer]},
        "manifest-two": {"layers": [layer, layer]},
        "manifest-none": {"layers": [other]},
        "manifest-short-digest": {"layers": [{**layer, "digest": "sha256:ab"}]},
        "index": {"schemaVersion": 2, "manifests": platforms},
        "index-one": {"manifests": platforms[1:]},
        "index-odd": {"manifests": [1, None, {"platform": "amd64"}, {"platform": {"architecture": 1}}]},
        "token": {"token": "abc-._~+/=", "expires_in": 300},
        "access-token": {"access_token": "abc"},
        "token-with-a-header": {"token": "a\r\nX: y"},
        "auth": {"auths": {"registry.example": {"auth": "dXNlcjpwYXNz"}}},
        "auth-padding-only": {"auths": {"registry.example": {"auth": "=="}}},
        "auth-no-colon": {"auths": {"registry.example": {"auth": "dXNlcg=="}}},
        "list": [[[{}]]],
    }
    challenges = {
        "challenge": 'realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull"',
        "challenge-query": 'realm="https://auth.example/?a=b", service="a b&c"',
        "challenge-here": 'realm="http://127.0.0.1:5001/token"',
        "challenge-here-ipv6": 'realm="http://[::1]:5001/token"',
        "challenge-user": 'realm="http://127.0.0.1:80@auth.example/token"',
        "challenge-backslash": 'realm="http://localhost\\@auth.example/"',
        "challenge-not-tls": 'realm="http://auth.example/token"',
        "challenge-open": 'realm="https://auth.example',
        "challenge-inside": 'scope="x realm=\\"https://a/",realm="https://b/"',
    }
    templates = {
        "template": "registry.example:5000/fleet/{name}:{version}-{flavor}-{kernel}-{machine}-{kind}\n535.1\nopen\n6.1.0-1-amd64",
        "template-digest": "registry.example/gpu@sha256:" + "a" * 64,
        "template-address": "https://host/{version}/{name}.tar.zst\n../a b%2f\x7f",
        "template-here": "127.0.0.1:5000/gpu:{version}\n1+2",
        "template-unknown": "{nome}",
        "template-open": "{name",
        "template-long": "{version}" * 8 + "\n" + "/" * 64,
        "template-control": "\x1b[2J{\x1b",
        "empty": "",
    }
    return ({name: json.dumps(document).encode() for name, document in documents.items()} |
            {name: f"Bearer {text}".encode() for name, text in challenges.items()} |
            {name: text.encode() for name, text in templates.items()})


# --- slot: eight bytes of attributes each; gvariant: ostree's own file is beside these ---

def slots() -> dict[str, bytes]:
    def at(priority: int, tries: int, successful: int) -> bytes:
        return struct.pack("<Q", priority << 48 | tries << 52 | successful << 56)
    return {"update": at(1, 0, 1) + at(2, 1, 0), "none": at(1, 0, 0) + at(0, 1, 1), "equal": at(3, 0, 1) + at(3, 1, 0) + b"cut"}


def dictionaries() -> dict[str, bytes]:
    entry = b"os\0\0\0\0\0\0the-os\0\0s\3"
    return {"short": entry + bytes([len(entry)]), "zeros": bytes(40), "ones": b"\xff" * 300}


def main() -> None:
    root = Path(sys.argv[1])
    for name, files in (("notes", notes()), ("module", modules()), ("stream", streams()), ("unpack", tars()),
                        ("manifest", manifests()), ("http", transfers()), ("oci", registry_texts()), ("slot", slots()), ("gvariant", dictionaries())):
        (root / name).mkdir(parents=True, exist_ok=True)
        for file, data in files.items():
            (root / name / file).write_bytes(data)


main()
