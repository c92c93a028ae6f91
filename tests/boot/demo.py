# SPDX-License-Identifier: Apache-2.0
"""`make demo`: one machine, booted twice, and what Modulus did each time. Exit 0 only if it was all as promised.

The machine is a Debian kernel with a dracut initramfs in QEMU, with a GPU that only a bundle has a driver for. First
boot: Ignition writes the driver file and the key, the bundle lies on the /usr partition. Second boot: it lies there no
more.
"""

import sys
import time
from pathlib import Path

from rig import initramfs, places, scenarios
from rig.host import RigError
from rig.machines import Workshop
from rig.report import Report

SOURCES = {"usr": "the /usr partition", "cache": "the cache"}
CARD = "/dev/dri/card0"
STARTED = time.monotonic()


def say(line: str) -> None:
    print(f"[{time.monotonic() - STARTED:4.0f} s] {line}", flush=True)


def switch_root_seconds(report: Report) -> float:
    """When systemd started in the real root, in seconds since the kernel started."""
    stamps = dict(line.split("=") for line in report.text("real-root", "switch-root").splitlines() if "=" in line)
    return int(stamps["UserspaceTimestampMonotonic"]) / 1e6


def account(report: Report, driver: dict) -> list[tuple[str, str]]:
    """What happened at one boot, as label and text."""
    live, switched = report.status("initramfs")["finished_us"] / 1e6, switch_root_seconds(report)
    modules = {origin: " ".join(module["name"] for module in driver["modules"] if module["from"] == origin)
               for origin in ("bundle", "kernel", "live")}
    told = [line for line in report.text("real-root", "status-text").splitlines() if line.startswith(driver["name"])]
    return [
        ("bundle", f"{driver['name']} {driver['version']}, serial {driver['serial']}, key {driver['key_id']}"),
        ("digest", driver["digest"]),
        ("source", f"{SOURCES.get(driver['source'], 'none')}, {driver['origin']}"),
        ("device", " ".join(driver["devices"])),
        ("modules", f"{modules['bundle']} (from the bundle)"),
        ("", f"{modules['kernel'] or 'none'} (from the system's own tree), {modules['live'] or 'none'} (live before)"),
        ("nodes", " ".join(driver["nodes"])),
        ("when", f"done {live:.1f} s after the kernel started, {switched - live:.1f} s before switch-root"),
        ("phases", ", ".join(f"{phase['name']} {phase['us'] / 1000:.0f} ms" for phase in driver["phases"])),
        ("cached", driver["cached"] or "was already"),
        ("status", told[0] if told else "said nothing"),
    ]


def promises(first: Report, second: Report, image: Path) -> list[tuple[str, bool]]:
    """What was promised, and whether it held. `image` is the initramfs of both boots."""
    kept = [("initramfs: no GPU driver and no DRM in it", initramfs.gpu_modules(image) == [])]
    for name, report, source in (("first", first, "usr"), ("second", second, "cache")):
        driver = report.driver("initramfs", scenarios.DRIVER)
        kept += [
            (f"{name} boot: no GPU driver before Modulus ran", "virtio_gpu" not in report.modules("before")),
            (f"{name} boot: driver loaded from {SOURCES[source]}",
             (driver["reason"], driver["source"]) == ("loaded", source)),
            (f"{name} boot: {CARD} there before switch-root", CARD in report.nodes("initramfs")
             and report.status("initramfs")["finished_us"] / 1e6 < switch_root_seconds(report)),
            (f"{name} boot: {CARD} there in the real root", CARD in report.nodes("real-root")),
            (f"{name} boot: kernel not tainted", report.taint("real-root") == 0),
            (f"{name} boot: no unit failed", report.text("real-root", "failed-units").strip() == ""),
        ]
    kept.append(("both boots: the very same bundle", len(
        {report.driver("initramfs", scenarios.DRIVER)["digest"] for report in (first, second)}) == 1))
    return kept


def tell(first: Report, second: Report, image: Path) -> bool:
    """Print the account; True when every promise held."""
    kind = {"tcg": "software emulation", "kvm": "hardware virtualisation"}[first.accelerator]
    print(f"\nMachine: QEMU, {kind}; Debian kernel {first.status('initramfs')['kernel']['release']}, a virtio GPU,"
          "\n  a disk with a /usr and a root partition, an initramfs by dracut with Debian's Ignition.")
    for title, report in (("First boot: provisioned by Ignition, bundle on the /usr partition", first),
                          ("Second boot: bundle removed from /usr", second)):
        print(f"\n{title}")
        for label, text in account(report, report.driver("initramfs", scenarios.DRIVER)):
            print(f"  {label:<8} {text}")
    print()
    results = promises(first, second, image)
    for promise, held in results:
        print(f"  {'ok    ' if held else 'BROKEN'} {promise}")
    return all(held for _, held in results)


def main() -> int:
    try:
        shop = Workshop(places.WORK / "demo", say)
        booted = scenarios.demonstration(shop)
        as_promised = tell(booted.first, booted.second, shop.ignition_initramfs)
    except (RigError, AssertionError) as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return 1
    if not as_promised:
        print(f"\ndemo: not as promised; console and report of both boots are in {shop.folder}", file=sys.stderr)
        return 1
    print("\nAll as promised.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
