# SPDX-License-Identifier: Apache-2.0
"""What a fleet costs its web server (tests/bench/fleet.py, on a small scale): each node asks once, and what has not changed
is one conditional request."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

from nginx import PROGRAM  # noqa: E402

import fleet  # noqa: E402  (tests/bench)

NODES, BUNDLE_BYTES = 30, 100_000
# status line and headers of an answer without a body, and those of a question
SMALL_BYTES = 400


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    if PROGRAM is None:
        pytest.skip("nginx is not installed")
    nodes = fleet.Fleet(tmp_path_factory.mktemp("fleet") / "f", NODES, BUNDLE_BYTES)
    try:
        return fleet.rounds(nodes, window_s=1)
    finally:
        nodes.close()


def test_an_update_costs_one_request_and_one_bundle_per_node(made):
    for what in ("update", "newer"):
        one = made[what]
        assert one["statuses"] == {"200": NODES} and one["requests_per_node"] == {"least": 1, "most": 1}
        assert NODES * BUNDLE_BYTES < one["bytes_sent"] < NODES * (BUNDLE_BYTES + 20_000)


def test_what_has_not_changed_costs_exactly_one_conditional_request_per_node(made):
    one = made["unchanged"]
    assert one["statuses"] == {"304": NODES} and one["requests_per_node"] == {"least": 1, "most": 1}
    assert one["bytes_sent"] < NODES * SMALL_BYTES and one["bytes_received"] < NODES * SMALL_BYTES


def test_the_table_has_what_was_measured(made):
    lines = fleet.table(made).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["update", "unchanged", "newer"]
    assert f"304:{NODES}" in lines[2] and f" {NODES} " in lines[2]
