# SPDX-License-Identifier: Apache-2.0
"""What went over a guest's network card, as QEMU wrote it down (libpcap's file format, Ethernet)."""

import ipaddress
import struct
from dataclasses import dataclass
from pathlib import Path

FILE_HEADER, RECORD_HEADER = 24, 16
TCP, UDP = 6, 17


@dataclass(frozen=True)
class Packet:
    protocol: int       # of IPv4; 0 for everything else
    source: str
    source_port: int
    target_port: int


def read(path: Path) -> list[Packet]:
    """The packets of a file; the one that was being written when the guest ended is left out."""
    data = path.read_bytes()
    packets, at = [], FILE_HEADER
    while at + RECORD_HEADER <= len(data):
        (kept,) = struct.unpack_from("=I", data, at + 8)
        at += RECORD_HEADER
        if at + kept <= len(data):
            packets.append(_packet(data[at:at + kept]))
        at += kept
    return packets


def _packet(frame: bytes) -> Packet:
    if len(frame) < 34 or frame[12:14] != b"\x08\x00":
        return Packet(0, "", 0, 0)
    start = 14 + (frame[14] & 15) * 4
    ports = struct.unpack_from(">HH", frame, start) if len(frame) >= start + 4 and frame[23] in (TCP, UDP) else (0, 0)
    return Packet(frame[23], str(ipaddress.ip_address(frame[26:30])), *ports)
