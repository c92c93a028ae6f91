# SPDX-License-Identifier: Apache-2.0
"""`modulus check`: would a kernel get its drivers? It says so by the way that a boot would go, and changes nothing."""
import json
import re
import shutil
import time

import pytest

from badserver import BadServer, good, status
from bundlemaker import TEST_KEY, UNKNOWN_KEY, digest_of, manifest_of, signatures_of, signed_by, spoil
from cachemachine import NEXT, OLDER, RELEASE, CacheMachine, recipe
from fakehost import Machine
from program import CONFIG, DONE, NETWORK, NO_BUNDLE, UNTRUSTED, snapshot

HOUR = 3600


@pytest.fixture
def host(tmp_path):
    host = CacheMachine(tmp_path)
    host.device()
    return host


def check(host: Machine, *words: str, code: int = DONE) -> dict:
    done = host.command("check", "--json", *words)
    assert done.returncode == code, (done.stdout, done.stderr)
    answer = json.loads(done.stdout)
    assert answer["ready"] == (answer["reason"] == "ready") == (not [f for f in answer["findings"] if f["level"] == "fail"])
    return answer


def row(answer: dict, what: str = "modules", about: str = "gpu") -> dict:
    (one,) = [f for f in answer["findings"] if (f["what"], f["about"]) == (what, about)]
    return one


def damaged(serial: int = 1) -> bytes:
    data = recipe(serial=serial).build()
    return spoil(data, len(data) - 20, b"damaged")


# --- what it says ---

def test_a_cached_bundle_is_verified_to_its_end_and_the_kernel_is_ready(host):
    host.keep(recipe().build())
    answer = check(host)
    assert answer["kernel"]["release"] == RELEASE and answer["kernel"]["running"]
    assert row(answer)["level"] == "ok" and "verified to its end" in row(answer)["text"] and row(answer)["remedy"] is None
    said = host.command("check").stdout
    assert said.startswith(f"kernel {RELEASE} ") and said.endswith("\nready\n")


def test_without_a_bundle_it_says_so_with_the_reason_and_what_to_do(host):
    answer = check(host, code=NO_BUNDLE)
    assert row(answer)["reason"] == answer["reason"] == "no-bundle" and "build one" in row(answer)["remedy"]
    said = host.command("check").stdout
    assert "fail  gpu" in said and "to do: " in said and said.endswith("\nnot ready: gpu: no-bundle\n")


@pytest.mark.parametrize("make, code, reason", [
    (damaged, UNTRUSTED, "corrupt"),
    (lambda: recipe().but(sign=signed_by(UNKNOWN_KEY)).build(), UNTRUSTED, "untrusted"),
    (lambda: recipe(edit_kernel={"build_id": "cd" * 20}).build(), NO_BUNDLE, "wrong-kernel")], ids=["corrupt", "untrusted", "build"])
def test_a_bundle_that_boot_would_refuse_is_refused_with_boots_reason(host, make, code, reason):
    host.keep(make())
    answer = check(host, code=code)
    assert row(answer)["reason"] == reason == host.boot().driver["reason"]


def test_the_next_best_counts_when_the_best_is_damaged(host):
    host.keep(damaged(2))
    host.keep(recipe(serial=1).build())
    assert "serial 1" in row(check(host))["text"]


def test_a_bundle_that_took_the_machine_down_is_none(host):
    data = recipe().build()
    host.keep(data)
    trial = f"var/lib/modulus/trials/{RELEASE}/{digest_of(data)}-1234567890abcdef1234567890abcdef12345678.json"
    host.write_root(trial, json.dumps({"name": "gpu", "open": None, "misses": 3, "blessed": False}))
    assert row(check(host, code=5))["reason"] == "blocked"


def test_without_the_device_there_is_nothing_to_get(tmp_path):
    answer = check(CacheMachine(tmp_path))
    assert row(answer, "device")["reason"] == "no-device" and row(answer, "device")["level"] == "ok"


def test_a_driver_file_that_cannot_be_used_is_a_failure(host):
    host.driver(text="[Driver]\nVersion=1\n")
    assert row(check(host, code=CONFIG), "configuration")["reason"] == "bad-config"


def test_without_any_driver_it_is_not_ready(tmp_path):
    host = CacheMachine(tmp_path)
    (host.root / "etc/modulus/gpu.conf").unlink()
    check(host, code=CONFIG)


# --- the network ---

