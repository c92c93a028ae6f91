# SPDX-License-Identifier: Apache-2.0
"""`modulus check` of the machine itself: each row in each of its states, with a command that mends what is not good."""
import json
import os
import pty
import re
import select
import subprocess

import pytest

from bundlemaker import RELEASE, TEST_KEY, spoil
from cachemachine import NEXT, CacheMachine, recipe
from fakehost import ADDRESS, BUILD_ID
from netmachine import plain_environment
from program import DONE, MODULUS, RESOURCES, UNTRUSTED, modulus, snapshot

ROWS = ["configuration", "keys", "kernel", "signatures", "devices", "rivals", "sources", "cache", "space", "loaded", "units"]
SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


class Host(CacheMachine):
    """All is well with it."""

    def __init__(self, folder):
        super().__init__(folder)
        self.device()
        self.module_is_live("alpha", "beta")
        self.keep(recipe().build())
        self.write_root("etc/systemd/system/multi-user.target.wants/modulus-bless.service", "[Service]\n")
        for command in ("boot", "finish"):
            assert self.boot(command).code == DONE

    def rows(self, *words: str, code: int = DONE) -> list[dict]:
        done = self.command("check", "--json", *words)
        assert done.returncode == code, done
        return [f for f in json.loads(done.stdout)["findings"] if f["about"] == "system"]

    def row(self, what: str, code: int = DONE) -> dict:
        (one,) = [f for f in self.rows(code=code) if f["what"] == what]
        assert (one["level"] == "ok") == (one["remedy"] is None)
        return one

    def bad(self, what: str, level: str = "warn", code: int = DONE) -> tuple[str, str]:
        """What is said, and the command."""
        one = self.row(what, code)
        assert one["level"] == level, one
        return one["text"], one["remedy"]

    def says(self, **members: object) -> None:
        status = json.loads(self.status_file.read_text())
        status["drivers"][0].update(members)
        self.status_file.write_text(json.dumps(status))


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_where_all_is_well_each_row_says_so_with_what_was_found(host):
    rows = {row["what"]: row for row in host.rows()}
    assert list(rows) == ROWS
    assert {row["level"] for row in rows.values()} == {"ok"} and not any(row["remedy"] or row["reason"] for row in rows.values())
    assert rows["configuration"]["text"] == "gpu" and rows["keys"]["text"] == TEST_KEY.public.name
    assert RELEASE in rows["kernel"]["text"] and BUILD_ID in rows["kernel"]["text"]
    assert rows["devices"]["text"] == f"gpu {ADDRESS} (no driver)"
    assert rows["cache"]["text"].startswith("1 bundles, 0 of them bad") and rows["loaded"]["text"] == "gpu: loaded"


def test_it_changes_nothing(host):
    before = {**snapshot(host.root), **snapshot(host.live)}
    host.rows()
    assert {**snapshot(host.root), **snapshot(host.live)} == before


@pytest.mark.parametrize("words", [("--kernel", NEXT), ("--next",)])
def test_for_another_kernel_the_machine_as_it_is_now_is_not_asked(host, words):
    done = host.command("check", "--json", *words)
    assert not {f["what"] for f in json.loads(done.stdout)["findings"] if f["about"] == "system"} & (set(ROWS) - {"kernel"})


def test_a_key_that_is_not_known_is_in_configuration(host):
    host.driver(Policy="Colour=green")
    text, command = host.bad("configuration")
    assert "Colour" in text and command == "man modulus.conf"


def test_without_a_public_key_nothing_can_be_loaded(host):
    for key in (host.root / "etc/modulus/keys").iterdir():
        key.unlink()
    text, command = host.bad("keys", "fail", UNTRUSTED)
    assert text == "no public key" and command.startswith("install ") and "/etc/modulus/keys" in command


def test_without_a_device_a_lack_of_keys_is_no_failure(tmp_path):
    host = CacheMachine(tmp_path)
    for key in (host.root / "etc/modulus/keys").iterdir():
        key.unlink()
    (row,) = [f for f in json.loads(host.command("check", "--json").stdout)["findings"] if f["what"] == "keys"]
    assert row["level"] == "warn"


