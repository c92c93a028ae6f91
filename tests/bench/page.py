# SPDX-License-Identifier: Apache-2.0
"""The figures of docs/performance.md and its chart, from build/bench.json; `make performance`. None is copied by hand."""
import json
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
PAGE = TREE / "docs" / "performance.md"
BEGIN, END = "<!-- figures: begin, made by `make performance` of the last `make bench` -->", "<!-- figures: end -->"
MIB = 1 << 20


def _table(*lines: list[str]) -> str:
    """The first line is the head."""
    head, *rest = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, "|---" * len(lines[0]) + "|", *rest]) + "\n"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.1f}" if seconds < 0.1 else f"{seconds * 1e3:,.0f}"


def _value(row: dict | None) -> str:
    if row is None:
        return ""
    unit = "" if row["unit"] == "x" else f" {row['unit']}"
    return f"{row['value']:,.2f}{unit}" + (f" ({row['detail']})" if row["detail"] else "")


def _names(groups: list[dict], part: str) -> list[str]:
    """In the order of the group that has most."""
    return list(dict.fromkeys(name for group in sorted(groups, key=lambda one: -len(one[part])) for name in group[part]))


def _target(name: str, groups: list[dict]) -> str:
    rows = {group["name"]: group["rows"][name] for group in groups if name in group["rows"]}
    (first, *_), missed = rows.values(), [where for where, row in rows.items() if not row["reached"]]
    if first["target"] is None:
        return "none"
    said = f"{'at least' if first['at_least'] else 'at most'} {first['target']:g}"
    if not missed:
        return f"{said}: reached"
    return f"{said}: not reached" + (f" with {missed[0]}" if len(missed) < len(rows) else "")


def _place(groups: list[dict]) -> list[str]:
    """What was measured at one place, a column for each bundle."""
    names = [group["name"] for group in groups]
    took = [[what, *(_milliseconds(group["seconds"][what]["median"]) if what in group["seconds"] else "" for group in groups)]
            for what in _names(groups, "seconds")]
    rows = [[what, *(_value(group["rows"].get(what)) for group in groups), _target(what, groups)] for what in _names(groups, "rows")]
    return ["\n".join(f"- {group['name']}: {group['bundle']}" for group in groups) + "\n",
            _table(["contender, median, ms", *names], *took), _table(["row", *names, "target"], *rows)]


def _grown(one: dict, limit: float) -> list[str]:
    first, last = one["steps"][0], one["steps"][-1]
    return [f"{one['what']}, {first['size']:,} to {last['size']:,} {one['unit']}",
            f"{_milliseconds(first['seconds'])} to {_milliseconds(last['seconds'])}",
            f"{first['resident'] / MIB:.1f} to {last['resident'] / MIB:.1f}",
            f"{one['worst']:.2f}: {'reached' if one['worst'] <= limit else 'not reached'}"]


def rendered(result: dict) -> str:
    guest, here = ([group for group in result["groups"] if ("guest" in group["where"]) == inside] for inside in (True, False))
    return "\n".join([
        f"{result['rounds']} rounds.\n", "In a guest, into its kernel:\n", *_place(guest),
        "On the machine itself, nothing inserted:\n", *_place(here),
        _table(["growth", "ms", "memory, MiB", f"steepest step, at most {result['growth_max']:g}"],
               *(_grown(one, result["growth_max"]) for one in result["growth"]))])


def page_with_figures(page: str, result: dict) -> str:
    before, rest = page.split(BEGIN, 1)
    return before + BEGIN + "\n\n" + rendered(result) + "\n" + END + rest.split(END, 1)[1]


def main() -> None:
    build = TREE / "build"
    PAGE.write_text(page_with_figures(PAGE.read_text(), json.loads((build / "bench.json").read_text())))
    PAGE.with_suffix(".svg").write_text((build / "bench.svg").read_text())


if __name__ == "__main__":
    main()
