# SPDX-License-Identifier: Apache-2.0
"""Bundles for the guest: good ones made by the real `modulus build`, and what can go wrong with them.

The spoilt ones are made from good ones, byte by byte, so that nothing but the named defect is there. Layout of a
bundle: a skippable zstd frame with the manifest, one with the signatures, then one zstd frame for each chunk.
"""

import hashlib
import json
import re
import shutil
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from . import places
from .debian import Kernel
from .host import RigError, run
from .secureboot import ModuleKey

sys.path.append(str(places.TOOLS))
import bundlemaker  # noqa: E402  the writer of bundles that `modulus build` would not make

_FRAME = struct.Struct("<II")   # magic, length of the content
_MANIFEST_MAGIC = 0x184D2A50
_SIGNATURES_MAGIC = 0x184D2A51
MODULE = "virtio_gpu"


@dataclass(frozen=True)
class KeyPair:
    secret: Path
    public: Path


@dataclass(frozen=True)
class Programs:
    """The two programs of one build."""
    modulus: Path
    boot: Path

    @classmethod
    def copied(cls, folder: Path) -> "Programs":
        """Copies of what `make` built; RigError when it has not."""
        missing = [path.name for path in (places.MODULUS, places.MODULUS_BOOT) if not path.is_file()]
        if missing:
            raise RigError(f"build/{' and build/'.join(missing)} missing; run `make` first")
        return cls(*(Path(shutil.copy(path, folder)) for path in (places.MODULUS, places.MODULUS_BOOT)))

    def key_pair(self, folder: Path, name: str) -> KeyPair:
        pair = KeyPair(folder / f"{name}.key", folder / f"{name}.pub")
        run(self.modulus, "keygen", "--secret", pair.secret, "--public", pair.public)
        return pair

    def build(self, kernel: Kernel, key: KeyPair, output: Path, name: str, version: str = "1", serial: int = 1,
              with_dependencies: bool = True, build_id: str | None = None, firmware: Path | None = None,
              more: tuple[str, ...] = ()) -> Path:
        """A signed bundle of the GPU driver for `kernel`; with everything it needs, or with the driver alone. `more`: modules
        of the kernel's that it holds as well."""
        run(self.modulus, "build", "--name", name, "--version", version, "--serial", serial, "--kernel", kernel.release,
            "--kernel-dir", kernel.modules, *_identity(kernel, build_id), "--from-kernel", "--module", MODULE,
            *(word for name in more for word in ("--module", name)),
            *(["--with-deps"] if with_dependencies else []), *(["--firmware", firmware] if firmware else []), "--key", key.secret, "--output", output)
        return output

    def build_of_module(self, kernel: Kernel, key: KeyPair, output: Path, name: str, module: Path,
                        module_key: ModuleKey | None = None, with_build_id: bool = True, serial: int = 1,
                        flavor: str = "", match: str = "", more: tuple[Path, ...] = ()) -> Path:
        """A signed bundle of one module file and some `more`, which get the kernel's own signature by `module_key` as well.

        Without a build-id the builder sees neither the kernel's image nor its Module.symvers."""
        folder = output.with_suffix(".modules")
        folder.mkdir()
        for file in (module, *more):
            shutil.copy(file, folder)
        run(self.modulus, "build", "--name", name, "--version", "1", "--serial", serial, "--kernel", kernel.release,
            "--kernel-dir", kernel.modules if with_build_id else folder, *(_identity(kernel) if with_build_id else []),
            *(["--module-key", module_key.secret, "--module-cert", module_key.certificate] if module_key else []),
            *(["--flavor", flavor] if flavor else []), *(["--match", match] if match else []),
            "--modules", folder, "--key", key.secret, "--output", output)
        if ("build_id" in json.loads(Parts.of(output).manifest)["kernel"]) != with_build_id:
            raise RigError(f"{output}: {'no' if with_build_id else 'a'} build-id is in its manifest")
        return output

    def build_with_other_vermagic(self, kernel: Kernel, key: KeyPair, output: Path, name: str, module: Path) -> Path:
        """A bundle that says it is for this kernel, of one module file that says that it is for another release."""
        patched = module.read_bytes().replace(kernel.release.encode(), other_release(kernel).encode())
        file = bundlemaker.File(f"usr/lib/modules/{kernel.release}/modulus/{name}/{module.name}", patched)
        vermagic = run("modinfo", "-F", "vermagic", module).rstrip("\n").replace(kernel.release, other_release(kernel))
        recipe = bundlemaker.Recipe(files=(file,), fields={"name": name, "version": "1", "kernel": {
            "release": kernel.release, "machine": "x86_64", "vermagic": vermagic}})
        output.write_bytes(recipe.build())
        run(self.modulus, "sign", "--key", key.secret, output)
        return output

    def build_for_another_release(self, kernel: Kernel, key: KeyPair, output: Path, name: str, serial: int = 1,
                                  firmware: Path | None = None) -> Path:
        """A bundle that is right in everything but the kernel release, its build-id included."""
        folder = output.with_suffix(".modules")
        folder.mkdir()
        (module,) = kernel.modules.rglob("virtio-gpu.ko")
        patched = module.read_bytes().replace(kernel.release.encode(), other_release(kernel).encode())
        (folder / module.name).write_bytes(patched)
        run(self.modulus, "build", "--name", name, "--version", "1", "--serial", serial, "--kernel", other_release(kernel),
            "--kernel-dir", kernel.modules, *_identity(kernel, _build_id(kernel)), "--modules", folder,
            *(["--firmware", firmware] if firmware else []), "--key", key.secret, "--output", output)
        return output


