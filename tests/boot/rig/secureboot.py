# SPDX-License-Identifier: Apache-2.0
"""A machine with UEFI Secure Boot on: OVMF, and Debian's "snakeoil" key as its owner's.

The certificate is in the firmware's `db`, its secret half comes with the package: what a test needs, and no protection
for anybody. The kernel that QEMU hands to the firmware is signed with it too, as where the boot chain is checked.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from . import cache
from .debian import Kernel
from .host import OVMF_CODE, run

VARIABLES = OVMF_CODE.with_name("OVMF_VARS_4M.snakeoil.fd")
CERTIFICATE = Path("/usr/share/ovmf/PkKek-1-snakeoil.pem")
_KEY = Path("/usr/share/ovmf/PkKek-1-snakeoil.key")
_PASS_PHRASE = "snakeoil"


@dataclass(frozen=True)
class ModuleKey:
    """A key for the kernel's own signature on modules."""
    secret: Path        # PEM, not encrypted
    certificate: Path   # PEM


def enrolled_key(folder: Path) -> ModuleKey:
    """The key in the firmware's `db`."""
    secret = folder / "enrolled.key"
    run("openssl", "pkey", "-in", _KEY, "-passin", f"pass:{_PASS_PHRASE}", "-out", secret)
    return ModuleKey(secret, CERTIFICATE)


def foreign_key(folder: Path) -> ModuleKey:
    """A key that no firmware and no kernel knows."""
    key = ModuleKey(folder / "foreign.key", folder / "foreign.pem")
    run("openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=Nobody/",
        "-keyout", key.secret, "-out", key.certificate)
    return key


@dataclass(frozen=True)
class SecureBoot:
    """What such a machine has instead of what others have."""
    kernel: Path        # a bzImage with a UEFI signature
    variables: Path     # the firmware's memory; QEMU writes to it

    @property
    def arguments(self) -> list[str]:
        """QEMU's, over those of a machine without firmware."""
        return ["-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on",
                "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}",
                "-drive", f"if=pflash,unit=1,format=raw,file={self.variables}"]


def machine(folder: Path, kernel: Kernel, key: ModuleKey) -> SecureBoot:
    """A fresh machine that starts `kernel`."""
    def make(fresh: Path) -> None:
        run("sbsign", "--key", key.secret, "--cert", key.certificate, "--output", fresh / "vmlinuz", kernel.vmlinuz)

    signed = cache.kept("signed-kernel", cache.digest(kernel.vmlinuz, key.certificate), make, keep=1) / "vmlinuz"
    return SecureBoot(signed, Path(shutil.copy(VARIABLES, folder / "firmware.fd")))
