# SPDX-License-Identifier: Apache-2.0
"""Behind the header: the chunks and the tar that they are together."""
import gzip
import hashlib
import struct

import zstandard

import zstdframe
from bundlemaker import (BLOCK, END, File, Recipe, bundle_file, cut_at, entry, firmware, frame, header, module_file, modules, padded, pax,
                         plain_tar, spoil)

from . import refuse

GOOD = modules()
MIB = 1 << 20

# --- the row of chunks -----------------------------------------------------------------------------

NO_HASH = r"chunk \d+ of \d+ does not match its hash"


def chunks(name: str, says: str, change) -> None:
    """The stored chunks are changed behind the manifest's back."""
    refuse(name, says, lambda: GOOD.but(join=lambda m, s, c: bundle_file(m, s, change(c))).build())


chunks("all-chunks-missing", "truncated in chunk 1 of 2", lambda c: [])
chunks("chunk-first-cut", "truncated in chunk 1 of 2", lambda c: [c[0][:20]])
chunks("chunk-last-missing", "truncated in chunk 2 of 2", lambda c: c[:-1])
chunks("chunk-last-cut-by-a-byte", "truncated in chunk 2 of 2", lambda c: [*c[:-1], c[-1][:-1]])
chunks("chunk-first-missing", NO_HASH, lambda c: [*c[1:], bytes(4096)])
chunks("chunks-swapped", NO_HASH, lambda c: c[::-1])
chunks("chunk-bit-flipped", "chunk 1 of 2 does not match", lambda c: [spoil(c[0], 30, bytes([c[0][30] ^ 1])), c[1]])
chunks("chunk-bit-flipped-in-the-last", "chunk 2 of 2 does not match",
       lambda c: [c[0], spoil(c[1], len(c[1]) - 1, bytes([c[1][-1] ^ 128]))])
chunks("chunk-of-another-bundle", NO_HASH,
       lambda c: [zstdframe.compress(b"another".ljust(2048)).ljust(len(c[0]), b"\0"), c[1]])
chunks("byte-behind-the-chunks", "data after the last chunk", lambda c: [*c, b"\0"])
chunks("line-feed-behind-the-chunks", "data after the last chunk", lambda c: [*c, b"\n"])
chunks("chunk-twice", "data after the last chunk", lambda c: [*c, c[-1]])
chunks("skippable-frame-behind-the-chunks", "data after the last chunk", lambda c: [*c, frame(0x184D2A52, b"hello")])
chunks("bundle-behind-the-bundle", "data after the last chunk", lambda c: [*c, GOOD.build()])
chunks("mebibytes-behind-the-chunks", "data after the last chunk", lambda c: [*c, bytes(3 * MIB)])
# the rule "hash, then decompress": what does not match is not shown to zstd, whatever it is
chunks("chunk-changed-into-rubbish", "chunk 1 of 2 does not match", lambda c: [b"\xff" * len(c[0]), c[1]])

# --- one chunk -------------------------------------------------------------------------------------

ONE_FRAME = r"chunk \d+ is not one zstd frame"
SIZE = r"chunk \d+ does not decompress to \d+ bytes"
EITHER = f"{ONE_FRAME}|{SIZE}"
WINDOW = r"chunk \d+ .*"
PLAIN = firmware(File("usr/lib/firmware/x", b"content " * 64))


def packed(name: str, says: str, pack, recipe: Recipe = PLAIN) -> None:
    """Hashes fit; what they are of is not what it should be."""
    refuse(name, says, recipe.but(pack=pack).build)


def bomb(name: str, says: str, stored: bytes, claims: int) -> None:
    """A first chunk of these bytes, which the manifest says to be so large."""
    def edit(manifest: dict) -> None:
        manifest["chunks"] = [{"stored": len(stored), "size": claims, "sha256": hashlib.sha256(stored).hexdigest()}]
        manifest["files"][0]["size"] = claims - 3 * BLOCK
        manifest["unpacked"] = claims
    refuse(name, says, PLAIN.but(edit=edit, join=lambda m, s, c: bundle_file(m, s, [stored])).build)


