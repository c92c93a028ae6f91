# SPDX-License-Identifier: Apache-2.0
"""One zstd frame: its extent found by our own reading of RFC 8878, its content by libzstd; and frames made by hand.

Finding the extent by hand keeps a library that is helpful about second frames, old formats and huge windows out of the
question whether a chunk is what the format says.
"""
import struct

import zstandard

MAGIC = 0xFD2FB528
_CHECKSUM, _SINGLE_SEGMENT, _RESERVED = 0x04, 0x20, 0x08
_BLOCK_MAX = 128 << 10


class Bad(ValueError):
    """Not one plain zstd frame, or not of the size that was asked for."""


def _take(data: bytes, at: int, length: int) -> int:
    """A little-endian number."""
    if at + length > len(data):
        raise Bad("a frame that is cut off")
    return int.from_bytes(data[at:at + length], "little")


def extent(data: bytes, window_max: int) -> tuple[int, int | None]:
    """Length of the frame at the beginning of data (RFC 8878, 3.1.1), and the content size that it claims."""
    if _take(data, 0, 4) != MAGIC:
        raise Bad("not a zstd frame")
    descriptor = _take(data, 4, 1)
    if descriptor & _RESERVED:
        raise Bad("a reserved bit is set")
    if descriptor & 3:
        raise Bad("a frame that needs a dictionary")
    at, content_flag, single = 5, descriptor >> 6, descriptor & _SINGLE_SEGMENT
    window = 0
    if not single:
        field = _take(data, at, 1)
        at += 1
        base = 1 << (10 + (field >> 3))
        window = base + base // 8 * (field & 7)
    content_bytes = [1 if single else 0, 2, 4, 8][content_flag]
    content = _take(data, at, content_bytes) + (256 if content_flag == 1 else 0) if content_bytes else None
    at += content_bytes
    if (content if single else window) > window_max:
        raise Bad(f"a window above {window_max} bytes")
    while True:
        header = _take(data, at, 3)
        kind, size = header >> 1 & 3, header >> 3
        if kind == 3:
            raise Bad("a block of a reserved kind")
        at += 3 + (1 if kind == 1 else size)
        if header & 1:
            break
    at += 4 if descriptor & _CHECKSUM else 0
    if at > len(data):
        raise Bad("a frame that is cut off")
    return at, content


def decompress(data: bytes, size: int, window_max: int) -> bytes:
    """Exactly `size` bytes from exactly one frame."""
    length, content = extent(data, window_max)
    if length != len(data):
        raise Bad("something behind the frame")
    if content is not None and content != size:  # and nothing is allocated for what a header claims
        raise Bad(f"a content of {content} bytes, not {size}")
    try:
        plain = zstandard.ZstdDecompressor(max_window_size=window_max).decompress(data, max_output_size=size)
    except zstandard.ZstdError as why:
        raise Bad(str(why)) from None
    if len(plain) != size:
        raise Bad(f"{len(plain)} bytes, not {size}")
    return plain


def compress(data: bytes, level: int = 3, **options) -> bytes:
    """What libzstd makes of it."""
    return zstandard.ZstdCompressor(level=level, **options).compress(data)


def raw(data: bytes, content_size: int | None = None, window: tuple[int, int] = (10, 0), descriptor: int = 0,
        magic: int = MAGIC, block_kind: int | None = None, tail: bytes = b"") -> bytes:
    """A frame of uncompressed blocks, or (runs of one byte) of repeat blocks; the header says what it is told to say.

    window: exponent of 2 and eighths; content_size: an 8-byte field with that number."""
    header = struct.pack("<IB", magic, descriptor | (0xC0 if content_size is not None else 0))
    header += bytes([window[0] - 10 << 3 | window[1]])
    if content_size is not None:
        header += struct.pack("<Q", content_size)
    block_max = min(_BLOCK_MAX, (1 << window[0]) + (1 << window[0]) // 8 * window[1])
    blocks = [data[at:at + block_max] for at in range(0, len(data), block_max)] or [b""]
    body = b""
    for at, block in enumerate(blocks):
        run = len(set(block)) == 1
        kind = block_kind if block_kind is not None else int(run)
        last = at == len(blocks) - 1
        body += (len(block) << 3 | kind << 1 | last).to_bytes(3, "little") + (block[:1] if kind == 1 else block)
    return header + body + tail


def runs(blocks: int, window: tuple[int, int] = (17, 0)) -> bytes:
    """`blocks` times 128 KiB of zeros in 4 bytes each."""
    header = struct.pack("<IBB", MAGIC, 0, window[0] - 10 << 3 | window[1])
    block = (_BLOCK_MAX << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    return header + block * (blocks - 1) + (_BLOCK_MAX << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\0"
