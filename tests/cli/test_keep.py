# SPDX-License-Identifier: Apache-2.0
"""What stays in the cache over updates and rollbacks: a machine that boots one kernel after another."""
import json
import os

import pytest

from bundlemaker import File, digest_of, firmware
from cachemachine import OLDER, CacheMachine, place_of, recipe
from program import DONE


def release(number: int) -> str:
    return f"6.1.0-{number}-test"


class UpdatedMachine(CacheMachine):
    """One kernel is installed at a time besides the next one, as on an A/B or ostree host the running one is."""

    def __init__(self, folder):
        super().__init__(folder)
        self.device()
        self.module_is_live("alpha", "beta")
        self.bundles = {}

    def update(self, number: int) -> None:
        """An update is installed, and its bundle fetched."""
        self.bundles[number] = recipe(release(number)).build()
        self.installed(release(number))
        self.offer(self.bundles[number], release(number))
        assert self.command("fetch", "--next").returncode == DONE

    def start(self, number: int, good: bool = True) -> None:
        """Boots that kernel; the one before is not installed any more."""
        self.write_live("proc/sys/kernel/osrelease", release(number) + "\n")
        self.status_file.unlink(missing_ok=True)
        assert self.boot().driver["reason"] == "loaded"
        if good:
            assert self.command("bless").returncode == DONE
        for path in (self.root / "usr/lib/modules").iterdir():
            if path.name != release(number):
                path.rmdir()

    def kept(self) -> set[int]:
        return {number for number, data in self.bundles.items() if place_of(data, release(number)) in self.cached}


@pytest.fixture
def host(tmp_path):
    return UpdatedMachine(tmp_path)


def test_over_many_updates_the_running_the_installed_and_the_two_before_stay(host):
    host.installed(release(1))
    host.write_live("proc/sys/kernel/osrelease", release(1) + "\n")
    for number in range(2, 9):
        host.update(number)
        host.start(number)
        os.sync()
        for mark in (host.root / "var/lib/modulus").rglob("*.json"):  # time goes by
            at = mark.stat().st_mtime - 1000
            os.utime(mark, (at, at))
        for file in host.folder.rglob("*.zst"):
            at = file.stat().st_mtime - 1000
            os.utime(file, (at, at))
    # when 8 was blessed, 7 was still installed
    assert host.kept() == {5, 6, 7, 8}


def test_before_a_boot_is_blessed_nothing_goes(host):
    host.installed(release(1))
    for number in range(2, 9):
        host.update(number)
        host.start(number, good=False)
    assert host.kept() == set(range(2, 9))


def test_a_rollback_finds_its_bundle_without_a_network(host):
    host.installed(release(1))
    for number in (2, 3, 4):
        host.update(number)
        host.start(number)
    for path in (host.root / "usr/lib/modulus/bundles").rglob("*.zst"):
        path.unlink()
    host.start(3)
    assert json.loads(host.status_file.read_text())["drivers"][0]["source"] == "cache"


def test_firmware_stays_for_the_versions_that_modules_are_kept_of(tmp_path):
    host = CacheMachine(tmp_path)
    def of(version: str, serial: int) -> bytes:
        return firmware(File("usr/lib/firmware/gpu.bin", version.encode()), fields={"version": version, "serial": serial}).build()
    files = {}
    for version, serial in (("1.0", 1), ("0.9", 7), ("0.8", 9), ("0.8", 10), ("0.8", 11)):
        data = of(version, serial)
        files[version, serial] = host.write_root(f"var/lib/modulus/bundles/any/gpu-firmware-{digest_of(data)}.tar.zst", data)
    host.keep(recipe(OLDER, version="0.8").build(), OLDER)
    assert host.command("cache", "prune").returncode == DONE
    # 1.0 is Version=; 0.8 is what the older kernel's modules are of, of which two stay; nothing is of 0.9
    assert {key for key, path in files.items() if path.exists()} == {("1.0", 1), ("0.8", 10), ("0.8", 11)}


def test_what_was_fetched_by_name_for_a_kernel_to_come_stays(host):
    host.installed(release(1))
    for number in (2, 3, 4):
        host.update(number)
        host.start(number)
    future = recipe("7.0.0-test").build()
    host.keep(future, "7.0.0-test")
    host.start(4)
    assert place_of(future, "7.0.0-test") in host.cached
