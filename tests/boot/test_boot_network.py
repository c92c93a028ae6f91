# SPDX-License-Identifier: Apache-2.0
"""Bundles over the network, in the initramfs: only when needed, before switch-root, and nothing left behind."""

import hashlib
import re

import pytest

from rig.bundles import Parts
from rig.scenarios import DRIVER

GPU_NODES = ["/dev/dri/card0", "/dev/dri/renderD128"]
MARGIN_S = 15  # what the slow guest needs around a budget


@pytest.fixture(params=["fetched-first", "fetched-second", "no-clock", "no-server", "no-card"])
def any_boot(request, fetched, no_clock, no_server, no_card):
    return {"fetched-first": fetched.first, "fetched-second": fetched.second, "no-clock": no_clock.boot,
            "no-server": no_server.boot, "no-card": no_card.boot}[request.param]


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


def test_nothing_of_the_network_is_left_for_the_real_root(any_boot):
    def links(where: str) -> str:  # without the queue: see was_up
        return re.sub(r"qdisc \w+", "", any_boot.text(where, "network"))

    for where in ("initramfs", "real-root"):
        assert links(where) == links("before")
        assert any_boot.text(where, "network-settings") == any_boot.text("before", "network-settings")
        assert any_boot.text(where, "network-files") == any_boot.text("before", "network-files")
        for flag in ("UP,LOWER_UP", "inet ", "default"):
            lines = [line for line in any_boot.text(where, "network").splitlines() if flag in line and " lo" not in line]
            assert lines == []


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
