# SPDX-License-Identifier: Apache-2.0
"""docs/security.md names a test for each threat and fault: each of them exists."""
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
TESTS = PROJECT / "tests"
PAGE = (PROJECT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:unit|cli|boot|fuzz)/[^`]*)`", PAGE)))
DEFINITION = {".py": "def {}(", ".c": "static void {}(void **"}


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_the_page_names_exists(name):
    file, _, test = name.partition("::")
    path = TESTS / file
    assert path.is_file()
    assert not test or f"\n{DEFINITION[path.suffix].format(test)}" in path.read_text()


def test_every_row_names_a_test():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not re.match(r"\| (threat|fault) \|", line)]
    assert len(rows) >= 40
    assert [row for row in rows if not re.search(r"\| (`[a-z]+/[^`]+`( |$)?)+ ?\|$", row)] == []


def test_every_fuzzer_is_on_the_page():
    assert {f"fuzz/{path.name}" for path in (TESTS / "fuzz").glob("fuzz_*.c")} == {name for name in NAMED if name.startswith("fuzz/")}