def test_a_file_that_is_no_key_is_named(host):
    host.write_root("etc/modulus/keys/x.pub", "hello\n")
    assert "x.pub" in host.bad("keys")[0]


def test_a_kernel_without_a_build_id_is_told(host):
    host.build_id(None)
    assert "no build-id" in host.row("kernel")["text"]


@pytest.mark.parametrize("value, said", [(b"\6\0\0\0\1", "on"), (b"\6\0\0\0\0", "off"), (b"\6\0\0\0", "off"), (None, "no EFI")])
def test_secure_boot_is_told(host, value, said):
    if value is not None:
        host.write_live(SECURE_BOOT, value)
    assert host.row("signatures")["text"].startswith(f"Secure Boot: {said};")


@pytest.mark.parametrize("path, value", [("sys/module/module/parameters/sig_enforce", "Y\n"),
                                         ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")])
def test_a_kernel_that_takes_signed_modules_only_is_a_warning(host, path, value):
    host.write_live(path, value)
    text, command = host.bad("signatures")
    assert value.strip() in text and command.endswith("; modulus build --module-key FILE --module-cert FILE")
    for option in re.findall(r"--module-\S+", command):
        assert option in modulus("build", "--help").stdout
    assert host.row("signatures")["reason"] == "unsigned-module"


def test_without_a_device_that_is_said(host):
    host.driver(text="[Driver]\nVersion=1.0\nMatch=pci:v0000FFFFd*\n")
    assert host.row("devices")["text"] == "no device here asks for a driver"


def test_a_rival_that_holds_the_device_is_named(host):
    host.driver(text="[Driver]\nVersion=1.0\nMatch=pci:v00001AF4d*\nEvict=nouveau\n")
    device = host.live / "sys/bus/pci/devices" / ADDRESS
    driver = host.live / "sys/bus/pci/drivers/nouveau"
    driver.mkdir(parents=True)
    (device / "driver").symlink_to("../../drivers/nouveau")
    text, command = host.bad("rivals")
    assert text == f"nouveau holds {ADDRESS}" and "modprobe.blacklist=" in command
    host.driver()
    assert host.row("rivals")["level"] == "ok" and host.row("devices")["text"] == f"gpu {ADDRESS} (nouveau)"


def test_sources_are_shown_without_their_passwords(host):
    host.driver(Source="From=cache:\nFrom=https://me:secret@gpu.example/{kernel}.tar.zst")
    assert host.row("sources")["text"] == "cache:, https://gpu.example/{kernel}.tar.zst"


def test_a_bad_bundle_in_the_cache_is_a_warning_with_its_reason(host):
    data = recipe(serial=2).build()
    host.keep(spoil(data, 30, b"#"))
    text, command = host.bad("cache")
    assert text.startswith("2 bundles, 1 of them bad, the first: ") and command == "modulus cache list; modulus rebuild"


def test_damaged_files_that_were_put_aside_are_told(host):
    data = host.folder / host.cached[0]
    aside = host.folder / ".quarantine" / data.name
    aside.parent.mkdir()
    aside.write_bytes(b"damaged")
    row = host.row("cache")
    assert row["text"].endswith("1 put aside as damaged") and row["level"] == "ok"


def test_a_cache_that_cannot_be_had_is_a_warning(host):
    host.write_root("etc/modulus/modulus.conf", "[Source]\nCache=PARTLABEL=nowhere\n")
    row = host.row("cache", RESOURCES)
    assert row["level"] == "warn" and row["reason"] == "cache-unreachable"


def test_a_full_disk_is_a_warning(host):
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("no mount name spaces here")
    place = host.folder
    script = f'mount -t tmpfs -o size=1M tmpfs "{place}" && head -c 1000000 /dev/zero > "{place}/x"; exec "$@"'
    done = host.command("check", "--json", before=("unshare", "-m", "sh", "-c", script, "sh"))
    (row,) = [f for f in json.loads(done.stdout)["findings"] if f["what"] == "space"]
    assert (row["level"], row["reason"], row["remedy"]) == ("warn", "no-space", "modulus cache prune")


def test_before_a_boot_there_is_nothing_to_report(host):
    host.status_file.unlink()
    assert host.bad("loaded") == ("modulus boot has not run since this machine started", "journalctl -b -u modulus.service")


@pytest.mark.parametrize("member, said, command", [("firmware", "firmware", "modulus fetch"),
                                                   ("runtime", "libraries", "modulus finish --runtime")])
def test_firmware_and_libraries_that_are_missing_are_a_warning(host, member, said, command):
    host.says(**{member: {"reason": "network", "text": "no answer"}})
    assert host.bad("loaded") == (f"gpu: {said}: no answer", command)


def test_another_version_than_the_one_that_is_asked_for_needs_a_reboot(host):
    host.says(version="0.9")
    assert host.bad("loaded") == ("gpu: 0.9 is loaded, its file asks for 1.0", "systemctl reboot")
    assert host.row("loaded")["reason"] == "wrong-version"


@pytest.mark.parametrize("unit", ["modulus-finish.service", "modulus-bless.service"])
def test_a_unit_that_is_not_enabled_is_named(host, unit):
    wants = host.root / "etc/systemd/system/multi-user.target.wants" / unit
    wants.unlink()
    assert host.bad("units") == (f"{unit}: not enabled", "systemctl enable modulus-finish.service modulus-bless.service")
    host.write_root(f"usr/lib/systemd/system/multi-user.target.wants/{unit}", "")
    assert host.row("units")["level"] == "ok"


def test_an_instance_needs_no_other_unit(host):
    wants = host.root / "etc/systemd/system/multi-user.target.wants"
    for unit in wants.iterdir():
        unit.unlink()
    assert host.row("units")["level"] == "warn"
    (wants / "modulus@gpu-1.0.service").symlink_to("/usr/lib/systemd/system/modulus@.service")
    assert host.row("units") == {**host.row("units"), "level": "ok", "text": "an instance of modulus@.service is enabled"}


# --- how it looks ----------------------------------------------------------------------------------

def on_terminal(host, **env: str) -> str:
    """What a person sees."""
    ours, theirs = pty.openpty()
    keep = {k: v for k, v in plain_environment().items() if k not in ("NO_COLOR", "LC_ALL", "LC_CTYPE", "LANG", "TERM")}
    child = subprocess.Popen([MODULUS, "check", *host.roots], stdout=theirs, stderr=subprocess.DEVNULL, env={**keep, **env})
    os.close(theirs)
    said = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            more = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not more:
            break
        said += more
    child.wait(60)
    os.close(ours)
    return said.decode().replace("\r\n", "\n")


def test_on_a_terminal_it_has_colours_and_signs(host):
    host.driver(Policy="Colour=green")
    said = on_terminal(host, TERM="xterm", LANG="C.UTF-8")
    assert "\033[32m✓\033[0m     system       keys" in said and "\033[33m!\033[0m     system       configuration" in said


def test_a_terminal_without_utf_8_has_the_words(host):
    said = on_terminal(host, TERM="xterm", LC_ALL="C", LANG="C.UTF-8")
    assert "\033[32mok   \033[0m system       keys" in said and "✓" not in said


@pytest.mark.parametrize("env", [{"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}, {}], ids=["NO_COLOR", "dumb", "no TERM"])
def test_who_wants_no_colours_gets_the_words(host, env):
    said = on_terminal(host, LANG="C.UTF-8", **env)
    assert said == host.command("check").stdout and "\033" not in said and "ok    system       keys" in said


def test_an_empty_no_color_does_not_count(host):
    assert "\033[" in on_terminal(host, TERM="xterm", NO_COLOR="")


def test_each_bad_row_is_followed_by_its_command(host):
    host.says(version="0.9")
    lines = host.command("check").stdout.splitlines()
    (at,) = [number for number, line in enumerate(lines) if "system       loaded" in line]
    assert lines[at].startswith("warn ") and lines[at + 1].strip() == "to do: systemctl reboot"
