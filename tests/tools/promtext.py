# SPDX-License-Identifier: Apache-2.0
"""Prometheus' text format 0.0.4, read as strictly as its page describes it: what a scraper might only tolerate is an
error here."""
import re
from dataclasses import dataclass, field

NAME, LABEL = r"[a-zA-Z_:][a-zA-Z0-9_:]*", r"[a-zA-Z_][a-zA-Z0-9_]*"
VALUE = r"[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf|NaN)"
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


class Wrong(ValueError):
    pass


@dataclass
class Family:
    kind: str = ""
    help: str = ""
    samples: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)


def _labels(text: str) -> tuple[tuple[str, str], ...]:
    found, at = [], 0
    while at < len(text):
        one = re.compile(rf'({LABEL})="((?:[^"\\\n]|\\[\\"n])*)"').match(text, at)
        if not one:
            raise Wrong(f"label at {text[at:]!r}")
        found.append((one[1], re.sub(r"\\.", lambda escape: ESCAPES[escape[0]], one[2])))
        at = one.end()
        if at < len(text):
            if text[at] != "," or at + 1 == len(text):
                raise Wrong(f"after a label: {text[at:]!r}")
            at += 1
    if len({name for name, _ in found}) != len(found):
        raise Wrong(f"a label twice: {text}")
    return tuple(found)


def parse(data: bytes) -> dict[str, Family]:
    """name -> family. Each has HELP, then TYPE, then its samples, all together and each once."""
    text = data.decode()  # UTF-8, or an error
    if not text.endswith("\n"):
        raise Wrong("the last line has no end")
    families: dict[str, Family] = {}
    current = ""
    for line in text[:-1].split("\n"):
        if found := re.fullmatch(rf"# HELP ({NAME}) ((?:[^\\]|\\[\\n])+)", line):
            if found[1] in families:
                raise Wrong(f"{found[1]} a second time")
            current = found[1]
            families[current] = Family(help=found[2])
        elif found := re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge|untyped)", line):
            if found[1] != current or families[current].kind or families[current].samples:
                raise Wrong(f"TYPE in a wrong place: {line}")
            families[current].kind = found[2]
        elif found := re.fullmatch(rf"({NAME})(?:\{{(.*)\}})? ({VALUE})", line):
            if found[1] != current or not families[current].kind:
                raise Wrong(f"a sample away from its family: {line}")
            labels = _labels(found[2] or "")
            if labels in families[current].samples:
                raise Wrong(f"a sample twice: {line}")
            families[current].samples[labels] = float(found[3])
        else:
            raise Wrong(f"not a line of the format: {line!r}")
    return families
