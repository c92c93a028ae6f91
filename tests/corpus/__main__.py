# SPDX-License-Identifier: Apache-2.0
"""Writes the corpus: DIR/keys, DIR/good, DIR/refuse and DIR/refuse.json (name -> reason word and what must be said)."""
import json
import sys
from pathlib import Path

from . import GOOD, KEYS, REFUSE


def main(folder: Path) -> None:
    for name in ("keys", "good", "refuse"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for key in KEYS:
        (folder / "keys" / f"{key.public.name}.pub").write_text(key.public.text())
    for name, build in GOOD.items():
        (folder / "good" / f"{name}.tar.zst").write_bytes(build())
    for case in REFUSE.values():
        (folder / "refuse" / f"{case.name}.tar.zst").write_bytes(case.build())
    expected = {case.name: {"reason": case.reason, "says": case.says} for case in REFUSE.values()}
    (folder / "refuse.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python3 -m corpus DIR")
    main(Path(sys.argv[1]))
