# SPDX-License-Identifier: Apache-2.0
"""The manual says what the program does: reasons, configuration keys, commands, options, limits."""

import pathlib
import re
import subprocess

import pytest

import reasons
from program import environment

TOP = pathlib.Path(__file__).resolve().parents[2]
MODULUS = TOP / "build" / "modulus"


def page(name):
    return (TOP / "docs" / name).read_text()


def plain(text):
    """A page without its roff: font changes, escapes and request names dropped."""
    text = re.sub(r'^\.\\".*$', "", text, flags=re.M)
    text = re.sub(r"\\f[BRI]", "", text)
    text = re.sub(r"\\(.)", r"\1", text)
    return re.sub(r"^\.(TP|SH|PP|RS|RE|IP|nf|fi|B|I|BR|BI|IB|RI|RB|IR|TH)\b ?", "", text, flags=re.M)


def test_the_table_of_reasons_is_found_whole():
    words = [row[0] for row in reasons.table()]
    assert len(words) >= 18 and words[0] == "loaded" and words[-1] == "system-error"
    assert len(set(words)) == len(words)


def test_the_manual_has_every_reason_with_its_exit_code_and_text():
    text = page("modulus.1")
    shown = re.findall(r'^\.TP\n\.BR (\S+) " \((\d+)\)"\n(.+)$', text, flags=re.M)
    shown = [(word.replace("\\-", "-"), code, line) for word, code, line in shown]
    expected = [(word, code, line[0].upper() + line[1:] + ".") for word, code, line in reasons.table()]
    assert shown == expected


