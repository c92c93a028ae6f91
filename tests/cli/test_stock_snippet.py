# SPDX-License-Identifier: Apache-2.0
"""ignition/snippet.sh: what a stock host needs, made of a driver file and a key; what it makes is booted in
tests/boot/test_boot_injected.py."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import urllib.parse

import pytest

from program import MODULUS_BOOT

TREE = MODULUS_BOOT.parents[1]
SNIPPETS = TREE / "ignition"
BASE = json.loads((SNIPPETS / "modulus.ign").read_text())
KEY = SNIPPETS / "keys/replace-me.pub"
DRIVER = SNIPPETS / "drivers/nvidia.conf"
URL = "https://fleet.example/modulus-boot?v=1&arch=x86_64"
COMMAND_LINE = 2047
# the longest known command lines of a stock host (docs/stock-hosts.md), with modulus-kargs.ign's arguments
PRESENT = 640
UNIT = TREE / "dracut/50modulus/modulus.service"
# nothing else may be left out of the unit: what only limits the harm of a bug, what is systemd's default or for people
NOT_NEEDED = {"Description", "Documentation", "StandardInput", "StandardError", "NoNewPrivileges", "LimitCORE", "LimitDATA",
              "SystemCallArchitectures", "SystemCallFilter", "SystemCallErrorNumber", "RestrictAddressFamilies",
              "RestrictRealtime", "LockPersonality", "MemoryDenyWriteExecute"}
# follows from the order of others, as tests/boot/test_boot_injected.py looks up
IMPLIED = {"ostree-prepare-root.service", "ignition-remount-sysroot.service", "ignition-mount.service", "initrd-cleanup.service"}


def snippet(*words: object, code: int = 0) -> subprocess.CompletedProcess:
    # busybox' sh is the strictest at hand
    done = subprocess.run(["busybox", "sh", SNIPPETS / "snippet.sh", *words], capture_output=True, text=True,
                          env={"PATH": os.environ["PATH"]})
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "modulus-boot"
    path.write_bytes(b"\x7fELF the program\0")
    return path


def make(tmp_path, program, *more: object, **other: object) -> tuple[dict, dict, str]:
    """The two snippets, and what was said."""
    given = ["--driver", DRIVER, "--key", KEY, "--binary", program, "--url", URL, "--output", tmp_path, *more]
    said = snippet(*given, **other).stdout
    return *(json.loads((tmp_path / f"modulus-injected{part}.ign").read_text()) for part in ("", "-kargs")), said


def injected_unit(*words: object) -> str:
    argument = snippet("--arguments", *words).stdout.splitlines()[0]
    found = re.fullmatch(r"systemd\.set_credential_binary=systemd\.extra-unit\.modulus\.service:([A-Za-z0-9+/=]+)", argument)
    return base64.b64decode(found[1], validate=True).decode()


def settings(unit: str) -> dict[tuple[str, str], list[str]]:
    """(section, key) -> values, in their order; those of After= and Before= one by one."""
    found, section = {}, ""
    for line in unit.splitlines():
        if line.startswith("["):
            section = line
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault((section, key), []).extend(value.split() if key in ("After", "Before") else [value])
    return found


# --- the unit --------------------------------------------------------------------------------------

def test_the_unit_is_the_dracut_modules_without_what_need_not_be_there():
    wanted = settings(UNIT.read_text().replace("/usr/bin/modulus", "/sysroot/etc/modulus/modulus"))
    assert {key for _, key in wanted} >= NOT_NEEDED
    wanted = {(section, key): [value for value in values if value not in IMPLIED]
              for (section, key), values in wanted.items() if key not in NOT_NEEDED}
    assert settings(injected_unit()) == wanted


def test_it_runs_in_an_initramfs_only_and_a_missing_program_is_no_failure():
    unit = settings(injected_unit())
    assert "/etc/initrd-release" in unit["[Unit]", "ConditionPathExists"]
    commands = [line for key in ("ExecStart", "ExecStop") for line in unit["[Service]", key]]
    assert len(commands) == 2 and all(line.startswith("-/sysroot/etc/modulus/modulus ") for line in commands)


def test_the_program_may_lie_in_the_initramfs():
    unit = settings(injected_unit("--oem", "/oem/x/modulus"))
    assert unit["[Service]", "ExecStart"] == ["-/oem/x/modulus boot --root /sysroot"]


def test_systemd_understands_the_unit(tmp_path):
    folder = tmp_path / "etc/systemd/system"
    folder.mkdir(parents=True)
    # systemd-analyze wants a program that it can find
    (folder / "modulus.service").write_text(injected_unit().replace("/sysroot/etc/modulus/modulus", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", folder / "modulus.service"], capture_output=True, text=True)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "modulus" in line]) == (0, [])


def test_arguments_leave_room_for_the_longest_command_line_of_a_stock_host():
    arguments = snippet("--arguments").stdout.split()
    assert arguments[1:] == ["rd.systemd.wants=modulus.service"]
    assert len(" ".join(arguments)) + 1 + PRESENT <= COMMAND_LINE


def test_what_is_counted_for_the_arguments_against_nouveau_is_their_length():
    arguments = json.loads((SNIPPETS / "modulus-kargs.ign").read_text())["kernelArguments"]["shouldExist"]
    for page in (SNIPPETS / "snippet.sh", TREE / "docs/stock-hosts.md"):
        assert re.findall(r"modulus-kargs\.ign`? adds (\d+)", page.read_text()) == [str(len(" ".join(arguments)) + 1)], page


def test_the_smbios_strings_say_the_same():
    unit, wants = snippet("--smbios").stdout.splitlines()
    assert unit == "io.systemd.credential.binary:systemd.extra-unit.modulus.service=" + \
        base64.b64encode(injected_unit().encode()).decode()
    name, encoded = wants.split("=", 1)
    assert name == "io.systemd.credential.binary:systemd.unit-dropin.initrd.target"
    assert base64.b64decode(encoded) == b"[Unit]\nWants=modulus.service\n"


# --- the snippets ----------------------------------------------------------------------------------

def content(entry: dict) -> bytes:
    return base64.b64decode(entry["contents"]["source"].removeprefix("data:;base64,"), validate=True)


def test_files_of_a_snippet_are_those_that_were_given(tmp_path, program):
    other = shutil.copy(SNIPPETS / "drivers/virtio-gpu.conf", tmp_path / "other.conf")
    files, _, _ = make(tmp_path, program, "--driver", other)
    found = {entry["path"]: entry for entry in files["storage"]["files"]}
    fetched = found.pop("/etc/modulus/modulus")
    assert fetched["mode"] == 0o755
    assert fetched["contents"] == {"source": URL, "verification": {
        "hash": "sha512-" + hashlib.sha512(program.read_bytes()).hexdigest()}}
    assert {path: content(entry) for path, entry in found.items()} == {
        "/etc/modulus/nvidia.conf": DRIVER.read_bytes(), "/etc/modulus/other.conf": (tmp_path / "other.conf").read_bytes(),
        "/etc/modulus/keys/replace-me.pub": KEY.read_bytes(),
        **{entry["path"]: urllib.parse.unquote_to_bytes(entry["contents"]["source"].removeprefix("data:,"))
           for entry in BASE["storage"]["files"] if entry["path"].startswith("/etc/systemd/system/")}}
    assert all((entry["mode"], entry["overwrite"]) == (0o644, True) for entry in found.values())


def test_links_and_units_are_those_of_the_base_snippet(tmp_path, program):
    files, _, _ = make(tmp_path, program)
    assert files["storage"]["links"] == BASE["storage"]["links"]
    assert files["systemd"] == BASE["systemd"]


def test_kernel_arguments_are_in_the_other_snippet_and_alone(tmp_path, program):
    files, kargs, _ = make(tmp_path, program)
    assert "kernelArguments" not in files and list(kargs) == ["ignition", "kernelArguments"]
    assert kargs["kernelArguments"] == {"shouldExist": snippet("--arguments").stdout.splitlines()}


def test_an_operators_program_in_oem_is_not_fetched(tmp_path):
    snippet("--driver", DRIVER, "--key", KEY, "--oem", "/oem/modulus", "--output", tmp_path)
    text = (tmp_path / "modulus-injected.ign").read_text()
    assert "verification" not in text and "/etc/modulus/modulus" not in text
    assert json.loads((tmp_path / "modulus-injected-kargs.ign").read_text())["kernelArguments"]["shouldExist"] == \
        snippet("--arguments", "--oem", "/oem/modulus").stdout.splitlines()


def test_ignition_accepts_both_without_a_word(tmp_path, program):
    if shutil.which("ignition-validate") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("ignition-validate is not installed: make deps")
    make(tmp_path, program)
    for part in ("", "-kargs"):
        done = subprocess.run(["ignition-validate", tmp_path / f"modulus-injected{part}.ign"], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_example_in_the_tree_has_the_same_arguments():
    example = json.loads((SNIPPETS / "modulus-injected-kargs.ign").read_text())
    assert example["kernelArguments"]["shouldExist"] == snippet("--arguments").stdout.splitlines(), "run: make ignition"


def test_nobody_has_the_program_that_the_example_names():
    (entry,) = json.loads((SNIPPETS / "modulus-injected.ign").read_text())["storage"]["files"]
    assert entry["contents"]["verification"]["hash"] == \
        "sha512-" + hashlib.sha512(b"Modulus example program, replace me").hexdigest()
    assert entry["contents"]["source"].startswith("https://replace-me.invalid/")


# --- the length ------------------------------------------------------------------------------------

def test_it_says_how_long_the_arguments_are(tmp_path, program):
    _, kargs, said = make(tmp_path, program)
    own = len(" ".join(kargs["kernelArguments"]["shouldExist"])) + 1
    assert f"{own} of {COMMAND_LINE} characters" in said and f"{COMMAND_LINE - own} are left" in said


@pytest.mark.parametrize("more", [0, 1])
def test_a_command_line_may_be_full_and_no_more(tmp_path, program, more):
    own = len(snippet("--arguments").stdout)
    present = tmp_path / "cmdline"
    present.write_text("x" * (COMMAND_LINE - own + more) + "\n")
    if not more:
        make(tmp_path, program, "--cmdline", present)
        return
    done = snippet("--driver", DRIVER, "--key", KEY, "--binary", program, "--url", URL, "--output", tmp_path,
                   "--cmdline", present, code=1)
    assert f"take {own} characters" in done.stderr and str(COMMAND_LINE) in done.stderr
    assert not list(tmp_path.glob("*.ign"))


# --- what is refused -------------------------------------------------------------------------------

def test_help_lists_every_option():
    text = snippet("--help").stdout
    assert set(re.findall(r"^  (--\w+)", text, re.M)) == {
        "--driver", "--key", "--binary", "--url", "--oem", "--cmdline", "--output", "--arguments", "--smbios", "--help"}


@pytest.mark.parametrize("words, code, why", [
    ((), 2, "--driver is needed"),
    (("--driver", DRIVER), 2, "--key is needed"),
    (("--driver", DRIVER, "--key", KEY), 2, "--binary and --url are needed, or --oem"),
    (("--driver", DRIVER, "--key", KEY, "--binary", DRIVER), 2, "--binary and --url are needed, or --oem"),
    (("--driver", DRIVER, "--key", KEY, "--oem", "/oem/x", "--url", URL), 2, "takes the place of"),
    (("--driver",), 2, "--driver needs a value"),
    (("--colour",), 2, "--colour: unknown"),
    (("--driver", "/absent.conf"), 1, "no such file"),
    (("--driver", KEY), 1, "has to end in .conf"),
    (("--key", DRIVER), 1, "has to end in .pub"),
    (("--driver", DRIVER, "--key", KEY, "--oem", "oem/x"), 1, "not an absolute path"),
    (("--driver", DRIVER, "--key", KEY, "--oem", "/oem/%x"), 1, "not an absolute path"),
    (("--driver", DRIVER, "--key", KEY, "--binary", DRIVER, "--url", "ftp://x/y"), 1, "Ignition fetches from"),
    (("--driver", DRIVER, "--key", KEY, "--binary", DRIVER, "--url", 'http://x/"y'), 1, "a character that no URL has"),
    (("--driver", DRIVER, "--key", KEY, "--oem", "/oem/x", "--output", "/absent"), 1, "no such directory"),
])
def test_what_cannot_be_used_is_said(words, code, why):
    done = snippet(*words, code=code)
    assert why in done.stderr and done.stderr.startswith("snippet.sh: ")


@pytest.mark.parametrize("option, name, text, why", [
    ("--driver", "x.conf", "Version=1\n", "no [Driver] section"),
    ("--driver", "a b.conf", "[Driver]\n", "the name of this file"),
    ("--driver", ".conf", "[Driver]\n", "the name of this file"),
    ("--key", "x.pub", "untrusted comment: x\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO\n", "not a public key"),
    # a secret key under the name of a public one: it would go to every machine
    ("--key", "x.pub", "untrusted comment: minisign secret key\nRWQAAE" + "A" * 206 + "\n", "not a public key"),
])
def test_a_file_that_is_something_else_is_refused(tmp_path, option, name, text, why):
    (tmp_path / name).write_text(text)
    assert why in snippet(option, tmp_path / name, code=1).stderr
