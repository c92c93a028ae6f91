# SPDX-License-Identifier: Apache-2.0
"""Open and proprietary modules of one driver in one driver file: which of them a machine takes is decided by its devices, by what
the bundles say they drive, and by the order in Flavor=."""
import pytest

from badserver import BadServer, good, status
from bundlemaker import RELEASE, modules
from fakehost import Machine
from netmachine import NetMachine
from program import DONE, NO_BUNDLE

PASCAL = "pci:v000010DEd00001B06sv00001028sd0000129Ebc03sc00i00"
HOPPER = "pci:v000010DEd00002330sv000010DEd000016C1bc03sc02i00"
BLACKWELL = "pci:v000010DEd00002901sv000010DEd00001999bc03sc02i00"
UNKNOWN = "pci:v000010DEd0000FFFFsv000010DEd00000000bc03sc02i00"
AMD = "pci:v00001002d000074A1sv00001002sd000074A1bc12sc00i00"
FILE = "[Driver]\nVersion=1.0\nMatch=pci:v000010DEd*bc03sc0[02]*\n"
ALL, OLD, KNOWN = "pci:v000010DEd*bc03sc0[02]*", "pci:v000010DEd00001B0[026]*", "pci:v000010DEd00002330*"
BOTH = "Flavor=open proprietary\n"


def flavour(flavor: str, match: list[str], serial: int = 1, **fields) -> bytes:
    return modules(fields={"flavor": flavor, "match": match, "serial": serial, **fields}).build()


OPEN = flavour("open", [ALL, "!" + OLD])
PROPRIETARY = flavour("proprietary", [OLD, KNOWN], serial=99)


def with_devices(machine: Machine, *modaliases: str) -> None:
    for number, modalias in enumerate(modaliases):
        machine.device(modalias, f"0000:{number + 1:02}:00.0")


def machine_with(machine: Machine, *modaliases: str, text: str = FILE + BOTH, live: bool = True) -> Machine:
    machine.driver(text=text)
    machine.key()
    with_devices(machine, *modaliases)
    if live:
        machine.module_is_live("alpha", "beta")
    machine.usr(OPEN, "open.tar.zst")
    machine.usr(PROPRIETARY, "proprietary.tar.zst")
    return machine


@pytest.mark.parametrize(("devices", "taken"), [
    ([PASCAL], "proprietary"), ([HOPPER], "open"), ([BLACKWELL], "open"), ([UNKNOWN], "open"), ([PASCAL, PASCAL], "proprietary"),
    ([PASCAL, HOPPER], "proprietary"), ([HOPPER, BLACKWELL], "open"), ([PASCAL, BLACKWELL], "open"), ([AMD, PASCAL], "proprietary"),
])
def test_one_driver_file_and_two_bundles_serve_a_mixed_fleet(machine, devices, taken):
    done = machine_with(machine, *devices).boot()
    assert (done.code, done.driver["reason"], done.driver["flavor"]) == (DONE, "loaded", taken), done.lines
    for entry in done.driver["rejected"]:
        assert (entry["reason"], entry["text"]) == ("no-device", "drives none of the driver's devices here: its match names others")


@pytest.mark.parametrize(("wish", "device", "taken"), [
    ("proprietary open", HOPPER, "proprietary"), ("proprietary open", BLACKWELL, "open"), ("open", HOPPER, "open"),
    ("proprietary", PASCAL, "proprietary"), ("", HOPPER, "proprietary"), ("", BLACKWELL, "open"), ("other open", HOPPER, "open"),
])
def test_the_order_of_flavor_decides_among_what_drives_the_device(machine, wish, device, taken):
    assert machine_with(machine, device, text=FILE + f"Flavor={wish}\n").boot().driver["flavor"] == taken


def test_a_serial_decides_within_a_flavour_only(machine):
    machine_with(machine, HOPPER)
    machine.usr(flavour("open", [ALL], serial=2), "newer.tar.zst")
    driver = machine.boot().driver
    assert (driver["flavor"], driver["serial"]) == ("open", 2)


# --- no GPU, wrong GPU -----------------------------------------------------------------------------

@pytest.mark.parametrize("devices", [[], [AMD]])
def test_without_a_device_of_the_driver_no_bundle_is_opened(machine, devices):
    machine_with(machine, *devices)
    before = machine.snapshot()
    done = machine.boot()
    assert done.code == DONE and done.lines == ["gpu: no-device: no device matches Match="]
    assert (done.driver["devices"], done.driver["rejected"], done.driver["warnings"]) == ([], [], [])
    assert machine.snapshot() == before


@pytest.mark.parametrize(("wish", "device"), [("open", PASCAL), ("proprietary", BLACKWELL)])
def test_a_gpu_that_the_wanted_flavour_does_not_drive_is_no_failure(machine, wish, device):
    machine_with(machine, device, text=FILE + f"Flavor={wish}\n", live=False)
    before = machine.snapshot()
    done = machine.boot()
    assert done.code == DONE and done.driver["reason"] == "no-device"
    assert done.lines == [f"gpu: no-device: usr:/usr/lib/modulus/bundles/{RELEASE}/{wish}.tar.zst: "
                          "drives none of the driver's devices here: its match names others"]
    assert (done.driver["devices"], done.driver["modules"]) == (["0000:01:00.0"], [])
    assert machine.snapshot() == before    # nothing cached, no attempt recorded
    assert machine.status().returncode == DONE
    # finish sees nothing that came late
    assert machine.boot("finish").code == DONE and machine.boot("finish").driver["reason"] == "no-device"


