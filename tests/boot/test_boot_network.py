# SPDX-License-Identifier: Apache-2.0
"""Bundles over the network, in the initramfs: only when needed, before switch-root, and nothing left behind."""

import hashlib
import re

import pytest

from rig.bundles import Parts
from rig.guest import HOST_ADDRESS
from rig.pcap import TCP, UDP
from rig.scenarios import DRIVER, STATIC

GPU_NODES = ["/dev/dri/card0", "/dev/dri/renderD128"]
MARGIN_S = 15  # what the slow guest needs around a budget


@pytest.fixture(params=["fetched-first", "fetched-second", "no-clock", "no-server", "no-card", "manager-first", "manager-later",
                        "legacy-first", "legacy-later"])
def any_boot(request, fetched, no_clock, no_server, no_card, by_manager, by_legacy):
    return {"fetched-first": fetched.first, "fetched-second": fetched.second, "no-clock": no_clock.boot,
            "no-server": no_server.boot, "no-card": no_card.boot, "manager-first": by_manager.first,
            "manager-later": by_manager.later, "legacy-first": by_legacy.first, "legacy-later": by_legacy.later}[request.param]


@pytest.fixture(params=["manager", "legacy"])
def handler(request, by_manager, by_legacy):
    return {"manager": by_manager, "legacy": by_legacy}[request.param]


def dhcp(report) -> list:
    return [packet for packet in report.packets if packet.protocol == UDP and packet.target_port in (67, 68)]


def talkers(report) -> set[str]:
    """Addresses that the guest itself spoke TCP from."""
    return {packet.source for packet in report.packets if packet.protocol == TCP} - {HOST_ADDRESS}


def was_started(report) -> bool:
    """Whether networkd ran in the initramfs at any time."""
    return report.section("initramfs", "networkd").code == 0


def was_up(report) -> bool:
    """Whether a link was ever up: the kernel gives it its queue then, and never takes that back."""
    card, = [line for line in report.text("real-root", "network").splitlines() if "link/ether" in line]
    return "qdisc noop " not in card


def test_the_first_boot_fetches_in_the_initramfs(fetched):
    driver = fetched.first.driver("initramfs", DRIVER)
    assert driver["reason"] == "loaded" and driver["source"] == "http"
    assert driver["digest"] == hashlib.sha256(Parts.of(fetched.bundle).manifest).hexdigest()
    assert fetched.first.nodes("before") == [] and fetched.first.nodes("initramfs") == GPU_NODES
    assert fetched.first.nodes("real-root") == GPU_NODES
    assert fetched.server.asked == [(f"/{fetched.first.status('initramfs')['kernel']['release']}/{DRIVER}.tar.zst", 200)]
    assert was_started(fetched.first) and was_up(fetched.first)


def test_the_second_boot_needs_neither_the_server_nor_a_network(fetched):
    driver = fetched.second.driver("initramfs", DRIVER)
    assert driver["reason"] == "loaded" and driver["source"] == "cache"
    assert fetched.second.nodes("initramfs") == GPU_NODES
    assert "network" not in {phase["name"] for phase in driver["phases"]}
    assert not was_started(fetched.second) and not was_up(fetched.second)
    assert fetched.second.packets == []


def test_networkmanager_and_dracuts_own_scripts_bring_it_up_too(handler):
    for report in (handler.first, handler.later):
        driver = report.driver("initramfs", DRIVER)
        assert driver["reason"] == "loaded" and driver["source"] == "http", driver
        assert report.nodes("before") == [] and report.nodes("initramfs") == GPU_NODES
        assert not was_started(report)  # networkd, which is in neither image
    assert [code for _, code in handler.server.asked] == [200, 200]


def test_without_ip_they_ask_a_dhcp_server(handler):
    assert dhcp(handler.first) and talkers(handler.first) == {"10.0.2.15"}


def test_what_ip_says_is_what_they_do(handler):
    assert dhcp(handler.later) == [] and talkers(handler.later) == {STATIC}


def test_ip_dhcp_is_what_systemd_makes_of_it(no_clock):
    assert dhcp(no_clock.boot) and talkers(no_clock.boot) == {"10.0.2.15"}


def test_nothing_of_the_network_is_left_for_the_real_root(any_boot):
    def links(where: str) -> str:  # without the queue: see was_up
        return re.sub(r"qdisc \w+", "", any_boot.text(where, "network"))

    for where in ("initramfs", "real-root"):
        assert links(where) == links("before")
        assert any_boot.text(where, "network-settings") == any_boot.text("before", "network-settings")
        for what in ("network-files", "hostname"):
            assert any_boot.text(where, what) == any_boot.text("before", what)
        assert not {"NetworkManager", "dhclient", "systemd-network"} & set(any_boot.text(where, "processes").split())
        for flag in ("UP,LOWER_UP", "inet ", "default"):
            lines = [line for line in any_boot.text(where, "network").splitlines() if flag in line and " lo" not in line]
            assert lines == []
    assert "dbus-daemon" not in any_boot.text("real-root", "processes").split()


def test_a_clock_that_is_wrong_keeps_nobody_from_https(no_clock):
    report = no_clock.boot
    # systemd moves a clock that is older than itself to its own date, which is before the certificate's too
    assert int(report.text("before", "clock")) < no_clock.valid_from - 3600
    driver = report.driver("initramfs", DRIVER)
    assert driver["reason"] == "loaded" and driver["source"] == "https"
    assert report.nodes("initramfs") == GPU_NODES
    assert [code for _, code in no_clock.server.asked] == [200]


@pytest.mark.parametrize("name,seconds", [("no_server", 40), ("no_card", 10)])
def test_without_server_or_card_the_boot_goes_on_in_time(no_server, no_card, name, seconds):
    report = {"no_server": no_server, "no_card": no_card}[name].boot
    driver = report.driver("initramfs", DRIVER)
    assert driver["reason"] == "network", driver
    status = report.status("initramfs")
    assert status["finished_us"] - status["started_us"] < (seconds + MARGIN_S) * 1_000_000
    assert "network" in report.text("real-root", "status-text") and report.section("real-root", "status-text").code == 7
    assert driver["cached"] is None and report.nodes("real-root") == []
