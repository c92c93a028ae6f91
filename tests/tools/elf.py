# SPDX-License-Identifier: Apache-2.0
"""Kernel modules small enough to be made by hand: ET_REL files with a .modinfo section.

No kernel would take them; everything that Modulus looks at before it asks the kernel is there.
"""
import os
import platform
import struct

EMULATED = os.environ.get("MODULUS_MACHINE")
MACHINES = {"x86_64": 62, "aarch64": 183, "riscv64": 243, "ppc64le": 21, "s390x": 22}
SIGNATURE_MARKER = b"~Module signature appended~\n"
_EHDR = struct.Struct("=16sHHIQQQIHHHHHH")
_SHDR = struct.Struct("=IIQQQQIIQQ")
_PROGBITS, _STRTAB = 1, 3


def machine() -> str:
    """As the program sees it, which runs under an emulator where MODULUS_MACHINE names another than this one."""
    return EMULATED or platform.machine()


def tool(name: str) -> str:
    """gcc, strip, ... for that machine."""
    return f"{EMULATED}-linux-gnu-{name}" if EMULATED else name


def vermagic(release: str) -> str:
    return f"{release} SMP preempt mod_unload modversions "


def module(name: str, release: str, depends: str = "", signed: bool = False, elf_type: int = 1, padding: int = 0,
           machine_name: str | None = None, info: dict[str, str] | None = None, magic: str | None = None) -> bytes:
    """`info` adds modinfo entries, `padding` a section of so many bytes."""
    entries = {"license": "GPL", "depends": depends, "name": name.replace("-", "_"),
               "vermagic": vermagic(release) if magic is None else magic, **(info or {})}
    modinfo = b"".join(f"{key}={value}".encode() + b"\0" for key, value in entries.items())
    sections = [(b".modinfo", modinfo)]
    if padding:
        sections.append((b".data", bytes((7 * i * i + i // 251) % 256 for i in range(padding))))
    return file(sections, elf_type, machine_name) + (SIGNATURE_MARKER if signed else b"")


def file(sections: list[tuple[bytes, bytes]], elf_type: int = 1, machine_name: str | None = None) -> bytes:
    """An ELF64 file of these sections, all PROGBITS, behind the null section; .shstrtab is added."""
    names, offsets = b"\0", []
    for name in [name for name, _ in sections] + [b".shstrtab"]:
        offsets.append(len(names))
        names += name + b"\0"
    body, headers = b"", [_SHDR.pack(*[0] * 10)]
    for (_, content), name_at in zip(sections + [(b"", names)], offsets):
        body += bytes(-len(body) % 8)
        kind = _STRTAB if content is names else _PROGBITS
        headers.append(_SHDR.pack(name_at, kind, 0 if kind == _STRTAB else 2, 0, _EHDR.size + len(body), len(content),
                                  0, 0, 1, 0))
        body += content
    body += bytes(-len(body) % 8)
    order = 1 if struct.pack("=H", 1) == b"\1\0" else 2
    ident = b"\x7fELF" + bytes([2, order, 1, 0]) + bytes(8)
    header = _EHDR.pack(ident, elf_type, MACHINES[machine_name or machine()], 1, 0, 0, _EHDR.size + len(body), 0,
                        _EHDR.size, 0, 0, _SHDR.size, len(headers), len(headers) - 1)
    return header + body + b"".join(headers)
