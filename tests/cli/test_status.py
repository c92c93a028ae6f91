# SPDX-License-Identifier: Apache-2.0
"""Afterwards: status in words and as JSON, finish, bless; several drivers with different fates."""
import json
import re

import pytest

from bundlemaker import UNKNOWN_KEY, modules, renamed, signed_by
from fakehost import ADDRESS
from program import CONFIG, DONE, KERNEL, NO_BUNDLE, SYSTEM, UNTRUSTED, USAGE, modulus, snapshot



@pytest.fixture
def several(machine):
    """Five drivers: live, without a device, broken, without a trusted bundle, without any bundle."""
    machine.ready(modules().build())
    machine.module_is_live("alpha", "beta")
    machine.driver("absent", text="[Driver]\nVersion=1.0\nMatch=pci:v0000DEADd*\n")
    machine.driver("broken", text="[Driver]\nVersion=1.0\n")
    machine.driver("stranger")
    machine.driver("wanted")
    machine.usr(renamed(modules(sign=signed_by(UNKNOWN_KEY)), "stranger").build(), "stranger.tar.zst")
    return machine


def test_each_driver_has_its_own_fate_line_and_entry(several):
    done = several.boot()
    assert {driver["name"]: driver["reason"] for driver in done.status["drivers"]} == {
        "absent": "no-device", "broken": "bad-config", "gpu": "loaded", "stranger": "untrusted", "wanted": "no-bundle"}
    assert [line.split(":")[0] for line in done.lines] == ["absent", "broken", "gpu", "stranger", "wanted"]


def test_the_exit_code_is_that_of_the_first_driver_that_is_not_well(several):
    assert several.boot().code == several.status().returncode == CONFIG
    several.driver("broken", text="[Driver]\nVersion=1.0\nMatch=pci:v0000DEADd*\n")
    assert several.boot().code == several.status().returncode == UNTRUSTED
    (several.root / "etc/modulus/stranger.conf").unlink()
    for bundle in several.root.glob("usr/lib/modulus/bundles/*/stranger.tar.zst"):
        bundle.unlink()
    assert several.boot().code == several.status().returncode == NO_BUNDLE
    (several.root / "etc/modulus/wanted.conf").unlink()
    assert several.boot().code == several.status().returncode == DONE


def test_what_cannot_be_verified_counts_against_the_driver_it_is_named_after(several):
    """The manifest of a file that nobody known signed does not count: its name alone says whose it may be."""
    drivers = {driver["name"]: driver for driver in several.boot().status["drivers"]}
    assert drivers["wanted"]["reason"] == "no-bundle"
    assert any(entry["reason"] == "untrusted" for entry in drivers["wanted"]["rejected"])


def test_two_drivers_may_be_loaded_side_by_side(machine):
    machine.ready(modules().build())
    machine.driver("npu")
    machine.usr(renamed(modules(), "npu").build(), "npu.tar.zst")
    machine.module_is_live("alpha", "beta")
    done = machine.boot()
    assert done.code == DONE and [driver["reason"] for driver in done.status["drivers"]] == ["loaded", "loaded"]
    assert [name.rpartition("/")[2].split("-modules-")[0] for name in machine.cached] == ["gpu", "npu"]


# --- in words --------------------------------------------------------------------------------------

def test_status_before_boot_says_that_nothing_ran(machine):
    done = machine.status()
    assert (done.returncode, done.stdout) == (SYSTEM, "")
    assert done.stderr == "modulus: /run/modulus/status.json: modulus boot has not run since this machine started\n"
    assert machine.status("--json").returncode == SYSTEM


def test_status_says_what_why_and_what_to_do(several):
    several.boot()
    text = several.status().stdout
    first, *rest = text.splitlines()
    assert re.fullmatch(r"kernel 6\.1\.0-99-test \S+, in the initramfs at \d+\.\d{3} s", first)
    heads = [line for line in rest if not line.startswith(" ")]
    assert [re.match(r"(\S+) 1\.0: (\S+): ", line) and line.split()[0] for line in heads] == [
        "absent", "broken", "gpu", "stranger", "wanted"]
    assert f"  devices  {ADDRESS}" in rest and "  modules  alpha" in text
    assert re.search(r"^  bundle   [0-9a-f]{64}, serial 1, signed by key [0-9A-F]{16}$", text, flags=re.M)
    assert re.search(r"^  time     \d+\.\d ms: source \d", text, flags=re.M)
    advice = [line for line in rest if line.startswith("  to do    ")]
    assert len(advice) == 3  # for those that are not well, and only for those
    assert "  to do    no signature by a key in /etc/modulus/keys" in text


def test_the_timeline_draws_each_phase_on_one_scale(several):
    several.boot()
    report = json.loads(several.status_file.read_text())
    (driver,) = (one for one in report["drivers"] if one["name"] == "gpu")
    driver["us"] = 1000
    driver["phases"] = [{"name": "source", "us": 250}, {"name": "load", "us": 500}, {"name": "nodes", "us": 1}, {"name": "late", "us": 249}]
    driver["modules"] = [{"name": "alpha", "from": "bundle", "us": 300}, {"name": "beta", "from": "live", "us": 0},
                         {"name": "gamma", "from": "kernel", "us": 200}]
    report["drivers"] = [driver]
    several.status_file.write_text(json.dumps(report))
    said = several.status("--timeline")
    lines = said.stdout.splitlines()
    assert said.returncode == DONE and lines[0].startswith("boot: ") and lines[1] == "gpu: loaded, 1.0 ms"
    bars = {line.split()[0].partition("|")[0]: line.partition("|")[2].partition("|")[0] for line in lines[2:]}
    assert list(bars) == ["source", "load", "alpha", "gamma", "nodes", "late"]
    assert {len(bar) for bar in bars.values()} == {44}
    spans = {name: (bar.index("#"), bar.count("#")) for name, bar in bars.items()}
    assert spans == {"source": (0, 11), "load": (11, 22), "alpha": (11, 13), "gamma": (24, 9), "nodes": (33, 1), "late": (33, 11)}
    assert max(map(len, lines)) <= 80