def test_a_bundle_that_only_takes_away_drives_nothing(machine):
    machine.ready(flavour("", ["!pci:v0000FFFFd*"]))
    assert machine.boot().driver["reason"] == "no-device"


def test_a_bundle_for_this_device_and_another_kernel_says_more_than_one_for_another_device(machine):
    machine.driver(text=FILE + BOTH)
    machine.key()
    with_devices(machine, PASCAL)
    machine.usr(OPEN, "open.tar.zst")
    machine.usr(modules(fields={"flavor": "proprietary", "match": [OLD]}, edit=lambda m: m["kernel"].update(machine="vax")).build(),
                "old.tar.zst")
    done = machine.boot()
    assert done.code == NO_BUNDLE and done.driver["reason"] == "wrong-kernel"


def test_a_card_can_be_left_out_in_the_driver_file(machine):
    machine_with(machine, HOPPER, PASCAL, text=FILE.rstrip() + f" !{OLD}\n" + BOTH)
    assert (machine.boot().driver["flavor"], machine.boot().driver["devices"]) == ("open", ["0000:01:00.0"])


# --- the network -----------------------------------------------------------------------------------

@pytest.fixture
def server():
    with BadServer() as one:
        yield one


def net(tmp_path, server, *devices: str, wish: str = "open proprietary", sources=("/{flavor}",)) -> NetMachine:
    machine = NetMachine(tmp_path, *(server.url(path) for path in sources))
    text = machine.driver(Source="").read_text()
    lines = "From=cache:\n" + "".join(f" {server.url(path)}\n" for path in sources)
    machine.driver(text=FILE + f"Flavor={wish}\n" + f"[Source]\n{lines}" + text.split("[Source]")[1])
    for device in (machine.live / "sys/bus/pci/devices").iterdir():
        (device / "modalias").unlink()
        device.rmdir()
    with_devices(machine, *devices)
    return machine


def asked(server) -> list[str]:
    return [request.target for request in server.requests]


@pytest.mark.parametrize(("device", "targets"), [
    (HOPPER, ["/open"]), (PASCAL, ["/open", "/proprietary"]), (UNKNOWN, ["/open"])])
def test_each_flavour_is_asked_for_until_one_drives_the_devices(tmp_path, server, device, targets):
    server.serve("/open", good(OPEN))
    server.serve("/proprietary", good(PROPRIETARY))
    machine = net(tmp_path, server, device)
    for command in ("fetch", "boot"):
        assert machine.boot(command).code == DONE
        assert list(dict.fromkeys(asked(server))) == targets
        assert machine.in_cache == [PROPRIETARY if device == PASCAL else OPEN]


def test_what_drives_all_devices_is_found_behind_what_drives_some(tmp_path, server):
    server.serve("/open", good(OPEN))
    server.serve("/proprietary", good(PROPRIETARY))
    machine = net(tmp_path, server, PASCAL, HOPPER)
    assert machine.run().code == DONE and machine.in_cache == [PROPRIETARY]
    # one source may have less than the next one: the first that has any is used
    server.requests.clear()
    machine = net(tmp_path / "two", server, PASCAL, HOPPER, sources=("/only/{flavor}", "/{flavor}"))
    server.serve("/only/open", good(OPEN))
    server.serve("/only/proprietary", status("404 Not Found"))
    assert machine.run().code == DONE and machine.in_cache == [OPEN]


def test_a_flavour_that_a_server_has_not_costs_one_question(tmp_path, server):
    server.serve("/open", status("404 Not Found"))
    server.serve("/proprietary", good(PROPRIETARY))
    machine = net(tmp_path, server, HOPPER)
    done = machine.run()
    assert done.code == DONE and done.seconds < 5 and machine.in_cache == [PROPRIETARY]
    assert asked(server).count("/open") == 1


def test_sources_are_asked_in_their_order_and_each_for_all_flavours(tmp_path, server):
    for path in ("/a/open", "/a/proprietary", "/plain", "/b/open", "/b/proprietary"):
        server.serve(path, status("404 Not Found"))
    machine = net(tmp_path, server, HOPPER, sources=("/a/{flavor}", "/plain", "/b/{flavor}"))
    assert machine.run().code == NO_BUNDLE
    assert asked(server) == ["/a/open", "/a/proprietary", "/plain", "/b/open", "/b/proprietary"]


def test_a_single_flavour_is_asked_for_as_before(tmp_path, server):
    server.serve("/open", good(OPEN))
    machine = net(tmp_path, server, HOPPER, wish="open")
    assert machine.run().code == DONE and asked(server)[0] == "/open"


# --- fetch -----------------------------------------------------------------------

def test_fetch_brings_what_boot_would_take_and_without_a_device_the_first(tmp_path, server):
    server.serve("/open", good(OPEN))
    server.serve("/proprietary", good(PROPRIETARY))
    machine = net(tmp_path, server)
    assert machine.run().code == DONE and machine.in_cache == [OPEN]


def test_fetch_says_that_nothing_drives_what_is_here(tmp_path, server):
    server.serve("/open", good(OPEN))
    machine = net(tmp_path, server, PASCAL, wish="open")
    done = machine.run()
    assert done.code == DONE and machine.in_cache == []
    assert done.reason == "no-device" and "drives none of the driver's devices here" in done.lines[-1]
