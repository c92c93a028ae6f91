# SPDX-License-Identifier: Apache-2.0
"""The gate on an ostree host: what is staged is locked while a Gate= holds, and nobody else's lock is touched."""
import json
import struct
import time
from pathlib import Path

import pytest

from cachemachine import NEXT, RELEASE, CacheMachine, place_of, recipe
from program import DONE, NO_BUNDLE, USAGE, snapshot

STAGED, LOCK = "run/ostree/staged-deployment", "run/ostree/staged-deployment-locked"
# what ostree 2022.7 wrote, and of which deployment
GOLDEN = (Path(__file__).parents[1] / "fuzz/corpus/gvariant/staged").read_bytes()
DEPLOYMENT = "ostree/deploy/the-os/deploy/3d057bf3aeddb418197bd84a1b23d34238e89f74491c664435b6f2dfa451bcc1.0"
HOUR_US = 3600 * 1_000_000


def locked_within(staged: bytes) -> bytes:
    """The same with {"locked": <true>} at its end, as ostree 2023.8 and later write it."""
    (end,) = struct.unpack("<H", staged[-2:])
    ends = staged[end:]
    body = staged[:end].ljust((end + 7) // 8 * 8, b"\0") + b"locked\0\0" + b"\1" + b"\0b" + b"\7"
    return body + ends + struct.pack("<H", len(body))


class StagedMachine(CacheMachine):
    """ostree has staged a deployment with the next kernel; the device is here."""

    def __init__(self, folder: Path, gate: str = "yes"):
        super().__init__(folder, Policy=f"Gate={gate}")
        self.device()
        self.write_live("run/ostree-booted", "")
        self.cmdline("ostree=/ostree/boot.1/the-os/x/0")
        self.var.mkdir(parents=True)
        (self.root / "sysroot" / DEPLOYMENT / "usr/lib/modules" / NEXT).mkdir(parents=True)
        self.installed(RELEASE)
        self.stage()

    def stage(self, content: bytes = GOLDEN) -> None:
        self.write_live(STAGED, content)

    @property
    def var(self) -> Path:
        return self.root / "sysroot/ostree/deploy/the-os/var"

    @property
    def folder(self) -> Path:
        return self.var / "lib/modulus/bundles"

    @property
    def cached(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    @property
    def lock(self) -> Path:
        return self.live / LOCK

    def ask(self, code: int, *words: str) -> dict:
        done = self.command("check", "--next", "--gate", *(words or ("--lock",)), "--json")
        assert done.returncode == code, (done.stdout, done.stderr)
        answer = json.loads(done.stdout)
        assert answer["kernel"]["release"] == NEXT and answer["gate"]["hold"] == (code != DONE)
        return answer["gate"]

    def release(self) -> None:
        """The bundle has come."""
        data = recipe(NEXT).build()
        self.write_root(f"sysroot/{DEPLOYMENT}/usr/lib/modulus/bundles/{NEXT}/gpu.tar.zst", data)
        assert self.command("fetch", "--next").returncode == DONE


@pytest.fixture
def host(tmp_path):
    return StagedMachine(tmp_path)


def test_what_is_staged_is_locked_until_its_bundle_is_in_the_cache(host):
    assert host.ask(NO_BUNDLE)["lock"] == "ours"
    assert host.lock.read_text() == "modulus\n" and host.lock.stat().st_mode & 0o777 == 0o640
    assert host.ask(NO_BUNDLE)["lock"] == "ours", "asked again, it stays"
    host.release()
    assert place_of(recipe(NEXT).build(), NEXT) in host.good()
    assert host.ask(DONE)["lock"] is None and not host.lock.exists()
    assert host.ask(DONE)["lock"] is None


def test_it_is_said_to_people_and_in_status(host):
    said = host.command("check", "--next", "--gate", "--lock").stdout
    assert said.endswith("\nlock: /run/ostree/staged-deployment-locked is ours\n") and "\nupdate: held since " in said
    host.offer(recipe().build())
    host.module_is_live("alpha", "beta")
    host.boot()
    shown = host.status().stdout
    assert "\n  update   held since " in shown and "\n  lock     /run/ostree/staged-deployment-locked is ours\n" in shown
    assert json.loads(host.status("--json").stdout)["next"]["gate"]["lock"] == "ours"


def test_the_lock_goes_when_gate_has_held_for_its_time(tmp_path):
    host = StagedMachine(tmp_path, "2h")
    assert host.ask(NO_BUNDLE)["until"] - time.time() > 3600 and host.lock.exists()
    state = host.var / "lib/modulus/gate.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "held_us": 2 * HOUR_US}))
    opened = host.ask(DONE)
    assert "has held for its time" in opened["why"] and not host.lock.exists()


def test_the_lock_goes_when_an_operator_opens_the_gate(host):
    host.ask(NO_BUNDLE)
    host.write_live("run/modulus/gate-open", "")
    assert host.ask(DONE)["why"].startswith("opened by ") and not host.lock.exists()


@pytest.mark.parametrize("content", ["", "zincati\n", "modulus", "modulus\nand more"])
def test_a_lock_of_somebody_else_stays_whatever_the_gate_says(host, content):
    host.write_live(LOCK, content)
    ours = content == "modulus"     # without its end of line it is still our name
    assert host.ask(NO_BUNDLE)["lock"] == ("ours" if ours else "other")
    host.release()
    assert host.ask(DONE)["lock"] == (None if ours else "other")
    assert host.lock.exists() != ours
    if not ours:
        assert host.lock.read_text() == content
        assert "is somebody else's" in host.command("check", "--next", "--gate", "--lock").stdout


def test_a_lock_within_what_ostree_staged_stays_and_is_told(host):
    host.stage(locked_within(GOLDEN))
    assert host.ask(NO_BUNDLE)["lock"] == "ours"
    host.release()
    staged = (host.live / STAGED).read_bytes()
    assert host.ask(DONE)["lock"] == "other" and not host.lock.exists()
    assert (host.live / STAGED).read_bytes() == staged
    answer = json.loads(host.command("check", "--next", "--json").stdout)
    assert "(held back for now)" in answer["kernel"]["how"]


@pytest.mark.parametrize("words", [("--gate",), ("--gate", "--lock")])
def test_only_who_asks_for_the_lock_gets_it(host, words):
    host.ask(NO_BUNDLE, *words[1:] or ("--gate",))
    assert host.lock.exists() == ("--lock" in words)


def test_without_a_gate_nothing_is_locked(tmp_path):
    host = StagedMachine(tmp_path, "no")
    assert host.ask(DONE)["lock"] is None and not host.lock.exists()


def test_a_lock_that_outlived_what_was_staged_is_taken_away(host):
    host.ask(NO_BUNDLE)
    (host.live / STAGED).unlink()
    (host.root / "boot/loader/entries").mkdir(parents=True)
    host.write_root("boot/loader/entries/ostree-1.conf", "version 1\nlinux /x\noptions ostree=/ostree/boot.1/x\n")
    (host.root / "sysroot/ostree/boot.1").mkdir()
    (host.root / "sysroot/ostree/boot.1/x").symlink_to(f"/{DEPLOYMENT}")
    assert host.ask(NO_BUNDLE)["lock"] is None, "held it is, and by whoever installs updates"
    assert not host.lock.exists()


def test_a_plain_check_changes_nothing_of_it(host):
    before = snapshot(host.live, host.root)
    assert host.command("check", "--next").returncode == NO_BUNDLE
    assert snapshot(host.live, host.root) == before


def test_the_lock_is_for_the_gate(host):
    assert host.command("check", "--next", "--lock").returncode == USAGE
