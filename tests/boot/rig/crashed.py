# SPDX-License-Identifier: Apache-2.0
"""What the cache holds on a disk whose power was cut. No guest: e2fsck replays the journal, as the kernel would when it
mounts, debugfs takes the files out, and the real program judges them."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from . import disk
from .host import environment, run

_STATE = "/var/lib/modulus"
# e2fsck(8): 1 means that it repaired something, which a replayed journal is
_REPLAYED = 1


@dataclass(frozen=True)
class Found:
    """Names of files that bear a bundle's name, by what the program says of them, and of all others."""
    good: list[str] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def examine(root: Path, folder: Path, modulus: Path, keys: Path) -> Found:
    """The cache on the file system `root`, which is replayed in place. `folder` is for the files."""
    done = subprocess.run(["e2fsck", "-f", "-p", root], env=environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode > _REPLAYED:
        return Found(bad={"the file system itself": done.stdout})
    run("debugfs", "-R", f"rdump {_STATE} {disk.fresh_folder(folder)}", root)
    found = Found()
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        if path.name.startswith(".") or not path.name.endswith(".tar.zst"):
            found.others.append(path.name)
            continue
        judged = subprocess.run([modulus, "verify", "--keys", keys, path], env=environment(), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if judged.returncode == 0:
            found.good.append(path.name)
        else:
            found.bad[path.name] = f"{path.stat().st_size} bytes, {judged.stdout.strip()}"
    return found
