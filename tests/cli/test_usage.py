# SPDX-License-Identifier: Apache-2.0
"""What a person meets first: help, usage errors, the version; and how lines look in the journal."""
import re
import subprocess

import pytest

from program import DONE, MODULUS, MODULUS_BOOT, SYSTEM, TREE, USAGE, environment, modulus

COMMANDS = ["boot", "finish", "bless", "load", "unload", "check", "fetch", "rebuild", "cache", "uninstall", "network", "status", "verify", "inspect", "unpack", "build", "sign", "keygen"]
HIDDEN = {"live-root"}  # for tests


def known_options() -> set[str]:
    """Every long option that any command's table has."""
    return {name for source in (TREE / "stage").glob("cmd*.[ch]")
            for name in re.findall(r'\{ "([a-z-]+)", (?:no|required)_argument', source.read_text())}


def accepted(command: str, option: str) -> bool:
    """An option that the command takes does not keep --help from being shown."""
    return any(modulus(command, *words, "--help").returncode == DONE for words in ([f"--{option}"], [f"--{option}", "1"]))


def test_the_tables_of_options_are_found():
    assert {"root", "live-root", "keys", "json", "with-deps", "secret", "help"} <= known_options()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_exactly_the_options_that_are_taken(command):
    done = modulus(command, "--help")
    assert (done.returncode, done.stderr) == (DONE, "")
    assert done.stdout.startswith(f"usage: modulus {command}")
    shown = set(re.findall(r"--([a-z][a-z-]*)", done.stdout))
    taken = {option for option in known_options() if accepted(command, option)}
    abbreviated = {option for option in taken if option not in shown and any(other.startswith(option) for other in taken - {option})}
    assert taken - abbreviated - HIDDEN == shown
    assert all(len(line) <= 100 for line in done.stdout.splitlines())


def test_help_lists_every_command():
    done = modulus("--help")
    assert (done.returncode, done.stderr) == (DONE, "")
    assert re.findall(r"^  ([a-z]+) +\w", done.stdout, flags=re.M) == COMMANDS
    for other in (["-h"], ["help"]):
        assert modulus(*other).stdout == done.stdout
    assert modulus("boot", "-h").stdout == modulus("boot", "--help").stdout


def test_version_is_one_line_for_us_and_one_for_the_library_that_checks_signatures():
    done = modulus("--version")
    assert done.returncode == DONE
    ours, openssl = done.stdout.splitlines()
    assert re.fullmatch(r"modulus \d+\.\d+\.\d+", ours) and openssl.startswith("OpenSSL ")
    assert modulus("--version", program=MODULUS_BOOT).stdout == done.stdout


KEY = ["--key", "x"]
BUILD = ["build", "--name", "n", "--version", "1", "--kernel", "r", "--modules", "d", *KEY, "--output", "o"]


def build_without(option: str) -> list[str]:
    at = BUILD.index(option)
    return BUILD[:at] + BUILD[at + 2:]


