# SPDX-License-Identifier: Apache-2.0
"""What `make bench` measures with modules that really go into a kernel: in a guest, the host's web server at hand.

The guest's PID 1 (rounds.sh) unloads the driver before each contender; what they take is measured inside.
"""
import json
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rig import bundles, disk, guest, nvidia, saved, small
from rig.host import run
from rig.machines import ROOT_ARGUMENT, USR_ARGUMENTS, Usr, Workshop, driver_file
from program import BUILD, MODULUS_BOOT
from timedline import Timed

SCRIPTS = {name: Path(__file__).with_name(f"{name}.sh") for name in ("rounds", "shell", "sysext", "image")}
# Machines with a GPU have more CPUs than one. Software emulation takes seconds to draw a console, and a console keeps the
# driver from being unloaded. Behind what the kernel uses is what the BARs of a fake GPU lead to.
CPUS = 2
NO_CONSOLE = "fbdev_emulation=0"
SYSTEM_MIB = 1024
ARGUMENTS = ["rw", *USR_ARGUMENTS, f"init={small.INIT}", f"drm_kms_helper.{NO_CONSOLE}",
             f"memmap={saved.GPU_MIB}M${SYSTEM_MIB << 20:#x}"]
# what scripts unpack and load modules with
TOOLS = {"tar": "/usr/bin/tar", "zstd": "/usr/bin/zstd", "depmod": "/usr/bin/kmod", "modprobe": "/usr/bin/kmod",
         "systemd-sysext": "/usr/bin/systemd-sysext", "skopeo": "/usr/bin/skopeo", "umoci": "/usr/bin/umoci"}
# what systemd-sysext merges with
MERGES = frozenset({"overlay"})
EXTENSION = "var/lib/extensions/bench"
# a registry that has one image, as nginx's own words
REGISTRY = ('location = /v2/ { default_type application/json; return 200 "{}"; } '
            "location /v2/bench/manifests/ { default_type application/vnd.oci.image.manifest.v1+json; }")
SIZES = {"usr_mib": 128, "root_mib": 224}


@dataclass(frozen=True)
class Payload:
    """A bundle of a real driver, and what it takes to have it in a kernel and to get it out again."""
    name: str
    short: str
    what: str
    bundle: Callable[[Workshop, Path], Path]
    match: str
    wanted: str                             # what a script loads
    unload: str                             # in this order
    needs: frozenset[str] = frozenset()     # of the kernel's own; live before anything is timed
    device: str = ""                        # the shell's words that bring it
    firmware: Callable[[Workshop], Path] | None = None      # a bundle of the same version


VIRTIO = Payload("virtio-gpu", "virtio_gpu", "virtio_gpu and all it needs", lambda shop, room: shop.bundle(room, "virtio-gpu"), "pci:v00001AF4d00001050*",
                 "virtio-gpu", "virtio_gpu virtio_dma_buf drm_shmem_helper drm_kms_helper drm")
NVIDIA = Payload("nvidia", "NVIDIA", "NVIDIA's open modules", lambda shop, room: shop.shared(nvidia.bundle), "pci:v000010DEd*", "nvidia-drm nvidia-uvm",
                 "nvidia_drm nvidia_modeset nvidia_uvm nvidia", frozenset({"drm_kms_helper", "video"}),
                 f"$bb insmod /bench/fakegpu/fakegpu.ko mem_base={SYSTEM_MIB << 20:#x}", nvidia.firmware)


# contender -> what became of the driver, and where its bundle came from
EXPECTED = {"miss": ("loaded", "http"), "hit": ("loaded", "cache"), "usr": ("loaded", "usr"), "none": ("no-device", None),
            "firmware": ("loaded", "cache")}


@dataclass
class Runs:
    """Of each contender."""
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    resident: dict[str, int] = field(default_factory=lambda: defaultdict(int))          # bytes, at most
    inserts: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))  # seconds


def _unpacked(bundle: Path, folder: Path) -> dict[str, Path]:
    """Path -> file of the modules, as they are without a bundle."""
    folder.mkdir()
    run("tar", "--zstd", "-xf", bundle, "-C", folder)
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def _publish_image(tree: Path, room: Path, www: Path) -> None:
    """What is in `tree` as a container image of one layer, bench:1 of the registry that a web server of `www` is with REGISTRY."""
    layout = room / "layout"
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", f"{layout}:1")
    run("umoci", "insert", "--image", f"{layout}:1", tree / "usr", "/usr")
    (manifest,) = json.loads((layout / "index.json").read_text())["manifests"]
    to = www / "v2" / "bench"
    (to / "blobs").mkdir(parents=True)
    (to / "manifests").mkdir()
    for blob in (layout / "blobs" / "sha256").iterdir():
        bundles.copy(blob, to / "blobs" / f"sha256:{blob.name}")
    bundles.copy(layout / "blobs" / manifest["digest"].replace(":", "/"), to / "manifests" / "1")


