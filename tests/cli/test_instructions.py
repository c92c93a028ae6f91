# SPDX-License-Identifier: Apache-2.0
"""How many instructions the two paths take that every boot goes: a count does not depend on what else the machine does.

The limits are a fifth above what was counted (gcc 12, OpenSSL 3.0, zstd 1.5, on x86-64 with AVX2): what goes past one is
work that was not there before. A change that is worth it raises the limit in the same commit.
"""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bundlemaker import cut_at, module_file, modules
from fakehost import Machine
from program import DONE, MODULUS_BOOT, environment

pytestmark = [pytest.mark.skipif(os.environ.get("STATIC") == "0", reason="counted in the static build, without a dynamic linker"),
              pytest.mark.skipif(" avx2 " not in Path("/proc/cpuinfo").read_text(), reason="counted with AVX2, which OpenSSL uses where it is")]

# three drivers, 256 devices of others
NO_DEVICE_MAX = 2_450_000
# for each byte of a bundle's tar, beyond what an empty one takes: chunk hash, zstd, tar, file hash, all threads
PER_BYTE_MAX = 35
# everything about a bundle that does not grow with it: configuration, keys, signature, manifest, report
FIXED_MAX = 10_400_000
OTHER = "pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00"


def count(folder, machine) -> int:
    """Valgrind knows no openat2(2); the program then walks by itself."""
    out = folder / "callgrind"
    done = subprocess.run(["valgrind", "--tool=callgrind", "--trace-children=no", f"--callgrind-out-file={out}", MODULUS_BOOT, "boot", *machine.roots],
                          env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == DONE, done.stderr
    return int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M).group(1))


def test_without_a_device(machine, tmp_path):
    for name in ("gpu", "npu", "fpga"):
        machine.driver(name)
    machine.key()
    for number in range(256):
        machine.device(OTHER, f"0000:{number // 32:02x}:{number % 32:02x}.0")
    assert count(tmp_path, machine) <= NO_DEVICE_MAX


def with_bundle(folder, machine, padding: int) -> tuple[int, int]:
    """Instructions, and the bytes of the tar."""
    recipe = modules().but(files=(module_file("alpha", padding=padding),), cut=cut_at(1 << 20))
    machine.usr(recipe.build())
    shutil.rmtree(machine.root / "var/lib", ignore_errors=True)
    return count(folder, machine), recipe.manifest()[0]["unpacked"]


def test_with_a_bundle(machine, tmp_path):
    """Up to the kernel, which has the module already."""
    machine.driver()
    machine.key()
    machine.device()
    machine.module_is_live("alpha")
    (few, small), (many, large) = (with_bundle(tmp_path, machine, mib << 20) for mib in (1, 3))
    per_byte = (many - few) / (large - small)
    assert per_byte <= PER_BYTE_MAX
    assert few - per_byte * small <= FIXED_MAX


def with_drivers(folder, number: int) -> int:
    """Each with a bundle of its own, all in one directory."""
    machine = Machine(folder)
    machine.key()
    machine.device()
    machine.module_is_live("alpha")
    for one in range(number):
        name = f"gpu{one}"
        machine.driver(name)
        machine.usr(modules().but(files=(module_file("alpha", driver=name),), fields={"name": name}).build(), f"{name}.tar.zst")
    return count(folder, machine)


def test_the_next_driver_takes_no_more_than_the_one_before(tmp_path):
    """Whose a file of /usr is, its name does not say: what one driver read of it, the others need not read again. What is left
    that grows with their product is a line of the report."""
    few, more, many = (with_drivers(tmp_path / str(number), number) for number in (2, 6, 12))
    assert (many - more) / 6 <= 1.1 * (more - few) / 4
