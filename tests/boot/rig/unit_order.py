# SPDX-License-Identifier: Apache-2.0
"""The order of an initramfs' units, judged by systemd itself without a boot.

`systemd-analyze verify` exits 0 even when it finds an ordering cycle: only what it prints counts.
"""

import shutil
import subprocess
from pathlib import Path

from .host import environment, run

FSTAB_GENERATOR = "/usr/lib/systemd/system-generators/systemd-fstab-generator"


# a generator's own output folder would be right, but `verify --root=` does not read it
GENERATED = Path("etc/systemd/system")


def _link(tree: Path, target: str, unit: str) -> None:
    folder = tree / GENERATED / f"{target}.requires"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / unit).symlink_to(f"/usr/lib/systemd/system/{unit}")


def as_booted(tree: Path, copy: Path, kernel_arguments: str, first_boot: bool) -> Path:
    """A copy of the unpacked image with the units that generators would add at boot."""
    shutil.copytree(tree, copy, symlinks=True, ignore=lambda where, names: [name for name in names if name == "dev"])
    generated = copy / GENERATED
    run(FSTAB_GENERATOR, generated, generated, generated,
        env={"SYSTEMD_IN_INITRD": "1", "SYSTEMD_PROC_CMDLINE": kernel_arguments})
    # what ignition-generator links, which reads /proc/cmdline and so cannot be run here
    stage, disk = ("complete", "diskful") if first_boot else ("subsequent", "diskful-subsequent")
    _link(copy, "initrd.target", f"ignition-{stage}.target")
    _link(copy, f"ignition-{stage}.target", f"ignition-{disk}.target")
    return copy


def complaints(tree: Path, target: str = "initrd.target") -> list[str]:
    """What systemd has to say about `target` and all that it pulls in."""
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", f"--root={tree}", target],
                          env={**environment(), "SYSTEMD_IN_INITRD": "1"}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.splitlines()
