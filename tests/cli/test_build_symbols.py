# SPDX-License-Identifier: Apache-2.0
"""What a module imports is held against the kernel's Module.symvers when the bundle is made: a name that nobody exports, or one
that looks different in that kernel, is refused there and not on a thousand machines."""
import gzip
import struct

import pytest

import elf
from bundlemaker import RELEASE
from program import SYSTEM
from workshop import PLACE, compiled

KERNEL = {"module_layout": 0x11111111, "drm_open": 0x22222222}
# what EXPORT_SYMBOL leaves of a name
EXPORT = 'asm(".section __ksymtab_strings,\\"a\\"\\n.asciz \\"%s\\"\\n.previous\\n");\n'


def symvers(symbols: dict[str, int]) -> str:
    return "".join(f"0x{crc:08x}\t{name}\tvmlinux\tEXPORT_SYMBOL\t\n" for name, crc in symbols.items())


def versioned(name: str, imports: dict[str, int]) -> bytes:
    """A module that recorded these CRCs, and has no table of symbols."""
    table = b"".join(struct.pack("=Q", crc) + symbol.encode().ljust(56, b"\0") for symbol, crc in imports.items())
    plain = elf.module(name, RELEASE)
    modinfo = plain[64:plain.index(b".modinfo") - 1].rstrip(b"\0") + b"\0"
    return elf.file([(b".modinfo", modinfo), (b"__versions", table)])


@pytest.fixture
def table(workshop):
    path = workshop.folder / "Module.symvers"
    path.write_text(symvers(KERNEL))
    return path


def test_imports_that_the_kernel_has_are_taken(workshop, table):
    workshop.add("alpha", versioned("alpha", KERNEL))
    workshop.build(symvers=table)
    assert list(workshop.files) == [PLACE + "alpha.ko"]


def test_a_symbol_that_looks_different_is_named_with_both_versions(workshop, table):
    workshop.add("alpha", versioned("alpha", {**KERNEL, "drm_open": 0x33333333}))
    workshop.refuses("alpha was built for another drm_open (CRC 0x33333333, the kernel has 0x22222222)", symvers=table)


def test_a_versioned_symbol_that_nobody_exports_is_named(workshop, table):
    workshop.add("alpha", versioned("alpha", {**KERNEL, "gone": 1}))
    workshop.refuses("alpha imports gone, which neither the kernel nor the bundle exports", symvers=table)


def test_a_symbol_without_a_version_that_nobody_exports_is_named(workshop, table):
    """As of a kernel without MODVERSIONS, or where modpost only warned (tests/modules/faults/fault_symbol.c)."""
    compiled(workshop.modules / "alpha.ko", "int drm_open(void); int missing(void); int init(void) { return drm_open() + missing(); }\n")
    workshop.refuses("alpha imports missing, which neither the kernel nor the bundle exports", symvers=table)


def test_modules_of_one_bundle_export_to_each_other(workshop, table):
    compiled(workshop.modules / "alpha.ko", "int beta_call(void); int init(void) { return beta_call(); }\n")
    workshop.refuses("alpha imports beta_call", symvers=table)
    compiled(workshop.modules / "beta.ko", EXPORT % "beta_call" + "int beta_call(void) { return 1; }\n")
    workshop.build(symvers=table)
    assert set(workshop.files) == {PLACE + "alpha.ko", PLACE + "beta.ko"}


def test_a_symbol_that_a_module_can_do_without_need_not_be_there(workshop, table):
    compiled(workshop.modules / "alpha.ko", "__attribute__((weak)) int perhaps(void); int init(void) { return perhaps ? perhaps() : 0; }\n")
    workshop.build(symvers=table)


@pytest.mark.parametrize("place", ["build/Module.symvers", "../../../usr/src/linux-headers-{}/Module.symvers", "symvers.gz"])
def test_the_table_is_found_near_the_kernels_modules(workshop, place):
    kernel = workshop.folder / "root/lib/modules" / RELEASE
    kernel.mkdir(parents=True)
    path = kernel / place.format(RELEASE)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(symvers(KERNEL).encode()) if place.endswith("gz") else symvers(KERNEL).encode())
    workshop.add("alpha", versioned("alpha", {"gone": 1}))
    workshop.refuses("alpha imports gone", kernel_dir=kernel)


def test_without_a_table_a_warning_says_what_was_not_checked(workshop):
    workshop.add("alpha", versioned("alpha", {"gone": 1}))
    done = workshop.run()
    assert "no Module.symvers near" in done.stderr and "was not checked (--symvers)" in done.stderr and workshop.output.exists()


def test_a_table_that_is_none_is_named(workshop, table):
    workshop.add("alpha")
    table.write_text("hello\n")
    workshop.refuses("not a Module.symvers", symvers=table)
    done = workshop.run(symvers=workshop.folder / "none")
    assert done.returncode == SYSTEM and "none: No such file or directory" in done.stderr
