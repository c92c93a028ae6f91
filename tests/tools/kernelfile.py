# SPDX-License-Identifier: Apache-2.0
"""Kernel images that say which kernel they are of, and hold nothing else."""
import gzip
import struct


def vmlinux(build_id: str) -> bytes:
    note = struct.pack("<III", 4, len(build_id) // 2, 3) + b"GNU\0" + bytes.fromhex(build_id)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    at = len(header) + 56
    return header + struct.pack("<IIQQQQQQ", 4, 4, at, 0, 0, len(note), len(note), 4) + note


def bzimage(build_id: str, release: str) -> bytes:
    """Documentation/arch/x86/boot: one setup sector with the version's text in it, then the payload."""
    payload = gzip.compress(vmlinux(build_id), mtime=0)
    setup = bytearray(1024)
    setup[0x1f1] = 1
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x20e, 0x100)
    text = f"{release} (who@where) #1 SMP\0".encode()
    setup[0x300:0x300 + len(text)] = text
    struct.pack_into("<II", setup, 0x248, 0, len(payload))
    return bytes(setup) + payload
