# SPDX-License-Identifier: Apache-2.0
"""bzImage -> vmlinux. QEMU starts the uncompressed kernel directly (PVH), which saves the guest its slowest seconds in
software emulation: unpacking xz."""

import lzma
import struct
from pathlib import Path

from .host import RigError

# Linux Documentation/arch/x86/boot.rst: offsets in the setup header
_SETUP_SECTORS = 0x1F1
_MAGIC = 0x202
_PAYLOAD = 0x248            # offset and length, 32 bits each


def extract(bzimage: Path, vmlinux: Path) -> None:
    """Write the ELF image that `bzimage` carries. Debian compresses it with xz; anything else is refused."""
    image = bzimage.read_bytes()
    if image[_MAGIC:_MAGIC + 4] != b"HdrS":
        raise RigError(f"{bzimage}: no bzImage")
    setup_bytes = ((image[_SETUP_SECTORS] or 4) + 1) * 512
    offset, length = struct.unpack_from("<II", image, _PAYLOAD)
    payload = image[setup_bytes + offset:setup_bytes + offset + length]
    if not payload.startswith(b"\xfd7zXZ\0"):
        raise RigError(f"{bzimage}: the kernel inside is not compressed with xz")
    # four bytes of uncompressed length follow the stream; the decompressor stops before them
    elf = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)
    if not elf.startswith(b"\x7fELF"):
        raise RigError(f"{bzimage}: what came out is no ELF file")
    vmlinux.write_bytes(elf)