def test_the_page_for_operators_has_the_table_of_the_code():
    text = page("operations.md")
    assert reasons.page_with_table(text) == text, "run: make operations"
    for word, code, what in reasons.table():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{word}` | {code} |")]
        for part in what.split("; ", 1):
            assert part[1:] in row
    # the words are the program's own
    for word, code, _ in reasons.table():
        assert f"`{word}`" in text and code.isdigit()


def test_every_command_in_the_page_for_operators_is_one_of_the_program():
    commands = set(re.findall(r"`modulus ([a-z]+)(?: [^`]*)?`", page("operations.md")))
    assert len(commands) >= 7
    for command in commands:
        done = subprocess.run([MODULUS, command, "--help"], capture_output=True, text=True, env=environment())
        assert done.returncode == 0, command
    for option in set(re.findall(r"`modulus [a-z ]+[^`]*(--[a-z-]+)", page("operations.md"))):
        assert option in page("modulus.1").replace("\\-", "-"), option


def test_the_manual_has_every_configuration_key_and_no_other():
    source = (TOP / "stage" / "configfile.c").read_text()
    known = {(s, k) for s, k in re.findall(r'\{ "(\w+)", "(\w+)", KEY_', source)}
    shown, section = set(), None
    for line in page("modulus.conf.5").splitlines():
        if found := re.match(r"^\.SH \[(\w+)\]$", line):
            section = found[1]
        elif found := re.match(r"^\.I (\w+)=", line):
            if section:
                shown.add((section, found[1]))
        elif line.startswith(".SH"):
            section = None
    # a key may be mentioned in another key's text
    assert known <= shown
    assert {key for _, key in shown} == {key for _, key in known}


def test_the_manual_has_the_limits_of_the_code():
    limits = dict(re.findall(r"#define (LIMIT_\w+|DEFAULT_\w+) \(?([0-9]+)u?", (TOP / "stage" / "limit.h").read_text()))
    text = plain(page("modulus.conf.5"))
    assert f"{limits['LIMIT_NAME_BYTES']} at most" in text
    assert f"{limits['LIMIT_SOURCES']} at most" in text
    assert f"{limits['LIMIT_CONFIG_BYTES']} KiB at most" in text
    assert f"Default {limits['DEFAULT_BUDGET_US']}s" in text
    assert f"{limits['LIMIT_INSERT_US']} seconds at most" in text


def test_the_manual_has_every_command_and_help_has_every_option_of_the_manual():
    text = plain(page("modulus.1"))
    listing = subprocess.run([MODULUS, "--help"], capture_output=True, text=True, check=True).stdout
    commands = re.findall(r"^  ([a-z]+) ", listing, flags=re.M)
    assert len(commands) >= 10
    helps = ""
    for command in commands:
        assert re.search(rf"^{command}$", text, flags=re.M), command
        helps += subprocess.run([MODULUS, command, "--help"], capture_output=True, text=True, check=True).stdout
    for option in set(re.findall(r"--[a-z][a-z-]+", text)):
        assert option in helps, option


PAGES = sorted(path.name for path in (TOP / "docs").glob("*.[1-9]"))


def unit_names():
    return {path.name for folder in ("ignition/units", "dracut/50modulus", "dracut/51modulus-net")
            for path in (TOP / folder).iterdir() if path.suffix in (".service", ".target", ".timer", ".path")}


def test_the_pages_are_found():
    assert {"modulus.1", "modulus.conf.5", "modulus-bundle.5", "modulus.service.8"} <= set(PAGES)


def test_each_unit_has_its_paragraph_and_its_limit_is_that_of_the_unit():
    text = page("modulus.service.8").replace("\\-", "-")
    for unit in unit_names():
        shown = unit.replace("modulus@", "modulus@NAME-VERSION")
        assert re.search(rf"^\.TP\n\.I {re.escape(shown)}$", text, flags=re.M), unit
    for unit, seconds in {"modulus-finish.service": "120 seconds", "modulus@.service": "330 seconds"}.items():
        source = (TOP / "ignition/units" / unit).read_text()
        assert f"TimeoutStartSec={seconds.split()[0]}\n" in source
        assert re.search(rf"^\.I {re.escape(unit)}\n{seconds}", text, flags=re.M), unit


def test_every_man_page_that_is_named_is_one():
    for name in PAGES:
        for other, section in re.findall(r"^\.BR (modulus[\w.\\-]*) \((\d)\)", page(name), flags=re.M):
            assert f"{other.replace(chr(92), '')}.{section}" in PAGES, (name, other)


def test_the_page_about_bundles_has_every_member_of_a_manifest_in_its_order():
    members = re.findall(r"^\| `(\w+)` \|", page("bundle.md").split("## 3. Manifest")[1].split("## 4.")[0], flags=re.M)
    section = page("modulus-bundle.5").split(".SH MANIFEST")[1].split(".SH PLACES")[0]
    shown = [word for line in re.findall(r"^\.TP\n\.IR? (.*)$", section, flags=re.M) for word in re.findall(r"\w+", line)]
    assert shown == members and len(members) >= 15


def test_the_page_about_bundles_has_the_limits_of_the_code():
    source = (TOP / "stage/limit.h").read_text()
    text = plain(page("modulus-bundle.5"))
    def mib(name):
        size, shift = re.search(rf"#define {name} \((\d+)u(?:ll)? << (\d+)\)", source).groups()
        return int(size) << int(shift)
    assert "1 MiB at most" in text and mib("LIMIT_MANIFEST_BYTES") == 1 << 20
    assert "signatures 16 KiB" in text and mib("LIMIT_SIGNATURES_BYTES") == 16 << 10
    assert "a chunk 4 MiB" in text and mib("LIMIT_CHUNK_BYTES") == 4 << 20
    assert "the tar 2 GiB" in text and mib("LIMIT_UNPACKED_BYTES") == 2 << 30


@pytest.mark.parametrize("name", PAGES)
def test_groff_has_no_word_of_warning(name):
    done = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8", "-K", "utf8", TOP / "docs" / name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", PAGES)
def test_the_manual_is_clean(name):
    out = subprocess.run(["man", "-l", "--warnings", "-E", "UTF-8", TOP / "docs" / name], capture_output=True,
                         text=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANPAGER": "cat"})
    assert out.returncode == 0 and out.stderr == ""
