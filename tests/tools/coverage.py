# SPDX-License-Identifier: Apache-2.0
"""Which lines of the program ran, by what gcc's counters beside the objects say.

    coverage.py FLOOR TABLE OBJECT...

TABLE gets a row per file; the lowest of them and the whole are printed. Fails below FLOOR percent. A line is a line
of stage/ for which there is code; those of a file that nothing ran count too."""
import collections
import json
import subprocess
import sys
from pathlib import Path

SHOWN = 12  # files, the lowest ones


def lines(objects: list[str]) -> dict[str, dict[int, int]]:
    """How often each line ran, by file. An inline function of a header is in several objects."""
    ran = collections.defaultdict(collections.Counter)
    notes = [str(Path(name).with_suffix(".gcno")) for name in objects]
    told = subprocess.run(["gcov", "--json-format", "--stdout", *notes], capture_output=True, text=True)
    if told.returncode != 0:
        sys.exit(f"modulus: gcov: {told.stderr.strip()}")
    for document in told.stdout.splitlines():
        for file in json.loads(document)["files"]:
            for line in file["lines"] if file["file"].startswith("stage/") else []:
                ran[file["file"]][line["line_number"]] += line["count"]
    return ran


def row(name: str, ran: int, all_lines: int) -> str:
    return f"{name:<28} {ran:>6} of {all_lines:>6} lines  {100 * ran / all_lines:5.1f} %"


def main(floor: float, table: Path, objects: list[str]) -> None:
    counts = {name: (sum(1 for times in of.values() if times), len(of)) for name, of in lines(objects).items()}
    ordered = sorted(counts, key=lambda name: (counts[name][0] / counts[name][1], name))
    ran, whole = (sum(pair[i] for pair in counts.values()) for i in range(2))
    rows = [row(name, *counts[name]) for name in ordered]
    total = row("stage/", ran, whole)
    table.write_text("\n".join([*rows, total, ""]))
    print("\n".join([*rows[:SHOWN], f"... {table}", total]))
    if 100 * ran < floor * whole:
        sys.exit(f"modulus: tests run fewer than {floor:g} % of the lines of stage/")


if __name__ == "__main__":
    main(float(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
