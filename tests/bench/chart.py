# SPDX-License-Identifier: Apache-2.0
"""The chart of the README: the medians of each group of bench.json that ran in a guest, as bars of one scale, SVG."""
from html import escape

WIDTH, BAR_AT, BAR, ROW, TOP = 860, 260, 420, 24, 34
OURS, OTHERS = "#2a6f97", "#a5a5a5"


def _group(group: dict, at: int) -> tuple[list[str], int]:
    longest = max(one["median"] for one in group["seconds"].values())
    lines = [f'<text x="0" y="{at + 16}" font-weight="bold">{escape(group["bundle"])}</text>']
    at += TOP
    for what, one in group["seconds"].items():
        width = max(1, round(one["median"] / longest * BAR))
        lines += [f'<text x="{BAR_AT - 8}" y="{at + 15}" text-anchor="end">{escape(what)}</text>',
                  f'<rect x="{BAR_AT}" y="{at + 2}" width="{width}" height="{ROW - 6}" fill="{OURS if what.startswith("ours") else OTHERS}"/>',
                  f'<text x="{BAR_AT + width + 6}" y="{at + 15}">{one["median"] * 1e3:.0f} ms</text>']
        at += ROW
    return lines, at + 12


def draw(result: dict) -> str:
    lines, at = [], 0
    for group in result["groups"]:
        if "guest" in group["where"]:
            drawn, at = _group(group, at)
            lines += drawn
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {at}" font-family="sans-serif" font-size="13">',
                      f'<rect width="{WIDTH}" height="{at}" fill="white"/>', *lines, "</svg>", ""])