packed("chunk-not-compressed", ONE_FRAME, lambda tar: tar)
packed("chunk-gzip", ONE_FRAME, lambda tar: gzip.compress(tar, mtime=0))
packed("chunk-lz4-magic", ONE_FRAME, lambda tar: b"\x04\x22\x4d\x18" + tar)
packed("chunk-magicless-zstd", ONE_FRAME, lambda tar: zstdframe.compress(tar)[4:])
packed("chunk-zstd-0.7", EITHER, lambda tar: _zstd_07(tar))
packed("chunk-two-frames", ONE_FRAME, lambda tar: zstdframe.compress(tar[:512]) + zstdframe.compress(tar[512:]))
packed("chunk-frame-and-skippable-frame", ONE_FRAME, lambda tar: zstdframe.compress(tar) + frame(0x184D2A53, b"hello"))
packed("chunk-skippable-frame-and-frame", EITHER, lambda tar: frame(0x184D2A53, b"hello") + zstdframe.compress(tar))
packed("chunk-skippable-frame-only", EITHER, lambda tar: frame(0x184D2A53, tar))
packed("chunk-frame-and-rubbish", ONE_FRAME, lambda tar: zstdframe.compress(tar) + b"x")
packed("chunk-frame-and-empty-frame", ONE_FRAME, lambda tar: zstdframe.compress(tar) + zstdframe.compress(b""))
packed("chunk-frame-cut", EITHER, lambda tar: zstdframe.compress(tar)[:-3])
packed("chunk-four-bytes", EITHER, lambda tar: zstdframe.compress(tar)[:4])
packed("chunk-one-byte", EITHER, lambda tar: b"\x28")
packed("chunk-of-nothing", SIZE, lambda tar: zstdframe.compress(b""))
packed("chunk-one-byte-less-than-it-says", SIZE, lambda tar: zstdframe.compress(tar[:-1]))
packed("chunk-one-byte-more-than-it-says", SIZE, lambda tar: zstdframe.compress(tar + b"\0"))
packed("chunk-more-than-it-says-without-content-size", SIZE,
       lambda tar: zstdframe.compress(tar + bytes(512), write_content_size=False))
packed("chunk-with-a-wrong-checksum", EITHER, lambda tar: _bad_checksum(tar))
packed("chunk-with-a-reserved-bit", EITHER, lambda tar: zstdframe.raw(tar, descriptor=8))
packed("chunk-with-a-reserved-block", EITHER, lambda tar: zstdframe.raw(tar, block_kind=3))
packed("chunk-that-needs-a-dictionary", EITHER, lambda tar: _with_dictionary(tar))
packed("chunk-whose-frame-claims-10-GiB", SIZE, lambda tar: zstdframe.raw(tar, content_size=10 << 30))
packed("chunk-whose-frame-claims-2-to-the-63", SIZE, lambda tar: zstdframe.raw(tar, content_size=2**63))
packed("chunk-whose-frame-claims-a-byte-less", SIZE, lambda tar: zstdframe.raw(tar, content_size=len(tar) - 1))
packed("chunk-with-a-window-of-128-MiB", WINDOW, lambda tar: zstdframe.raw(tar, window=(27, 0)))
packed("chunk-with-a-window-of-2-GiB", WINDOW, lambda tar: zstdframe.raw(tar, window=(31, 0)))
packed("chunk-with-a-window-of-9-MiB", WINDOW, lambda tar: zstdframe.raw(tar, window=(23, 1)))
packed("chunk-with-a-window-of-128-MiB-compressed", WINDOW, lambda tar: _long_window(tar, 27))
# what they hold is no tar either, and is looked at block by block
ZEROS = f"{SIZE}|tar: no ustar header"
bomb("bomb-10-KiB-that-expand-to-320-MiB", ZEROS, zstdframe.runs(2560), 4 * MIB)
bomb("bomb-of-4-MiB-and-a-byte", ZEROS, zstdframe.raw(bytes(4 * MIB + 1), window=(17, 0)), 4 * MIB)
refuse("bomb-10-KiB-that-claim-10-GiB-of-chunks", r"unpacked: above its limit", lambda: PLAIN.but(
    edit=lambda m: m.update(chunks=[{**m["chunks"][0], "size": 4 * MIB}] * 90, unpacked=10 << 30)).build())
refuse("bomb-file-of-10-GiB", r"files.*size: above its limit", lambda: PLAIN.but(
    edit=lambda m: m["files"][0].update(size=10 << 30)).build())
for size in (4 * MIB + 1, 8 * MIB):
    refuse(f"chunk-of-{size}-bytes-of-tar", r"chunks.*size: above its limit",
           firmware(File("usr/lib/firmware/x", bytes(size - 3 * BLOCK + BLOCK)), cut=cut_at(size)).build)
refuse("chunk-of-4-MiB-and-a-byte-stored", r"chunks.*stored: above its limit", lambda: PLAIN.but(
    pack=lambda tar: zstdframe.compress(tar) + bytes(4 * MIB + 1 - len(zstdframe.compress(tar)))).build())


