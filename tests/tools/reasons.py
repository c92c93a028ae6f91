# SPDX-License-Identifier: Apache-2.0
"""The table of reasons, from the code; run as a program it renders the table of docs/operations.md."""
import pathlib
import re
import sys

TREE = pathlib.Path(__file__).resolve().parents[2]
PAGE = TREE / "docs" / "operations.md"
BEGIN, END = "<!-- reasons: begin, made by `make operations` of stage/err.h -->", "<!-- reasons: end -->"


def table() -> list[tuple[str, str, str]]:
    """(word, exit code, text) of stage/err.h."""
    source = (TREE / "stage" / "err.h").read_text()
    codes = dict(re.findall(r"(EXIT_\w+) = (\d+)", source))
    rows = source[source.index("#define REASON_TABLE"):source.index("enum {\n\tE_BASE_")]
    rows = re.sub(r"\\\n", " ", rows)
    found = re.findall(r'X\(\w+,\s*"([^"]+)",\s*(EXIT_\w+),\s*((?:"[^"]*"\s*)+)\)', rows)
    return [(word, codes[code], "".join(re.findall(r'"([^"]*)"', text))) for word, code, text in found]


def cell(text: str) -> str:
    """A sentence; one that begins with a command keeps it as it is typed."""
    text = text.strip()
    return (text if text.startswith("modulus ") else text[:1].upper() + text[1:]).replace("|", "\\|") + "." if text else ""


def rendered() -> str:
    """What it means is before the first semicolon, what to do behind it."""
    lines = ["| reason | exit | what it means | what to do |", "|---|---|---|---|"]
    for word, code, text in table():
        means, _, do = text.partition("; ")
        lines.append(f"| `{word}` | {code} | {cell(means)} | {cell(do)} |")
    return "\n".join(lines) + "\n"


def page_with_table(page: str) -> str:
    before, rest = page.split(BEGIN, 1)
    return before + BEGIN + "\n\n" + rendered() + "\n" + END + rest.split(END, 1)[1]


if __name__ == "__main__":
    sys.stdout.write(page_with_table(PAGE.read_text()))
