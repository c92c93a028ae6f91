# SPDX-License-Identifier: Apache-2.0
"""Firmware and libraries from bundles of their own: `boot` has the firmware in place before it loads, `fetch` keeps both."""
import json
import random

import pytest

from badserver import BadServer, good, part, saying, stall, status
from bundlemaker import RELEASE, UNKNOWN_KEY, File, cut_at, digest_of, firmware, module_file, modules, runtime, signed_by
from netmachine import NetMachine
from program import DONE, NETWORK

PARAMETER = "sys/module/firmware_class/parameters/path"
GOOD = modules().but(files=(module_file(info={"firmware": "gpu/1.0/gsp.bin"}), module_file("beta"))).build()
BLOB = b"firmware " * 30_000
FIRMWARE = firmware(File("usr/lib/firmware/gpu/1.0/gsp.bin", BLOB), links=(("usr/lib/firmware/gpu/1.0/old.bin", "gsp.bin"),)).build()
RUNTIME = runtime().build()
MISSING = status("404 Not Found")


class Site:
    """A machine whose modules, firmware and libraries are each at an address of a server."""

    def __init__(self, folder, server: BadServer):
        self.server, self.machine = server, NetMachine(folder)
        self.machine.write_live(PARAMETER, "\n")
        self.firmware_dir = self.machine.live / "run/modulus/firmware"
        self.serve()

    def serve(self, modules=good(GOOD), firmware=good(FIRMWARE), runtime=MISSING, **more: str) -> None:
        for kind, answer in (("modules", modules), ("firmware", firmware), ("runtime", runtime)):
            self.server.serve(f"/{kind}", answer)
        self.machine.sources(self.server.url("/modules"), runtime=self.server.url("/{kind}"), **more)

    @property
    def driver(self) -> dict:
        return json.loads(self.machine.status("--json").stdout)["drivers"][0]

    def asked(self, kind: str) -> int:
        return len(self.server.of(f"/{kind}"))


@pytest.fixture
def site(tmp_path):
    with BadServer() as server:
        yield Site(tmp_path, server)


def test_boot_puts_the_firmware_where_the_kernel_looks(site):
    done = site.machine.run("boot")
    assert done.code == DONE, done
    assert (site.firmware_dir / "gpu/1.0/gsp.bin").read_bytes() == BLOB
    assert (site.firmware_dir / "gpu/1.0/old.bin").readlink().name == "gsp.bin"
    assert (site.machine.live / PARAMETER).read_text().strip() == "/run/modulus/firmware"
    told = site.driver["firmware"]
    assert (told["reason"], told["source"], told["digest"]) == ("loaded", "http", digest_of(FIRMWARE))
    assert told["cached"] == f"/var/lib/modulus/bundles/any/gpu-firmware-{digest_of(FIRMWARE)}.tar.zst"
    assert site.driver["digest"] == digest_of(GOOD) and site.driver["reason"] == "loaded"
    assert site.asked("runtime") == 0   # nobody needs it before the real root
    assert f"  firmware loaded: {site.server.url('/firmware')}\n" in site.machine.status().stdout


def test_the_next_boot_needs_no_network_for_it(site):
    assert site.machine.run("boot").code == DONE
    asked = len(site.server.requests)
    assert site.machine.run("boot").code == DONE
    assert site.driver["firmware"]["source"] == "cache" and len(site.server.requests) == asked


def test_it_comes_from_usr(tmp_path):
    machine = NetMachine(tmp_path)
    machine.write_live(PARAMETER, "\n")
    machine.ready(GOOD)
    machine.usr(FIRMWARE, "fw.tar.zst", "any")
    machine.driver(Source="From=usr:\n")
    assert machine.run("boot").code == DONE
    told = json.loads(machine.status("--json").stdout)["drivers"][0]["firmware"]
    assert told["source"] == "usr" and (machine.live / "run/modulus/firmware/gpu/1.0/gsp.bin").read_bytes() == BLOB


def test_a_driver_without_such_a_bundle_says_nothing_of_firmware(tmp_path):
    machine = NetMachine(tmp_path)
    machine.ready(GOOD)
    machine.driver(Source="From=usr:\n")
    done = machine.run("boot")
    driver = json.loads(machine.status("--json").stdout)["drivers"][0]
    assert done.code == DONE and driver["firmware"] is None and not any("firmware" in line for line in driver["warnings"])
    assert not (machine.live / "run/modulus/firmware").exists()


def test_a_damaged_one_of_the_image_is_told_although_nobody_asked(tmp_path):
    machine = NetMachine(tmp_path)
    machine.ready(GOOD)
    machine.usr(FIRMWARE[:-9], "fw.tar.zst", "any")
    machine.driver(Source="From=usr:\n")
    assert machine.run("boot").code == DONE
    assert json.loads(machine.status("--json").stdout)["drivers"][0]["firmware"]["reason"] == "corrupt"