def _zstd_07(tar: bytes) -> bytes:
    """Magic and block headers as before RFC 8878 (zstd, lib/legacy/zstd_v07.c); one block as it is, and the end."""
    return (struct.pack("<I", 0xFD2FB527) + bytes([0x20 | 0x40]) + struct.pack("<H", len(tar) - 256)
            + bytes([0x40 | len(tar) >> 16, len(tar) >> 8 & 255, len(tar) & 255]) + tar + bytes([0xC0, 0, 0]))


def _bad_checksum(tar: bytes) -> bytes:
    good = zstdframe.compress(tar, write_checksum=True)
    return good[:-1] + bytes([good[-1] ^ 1])


def _with_dictionary(tar: bytes) -> bytes:
    plain = zstdframe.raw(tar)
    return plain[:4] + bytes([plain[4] | 1, plain[5], 77]) + plain[6:]


def _long_window(tar: bytes, log: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=log, write_content_size=False, compression_level=3)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()  # which does not know the size
    return stream.compress(tar) + stream.flush()


# --- the tar ---------------------------------------------------------------------------------------

A, B = module_file("alpha"), module_file("beta")
ZEROS = File("usr/lib/firmware/zeros", b"content".ljust(4 * BLOCK, b"\0"))
FIRST = A.path
TAR = r"tar: "
ANY = r"tar: |unpacked"  # the sizes do not add up either, and a reader may see that first


def tar(name: str, says: str, make, files: tuple[File, ...] = (A, B), **steps) -> None:
    """The manifest names alpha and beta, the tar is something else; its chunks and their sizes are right."""
    refuse(name, says, Recipe(files=files, tar=make, **steps).build)


def same_size(name: str, says: str, first: bytes) -> None:
    """Only the first header differs."""
    tar(name, says, lambda files: first + padded(A.content) + entry(B) + END)


def _checked(block: bytes) -> bytes:
    """The header with its right checksum."""
    return block[:148] + b"%06o\0 " % (sum(block[:148]) + 8 * 0x20 + sum(block[156:])) + block[156:]


def head(**options) -> bytes:
    return header(A.path, len(A.content), **{"mode": A.mode, **options})


tar("tar-is-text", ANY, lambda files: b"This is no tar. ".ljust(3 * 1024, b"x"))
tar("tar-is-zeros", ANY, lambda files: bytes(2 * (BLOCK + BLOCK) + len(END)))
tar("tar-is-random", ANY, lambda files: b"".join(hashlib.sha256(bytes([i])).digest() for i in range(96)))
tar("tar-is-a-cpio", ANY, lambda files: (b"070701" + b"0" * 104 + b"x\0").ljust(3072, b"\0"))
tar("tar-is-an-ar", ANY, lambda files: b"!<arch>\nx/              0           0     0     100644  10        `\n".ljust(3072, b"\0"))
tar("tar-in-a-tar", ANY, lambda files: entry(File("usr/lib/firmware/inner.tar", plain_tar(files))) + END)
tar("tar-empty-archive", ANY, lambda files: END)
tar("tar-file-missing", ANY, lambda files: entry(A) + END)
tar("tar-first-file-missing", ANY, lambda files: entry(B) + END)
tar("tar-file-too-many", ANY, lambda files: entry(A) + entry(B) + entry(module_file("gamma")) + END)
tar("tar-file-too-many-in-front", ANY, lambda files: entry(module_file("gamma")) + entry(A) + entry(B) + END)
tar("tar-file-too-many-in-place-of-the-end", ANY, lambda files: entry(A) + entry(B) + entry(File("x", b"x" * 512)))
tar("tar-file-twice", ANY, lambda files: entry(A) + entry(B) + entry(B) + END)
tar("tar-files-swapped", TAR + "an entry that is not", lambda files: entry(B) + entry(A) + END)
tar("tar-directories-too", ANY, lambda files: header("usr/lib/modules/", 0, 0o755, b"5") + entry(A) + entry(B) + END)
tar("tar-file-behind-the-end", ANY, lambda files: plain_tar(files) + entry(module_file("gamma")) + END)
tar("tar-second-archive-behind-the-end", ANY, lambda files: plain_tar(files) * 2)
tar("tar-rubbish-behind-the-end", ANY, lambda files: plain_tar(files) + b"rubbish!" * 64)
tar("tar-blocking-factor-20", ANY, lambda files: plain_tar(files).ljust(10240, b"\0"))
tar("tar-without-its-end", ANY, lambda files: entry(A) + entry(B))
tar("tar-with-half-its-end", ANY, lambda files: entry(A) + entry(B) + bytes(BLOCK))
tar("tar-with-rubbish-as-its-end", TAR, lambda files: entry(A) + entry(B) + b"rubbish!" * 128)
tar("tar-with-rubbish-in-the-second-end-block", TAR, lambda files: entry(A) + entry(B) + bytes(BLOCK) + b"rubbish!" * 64)
tar("tar-cut-in-a-header", ANY, lambda files: (entry(A) + entry(B))[:1300])
tar("tar-cut-in-a-file", ANY, lambda files: (entry(A) + entry(B))[:1700])
tar("tar-zero-block-between-files", ANY, lambda files: entry(A) + bytes(BLOCK) + entry(B) + END)
tar("tar-zero-block-in-front", ANY, lambda files: bytes(BLOCK) + plain_tar(files))

