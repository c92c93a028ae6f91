# SPDX-License-Identifier: Apache-2.0
"""Bundles that must be refused, one for each rule of docs/bundle.md, and good ones that stand just inside.

Nothing is stored: each is made when it is asked for, the same bytes every time, signed with keys that anybody can make
(tests/tools/minisign.py). `python3 -m corpus DIR`, run in tests/, writes all of them and their expectations.
"""
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from bundlemaker import OTHER_KEY, TEST_KEY  # noqa: E402

KEYS = (TEST_KEY, OTHER_KEY)  # what the reader knows; bundlemaker.UNKNOWN_KEY is not among them


@dataclass(frozen=True)
class Case:
    name: str
    reason: str  # the word
    says: str    # what the message of `modulus` must match, case and all
    build: Callable[[], bytes]

    def holds(self, message: str) -> bool:
        return re.search(self.says, message) is not None


REFUSE: dict[str, Case] = {}
GOOD: dict[str, Callable[[], bytes]] = {}


def refuse(name: str, says: str, build: Callable[[], bytes], reason: str = "corrupt") -> None:
    assert name not in REFUSE, name
    REFUSE[name] = Case(name, reason, says, build)


def good(name: str, build: Callable[[], bytes]) -> None:
    assert name not in GOOD, name
    GOOD[name] = build


from . import accepted, fields, frames, payload, places, signatures, texts  # noqa: E402, F401