@pytest.mark.parametrize("answer, reason", [
    (MISSING, "no-bundle"), (status("500 Internal Server Error"), "network"), (good(GOOD), "no-bundle"),
    (good(firmware(fields={"version": "1.0.1"}).build()), "no-bundle"), (good(FIRMWARE[:-9]), "corrupt"),
    (good(FIRMWARE[:-9] + b"x" + FIRMWARE[-8:]), "corrupt"), (good(firmware(sign=signed_by(UNKNOWN_KEY)).build()), "untrusted"),
    (saying(b""), "network"),
], ids=["404", "500", "modules", "another version", "cut off", "one byte", "a stranger's", "closed"])
def test_what_is_wrong_with_it_is_a_warning_and_the_driver_is_loaded(site, answer, reason):
    site.serve(firmware=answer)
    done = site.machine.run("boot")
    assert done.code == DONE and site.driver["reason"] == "loaded", done
    told = site.driver["firmware"]
    assert told["reason"] == reason and told["digest"] is None, told
    assert [line for line in site.driver["warnings"] if line.startswith(f"firmware: {reason}: ")], site.driver["warnings"]
    assert f"  firmware {reason}: " in site.machine.status().stdout
    assert not [path for path in site.firmware_dir.rglob("*") if path.is_file()]
    assert not [name for name in site.machine.cached if name.startswith("any/gpu-firmware")]


def test_a_transfer_that_broke_goes_on_where_it_broke(site):
    big = firmware(File("usr/lib/firmware/gpu/1.0/gsp.bin", random.Random(0).randbytes(2_000_000)), cut=cut_at(256 << 10)).build()
    site.server.serve("/firmware", part(big, 1_500_000), good(big))
    assert site.machine.run("boot").code == DONE
    assert site.driver["firmware"]["reason"] == "loaded"
    assert sum(request.sent for request in site.server.of("/firmware")) < len(big) + 4096


def test_the_drivers_budget_is_for_both_and_some_is_left_for_the_modules(site):
    def late(to) -> None:
        to.wait(2)
        good(GOOD)(to)

    site.serve(modules=late, firmware=stall, budget="8s")
    done = site.machine.run("boot")
    assert done.code == DONE and site.driver["firmware"]["reason"] == "network", done
    assert 4 < done.seconds < 7     # half of the 6 s that are left; 8, were it all of them, and 10 with a budget of its own


@pytest.mark.parametrize("spare", [
    modules(), modules().but(files=(module_file(info={"firmware": "gpu/1.0/gsp.bin"}), File("usr/lib/firmware/gpu/1.0/gsp.bin", BLOB)))],
    ids=["no module asks for any", "it is in the bundle"])
def test_the_network_is_not_asked_where_none_is_missing(site, spare):
    site.serve(modules=good(spare.build()), firmware=MISSING)
    assert site.machine.run("boot").code == DONE
    assert site.asked("firmware") == 0 and site.driver["warnings"] == [] and site.driver["firmware"] is None


def test_fetch_keeps_firmware_and_libraries(site):
    site.serve(runtime=good(RUNTIME))
    done = site.machine.run("fetch")
    assert done.code == DONE, done
    assert site.machine.cached == [f"{RELEASE}/gpu-modules-{digest_of(GOOD)}.tar.zst", f"any/gpu-firmware-{digest_of(FIRMWARE)}.tar.zst",
                                   f"any/gpu-runtime-{digest_of(RUNTIME)}.tar.zst"]
    assert any("firmware of gpu 1.0 for every kernel" in line for line in done.lines), done.lines
    asked = len(site.server.requests)
    assert site.machine.run("fetch").code == DONE and len(site.server.requests) == asked


def test_a_kind_that_nobody_has_is_no_failure_of_fetch_and_a_server_that_fails_is(site):
    done = site.machine.run("fetch")
    assert done.code == DONE and any("no runtime of gpu 1.0 in cache: http" in line for line in done.lines), done
    site.serve(runtime=status("503 Service Unavailable"))
    assert site.machine.run("fetch").code == NETWORK


def test_rebuild_fetches_them_again_and_replaces_a_damaged_one(site):
    site.serve(runtime=good(RUNTIME))
    assert site.machine.run("fetch").code == DONE
    kept = site.machine.root / f"var/lib/modulus/bundles/any/gpu-firmware-{digest_of(FIRMWARE)}.tar.zst"
    kept.write_bytes(FIRMWARE[:-20] + b"x" + FIRMWARE[-19:])
    asked = {kind: site.asked(kind) for kind in ("modules", "firmware", "runtime")}
    done = site.machine.run("rebuild")
    assert done.code == DONE and any("firmware: 0 cached bundles are good, 1 are not" in line for line in done.lines), done
    assert any("runtime: 1 cached bundles are good, 0 are not" in line for line in done.lines), done
    assert all(site.asked(kind) > before for kind, before in asked.items())
    assert kept.read_bytes() == FIRMWARE


def test_rebuild_of_one_kernel_leaves_them_alone(site):
    assert site.machine.run("fetch").code == DONE
    asked = site.asked("firmware")
    assert site.machine.run("rebuild", args=("--kernel", RELEASE)).code == DONE
    assert site.asked("firmware") == asked


def test_a_cached_one_that_nobody_offers_any_more_stays(site):
    assert site.machine.run("fetch").code == DONE
    site.serve(firmware=MISSING)
    done = site.machine.run("rebuild")
    assert done.code == DONE and any("firmware: no source offers a bundle; the cached one stays" in line for line in done.lines), done
    assert any(name.startswith("any/gpu-firmware") for name in site.machine.cached)
