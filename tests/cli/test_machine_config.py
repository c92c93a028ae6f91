# SPDX-License-Identifier: Apache-2.0
"""Driver files: what cannot be used is said with file and line and stops that driver only; what is not known is a warning."""
import os

import pytest

from bundlemaker import modules
from program import CONFIG, DONE, KERNEL, SYSTEM, modulus

FINE = "[Driver]\nVersion=1.0\nMatch=pci:v00001AF4d*\n"
PATH = "/etc/modulus/gpu.conf"

BAD = {
    "version-missing": ("[Driver]\nMatch=pci:*\n", f"{PATH}: [Driver] Version= is missing"),
    "version-empty": ("[Driver]\nVersion=\nMatch=pci:*\n", f"{PATH}:2: Version=: not a usable value"),
    "version-long": (f"[Driver]\nVersion={'1' * 65}\nMatch=pci:*\n", f"{PATH}:2: Version=: too long or too many"),
    "match-missing": ("[Driver]\nVersion=1.0\n", f"{PATH}: [Driver] Match= is missing"),
    "match-without-a-bus": ("[Driver]\nVersion=1.0\nMatch=*\n", f"{PATH}: Match=* has no bus"),
    "match-65": ("[Driver]\nVersion=1.0\nMatch=" + "pci:* " * 65 + "\n", f"{PATH}:3: "),
    "load-65": (FINE + "Load=" + "a " * 65 + "\n", f"{PATH}:4: Load=: too long or too many"),
    "min-serial-a-word": (FINE + "[Trust]\nMinSerial=three\n", f"{PATH}:5: MinSerial=: not a usable value"),
    "min-serial-negative": (FINE + "[Trust]\nMinSerial=-1\n", f"{PATH}:5: MinSerial="),
    "min-serial-huge": (FINE + "[Trust]\nMinSerial=99999999999999999999\n", f"{PATH}:5: MinSerial="),
    "min-serial-empty": (FINE + "[Trust]\nMinSerial=\n", f"{PATH}:5: MinSerial="),
    "digest-short": (FINE + "[Trust]\nDigest=sha256:abcd\n", f"{PATH}:5: Digest=: not a usable value"),
    "digest-upper-case": (FINE + f"[Trust]\nDigest={'A' * 64}\n", f"{PATH}:5: Digest="),
    "digest-of-another-kind": (FINE + f"[Trust]\nDigest=md5:{'a' * 64}\n", f"{PATH}:5: Digest="),
    "trust-only-elsewhere": (FINE + "[Trust]\nTrustOnly=etc\n", f"{PATH}:5: TrustOnly="),
    "budget-a-word": (FINE + "[Policy]\nBudget=soon\n", f"{PATH}:5: Budget=: not a usable value"),
    "budget-0": (FINE + "[Policy]\nBudget=0\n", f"{PATH}:5: Budget="),
    "budget-of-two-days": (FINE + "[Policy]\nBudget=2880min\n", f"{PATH}:5: Budget="),
    "budget-negative": (FINE + "[Policy]\nBudget=-1s\n", f"{PATH}:5: Budget="),
    "sources-17": (FINE + "[Source]\n" + "From=usr:\n" * 17, f"{PATH}:21: From=: too long or too many"),
    "neither-key-nor-section": (FINE + "hello\n", f"{PATH}:4: neither [Section], Key=Value nor a comment"),
    "section-not-closed": ("[Driver\n", f"{PATH}:1: neither"),
    "NUL": (FINE + "Load=a\0b\n", f"{PATH}:4: a NUL byte"),
    "line-too-long": (FINE + "; " + "x" * 5000 + "\n", f"{PATH}:4: line of 5003 bytes"),
    "file-too-large": (FINE + "; comment\n" * 10000, f"{PATH}: larger than 65536 bytes"),
    "first-of-two-mistakes": ("[Trust]\nMinSerial=x\nDigest=y\n", f"{PATH}:2: MinSerial="),
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_that_cannot_be_used_is_named_with_its_line(machine, what):
    text, says = BAD[what]
    machine.ready(modules().build())
    machine.driver(text=text)
    before = machine.snapshot()
    done = machine.boot()
    assert done.code == CONFIG
    assert len(done.lines) == 1 and done.lines[0].startswith(f"gpu: bad-config: {says}"), done.lines
    assert done.driver["reason"] == "bad-config" and done.driver["text"].startswith(says)
    assert done.driver["modules"] == [] and machine.snapshot() == before
    assert machine.status().returncode == CONFIG


def test_a_driver_file_that_is_no_file(machine):
    (machine.root / "etc/modulus/gpu.conf").mkdir()
    done = machine.boot()
    assert done.code == CONFIG and done.lines == [f"gpu: bad-config: {PATH}: not a regular file"]


def test_a_fifo_is_not_waited_for(machine):
    os.mkfifo(machine.root / "etc/modulus/gpu.conf")
    assert machine.boot().lines == [f"gpu: bad-config: {PATH}: not a regular file"]


def test_a_link_to_nothing(machine):
    (machine.root / "etc/modulus/gpu.conf").symlink_to("nothing")
    done = machine.boot()
    assert done.code == CONFIG and done.lines == [f"gpu: bad-config: {PATH}: a dangling link"]


def test_an_absolute_link_means_the_target_root_not_ours(machine):
    machine.write_root("etc/elsewhere/gpu.conf", FINE)
    (machine.root / "etc/modulus/gpu.conf").symlink_to("/etc/elsewhere/gpu.conf")
    assert machine.boot().driver["reason"] == "no-device"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(machine):
    machine.driver().chmod(0)
    done = machine.boot()
    assert done.code == CONFIG and done.lines == [f"gpu: bad-config: {PATH}: Permission denied"]


@pytest.mark.parametrize("name", ["GPU", "-gpu", "_gpu", "g pu", "gpu.x", "g" * 65])
def test_a_driver_with_a_name_that_no_bundle_can_have(machine, name):
    machine.driver(name)
    done = machine.boot()
    assert done.code == CONFIG and len(done.lines) == 1
    assert f"/etc/modulus/{name}.conf: a driver's name has a-z, 0-9, - and _ only" in done.lines[0]


@pytest.mark.parametrize("name", ["gpu.conf~", ".gpu.conf", "gpu.conf.bak", "gpu", "README"])
def test_files_that_are_no_driver_files_are_not_read(machine, name):
    machine.write_root(f"etc/modulus/{name}", "rubbish")
    done = machine.boot()
    assert done.code == DONE and done.status["drivers"] == []


def test_a_broken_driver_does_not_stop_the_others(machine):
    machine.ready(modules().build())
    machine.module_is_live("alpha", "beta")
    machine.driver("broken", text="rubbish\n")
    done = machine.boot()
    assert done.code == CONFIG
    assert {driver["name"]: driver["reason"] for driver in done.status["drivers"]} == {"broken": "bad-config", "gpu": "loaded"}
    assert len(done.lines) == 2


def test_thirty_two_drivers_and_no_more(machine):
    for number in range(32):
        machine.driver(f"d{number:02}")
    done = machine.boot()
    assert done.code == DONE and len(done.lines) == len(done.status["drivers"]) == 32
    machine.driver("d32")
    done = machine.boot()
    warning = "/etc/modulus/d32.conf: ignored, there are 32 drivers already"
    assert done.code == DONE and len(done.status["drivers"]) == 32
    assert done.lines[0] == warning and done.status["warnings"] == [warning]


# --- unknown things --------------------------------------------------------------------------------

@pytest.mark.parametrize("text,warning", [
    (FINE + "Colour=red\n", f"{PATH}:4: unknown key 'Colour'"),
    (FINE + "version=2.0\n", f"{PATH}:4: unknown key 'version'"),
    (FINE + "[Colours]\nRed=yes\n", f"{PATH}:5: unknown section 'Colours'"),
    (FINE + "[Trust]\nVersion=1.0\n", f"{PATH}:5: unknown key 'Version'"),
    (FINE + "\x1b[31m=x\n", f"{PATH}:4: unknown key '\\x1b[31m'"),
])
def test_what_is_not_known_is_a_warning_and_the_driver_works(machine, text, warning):
    machine.ready(modules().build())
    machine.driver(text=text)
    done = machine.boot()
    assert done.driver["reason"] == "init-failed"
    assert done.lines[0] == warning and done.status["warnings"] == [warning]
    assert f"warning  {warning}" in machine.status().stdout


def test_keys_before_any_section_are_not_silently_taken(machine):
    machine.driver(text="Version=2.0\n" + FINE)
    done = machine.boot()
    assert done.driver["version"] == "1.0" and done.status["warnings"] != []


# --- how a file may look ---------------------------------------------------------------------------

@pytest.mark.parametrize("text", [
    "; a comment\n\n[Driver]\n  Version = 1.0  \nMatch=pci:v00001AF4d*\n",
    "[Driver]\r\nVersion=1.0\r\nMatch=pci:v00001AF4d*\r\n",
    "\ufeff" + FINE,
    FINE.rstrip("\n"),
    "[Driver]\nMatch=pci:v0000FFFFd*\nMatch=pci:v00001AF4d*\nVersion=1.0\n",
    "[Driver]\nMatch=pci:v0000FFFFd* pci:v00001AF4d*\nVersion=1.0\n",
    "[Driver]\nMatch=pci:v0000FFFFd*\n  pci:v00001AF4d*\nVersion=1.0\n",
    "[Driver]\nMatch=usb:* pci:*bc03sc[08]*\nVersion=1.0\n",
], ids=["blanks-and-comments", "CRLF", "byte-order-mark", "no-last-LF", "key-twice", "words", "continued", "globs"])
def test_what_people_write_is_understood(machine, text):
    machine.ready(modules().build())
    machine.driver(text=text)
    done = machine.boot()
    assert done.driver["reason"] == "init-failed" and done.driver["version"] == "1.0"
    assert done.status["warnings"] == []


@pytest.mark.parametrize("budget", ["1", "1s", "2min", "500ms", "86400"])
def test_durations(machine, budget):
    machine.driver(Policy=f"Budget={budget}")
    assert machine.boot().driver["reason"] == "no-device"


# --- /etc over /usr/lib ----------------------------------------------------------------------------

def test_the_images_file_counts_where_the_operator_has_none(machine):
    machine.driver(folder="usr/lib")
    assert machine.boot().driver["reason"] == "no-device"


def test_the_operators_file_replaces_that_of_the_image(machine):
    machine.driver(folder="usr/lib", text="[Driver]\nVersion=0.1\nMatch=pci:*\n[Trust]\nMinSerial=99\n")
    machine.ready(modules().build())
    done = machine.boot()
    assert done.driver["version"] == "1.0" and done.driver["reason"] == "init-failed"


def test_an_empty_file_switches_the_images_driver_off(machine):
    machine.driver(folder="usr/lib")
    machine.driver(text="")
    assert machine.boot().status["drivers"] == []


def test_the_global_file_has_the_defaults(machine):
    machine.ready(modules().build())
    machine.write_root("etc/modulus/modulus.conf", "[Trust]\nMinSerial=5\n")
    assert machine.boot().driver["reason"] == "stale"
    machine.driver(Trust="MinSerial=1")
    assert machine.boot().driver["reason"] == "init-failed"


def test_a_broken_global_file_stops_all_drivers_since_their_settings_are_not_known(machine):
    machine.ready(modules().build())
    machine.driver("other")
    machine.write_root("etc/modulus/modulus.conf", "[Trust]\nMinSerial=x\n")
    done = machine.boot()
    assert done.code == CONFIG
    assert [driver["reason"] for driver in done.status["drivers"]] == ["bad-config"] * 2
    assert all("/etc/modulus/modulus.conf:2: MinSerial=" in driver["text"] for driver in done.status["drivers"])


# --- the command line ------------------------------------------------------------------------------

def test_debug_tells_of_everything_that_was_refused(machine):
    machine.ready(modules(fields={"version": "2.0"}).build(), b"rubbish")
    quiet = machine.boot()
    machine.cmdline("modulus.debug")
    loud = machine.boot()
    assert len(quiet.lines) == 1 and len(loud.lines) == 3
    assert any("is version 2.0, wanted 1.0" in line for line in loud.lines)


def test_a_budget_on_the_command_line_that_is_no_duration_is_a_warning(machine):
    machine.driver()
    machine.cmdline("modulus.budget=soon")
    done = machine.boot()
    assert done.code == DONE and done.status["warnings"] == ["kernel command line: modulus.budget= is not a duration"]


@pytest.mark.parametrize("cmdline", ['modulus.from="usr:" quiet', "modulus.from=usr: modulus.from=cache:"])
def test_sources_on_the_command_line_may_be_quoted_and_repeated(machine, cmdline):
    machine.ready(modules().build())
    machine.driver(Source="From=carrier-pigeon:")
    machine.cmdline(cmdline)
    done = machine.boot()
    assert done.code == KERNEL and done.driver["origin"].startswith("usr:")


def test_a_machine_that_is_not_one(tmp_path):
    done = modulus("boot", "--root", tmp_path / "none", "--live-root", tmp_path)
    assert (done.returncode, done.stderr) == (SYSTEM, f"modulus: {tmp_path / 'none'}: No such file or directory\n")
    done = modulus("boot", "--root", tmp_path, "--live-root", tmp_path)
    assert done.returncode == SYSTEM and done.stderr.endswith(": No such file or directory\n") and "/proc/cmdline" in done.stderr
