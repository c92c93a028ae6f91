# SPDX-License-Identifier: Apache-2.0
"""What the tests of `build` work with: a directory with modules, made by hand or by the compiler, and the command's words."""
import io
import subprocess

import bundle
import elf
from bundlemaker import RELEASE, TEST_KEY
from program import DONE, SYSTEM, environment, modulus

EPOCH = "1700000000"
PLACE = f"usr/lib/modules/{RELEASE}/modulus/gpu/"


class Workshop:
    """A directory with modules, a key and a place for the outcome."""

    def __init__(self, folder):
        self.folder, self.modules, self.output = folder, folder / "modules", folder / "out" / "b.tar.zst"
        self.modules.mkdir(parents=True)
        self.output.parent.mkdir()
        self.key = folder / "key"
        self.key.write_text(TEST_KEY.text())

    def add(self, name: str, content: bytes | None = None, **options) -> bytes:
        """`name` with or without suffix; a module of that name where no content is given."""
        content = elf.module(name.split(".")[0], RELEASE, **options) if content is None else content
        (self.modules / (name if "." in name else f"{name}.ko")).write_bytes(content)
        return content

    def words(self, *more, **changes) -> list[str]:
        """The command's words; changes: name="x" replaces --name's value, None leaves it out."""
        words = {"name": "gpu", "version": "1.0", "kernel": RELEASE, "kernel-dir": self.folder, "modules": self.modules,
                 "key": self.key, "output": self.output, **{key.replace("_", "-"): value for key, value in changes.items()}}
        return ["build", *(str(word) for key, value in words.items() if value is not None for word in (f"--{key}", value)),
                *map(str, more)]

    def run(self, *more, epoch: str | None = EPOCH, env: dict[str, str] | None = None, **changes):
        return modulus(*self.words(*more, **changes), env=environment(**{"SOURCE_DATE_EPOCH": epoch} if epoch else {}, **(env or {})))

    def build(self, *more, **changes) -> bundle.Verified:
        """Must succeed; what the second reader says of the outcome. Its files are in self.files."""
        done = self.run(*more, **changes)
        assert done.returncode == DONE, done.stderr
        self.files = {}
        return bundle.verify(io.BytesIO(self.output.read_bytes()), [TEST_KEY.public],
                             lambda file, blocks: self.files.update({file["path"]: b"".join(blocks)}))

    def refuses(self, says: str, *more, code: int = SYSTEM, **changes) -> None:
        """No outcome, no remains, one line."""
        done = self.run(*more, **changes)
        lines = [line for line in done.stderr.splitlines() if "no build-id" not in line and "no Module.symvers near" not in line]
        assert done.returncode == code, done
        assert len(lines) == 1 and lines[0].startswith("modulus: ") and says in lines[0], done.stderr
        assert list(self.output.parent.iterdir()) == []


MODINFO = ('__attribute__((section(".modinfo"),used)) static const char v[] = "vermagic=%s";\n'
           '__attribute__((section(".modinfo"),used)) static const char l[] = "license=GPL";\n'
           '__attribute__((section(".modinfo"),used)) static const char d[] = "depends=%s";\n')


def compiled(path, source: str, depends: str = "") -> bytes:
    """A module made by the compiler, debug sections and all."""
    (path.parent / "module.c").write_text(MODINFO % (elf.vermagic(RELEASE), depends) + source)
    done = subprocess.run([elf.tool("gcc"), "-g", "-O1", "-c", "-o", path, path.parent / "module.c"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path.parent / "module.c").unlink()
    return path.read_bytes()