def test_in_the_network_the_header_counts_and_no_payload_is_fetched(host):
    head = recipe().build()
    reached = head[:16 + len(manifest_of(head)) + len(signatures_of(head))]  # two frames with 8 bytes before each

    def only_the_header(to) -> None:
        to.head(Content_Length=len(head))
        to.send(reached)
        to.wait(5)
    with BadServer() as server:
        host.driver(Source=f"From=cache: {server.serve('/x', only_the_header)}")
        answer = check(host)
        assert "only its header was verified" in row(answer)["text"] and len(server.requests) == 1
    assert host.cached == []


@pytest.mark.parametrize("answer, code, reason", [(status("404 Not Found"), NO_BUNDLE, "no-bundle"),
                                                  (status("403 Forbidden"), NETWORK, "network")], ids=["404", "403"])
def test_what_the_network_says_is_the_reason(host, answer, code, reason):
    with BadServer() as server:
        host.driver(Source=f"From=cache: {server.serve('/x', answer)}")
        assert row(check(host, code=code))["reason"] == reason


def test_libraries_that_cannot_be_had_are_a_warning(host):
    host.keep(recipe().build())
    with BadServer() as server:
        host.driver(Source=f"From=cache:\nRuntime={server.serve('/x', status('403 Forbidden'))}")
        answer = check(host)
    assert row(answer, "firmware")["level"] == row(answer, "runtime")["level"] == "warn"


# --- it changes nothing ---

def test_it_changes_nothing_whatever_it_finds(host):
    host.keep(damaged(3))
    host.keep(recipe(serial=2).build())
    host.offer(recipe(NEXT).build(), NEXT)
    host.installed(RELEASE, NEXT)
    before = {**snapshot(host.root), **snapshot(host.live)}
    for words in ((), ("--next",), ("--kernel", OLDER)):
        host.command("check", *words)
    assert {**snapshot(host.root), **snapshot(host.live)} == before


# --- on any machine ---

def test_a_driver_file_of_another_machine_is_checked_without_its_devices(tmp_path):
    laptop, folder = Machine(tmp_path), tmp_path / "repo"
    folder.mkdir()
    keys = folder / "keys"
    keys.mkdir()
    (keys / "fleet.pub").write_text(TEST_KEY.public.text())
    with BadServer() as server:
        url = server.serve(f"/gpu/1.0/{NEXT}", good(recipe(NEXT).build()))
        server.url("/")
        text = f"[Driver]\nVersion=1.0\nMatch=pci:v0000FFFF*\n[Source]\nFrom={url.removesuffix(NEXT)}{{kernel}}\n"
        (folder / "gpu.conf").write_text(text)
        command = lambda release: CacheMachine.command(laptop, "check", "--kernel", release, "--config", folder / "gpu.conf",
                                                       "--keys", keys, "--json")
        done = command(NEXT)
        assert done.returncode == DONE and json.loads(done.stdout)["kernel"]["release"] == NEXT, done.stdout
        done = command(OLDER)
        assert done.returncode == NO_BUNDLE and json.loads(done.stdout)["reason"] == "no-bundle"


@pytest.mark.parametrize("words", [("--gate",), ("--next", "--gate", "--config", "x.conf"), ("--kernel", "a/b"),
                                   ("--kernel", NEXT, "--next"), ("word",)])
def test_words_that_do_not_go_together(host, words):
    assert host.command("check", *words).returncode == 2


def test_a_file_that_cannot_be_read_is_said(host):
    assert host.command("check", "--config", "/nowhere/gpu.conf").returncode == 1
    (host.root / "x.conf").write_text("[Driver]\n")
    assert host.command("check", "--config", host.root / "x.conf").returncode == CONFIG


# --- the gate ---

@pytest.fixture
def updated(host):
    """An update has installed the next kernel."""
    host.installed(RELEASE, NEXT)
    return host


def gate(host: Machine, value: str | None, code: int) -> dict:
    host.driver(**({"Policy": f"Gate={value}"} if value else {}))
    return check(host, "--next", "--gate", code=code)["gate"]


def state(host: Machine) -> dict:
    return json.loads((host.root / "var/lib/modulus/gate.json").read_text())


def edit_state(host: Machine, **fields) -> None:
    host.write_root("var/lib/modulus/gate.json", json.dumps({**state(host), **fields}))


@pytest.mark.parametrize("value", [None, "no"])
def test_without_a_gate_nothing_is_held(updated, value):
    assert not gate(updated, value, DONE)["hold"]
    assert not (updated.root / "var/lib/modulus/gate.json").exists()


