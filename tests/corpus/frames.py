# SPDX-License-Identifier: Apache-2.0
"""The file's beginning: two skippable frames, in order, within their limits, whole."""
import gzip
import struct

from bundlemaker import bundle_file, compact, frame, modules, plain_tar, signed_by, spoil, TEST_KEY
from zstdframe import compress

from . import refuse

MIB = 1 << 20
MANIFEST, SIGNATURES = 0x184D2A50, 0x184D2A51
GOOD = modules()


def parts() -> tuple[bytes, bytes, list[bytes]]:
    manifest, stored = GOOD.manifest()
    data = compact(manifest)
    return data, GOOD.sign(data), stored


def joined(join) -> bytes:
    return join(*parts())


refuse("empty-file", "no manifest frame", lambda: b"")
refuse("seven-bytes", "no manifest frame", lambda: GOOD.build()[:7])
refuse("text", "no manifest frame", lambda: b"This is not a bundle.\n" * 40)
refuse("zeros", "no manifest frame", lambda: bytes(4096))
refuse("gzip-instead-of-zstd", "no manifest frame", lambda: gzip.compress(plain_tar(list(GOOD.files)), mtime=0))
refuse("plain-tar", "no manifest frame", lambda: plain_tar(list(GOOD.files)))
refuse("plain-tar-zst", "no manifest frame", lambda: compress(plain_tar(list(GOOD.files))))
refuse("manifest-magic-of-another-skippable-frame", "no manifest frame",
       lambda: spoil(GOOD.build(), 0, struct.pack("<I", MANIFEST + 2)))
refuse("manifest-magic-big-endian", "no manifest frame", lambda: spoil(GOOD.build(), 0, struct.pack(">I", MANIFEST)))
refuse("byte-before-the-manifest", "no manifest frame", lambda: b"\n" + GOOD.build())
refuse("signatures-before-manifest", "no manifest frame",
       lambda: joined(lambda m, s, c: frame(SIGNATURES, s) + frame(MANIFEST, m) + b"".join(c)))
refuse("skippable-frame-before-the-manifest", "no manifest frame",
       lambda: frame(MANIFEST + 3, b"hello") + GOOD.build())
refuse("manifest-header-only", "truncated inside the manifest", lambda: GOOD.build()[:8])
refuse("manifest-cut", "truncated inside the manifest", lambda: GOOD.build()[:200])
refuse("manifest-claims-4-GiB", r"manifest of 4294967295 bytes; the limit is 1048576",
       lambda: spoil(GOOD.build(), 4, b"\xff\xff\xff\xff"))
refuse("manifest-claims-1-MiB-of-nothing", "truncated inside the manifest", lambda: frame(MANIFEST, b"{", MIB))
refuse("manifest-above-1-MiB", "manifest of 1048577 bytes; the limit is 1048576",
       lambda: GOOD.but(encode=lambda m: compact(m).ljust(MIB + 1)).build())
refuse("manifest-length-one-too-short", "no signatures frame",
       lambda: joined(lambda m, s, c: frame(MANIFEST, m, len(m) - 1) + frame(SIGNATURES, s) + b"".join(c)))
refuse("manifest-length-one-too-long", "no signatures frame",
       lambda: joined(lambda m, s, c: frame(MANIFEST, m, len(m) + 1) + frame(SIGNATURES, s) + b"".join(c)))
refuse("manifest-twice", "no signatures frame",
       lambda: joined(lambda m, s, c: frame(MANIFEST, m) + bundle_file(m, s, c)))
refuse("nothing-after-the-manifest", "no signatures frame", lambda: joined(lambda m, s, c: frame(MANIFEST, m)))
refuse("no-signatures-frame", "no signatures frame", lambda: joined(lambda m, s, c: frame(MANIFEST, m) + b"".join(c)))
refuse("frame-between-manifest-and-signatures", "no signatures frame",
       lambda: joined(lambda m, s, c: frame(MANIFEST, m) + frame(MANIFEST + 2, b"") + frame(SIGNATURES, s) + b"".join(c)))
refuse("signatures-cut", "truncated inside the signatures",
       lambda: joined(lambda m, s, c: (frame(MANIFEST, m) + frame(SIGNATURES, s))[:-10]))
refuse("signatures-claim-4-GiB", "signatures of 4294967295 bytes; the limit is 16384",
       lambda: joined(lambda m, s, c: frame(MANIFEST, m) + frame(SIGNATURES, s, 0xffffffff) + b"".join(c)))
refuse("signatures-above-16-KiB", "signatures of 16385 bytes; the limit is 16384",
       lambda: GOOD.but(sign=lambda m: _of_size(m, (16 << 10) + 1)).build())
refuse("signatures-twice", "chunk 1 of 2 does not match its hash",
       lambda: joined(lambda m, s, c: frame(MANIFEST, m) + frame(SIGNATURES, s) * 2 + b"".join(c)))
refuse("skippable-frame-before-the-chunks", "chunk 1 of 2 does not match its hash",
       lambda: joined(lambda m, s, c: bundle_file(m, s, [frame(MANIFEST + 2, b"hello"), *c])))


def _of_size(manifest: bytes, size: int) -> bytes:
    """Good signatures of exactly `size` bytes: the untrusted comment is as long as it must be."""
    short = TEST_KEY.signature(manifest)
    filled = TEST_KEY.signature(manifest, untrusted=b"untrusted comment: a test's signature" + b"x" * (size - len(short)))
    assert len(filled) == size and signed_by(TEST_KEY)(manifest) == short
    return filled
