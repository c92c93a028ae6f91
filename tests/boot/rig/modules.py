# SPDX-License-Identifier: Apache-2.0
"""The test's own kernel modules (tests/modules), compiled by `modulus build --source`, and what can be wrong with one.

Compiled again whenever the program or a source changes.
"""

from pathlib import Path

from . import cache, places
from .bundles import Programs
from .debian import Kernel
from .host import RigError, run

HELLO = "hello_gpu"
FAULTS = "faults"
RIVAL = "rival"
FAKE_GPU = "fakegpu"
MIMIC = "mimic"
# struct modversion_info: a CRC, then the symbol's name in a field of this size
_CRC_BYTES = 8
_NAME_BYTES = 56


def obtain(programs: Programs, kernel: Kernel, build_tree: Path, source: str, symvers: bool) -> dict[str, Path]:
    """name -> module file of everything in tests/modules/`source`; with `symvers` its imports are checked too."""
    def make(folder: Path) -> None:
        key = programs.key_pair(folder, "key")
        bundle = folder / "bundle.tar.zst"
        run(programs.modulus, "build", "--name", source, "--version", "1", "--kernel", kernel.release,
            "--kernel-dir", kernel.modules, "--kernel-image", kernel.vmlinuz, "--source", places.TEST_MODULES / source,
            "--kernel-build", build_tree, *(["--symvers", build_tree / "Module.symvers"] if symvers else []),
            "--key", key.secret, "--output", bundle, env={"TMPDIR": str(folder)})
        run(programs.modulus, "unpack", "--keys", folder, bundle, folder / "tree")

    key = cache.digest(programs.modulus, places.TEST_MODULES / source, str(build_tree), str(symvers))
    folder = cache.kept(f"modules-{source}", key, make)
    found = {path.stem: path for path in (folder / "tree").rglob("*.ko")}
    if not found:
        raise RigError(f"{folder}: no module was compiled")
    return found


def with_other_crc(module: Path, symbol: str, path: Path) -> Path:
    """The same module, compiled against a kernel in which `symbol` looks different."""
    data = module.read_bytes()
    name = symbol.encode().ljust(_NAME_BYTES, b"\0")
    at = data.find(name) - _CRC_BYTES
    if at < 0 or data.count(name) != 1:
        raise RigError(f"{module}: the version of {symbol} is not there exactly once")
    path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1:])
    return path


def with_other_flags(module: Path, path: Path) -> Path:
    """The same module, compiled for a kernel of the same release that was configured otherwise."""
    data, flag = module.read_bytes(), b" preempt"
    at, end = data.find(flag), data.find(b"\0", data.find(flag))
    if data.count(flag) != 1:
        raise RigError(f"{module}: `preempt` is not in its vermagic exactly once")
    path.write_bytes(data[:at] + data[at + len(flag):end] + bytes(len(flag)) + data[end:])
    return path
