# SPDX-License-Identifier: Apache-2.0
"""`modulus rebuild`: everything anew, and nothing that was good is lost."""
import os
import pty
import re
import socket
import subprocess
import time
from collections import Counter

import pytest

from badserver import BadServer
from bundlemaker import UNKNOWN_KEY, signed_by, spoil
from cachemachine import NEXT, OLDER, RELEASE, CacheMachine, place_of, recipe
from netmachine import GOOD, plain_environment
from test_network_progress import read_all
from program import CONFIG, DONE, MODULUS, NETWORK, NO_BUNDLE, UNTRUSTED
from tracing import needs_strace


def good(data: bytes):
    def answer(to) -> None:
        to.head(Content_Length=len(data))
        to.send(data)
    return answer


def fails(status: str):
    return lambda to: to.head(status, Content_Length=0)


@pytest.fixture
def host(tmp_path):
    return CacheMachine(tmp_path)


# --- what it is for ---

def test_a_local_machine_copies_from_usr_again_although_all_looks_fine(host):
    """The earlier tool said "up to date" and did nothing."""
    data = recipe().build()
    host.offer(data)
    kept = host.keep(data)
    before = kept.stat().st_ino
    done = host.command("rebuild")
    assert done.returncode == DONE, done.stderr
    assert "fetched from usr:" in done.stderr and "1 cached bundles are good" in done.stderr
    assert kept.read_bytes() == data and kept.stat().st_ino != before
    assert host.good() == {place_of(data): place_of(data).split("-")[-1].removesuffix(".tar.zst")}


def test_a_server_is_asked_again_although_all_looks_fine(tmp_path):
    with BadServer() as server:
        host = CacheMachine(tmp_path, Source=f"From=cache:\n {server.serve('/x', good(GOOD))}\n")
        host.keep(GOOD)
        assert host.command("rebuild").returncode == DONE
        assert len(server.of("/x")) == 1 and server.of("/x")[0].sent > len(GOOD)
        assert list(host.good()) == [place_of(GOOD)]


def test_running_next_and_previous_kernels_are_rebuilt_in_this_order(host):
    bundles = {release: recipe(release).build() for release in (RELEASE, NEXT, OLDER)}
    for release, data in bundles.items():
        host.offer(data, release)
    host.installed(RELEASE, NEXT)           # the next one is installed,
    host.keep(bundles[OLDER], OLDER)        # the one before has only what is cached
    done = host.command("rebuild")
    assert done.returncode == DONE, done.stderr
    fetched = [line.split("for kernel ")[1].split(",")[0] for line in done.stderr.splitlines() if "fetched from" in line]
    assert fetched == [RELEASE, NEXT, OLDER]
    assert sorted(host.good()) == sorted(place_of(data, release) for release, data in bundles.items())


def test_kernel_is_that_one_only_and_all_is_every_one_that_is_cached(host):
    releases = [f"5.{number}.0-test" for number in range(4)]
    for number, release in enumerate(releases):
        data = recipe(release).build()
        host.offer(data, release)
        os.utime(host.keep(data, release), (number, number))
    host.offer(recipe().build())

    def fetched(*words: str) -> list[str]:
        done = host.command("rebuild", *words)
        assert done.returncode == DONE, done.stderr
        return [line.split("for kernel ")[1].split(",")[0] for line in done.stderr.splitlines() if "fetched from" in line]

    assert fetched("--kernel", releases[1]) == [releases[1]]
    os.utime(host.folder / place_of(recipe(releases[1]).build(), releases[1]), (1, 1))
    assert fetched() == [RELEASE, releases[3], releases[2]]
    assert sorted(fetched("--all")) == sorted([RELEASE, *releases])


