# SPDX-License-Identifier: Apache-2.0
"""Where things lie, seen from the project root."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
BUILD = PROJECT / "build"
MODULUS = BUILD / "modulus"
MODULUS_BOOT = BUILD / "modulus-boot"
DRACUT_MODULE = PROJECT / "dracut" / "50modulus"
DRACUT_NETWORK_MODULE = PROJECT / "dracut" / "51modulus-net"
ADD_ON_MAKER = PROJECT / "dracut" / "initrd.sh"
IGNITION_SNIPPET = PROJECT / "ignition" / "modulus.ign"
UNITS = PROJECT / "ignition" / "units"
HOOKS = PROJECT / "ignition" / "hooks"
GUEST = Path(__file__).resolve().parents[1] / "guest"
NVIDIA_DRIVER_FILE = PROJECT / "ignition" / "drivers" / "nvidia.conf"
NVIDIA_BUNDLES = PROJECT / "ignition" / "drivers" / "nvidia" / "bundles.sh"
TEST_MODULES = PROJECT / "tests" / "modules"
TOOLS = PROJECT / "tests" / "tools"

# What a run leaves for people to look at: disks, console and report of every boot.
WORK = BUILD / "boot"

CACHE = Path(os.environ.get("MODULUS_CACHE") or Path.home() / ".cache" / "modulus") / "boot"
