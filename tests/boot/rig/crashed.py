# SPDX-License-Identifier: Apache-2.0
"""What the cache holds on a disk whose power was cut, and what becomes of it. No guest: e2fsck replays the journal, as the
kernel would when it mounts, debugfs takes the files out, and the real program judges them and goes on with them."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from . import disk, places
from .host import environment, run

sys.path.append(str(places.TOOLS))
from fakehost import Machine  # noqa: E402  all of a running machine that is no file of its disk

_STATE = "var/lib/modulus"
# e2fsck(8): 1 means that it repaired something, which a replayed journal is
_REPLAYED = 1
# what modulus-fetch.service runs
PREFETCH = ("fetch", "--next", "--present", "--refresh")


@dataclass(frozen=True)
class Found:
    """Names of files that bear a bundle's name, by what the program says of them, and of all others."""
    good: list[str] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Done:
    code: int
    text: str


@dataclass(frozen=True)
class WentOn:
    """The bundle of the next kernel is asked for again, in the network that the cut machine had."""
    left: Found
    noted: set[str]         # digests of what the addresses that were asked are said to hold
    believed: str | None    # the file of the cache that `check --next` says is good
    fetch: Done
    then: Found
    again: Done             # and once more


def examine(root: Path, tree: Path, modulus: Path, keys: Path) -> Found:
    """The cache on the file system `root`, which is replayed in place and whose files come below `tree`."""
    done = _said("e2fsck", "-f", "-p", root)
    if done.code > _REPLAYED:
        return Found(bad={"the file system itself": done.text})
    run("debugfs", "-R", f"rdump / {disk.fresh_folder(tree)}", root)
    return _found(tree, modulus, keys)


def _found(tree: Path, modulus: Path, keys: Path) -> Found:
    found = Found()
    for path in sorted((tree / _STATE).rglob("*")):
        if path.is_dir():
            continue
        if path.name.startswith(".") or not path.name.endswith(".tar.zst"):
            found.others.append(path.name)
            continue
        judged = _said(modulus, "verify", "--keys", keys, path)
        if judged.code == 0:
            found.good.append(path.name)
        else:
            found.bad[path.name] = f"{path.stat().st_size} bytes, {judged.text.strip()}"
    return found


def go_on(left: Found, tree: Path, release: str, modulus: Path, keys: Path, proxy: str, before: Path) -> WentOn:
    """On the machine whose root is `tree`, with the kernel `release` installed; `proxy` is where the guest's network is, and
    `before` a program that runs ours without sync, since this machine's power does not fail."""
    (tree / "usr/lib/modules" / release).mkdir(parents=True)
    machine = Machine(disk.fresh_folder(tree.with_suffix(".live")))
    machine.device()
    roots = ("--root", tree, "--live-root", machine.live)
    noted = _noted(tree)
    check = _said(modulus, "check", "--next", "--json", *roots, proxy=proxy)
    fetch = _said(before, modulus, *PREFETCH, *roots, proxy=proxy)
    then = _found(tree, modulus, keys)
    again = _said(before, modulus, *PREFETCH, *roots, proxy=proxy)
    shutil.rmtree(machine.live.parent)
    return WentOn(left, noted, _believed(check.text), fetch, then, again)


def _said(*words: object, proxy: str | None = None) -> Done:
    env = environment() | ({"http_proxy": proxy, "no_proxy": "", "NO_PROXY": ""} if proxy else {})
    done = subprocess.run([str(word) for word in words], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    return Done(done.returncode, done.stdout)


def _noted(tree: Path) -> set[str]:
    """However broken a note is."""
    notes = "".join(path.read_text(errors="replace") for path in (tree / _STATE / "asked").glob("*.json"))
    return set(re.findall(r'"digest": "([0-9a-f]{64})"', notes))


def _believed(report: str) -> str | None:
    rows = json.loads(report[report.index("{"):])["findings"]
    origins = [row["text"].partition(": ")[0] for row in rows if row["what"] == "modules" and row["level"] == "ok"]
    return next((origin.rpartition("/")[2] for origin in origins if origin.startswith("cache:")), None)