def test_only_the_named_drivers_are_rebuilt(host):
    host.driver("other")
    data = recipe().build()
    host.offer(data)
    assert host.command("rebuild", "gpu").returncode == DONE
    done = host.command("rebuild", "other")
    assert done.returncode == NO_BUNDLE and "gpu" not in done.stderr.replace("gpu 1.0", "").split("other:")[0]
    done = host.command("rebuild", "gpu", "no-such")
    assert done.returncode == CONFIG and "no-such: no such driver is configured" in done.stderr


def test_systemd_is_told_what_is_being_done(host, tmp_path):
    data = recipe().build()
    host.offer(data)
    host.keep(data)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(0.5)
        assert host.command("rebuild", env=plain_environment(NOTIFY_SOCKET=str(tmp_path / "notify"))).returncode == DONE
        told = []
        try:
            while True:
                told.append(listener.recv(4096).decode())
        except TimeoutError:
            pass
    # the cached one is verified, then the one on /usr is copied
    assert len([one for one in told if one.startswith("STATUS=gpu: 100% of ")]) == 2, told


def test_a_terminal_shows_the_progress_and_the_line_is_gone_at_the_end(host):
    data = recipe().build()
    host.offer(data)
    ours, theirs = pty.openpty()
    with subprocess.Popen([MODULUS, "rebuild", *host.roots], stderr=theirs, env=plain_environment()) as program:
        os.close(theirs)
        text = read_all(ours)
    os.close(ours)
    assert program.returncode == DONE
    assert re.search(r"\r\x1b\[Kgpu: 100%  (\d+) of \1 KiB ", text) and "\r\x1b[Kmodulus: gpu: modules of gpu 1.0 for kernel" in text, repr(text)


# --- what is damaged ---

def test_a_damaged_file_is_quarantined_and_fetched_again(host):
    data = recipe().build()
    host.offer(data)
    host.keep(data).write_bytes(spoil(data, len(data) - 20, b"\0\0\0\0"))
    done = host.command("rebuild")
    assert done.returncode == DONE, done.stderr
    assert "moved to quarantine" in done.stderr and "0 cached bundles are good, 1 are not" in done.stderr
    assert list(host.good()) == [place_of(data)]
    assert host.quarantined == [f".quarantine/{place_of(data).split('/')[1]}"]


def test_what_is_offered_damaged_replaces_nothing(host):
    old, new = recipe(serial=1).build(), recipe(serial=2).build()
    host.keep(old)
    host.offer(spoil(new, len(new) - 20, b"\0\0\0\0"))
    done = host.command("rebuild")
    assert done.returncode == UNTRUSTED and "gpu: corrupt: " in done.stderr
    assert list(host.good()) == [place_of(old)]


@pytest.mark.parametrize("answer,code,reason", [(fails("404 Not Found"), DONE, "the cached one stays"),
                                                (fails("500 Oops"), NETWORK, "gpu: network: ")])
def test_a_cached_bundle_stays_when_nobody_has_it_any_more(tmp_path, answer, code, reason):
    """Not offered any more is the usual end of a bundle for an old kernel; no answer is a failure."""
    with BadServer() as server:
        host = CacheMachine(tmp_path, Source=f"From=cache:\n {server.serve('/x', answer)}\n")
        host.keep(GOOD)
        done = host.command("rebuild")
        assert done.returncode == code and reason in done.stderr, done.stderr
        assert list(host.good()) == [place_of(GOOD)]


def test_without_a_bundle_anywhere_the_reason_is_that(host):
    done = host.command("rebuild")
    assert done.returncode == NO_BUNDLE and "gpu: no-bundle: kernel " + RELEASE in done.stderr


# --- [Build] Command= ---

def compiling(tmp_path, script: str, **build: str) -> CacheMachine:
    """A driver whose bundles a shell script makes; it is run with `sh -eu`."""
    program = tmp_path / "compile.sh"
    program.write_text(script)
    lines = f"Command=/bin/sh -eu\n {program} --flag\n" + "".join(f"{key}={value}\n" for key, value in build.items())
    return CacheMachine(tmp_path, Build=lines)