def measure(shop: Workshop, payload: Payload, rounds: int, serve: Callable) -> tuple[Path, Runs]:
    """The bundle, and how long each took in each round. `serve` makes a web server of a folder and of more of nginx's words,
    with a port."""
    room = shop.room(f"bench-{payload.name}")
    bundle = payload.bundle(shop, room)
    www = room / "www"
    www.mkdir()
    bundles.copy(bundle, www / bundle.name)
    modules = _unpacked(bundle, room / "unpacked")
    _publish_image(room / "unpacked", room, www)
    server = serve(www, REGISTRY)
    version = json.loads(bundles.Parts.of(bundle).manifest)["version"]
    sources = {"net": f"cache: http://{guest.HOST_ADDRESS}:{server.port}/{bundle.name}", "usr": "usr:"}
    files = {f"/bench/conf/{name}.conf": driver_file(version, payload.match, f"[Source]\nFrom={source}\n")
             for name, source in sources.items()}
    firmware = payload.firmware(shop) if payload.firmware else None
    cached = firmware and bundles.cached_name(firmware, payload.name, "firmware")
    files[f"/{EXTENSION}/usr/lib/extension-release.d/extension-release.bench"] = "ID=_any\n"
    files["/bench/conf/none.conf"] = driver_file(version, "pci:v0000FFFFd*")
    files["/bench/settings"] = (f"rounds={rounds} port={server.port} path=/{bundle.name} bytes={bundle.stat().st_size} "
                                f"name={payload.name}\nwanted='{payload.wanted}'\nunload='{payload.unload}'\n"
                                f"floor='{payload.unload.replace('drm_kms_helper', f'drm_kms_helper:{NO_CONSOLE}')}'\n"
                                f"needs='{' '.join(sorted(payload.needs | MERGES))}'\nrelease={shop.kernel.release}\n"
                                f"image={guest.HOST_ADDRESS}:{server.port}/bench:1 firmware={cached or ''}\n"
                                f"bring_device() {{ {payload.device or ':'}; }}\n")
    more = {f"bench/{name}/{name}": BUILD / "bench" / name for name in ("timed", "floor", "transfer")}
    more |= {"bench/modulus/modulus-boot": MODULUS_BOOT, "bench/bundle/bundle.tar.zst": bundle}
    more |= {f"bench/{name}/{name}.sh": SCRIPTS[name] for name in ("shell", "sysext", "image")}
    more |= {f"{EXTENSION}/{path}": source for path, source in modules.items()}
    if firmware:
        more[f"bench/firmware/{cached}"] = firmware
    if payload.device:
        more["bench/fakegpu/fakegpu.ko"] = shop.fake_gpu
    root = small.root_image(room, {**shop.operator_files({}), **files}, SCRIPTS["rounds"].read_text(), size_mib=SIZES["root_mib"], more=more)
    usr = shop.usr_image(room, "usr", Usr({payload.name: bundle}, needs=payload.needs | MERGES, files=_tools()))
    layer = disk.overlay(small.make_disk(room, usr, root, **SIZES), room / "disk.qcow2")
    hardware = guest.Hardware(layer, network=True, memory_mib=SYSTEM_MIB + saved.GPU_MIB, more=("-smp", str(CPUS)))
    try:
        shop.start("bench", room, shop.network_initramfs(), [ROOT_ARGUMENT, *ARGUMENTS], hardware)
    finally:
        server.close()
    return bundle, _read((room / "bench.report").read_text())


def _tools() -> dict[str, Path]:
    """Path below /usr -> the build machine's own file: the tools and the libraries that they are linked with."""
    found = {f"bin/{name}": Path(program) for name, program in TOOLS.items()}
    for program in set(TOOLS.values()):
        for library in re.findall(r"(/\S+) \(0x", run("ldd", program)):
            found[library.removeprefix("/usr").lstrip("/")] = Path(library).resolve()
    return found


def _read(text: str) -> Runs:
    """Lines of timed.c, of floor.c, and a status.json after each run of ours."""
    runs = Runs()
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "timed":
            one = Timed.read(line)
            if one.code:
                raise SystemExit(f"bench: in the guest {one.name} ended with {one.code}:\n{text}")
            runs.seconds[one.name].append(one.seconds)
            runs.resident[one.name] = max(runs.resident[one.name], one.resident)
        elif kind == "inserted":
            module, took = rest.split()
            runs.inserts["floor"][module].append(int(took) / 1e9)
        elif kind == "status":
            name, _, status = rest.partition(" ")
            (driver,) = json.loads(status)["drivers"]
            if (driver["reason"], driver["source"]) != EXPECTED[name]:
                raise SystemExit(f"bench: in the guest {name}: {driver['reason']} from {driver['source']}: {driver['text']}")
            if name == "firmware" and (driver["firmware"] or {}).get("source") != "cache":
                raise SystemExit(f"bench: in the guest {name}: {driver['firmware']}")
            for module in driver["modules"]:
                runs.inserts[name][module["name"].replace("-", "_")].append(module["us"] / 1e6)
    return runs
