# SPDX-License-Identifier: Apache-2.0
"""What `make performance` makes of the figures of `make bench` (tests/bench/page.py, chart.py)."""
import sys
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import chart  # noqa: E402  (tests/bench)
import page  # noqa: E402


def row(value: float, target: float | None, at_least: bool = False, unit: str = "x", detail: str = "") -> dict:
    reached = target is None or (value >= target if at_least else value <= target)
    return {"value": value, "unit": unit, "target": target, "at_least": at_least, "reached": reached, "detail": detail}


def group(name: str, where: str, seconds: dict[str, float], rows: dict[str, dict]) -> dict:
    return {"name": name, "where": where, "bundle": f"{name} & more", "seconds": {what: {"median": one} for what, one in seconds.items()},
            "rows": rows}


RESULT = {
    "rounds": 3, "growth_max": 1.1,
    "groups": [
        group("small", "in a guest", {"ours": 0.45901, "floor": 0.3}, {"over floor": row(1.2, 1.25), "script": row(2, 3, at_least=True)}),
        group("large", "in a guest", {"ours": 1.5, "floor": 1, "firmware": 2},
              {"over floor": row(1.5, 1.25, detail="drm"), "fw": row(1.3, None), "script": row(2, 3, at_least=True)}),
        group("here", "here", {"ours": 0.0512}, {"size": row(5.9, 6, unit="MiB")})],
    "growth": [{"what": "drivers", "unit": "files", "worst": 1.2, "steps": [
        {"size": size, "seconds": size / 100, "resident": size << 20} for size in (1, 1024)]}]}


def test_each_figure_is_in_its_place():
    lines = page.rendered(RESULT).splitlines()
    for line in ("| ours | 459 | 1,500 |", "| firmware |  | 2,000 |", "| ours | 51.2 |",
                 "| over floor | 1.20 | 1.50 (drm) | at most 1.25: not reached with large |",
                 "| script | 2.00 | 2.00 | at least 3: not reached |", "| fw |  | 1.30 | none |", "| size | 5.90 MiB | at most 6: reached |",
                 "| drivers, 1 to 1,024 files | 10.0 to 10,240 | 1.0 to 1024.0 | 1.20: not reached |"):
        assert line in lines


def test_nothing_else_of_the_page_changes():
    before = page.PAGE.read_text()
    after = page.page_with_figures(before, RESULT)
    assert after.split(page.BEGIN)[0] == before.split(page.BEGIN)[0]
    assert after.split(page.END)[1] == before.split(page.END)[1]
    assert page.page_with_figures(after, RESULT) == after


def test_the_chart_has_a_bar_for_each_contender_in_the_guest():
    picture = ElementTree.fromstring(chart.draw(RESULT))
    texts = [one.text for one in picture.findall(".//{*}text")]
    assert len(picture.findall(".//{*}rect")) == 1 + 5
    assert "small & more" in texts and "459 ms" in texts and "51 ms" not in texts