def test_the_gate_holds_until_the_bundle_is_here(updated):
    held = gate(updated, "yes", NO_BUNDLE)
    assert held["hold"] and held["why"].startswith("gpu: no-bundle: ") and held["until"] is None
    assert abs(held["since"] - time.time()) < 60
    updated.offer(recipe(NEXT).build(), NEXT)
    assert updated.command("fetch", "--next").returncode == DONE
    assert not gate(updated, "yes", DONE)["hold"]


def test_a_machine_without_the_device_is_not_held(tmp_path):
    host = CacheMachine(tmp_path)
    host.installed(RELEASE, NEXT)
    assert not gate(host, "yes", DONE)["hold"]


def test_the_gate_holds_for_its_time_and_no_longer(updated):
    held = gate(updated, "2h", NO_BUNDLE)
    assert 2 * HOUR - 60 < held["until"] - held["since"] <= 2 * HOUR + 1
    edit_state(updated, held_us=(2 * HOUR - 100) * 1_000_000)
    assert gate(updated, "2h", NO_BUNDLE)["until"] - time.time() < 101
    edit_state(updated, held_us=2 * HOUR * 1_000_000)
    opened = gate(updated, "2h", DONE)
    assert not opened["hold"] and "has held for its time" in opened["why"]


def test_another_next_kernel_begins_anew(updated):
    gate(updated, "2h", NO_BUNDLE)
    edit_state(updated, held_us=2 * HOUR * 1_000_000)
    updated.installed("6.1.0-101-test")
    assert gate(updated, "2h", NO_BUNDLE)["hold"] and state(updated)["kernel"] == "6.1.0-101-test"


def test_a_clock_that_is_set_neither_opens_nor_lengthens_it(updated):
    gate(updated, "2h", NO_BUNDLE)
    edit_state(updated, at=int(time.time()) - 10 * HOUR, held_us=HOUR * 1_000_000)  # the clock was set since: the same boot
    held = gate(updated, "2h", NO_BUNDLE)
    assert held["hold"] and HOUR - 60 < held["until"] - time.time() <= HOUR
    edit_state(updated, boot_id="another", at=int(time.time()) + 10 * HOUR)  # another boot, whose clock was ahead
    assert gate(updated, "2h", NO_BUNDLE)["hold"]
    edit_state(updated, boot_id="another", at=int(time.time()) - HOUR)  # another boot, an hour ago
    assert not gate(updated, "2h", DONE)["hold"]


def test_a_gate_that_cannot_remember_holds_for_no_time_without_an_end(updated):
    shutil.rmtree(updated.root / "var")
    updated.write_root("var", "a file")
    assert not gate(updated, "2h", DONE)["hold"]
    assert gate(updated, "yes", 1)["hold"]


def test_a_file_opens_it_and_that_is_said(updated):
    assert gate(updated, "yes", NO_BUNDLE)["hold"]
    updated.write_live("run/modulus/gate-open", "")
    opened = gate(updated, "yes", DONE)
    assert not opened["hold"] and opened["why"].startswith("opened by /run/modulus/gate-open; gpu: no-bundle")


def test_a_next_kernel_that_cannot_be_told_is_held_too(host):
    assert "unknown-kernel" in gate(host, "1d", 5)["why"]


@pytest.mark.parametrize("value", ["maybe", "0", "-1h", "31d", ""])
def test_a_gate_that_is_none_is_bad_config(updated, value):
    updated.driver(Policy=f"Gate={value}")
    assert row(check(updated, "--next", code=CONFIG), "configuration")["reason"] == "bad-config"


def test_status_shows_what_was_found_about_the_next_boot(updated):
    updated.keep(recipe().build())
    updated.module_is_live("alpha", "beta")
    updated.boot()
    assert "next boot" not in updated.status().stdout and "next" not in json.loads(updated.status("--json").stdout)
    gate(updated, "2h", NO_BUNDLE)
    said = updated.status()
    assert said.returncode == DONE and re.search(rf"\nnext boot: kernel {NEXT} \(inferred: .*\): not ready\n", said.stdout)
    assert re.search(r"\n  update   held since 2\S+ \S+ UTC until 2\S+ \S+ UTC: gpu: no-bundle: ", said.stdout)
    assert json.loads(updated.status("--json").stdout)["next"]["gate"]["hold"] is True
    updated.offer(recipe(NEXT).build(), NEXT)
    gate(updated, "2h", DONE)
    said = updated.status().stdout
    assert ": ready\n" in said and "\n  update   may go on: every driver with a Gate= is ready\n" in said