def _identity(kernel: Kernel, build_id: str | None = None) -> list[object]:
    return ["--build-id", build_id] if build_id else ["--kernel-image", kernel.vmlinuz]


def _build_id(kernel: Kernel) -> str:
    (found,) = re.findall(r"Build ID: ([0-9a-f]+)", run("readelf", "--notes", kernel.vmlinux))
    return found


def other_release(kernel: Kernel) -> str:
    """A release of the same length that no machine of this run has."""
    return "9" + kernel.release[1:]


@dataclass(frozen=True)
class Parts:
    """A bundle taken apart."""
    manifest: bytes
    signatures: bytes
    chunks: bytes

    @classmethod
    def of(cls, bundle: Path) -> "Parts":
        data = bundle.read_bytes()
        contents = []
        for wanted in (_MANIFEST_MAGIC, _SIGNATURES_MAGIC):
            magic, length = _FRAME.unpack_from(data)
            if magic != wanted:
                raise RigError(f"{bundle}: expected frame {wanted:#x}, found {magic:#x}")
            contents.append(data[_FRAME.size:_FRAME.size + length])
            data = data[_FRAME.size + length:]
        return cls(*contents, data)

    def write(self, path: Path) -> Path:
        path.write_bytes(_FRAME.pack(_MANIFEST_MAGIC, len(self.manifest)) + self.manifest
                         + _FRAME.pack(_SIGNATURES_MAGIC, len(self.signatures)) + self.signatures + self.chunks)
        return path


def cached_name(bundle: Path, name: str, kind: str = "modules") -> str:
    """The file in a cache that the bundle called `name` has."""
    return f"{name}-{kind}-{hashlib.sha256(Parts.of(bundle).manifest).hexdigest()}.tar.zst"


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x01]) + data[at + 1:]


def flip_in_chunk(good: Path, path: Path) -> Path:
    """One bit, in the middle of the compressed modules."""
    parts = Parts.of(good)
    return Parts(parts.manifest, parts.signatures, _flipped(parts.chunks, len(parts.chunks) // 2)).write(path)


def flip_in_manifest(good: Path, path: Path) -> Path:
    """One bit, in the middle of the manifest."""
    parts = Parts.of(good)
    return Parts(_flipped(parts.manifest, len(parts.manifest) // 2), parts.signatures, parts.chunks).write(path)


def garbage_signature(good: Path, path: Path) -> Path:
    """A signature frame that holds no signature."""
    parts = Parts.of(good)
    return Parts(parts.manifest, b"untrusted comment: nothing\nAAAA\n\xff\x00\xfe\n", parts.chunks).write(path)


def unsigned(good: Path, path: Path) -> Path:
    """An empty signature frame."""
    parts = Parts.of(good)
    return Parts(parts.manifest, b"", parts.chunks).write(path)


def truncated(good: Path, path: Path) -> Path:
    """The file ends in the middle of the modules, as after an interrupted copy."""
    parts = Parts.of(good)
    return Parts(parts.manifest, parts.signatures, parts.chunks[:len(parts.chunks) // 2]).write(path)


def copy(good: Path, path: Path) -> Path:
    shutil.copy(good, path)
    return path
