# SPDX-License-Identifier: Apache-2.0
"""What timed.c prints of one run."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Timed:
    name: str
    seconds: float
    code: int           # exit status
    cpu: float          # seconds, children's too
    resident: int       # bytes, at most

    @classmethod
    def read(cls, line: str) -> "Timed":
        _, name, took, code, cpu, resident = line.split()
        return cls(name, int(took) / 1e9, int(code), int(cpu) / 1e6, int(resident) << 10)
