# SPDX-License-Identifier: Apache-2.0
"""Archives for the kernel to unpack: a whole small initramfs, or an addition behind another one (the kernel takes as many
archives behind each other as there are, and a later file replaces an earlier one)."""

import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    name: str           # without a leading /
    data: bytes = b""
    mode: int = stat.S_IFREG | 0o644


def directory(name: str) -> Entry:
    return Entry(name, mode=stat.S_IFDIR | 0o755)


def link(name: str, target: str) -> Entry:
    return Entry(name, target.encode(), stat.S_IFLNK | 0o777)


def script(name: str, text: bytes) -> Entry:
    return Entry(name, text, stat.S_IFREG | 0o755)


def archive(entries: list[Entry]) -> bytes:
    """Linux Documentation/driver-api/early-userspace/buffer-format.rst: newc."""
    def one(number: int, entry: Entry) -> bytes:
        # inode, mode, uid, gid, links, mtime, size, four device numbers, length of the name, no checksum
        fields = (number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, 0, 0, len(entry.name) + 1, 0)
        head = b"070701" + "".join(f"{value:08X}" for value in fields).encode() + entry.name.encode() + b"\0"
        return head + b"\0" * (-len(head) % 4) + entry.data + b"\0" * (-len(entry.data) % 4)

    return b"".join(one(number, entry) for number, entry in enumerate([*entries, Entry("TRAILER!!!", mode=0)], 1))


def append(image: Path, entries: list[Entry], output: Path) -> Path:
    """The initramfs `image` with `entries` on top."""
    first = image.read_bytes()
    output.write_bytes(first + b"\0" * (-len(first) % 4) + archive(entries))
    return output