@pytest.mark.parametrize("args,says", [
    ([], "usage: modulus COMMAND"),
    (["no-such-command"], "no-such-command: no such command"),
    (["--no-such-option"], "--no-such-option: no such command"),
    (["boot", "word"], "boot: takes no arguments"),
    (["boot", "--json"], "boot: --json is for status"),
    (["boot", "--timeline"], "boot: --timeline is for status"),
    (["boot", "--no-such"], "--no-such"),
    (["boot", "--root"], "requires an argument"),
    (["finish", "word"], "finish: takes no arguments"),
    (["bless", "word"], "bless: takes no arguments"),
    (["status", "word"], "status: takes no arguments"),
    (["status", "--keys", "x"], "--keys"),
    (["rebuild", "--kernel", "x", "--all"], "rebuild: --kernel and --all exclude each other"),
    (["rebuild", "--kernel", "../x"], "rebuild: --kernel is not a kernel's release"),
    (["rebuild", "--no-such"], "--no-such"),
    (["cache"], "cache: takes list, verify, prune, import or unblock"),
    (["cache", "other"], "cache: takes list, verify, prune, import or unblock"),
    (["cache", "list", "x"], "cache: takes one word"),
    (["cache", "import"], "cache: import takes files, unblock takes drivers"),
    (["cache", "verify", "--json"], "cache: --json is for list, --dry-run for prune"),
    (["cache", "list", "--dry-run"], "cache: --json is for list, --dry-run for prune"),
    (["verify"], "verify: no bundle is named"),
    (["verify", "--keys", "x", "--root", "y", "z"], "verify: --keys and --root"),
    (["verify", "--keys", "x"], "verify: no bundle is named"),
    (["verify", "--json", "--keys", "x", "y"], "verify: --json is for inspect"),
    (["inspect"], "inspect: takes one bundle"),
    (["inspect", "x", "y"], "inspect: takes one bundle"),
    (["inspect", "--keys", "x", "y"], "inspect: --keys and --root are for verify and unpack"),
    (["inspect", "--root", "x", "y"], "inspect: --keys and --root are for verify and unpack"),
    (["unpack", "x"], "unpack: takes a bundle and a directory"),
    (["unpack", "--keys", "x", "y"], "unpack: takes a bundle and a directory"),
    (["unpack", "--keys", "x", "y", "z", "w"], "unpack: takes a bundle and a directory"),
    (["sign", "x"], "sign: --key is missing"),
    (["sign", *KEY], "sign: takes one bundle"),
    (["sign", *KEY, "x", "y"], "sign: takes one bundle"),
    (["keygen"], "keygen: needs --secret FILE and --public FILE"),
    (["keygen", "--secret", "x"], "keygen: needs"),
    (["keygen", "--public", "x"], "keygen: needs"),
    (["keygen", "--secret", "x", "--public", "y", "z"], "keygen: needs"),
    (["build"], "build: --name is missing"),
    *[(build_without(option), f"build: {option} is missing") for option in ("--name", "--version", "--kernel", "--key")],
    (build_without("--output"), "build: --output or --oci-layout is missing"),
    (build_without("--modules"), "build: one of --modules"),
    ([*BUILD, "--from-kernel", "--module", "m"], "build: one of --modules"),
    ([*build_without("--modules"), "--from-kernel"], "build: --from-kernel needs --module"),
    ([*BUILD, "--module", "m"], "belong to --from-kernel"),
    ([*BUILD, "--with-deps"], "belong to --from-kernel"),
    ([*BUILD, "--serial", "many"], "build: --serial takes a whole number"),
    ([*BUILD, "--serial", "-1"], "build: --serial takes a whole number"),
    ([*BUILD, "--serial", "9223372036854775808"], "build: --serial takes a whole number"),
    ([*BUILD, "word"], "build: takes options only"),
    ([*BUILD, "--no-such"], "--no-such"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_usage_errors_say_what_is_wrong_and_where_help_is(args, says, tmp_path):
    done = modulus(*args, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert says in done.stderr
    assert "--help" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_source_date_epoch_that_is_no_number_is_a_usage_error(tmp_path):
    for epoch in ("yesterday", "-1", "1.5", "", "9223372036854775808"):
        done = modulus(*BUILD, env=environment(SOURCE_DATE_EPOCH=epoch), cwd=tmp_path)
        assert done.returncode == USAGE and "SOURCE_DATE_EPOCH" in done.stderr


@pytest.mark.parametrize("args", [["--version"], ["--help"], ["help"], ["inspect", "--help"], ["boot", "--help"]], ids=" ".join)
def test_standard_output_that_cannot_be_written_is_an_error(args):
    with open("/dev/full", "w") as full:
        done = subprocess.run([MODULUS, *args], stdout=full, stderr=subprocess.PIPE, text=True, env=environment())
    assert (done.returncode, done.stderr) == (SYSTEM, "modulus: standard output: No space left on device\n")


def test_lines_carry_a_level_where_the_journal_reads_them(machine, tmp_path):
    unit = tmp_path / "unit"    # as systemd starts it
    unit.write_text(f'#!/bin/sh\nJOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "{MODULUS}" "$@"\n')
    unit.chmod(0o755)
    machine.driver()
    assert machine.boot(program=unit).lines == ["<6>modulus: gpu: no-device: no device matches Match="]
    # a service's script may have sent it elsewhere
    assert machine.boot(env=environment(JOURNAL_STREAM="8:1")).lines == ["gpu: no-device: no device matches Match="]
    machine.driver(text="[Driver]\n")
    assert machine.boot(program=unit).lines[0].startswith("<4>modulus: gpu: bad-config: ")