same_size("tar-path-of-another-file", TAR + "an entry that is not", header(B.path, len(A.content)))
same_size("tar-path-dot-slash", TAR + "an entry that is not", header("./" + A.path, len(A.content)))
same_size("tar-path-absolute", TAR + "an entry that is not", header("/" + A.path, len(A.content)))
same_size("tar-path-up", TAR + "an entry that is not", header("../" + A.path, len(A.content)))
same_size("tar-path-slash-last", TAR, header(A.path + "/", len(A.content)))
same_size("tar-path-double-slash", TAR + "an entry that is not", header(A.path.replace("/modulus/", "//modulus/"), len(A.content)))
same_size("tar-path-in-other-case", TAR + "an entry that is not", header(A.path.upper(), len(A.content)))
same_size("tar-path-empty", TAR, header("", len(A.content)))
same_size("tar-path-not-UTF-8", TAR, head()[:0] + header(A.path, len(A.content)).replace(b"alpha.ko", b"alph\xff.ko"))
for what, kind in {"hard-link": b"1", "symbolic-link": b"2", "character-device": b"3", "block-device": b"4", "directory": b"5",
                   "fifo": b"6"}.items():
    same_size(f"tar-{what}-of-that-name", TAR, head(kind=kind, link=b"/etc/shadow" if kind in b"12" else b""))
    tar(f"tar-{what}-without-content", ANY,
        lambda files, kind=kind: header(A.path, 0, kind=kind, link=b"/etc/shadow" if kind in b"12" else b"") + entry(B) + END)
tar("tar-hard-link-to-a-file-of-the-bundle", ANY, lambda files: entry(A) + header(B.path, 0, kind=b"1", link=A.path.encode()) + END,
    files=(A, File(B.path, A.content)))
tar("tar-symbolic-link-before-the-file", ANY,
    lambda files: header("usr", 0, 0o777, b"2", link=b"/tmp") + entry(A) + entry(B) + END)
same_size("tar-size-one-less", TAR, header(A.path, len(A.content) - 1))
same_size("tar-size-one-more", TAR, header(A.path, len(A.content) + 1))
same_size("tar-size-0", ANY, header(A.path, 0))
same_size("tar-size-8-GiB", TAR, header(A.path, 8**11 - 1))
same_size("tar-size-binary-2-to-the-63", TAR, head(size_field=b"\x80\0\0\0\x7f" + b"\xff" * 7))
same_size("tar-size-binary-negative", TAR, head(size_field=b"\xff" * 12))
same_size("tar-size-rubbish", TAR, head(size_field=b"98765432xyz\0"))
same_size("tar-mode-0755", TAR + ".*another mode", head(mode=0o755))
same_size("tar-mode-setuid", TAR + ".*another mode", head(mode=0o4644))
same_size("tar-mode-setgid", TAR + ".*another mode", head(mode=0o2644))
same_size("tar-mode-sticky", TAR + ".*another mode", head(mode=0o1644))
same_size("tar-mode-of-everybody", TAR + ".*another mode", head(mode=0o666))
same_size("tar-owner-1000", TAR + ".*does not belong to root", head(uid=1000))
same_size("tar-group-1000", TAR + ".*does not belong to root", head(gid=1000))
same_size("tar-header-checksum-wrong", TAR, head(checksum_off=1))
same_size("tar-bytes-behind-the-path", TAR, _checked(spoil(head(), len(A.path) + 1, b"hidden")))
same_size("tar-bytes-behind-the-prefix", TAR, _checked(spoil(head(), 345 + 100, b"hidden")))
same_size("tar-bytes-behind-the-header", TAR, _checked(spoil(head(), 500, b"hidden")))
same_size("tar-size-in-binary", TAR, head(size_field=b"\x80" + len(A.content).to_bytes(11, "big")))
same_size("tar-mode-with-the-file-type", TAR + ".*another mode", head(mode=0o100644))
same_size("tar-version-blanks", TAR, head(magic=b"ustar\0  "))
same_size("tar-type-of-an-old-tar", TAR + ".*not a regular file", head(kind=b"\0"))
same_size("tar-type-contiguous", TAR + ".*not a regular file", head(kind=b"7"))
tar("tar-bytes-behind-a-file", TAR, lambda files: entry(A)[:-6] + b"hidden" + entry(B) + END, files=(A, B))
tar("tar-content-changed", "alpha.ko does not match its hash",
    lambda files: entry(File(A.path, A.content[:-1] + b"x")) + entry(B) + END)