def test_a_command_makes_the_bundle_and_knows_for_what(tmp_path):
    data = recipe(serial=2).build()
    (tmp_path / "made").write_bytes(data)
    host = compiling(tmp_path, f"""
        test $# = 1 -a "$1" = --flag
        echo "$MODULUS_NAME $MODULUS_VERSION [$MODULUS_FLAVOR] $MODULUS_KERNEL $MODULUS_ROOT" > {tmp_path}/told
        echo compiling; echo warning >&2
        cp {tmp_path}/made "$MODULUS_OUTPUT"
    """)
    host.keep(recipe(serial=1).build())
    done = host.command("rebuild", env=plain_environment(TMPDIR=str(tmp_path), MODULUS_STRANGER="x"))
    assert done.returncode == DONE, done.stderr
    assert (tmp_path / "told").read_text() == f"gpu 1.0 [] {RELEASE} {host.root}\n"
    assert "compiling\n" in done.stderr and "warning\n" in done.stderr and done.stdout == ""
    assert sorted(host.good()) == sorted([place_of(data), place_of(recipe(serial=1).build())])
    assert not list(tmp_path.glob("modulus-rebuild-*"))


@pytest.mark.parametrize("make,code,reason", [
    (lambda: recipe().but(sign=signed_by(UNKNOWN_KEY)).build(), UNTRUSTED, "untrusted"),
    (lambda: spoil(recipe().build(), -20, b"\0\0\0\0"), UNTRUSTED, "corrupt"),
    (lambda: recipe(NEXT).build(), NO_BUNDLE, "wrong-kernel"),
    (lambda: recipe(version="9").build(), NO_BUNDLE, "no-bundle"),
], ids=["stranger", "damaged", "other-kernel", "other-version"])
def test_what_a_command_makes_is_believed_no_more_than_what_is_fetched(tmp_path, make, code, reason):
    data = make()
    if reason == "corrupt":
        good_data = recipe().build()
        data = good_data[:-20] + b"\0\0\0\0" + good_data[-16:]
    (tmp_path / "made").write_bytes(data)
    host = compiling(tmp_path, f'cp {tmp_path}/made "$MODULUS_OUTPUT"')
    done = host.command("rebuild", env=plain_environment(TMPDIR=str(tmp_path)))
    assert done.returncode == code and f"gpu: {reason}: " in done.stderr, done.stderr
    assert host.good() == {}
    assert not list(tmp_path.glob("modulus-rebuild-*"))


@pytest.mark.parametrize("script,says", [
    ("exit 3", "ended with exit code 3; its own words are above"),
    ("kill -9 $$", "was ended by signal 9"),
    ("true", "left no file at $MODULUS_OUTPUT"),
    ('ln -s /etc/passwd "$MODULUS_OUTPUT"', "left no file at $MODULUS_OUTPUT"),
    ('mkfifo "$MODULUS_OUTPUT"', "left no file at $MODULUS_OUTPUT"),
])
def test_a_command_that_makes_nothing_is_said_so(tmp_path, script, says):
    host = compiling(tmp_path, script)
    kept = host.keep(recipe().build())
    done = host.command("rebuild", env=plain_environment(TMPDIR=str(tmp_path)))
    assert done.returncode == NO_BUNDLE and "gpu: build-failed: " in done.stderr and says in done.stderr
    assert kept.exists() and not list(tmp_path.glob("modulus-rebuild-*"))


def test_a_command_that_is_not_there_is_said_so(tmp_path):
    host = CacheMachine(tmp_path, Build="Command=/no/such/program\n")
    done = host.command("rebuild", env=plain_environment(TMPDIR=str(tmp_path)))
    assert done.returncode == NO_BUNDLE and "/no/such/program: No such file or directory" in done.stderr


def processes_of(marker: str) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as stream:
                    if marker.encode() in stream.read():
                        found.append(int(entry))
            except OSError:
                pass
    return found


