# SPDX-License-Identifier: Apache-2.0
"""The program that `make` built, run as a person would. MODULUS_BUILD names another directory than build/ with
another build, one with sanitizers for example."""
import os
import subprocess
from pathlib import Path

import elf

TREE = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("MODULUS_BUILD") or TREE / "build").resolve()
MODULUS, MODULUS_BOOT = BUILD / "modulus", BUILD / "modulus-boot"
DONE, SYSTEM, USAGE, NO_BUNDLE, UNTRUSTED, KERNEL, RESOURCES, NETWORK, CONFIG = range(9)  # stage/err.h


def environment(**more: str) -> dict[str, str]:
    """English, and as if nobody had set anything: no journal, no SOURCE_DATE_EPOCH, no strip of another name."""
    ours = {k: v for k, v in os.environ.items() if k not in ("JOURNAL_STREAM", "NOTIFY_SOCKET", "SOURCE_DATE_EPOCH", "STRIP")}
    return {**ours, "LC_ALL": "C", **({"STRIP": elf.tool("strip")} if elf.EMULATED else {}), **more}


def modulus(*args, stdin: bytes | None = None, program: Path = MODULUS, env: dict[str, str] | None = None, cwd=None,
            ) -> subprocess.CompletedProcess:
    """Text in and out; bytes that are no text are replaced."""
    done = subprocess.run([str(program), *map(str, args)], input=stdin if stdin is not None else b"", capture_output=True,
                          env=env or environment(), cwd=cwd, timeout=120)
    done.stdout, done.stderr = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    assert done.returncode >= 0, f"killed by signal {-done.returncode}: {done}"
    return done


def snapshot(*folders: Path, without: tuple[str, ...] = ()) -> dict[str, object]:
    """Every name below the folders, with what it is, holds and when it was changed; but not below the names in `without`."""
    found = {}
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            inside = path.relative_to(folder).as_posix()
            if any(inside == name or inside.startswith(name + "/") for name in without):
                continue
            about = path.lstat()
            content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[f"{folder}/{inside}"] = (oct(about.st_mode), about.st_mtime_ns if path.is_file() else 0, content)
    return found