tar("tar-content-of-the-last-file-changed", "beta.ko does not match its hash",
    lambda files: entry(A) + entry(File(B.path, b"x" + B.content[1:])) + END)
tar("tar-contents-swapped", "alpha.ko does not match its hash",
    lambda files: entry(File(A.path, B.content.replace(b"beta", b"beta"))) + entry(File(B.path, A.content)) + END)

# extension headers: a bundle has none, whatever they say
EXTENSIONS = {
    "pax-mtime": pax({"mtime": "1.5"}), "pax-comment": pax({"comment": "hello"}), "pax-path": pax({"path": A.path}),
    "pax-path-elsewhere": pax({"path": "../../etc/shadow"}), "pax-size": pax({"size": str(len(A.content))}),
    "pax-size-2-to-the-63": pax({"size": str(2**63)}), "pax-linkpath": pax({"linkpath": "/etc/shadow"}),
    "pax-owner": pax({"uid": "1000"}), "pax-xattr": pax({"SCHILY.xattr.user.x": "y"}),
    "pax-capability": pax({"SCHILY.xattr.security.capability": "x"}), "pax-selinux-label": pax({"RHT.security.selinux": "x"}),
    "pax-acl": pax({"SCHILY.acl.access": "user::rw-,user:1000:rwx,group::r--,mask::rwx,other::r--"}),
    "pax-sparse": pax({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "376", "GNU.sparse.name": A.path}),
    "pax-device": pax({"SCHILY.devmajor": "1", "SCHILY.devminor": "3"}), "pax-charset": pax({"hdrcharset": "BINARY"}),
    "pax-global": pax({"comment": "x"}, b"g"), "pax-sun": pax({"mtime": "1"}, b"X"),
    "pax-rubbish": header("PaxHeader", 512, kind=b"x") + b"rubbish!" * 64,
    "pax-empty": header("PaxHeader", 0, kind=b"x"),
    "pax-of-8-GiB": header("PaxHeader", 8**11 - 1, kind=b"x"),
    "gnu-long-name": header("././@LongLink", len(A.path) + 1, kind=b"L") + padded(A.path.encode() + b"\0"),
    "gnu-long-link": header("././@LongLink", 12, kind=b"K") + padded(b"/etc/shadow\0"),
    "gnu-long-name-of-8-GiB": header("././@LongLink", 8**11 - 1, kind=b"L"),
    "gnu-volume-label": header("label", 0, kind=b"V", magic=b"ustar  \0"),
    "gnu-directory-list": header("usr/", 0, kind=b"D", magic=b"ustar  \0"),
    "solaris-acl": header("acl", 16, kind=b"A") + padded(b"1000007\0user::rw\0"),
}
for name, block in EXTENSIONS.items():
    tar(f"tar-{name}", ANY, lambda files, block=block: block + plain_tar(files))
    if len(block) == len(END):  # the sizes add up
        tar(f"tar-{name}-in-place-of-the-end", ANY, lambda files, block=block: block + entry(A) + entry(B))
        tar(f"tar-{name}-before-the-last-file-in-place-of-the-end", ANY,
            lambda files, block=block: entry(A) + block + entry(B))
        # and the zeros that the last file ends with stand where the end should be
        tar(f"tar-{name}-hidden-by-the-zeros-of-the-last-file", TAR,
            lambda files, block=block: entry(A) + block + entry(ZEROS), files=(A, ZEROS))
long_name = header("././@LongLink", len(ZEROS.path) + 1, kind=b"L") + padded(ZEROS.path.encode() + b"\0")
tar("tar-gnu-long-name-that-is-right-hidden-by-the-zeros-of-the-last-file", TAR,
    lambda files: entry(A) + long_name + entry(ZEROS), files=(A, ZEROS))
same_size("tar-gnu-magic", TAR, head(magic=b"ustar  \0"))
same_size("tar-no-magic", TAR, head(magic=bytes(8)))
same_size("tar-gnu-sparse-file", TAR, head(kind=b"S", magic=b"ustar  \0"))