def gone(marker: str) -> bool:
    for _ in range(100):
        if not processes_of(marker):
            return True
        time.sleep(0.05)
    return False


def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    marker = f"modulus-test-{os.getpid()}-hang"
    host = compiling(tmp_path, f"sh -c 'sleep 300; : {marker}' & sleep 300; : {marker}", Timeout="1s")
    began = time.monotonic()
    done = host.command("rebuild", env=plain_environment(TMPDIR=str(tmp_path)))
    assert 1 <= time.monotonic() - began < 20
    assert done.returncode == NO_BUNDLE and "was not done in 1 s (Timeout=) and was ended" in done.stderr
    assert gone(marker) and not list(tmp_path.glob("modulus-rebuild-*"))


def test_interrupting_it_ends_the_command_too(tmp_path):
    marker = f"modulus-test-{os.getpid()}-interrupted"
    host = compiling(tmp_path, f"sh -c 'sleep 300; : {marker}' & echo begun; sleep 300; : {marker}")
    kept = host.keep(recipe().build())
    with subprocess.Popen([MODULUS, "rebuild", *host.roots], stderr=subprocess.PIPE, text=True,
                          env=plain_environment(TMPDIR=str(tmp_path))) as program:
        for line in program.stderr:
            if line == "begun\n":
                break
        program.terminate()
        program.stderr.read()
    assert program.returncode == -15
    assert gone(marker) and kept.exists() and not list(tmp_path.glob("modulus-rebuild-*"))


# --- interrupted at any instant ---

CALLS = "openat2,write,fsync,ftruncate,renameat,unlinkat,mkdirat,close"
CUTS = 20


def instants(argv: list, log, below) -> list[tuple[str, int]]:
    """(call, how manieth of its kind) of all that the program does to what is below a folder, in order."""
    done = subprocess.run(["strace", "-f", "-y", "-o", log, "-e", f"trace={CALLS}", *argv], capture_output=True, env=plain_environment())
    assert done.returncode == DONE, done.stderr
    made, found = Counter(), []
    for line in log.read_text().splitlines():
        if called := re.match(r"\d+ +(\w+)\(", line):
            made[called[1]] += 1  # strace(1): when= counts each call by itself
            if str(below) in line:
                found.append((called[1], made[called[1]]))
    return found


@needs_strace
@pytest.mark.parametrize("command", [("fetch",), ("fetch", "--next"), ("rebuild",)], ids=" ".join)
def test_killed_at_any_call_the_cache_holds_whole_bundles_and_the_old_one(tmp_path, command):
    """The next kernel is one that is installed and does not run."""
    release = NEXT if "--next" in command else RELEASE
    old, new = recipe(release, serial=1).build(), recipe(release, serial=2).build()

    def prepared(folder) -> CacheMachine:
        host = CacheMachine(folder)
        host.installed(release)
        host.keep(old, release)
        host.offer(new, release)
        return host
    counting = prepared(tmp_path / "counting")
    calls = instants([MODULUS, *command, *counting.roots], tmp_path / "log", counting.folder)
    assert len(calls) >= CUTS and {"write", "fsync", "renameat"} <= {call for call, _ in calls}
    numbers = set()
    for cut in range(CUTS):
        host = prepared(tmp_path / str(cut))
        call, number = calls[cut * (len(calls) - 1) // (CUTS - 1)]
        killed = subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                                 f"inject={call}:signal=KILL:when={number}", MODULUS, *command, *host.roots],
                                capture_output=True, env=plain_environment())
        assert killed.returncode == -9, (call, number, killed)
        left = host.good()
        assert place_of(old, release) in left, (call, number)
        assert set(left) <= {place_of(old, release), place_of(new, release)}
        numbers.add(len(left))
        assert host.command(*command).returncode == DONE
        assert set(host.good()) == {place_of(old, release), place_of(new, release)}
        assert not [place for place in host.cached if place.endswith(".part")]
    assert numbers == {1, 2}, "no cut was before the rename, or none after it"
