# SPDX-License-Identifier: Apache-2.0
"""Slow results, kept between runs under a key made of everything that they were made from.

A result is a directory. It is made under a temporary name and renamed when complete, so that an interrupted run leaves
nothing that a later one would believe.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from . import places

KEY_DIGITS = 16


def digest(*parts: str | bytes | Path) -> str:
    """One short key for texts, bytes, files and trees (names, modes and contents)."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            for path in [part] if part.is_file() else sorted(part.rglob("*")):
                total.update(f"{path.relative_to(part.parent)}\0{path.lstat().st_mode}\0".encode())
                if path.is_file() and not path.is_symlink():
                    total.update(hashlib.sha256(path.read_bytes()).digest())
        else:
            total.update(part.encode() if isinstance(part, str) else part)
        total.update(b"\0\0")
    return total.hexdigest()[:KEY_DIGITS]


@contextlib.contextmanager
def _locked(kind: str) -> Iterator[None]:
    places.CACHE.mkdir(parents=True, exist_ok=True)
    with open(places.CACHE / f".{kind}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def kept(kind: str, key: str, make: Callable[[Path], None], keep: int = 3) -> Path:
    """The directory `kind-key`; `make(empty directory)` fills it if absent. The `keep` last used of a kind stay."""
    wanted = places.CACHE / f"{kind}-{key}"
    with _locked(kind):
        for left in places.CACHE.glob(f".{kind}@*"):
            shutil.rmtree(left)         # a run that was killed; the lock says that nobody is making it now
        if not wanted.is_dir():
            fresh = Path(tempfile.mkdtemp(prefix=f".{kind}@", dir=places.CACHE))
            try:
                fresh.chmod(0o755)
                make(fresh)
                fresh.rename(wanted)
            except BaseException:
                shutil.rmtree(fresh, ignore_errors=True)
                raise
        os.utime(wanted)
        # not those of a kind whose name begins with this one's and a dash
        of_kind = places.CACHE.glob(f"{kind}-{'[0-9a-f]' * KEY_DIGITS}")
        by_use = sorted(of_kind, key=lambda path: path.stat().st_mtime, reverse=True)
        for old in by_use[keep:]:
            shutil.rmtree(old)
    return wanted