def test_the_timeline_of_a_driver_that_did_nothing_is_its_reason(several):
    several.boot()
    assert "absent: no-device, 0.0 ms" in several.status("--timeline").stdout.splitlines()


def test_a_report_is_shown_in_one_way(several):
    several.boot()
    assert several.status("--timeline", "--json").returncode == USAGE


def test_status_without_drivers(machine):
    machine.boot()
    done = machine.status()
    assert done.returncode == DONE and done.stdout.splitlines()[1:] == ["no driver is configured"]


def test_status_json_is_the_report(several):
    several.boot()
    done = several.status("--json")
    assert done.returncode == CONFIG and json.loads(done.stdout) == json.loads(several.status_file.read_text())


def test_status_changes_nothing(several):
    several.boot()
    before = snapshot(several.root, several.live)
    several.status()
    several.status("--json")
    assert snapshot(several.root, several.live) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"format": 2, "drivers": []}', b'{"format": 1}', b'{"format": 1, "drivers": {}}',
                                     b"\0" * 100, b'{"format": 1, "format": 1, "drivers": []}', b"x" * (2 << 20)],
                         ids=["empty", "cut", "list", "object", "format-2", "no-drivers", "drivers-object", "NUL", "twice", "2-MiB"])
def test_a_report_that_is_not_one_is_an_error(machine, content):
    machine.write_live("run/modulus/status.json", content)
    for command in ("status", "finish", "bless"):
        done = modulus(command, *machine.roots)
        assert done.returncode == SYSTEM and done.stderr.startswith("modulus: /run/modulus/status.json: "), (command, done)
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("driver", ["null", "1", '"x"', "[]", "{}", '{"reason": 1, "name": [], "rejected": {}, "phases": [1], "modules": "x"}',
                                    '{"reason": "a-word-of-a-later-version", "name": "x"}'])
def test_a_report_with_odd_entries_does_not_crash(machine, driver):
    machine.write_live("run/modulus/status.json", f'{{"format": 1, "drivers": [{driver}]}}')
    for command in ("status", "finish", "bless"):
        assert modulus(command, *machine.roots).returncode in (DONE, SYSTEM)
    assert machine.status("--timeline").returncode in (DONE, SYSTEM)


def test_the_report_is_replaced_whole(machine):
    machine.driver()
    machine.boot()
    first = machine.status_file.stat().st_ino
    machine.boot()
    assert machine.status_file.stat().st_ino != first
    assert [path.name for path in machine.status_file.parent.iterdir() if path.name.startswith(".")] == []


# --- finish ----------------------------------------------------------------------------------------

def test_finish_marks_the_report_and_says_nothing_when_nothing_is_late(machine):
    machine.ready(modules().build())
    machine.module_is_live("alpha", "beta")
    before = machine.boot().status
    done = machine.boot("finish")
    assert (done.code, done.lines) == (DONE, [])
    assert done.status["finish"]["at_us"] >= before["finished_us"]
    assert {**done.status, "finish": None} == before
    assert ", finished in the real root" in machine.status().stdout


def test_finish_loads_what_appeared_late(machine):
    machine.driver()
    machine.key()
    machine.usr(modules().build())
    machine.module_is_live("alpha", "beta")
    assert machine.boot().driver["reason"] == "no-device"
    machine.device()
    done = machine.boot("finish")
    assert done.code == DONE and done.driver["reason"] == "loaded" and done.driver["devices"] == [ADDRESS]
    assert len(done.lines) == 1 and done.lines[0].endswith("(its device appeared late)")


def test_finish_does_not_try_again_what_failed(machine):
    machine.ready(modules().build())
    assert machine.boot().code == KERNEL
    before = machine.status_file.read_text()
    done = machine.boot("finish")
    assert done.code == DONE and done.lines == []
    assert done.status["drivers"] == json.loads(before)["drivers"]


def test_finish_does_boots_work_where_boot_did_not_run(machine):
    machine.ready(modules().build())
    machine.module_is_live("alpha", "beta")
    done = machine.boot("finish")
    assert done.code == DONE and done.driver["reason"] == "loaded"


# --- bless -----------------------------------------------------------------------------------------

def test_bless_before_boot_says_so(machine):
    done = modulus("bless", *machine.roots)
    assert done.returncode == SYSTEM and "has not run" in done.stderr


def test_bless_remembers_what_was_loaded_and_marks_the_report(machine):
    machine.ready(modules(fields={"serial": 7, "flavor": "open"}).build())
    machine.module_is_live("alpha", "beta")
    status = machine.boot().status
    assert status["blessed"] is None
    done = modulus("bless", *machine.roots)
    assert (done.returncode, done.stdout, done.stderr) == (DONE, "", "")
    assert json.loads(machine.status_file.read_text())["blessed"]["at_us"] >= status["finished_us"]
    (mark,) = machine.root.glob("var/lib/modulus/serials/*/*")
    kept = json.loads(mark.read_text())
    assert mark.name == "gpu-modules-open.json" and kept["serial"] == 7 and kept["digest"] == status["drivers"][0]["digest"]
