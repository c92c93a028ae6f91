# SPDX-License-Identifier: Apache-2.0
"""The rounds of `make bench` that insert modules: in one guest with a real kernel, the host's web server at hand.

The guest's PID 1 (rounds.sh) unloads everything before each contender; what they take is measured inside.
"""
from pathlib import Path

from rig import bundles, disk, guest, small
from rig.machines import USR_ARGUMENTS, Usr, Workshop, driver_file
from program import BUILD, MODULUS_BOOT

DRIVER = "virtio-gpu"
SCRIPT = Path(__file__).with_name("rounds.sh")
# software emulation takes seconds to draw a console, and a console keeps the driver from being unloaded
ARGUMENTS = ["rw", *USR_ARGUMENTS, f"init={small.INIT}", "drm_kms_helper.fbdev_emulation=0"]


def seconds(folder: Path, rounds: int, serve) -> tuple[Path, dict[str, list[float]]]:
    """The bundle, and contender -> seconds of each round. `serve` makes a web server of a folder, with a port."""
    shop = Workshop(folder / "workshop")
    room = shop.room("bench")
    bundle = shop.bundle(room, DRIVER)
    www = room / "www"
    www.mkdir()
    bundles.copy(bundle, www / bundle.name)
    server = serve(www)
    source = f"[Source]\nFrom=cache: http://{guest.HOST_ADDRESS}:{server.port}/{bundle.name}\n"
    programs = {f"bench/{name}/{name}": BUILD / "bench" / name for name in ("timed", "floor", "transfer")}
    root = small.root_image(room, shop.operator_files({DRIVER: driver_file(extra=source)}), SCRIPT.read_text(), more={
        **programs, "bench/modulus/modulus-boot": MODULUS_BOOT, "bench/bundle/bundle.tar.zst": bundle})
    layer = disk.overlay(small.make_disk(room, shop.usr_image(room, "usr", Usr()), root), room / "disk.qcow2")
    try:
        shop.boot("bench", room, shop.network_initramfs(), [
            *ARGUMENTS, f"bench.rounds={rounds}", f"bench.port={server.port}", f"bench.path=/{bundle.name}",
            f"bench.bytes={bundle.stat().st_size}"], layer, network=True)
    finally:
        server.close()
    return bundle, _read((room / "bench.report").read_text())


def _read(text: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"miss": [], "floor": [], "transfer": []}
    for line in text.splitlines():
        name, *rest = line.split()[:3] or [""]
        if name in found and len(rest) == 2:
            if rest[1] != "0":
                raise SystemExit(f"bench: in the guest {name} ended with {rest[1]}:\n{text}")
            found[name].append(int(rest[0]) / 1e9)
        if name == '"source":' and rest != ['"http",']:
            raise SystemExit(f"bench: in the guest the bundle came from {rest[0]}:\n{text}")
    return found
