# SPDX-License-Identifier: Apache-2.0
"""A running host with a cache: what is in it, judged by the second implementation of the format."""
import subprocess
from pathlib import Path

import bundle
import elf
from bundlemaker import RELEASE, TEST_KEY, Recipe, digest_of, module_file, modules
from fakehost import Machine
from netmachine import plain_environment
from program import MODULUS

OLDER, NEXT = "6.1.0-98-test", "6.1.0-100-test"


def recipe(release: str = RELEASE, serial: int = 1, edit_kernel: dict | None = None, **fields) -> Recipe:
    """A good bundle for a kernel."""
    def edit(manifest: dict) -> None:
        manifest["kernel"].update(release=release, vermagic=elf.vermagic(release), **(edit_kernel or {}))
    return Recipe(files=(module_file("alpha", release), module_file("beta", release)),
                  fields={"serial": serial, **fields}, edit=edit)


class CacheMachine(Machine):
    """Has the key and a driver file; the operator is logged in."""

    def __init__(self, folder: Path, **sections: str):
        super().__init__(folder)
        self.key()
        self.driver(**sections)

    @property
    def folder(self) -> Path:
        return self.root / "var/lib/modulus/bundles"

    def installed(self, *releases: str) -> None:
        for release in releases:
            (self.root / "usr/lib/modules" / release).mkdir(parents=True)

    def keep(self, data: bytes, release: str = RELEASE, name: str = "gpu") -> Path:
        """A bundle is in the cache already."""
        return self.cache(data, digest_of(data), name, release)

    def offer(self, data: bytes, release: str = RELEASE) -> Path:
        """A bundle is on /usr."""
        return self.usr(data, f"{digest_of(data)[:8]}.tar.zst", release)

    def command(self, *words: object, env: dict[str, str] | None = None, before: tuple[object, ...] = ()) -> subprocess.CompletedProcess:
        """`modulus WORDS` on it; `before`: words in front of the program."""
        return subprocess.run([*map(str, before), MODULUS, *map(str, words), *self.roots], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, env=env or plain_environment(), timeout=120)

    def good(self) -> dict[str, str]:
        """place -> digest of all that the cache offers; each is whole and what its name tells, or the test fails."""
        found = {}
        for place in self.cached:
            path = self.folder / place
            if path.name.startswith(".") or place.startswith("."):
                continue
            with open(path, "rb") as stream:
                verified = bundle.verify(stream, [TEST_KEY.public])
            assert path.name == f"{verified.manifest['name']}-{verified.manifest['kind']}-{verified.digest}.tar.zst"
            found[place] = verified.digest
        return found

    @property
    def quarantined(self) -> list[str]:
        return [place for place in self.cached if place.startswith(".quarantine/")]


def place_of(data: bytes, release: str = RELEASE, name: str = "gpu") -> str:
    return f"{release}/{name}-modules-{digest_of(data)}.tar.zst"


__all__ = ["CacheMachine", "NEXT", "OLDER", "RELEASE", "modules", "place_of", "recipe"]
