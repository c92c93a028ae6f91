# SPDX-License-Identifier: Apache-2.0
"""A server that does wrong, in every way that we know of: bounded time and memory, the documented reason, the next source
tried, nothing kept that was not verified whole.

Most cases wait most of the time, so all of them run at once; see CASES. Each runs twice: with the bad source alone, and
with a good one behind it.
"""
import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

import elf
from badserver import (BadServer, endless, good, part, redirect, saying, stall, status, trickle, whole)
from netmachine import GOOD, PEAK_KIB, NetMachine, Run, Slow, noisy
from program import DONE, NETWORK, NO_BUNDLE, UNTRUSTED

BIG = noisy()                # above the 256 KiB that a transfer may be ahead of its reader
OTHER = noisy(310_000)
CHUNK = 65536
HEADERS_10_MB = b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 1000) for n in range(10_000)) + b"\r\n"
ONE_LINE_10_MB = b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000_000 + b"\r\n\r\n"
QUICK_S = 8                  # four attempts and the pauses between them
EMULATOR_S = 5 if elf.EMULATED else 0
WINDOW_S, HEADERS_S = 15, 20 # stage/limit.h


@dataclass(frozen=True)
class Case:
    answers: tuple           # what the server says to the first request, the second, ...
    code: int
    says: str                # in the text of the failure; nothing: it is no failure
    seconds: float = QUICK_S
    requests: int | None = None
    sent: int | None = None  # bytes that the server may get rid of, over all requests
    bundle: bytes = GOOD     # what is in the cache when it is no failure
    command: str = "fetch"
    budget: str = "60s"
    alone: bool = True       # the run without a good source behind it
    then: bool = True        # the run with one
    at_least: float = 0      # seconds: a real limit of stage/limit.h was waited for


def fails(code: int, says: str, *answers, **more) -> Case:
    return Case(answers, code, says, **more)


def works(*answers, **more) -> Case:
    return Case(answers, DONE, "", then=False, **more)


def network(says: str, *answers, **more) -> Case:
    return fails(NETWORK, says, *answers, **more)


LATE = "the rest did not come in"
REASON = {NETWORK: "network", NO_BUNDLE: "no-bundle", UNTRUSTED: "corrupt"}

CASES: dict[str, Case] = {
    # --- the server's word
    "404": fails(NO_BUNDLE, "no bundle of gpu", status("404 Not Found"), requests=1, seconds=1.5),
    "410": fails(NO_BUNDLE, "no bundle of gpu", status("410 Gone"), requests=1, seconds=1.5),
    "404 that is encoded": fails(NO_BUNDLE, "no bundle of gpu", status("404 Not Found", gzip.compress(b"no"), Content_Encoding="gzip"),
                                 requests=1, seconds=1.5),
    "403": network("status 403", status("403 Forbidden"), requests=1, seconds=1.5),
    "401": network("status 401", status("401 Unauthorized", WWW_Authenticate='Basic realm="x"'), requests=1, seconds=1.5),
    "204": network("status 204", saying(b"HTTP/1.1 204 No Content\r\n\r\n"), requests=1, seconds=1.5),
    "206 unasked": network("status 206", status("206 Partial Content", GOOD, Content_Range=f"bytes 0-{len(GOOD) - 1}/{len(GOOD)}"),
                           requests=1, seconds=1.5),
    "302 to nowhere": network("status 302", status("302 Found"), requests=1, seconds=1.5),
    "500 then good": works(status("500 Oops"), good(GOOD), requests=2),
    "429 then good": works(status("429 Too Many Requests"), good(GOOD), requests=2),
    "503 twice then good": works(status("503 Busy"), status("503 Busy"), good(GOOD), requests=3),
    "503 always": network("status 503", status("503 Busy"), requests=4),
    # --- silence
    "stall before the headers": network("no answer in 20 s; then no answer in", stall, command="boot", budget="24s", seconds=26, requests=2,
                                        then=False, at_least=HEADERS_S),
    "stall before the headers, no budget": network("no answer in", stall, command="boot", budget="3s", seconds=6, requests=1, then=False),
    "stall in the headers": network("no answer in 20 s", saying(b"HTTP/1.1 200 OK\r\nContent-", stall), command="boot", budget="36s",
                                    seconds=26, requests=1, alone=False, at_least=HEADERS_S),
    "stall after the headers": network(LATE, part(BIG, 0, stall), command="boot", budget="3s", seconds=6, requests=1, then=False),
    "stall in the bundle's header": network(LATE, part(BIG, 100, stall), command="boot", budget="3s", seconds=6, requests=1,
                                            then=False),
    "stall in the body": network(LATE, part(BIG, len(BIG) // 2, stall), command="boot", budget="3s", seconds=6, requests=1, then=False),
    "stall in the body, then the rest": works(part(BIG, len(BIG) // 2, stall), good(BIG), command="boot", bundle=BIG, requests=2,
                                              seconds=WINDOW_S + 5, at_least=WINDOW_S, sent=len(BIG) + 2048),
    "trickle": network("slower than 32768 bytes/s over 15 s", trickle(BIG), command="boot", budget="28s", seconds=22, requests=1,
                       alone=False, at_least=WINDOW_S),
    "trickle in the body": network(LATE, trickle(BIG, before=CHUNK), command="boot", budget="3s", seconds=6, requests=1, then=False),
    # --- breaks
    "closed at once": network("", saying(b""), requests=4),
    "closed in the headers": network("", saying(b"HTTP/1.1 200 OK\r\nContent-Len"), requests=4),
    "closed in the body, then the rest": works(part(BIG, 100_000), good(BIG), bundle=BIG, requests=2, sent=len(BIG) + 2048),
    "closed three times": works(part(BIG, 100_000), saying(b""), status("502 Bad Gateway"), good(BIG), bundle=BIG, requests=4,
                                sent=len(BIG) + 2048),
    "closed, then all again": works(part(BIG, 100_000), whole(BIG, ETag='"one"'), bundle=BIG, requests=2),
    "closed, then all of another file": network("changed while it was read", part(BIG, 100_000), whole(OTHER, ETag='"two"'), requests=2),
    "closed, then the rest of another file": network("changed while it was read", part(BIG, 100_000), good(OTHER, etag='"two"')
                                                     , requests=2),
    "closed, then the rest without a validator": network("changed while it was read", part(BIG, 100_000), lambda to: (to.head(
        "206 Partial Content", Content_Length=len(BIG) - 100_000, Content_Range=f"bytes 100000-{len(BIG) - 1}/{len(BIG)}"),
        to.send(BIG[100_000:])), requests=2),
    "closed, then another part": network("another part", part(BIG, 100_000), lambda to: (to.head(
        "206 Partial Content", ETag='"one"', Content_Length=len(BIG), Content_Range=f"bytes 0-{len(BIG) - 1}/{len(BIG)}"),
        to.send(BIG)), requests=2),
    "closed, weak validators only": network("changed while it was read", part(BIG, 100_000, etag='W/"one"'), good(BIG, etag='W/"one"'),
                                            requests=2),
    "closed, a weak validator and a date": works(
        part(BIG, 100_000, etag=None, Last_Modified="Mon, 23 Nov 2026 01:02:03 GMT", ETag='W/"one"'),
        good(BIG, etag='W/"one"', Last_Modified="Mon, 23 Nov 2026 01:02:03 GMT"), bundle=BIG, requests=2, sent=len(BIG) + 2048),
    "closed, a date that the rest does not repeat": works(
        part(BIG, 100_000, etag=None, Last_Modified="Mon, 23 Nov 2026 01:02:03 GMT"), lambda to: (to.head(
            "206 Partial Content", Content_Length=len(BIG) - 100_000, Content_Range=f"bytes 100000-{len(BIG) - 1}/{len(BIG)}"),
            to.send(BIG[100_000:])), bundle=BIG, requests=2, sent=len(BIG) + 2048),
    "closed, then gone": network("status 404", part(BIG, 100_000), status("404 Not Found"), requests=2),
    "closed without a length": fails(UNTRUSTED, "truncated", lambda to: (to.head(), to.send(BIG[:100_000])), requests=1),
    "closed, then only closed": network("", part(BIG, 100_000), saying(b""), requests=4),
    "closed, then a shorter file": network("changed while it was read", part(BIG, 100_000), whole(b"short", ETag='"one"'), requests=2),
    # --- wrong lengths, wrong bytes
    "length too large": network("status 416", lambda to: good(GOOD)(to) if "range" in to.request.headers else (to.head(
        Content_Length=len(GOOD) + 1000, ETag='"one"'), to.send(GOOD)), requests=2),
    "length too small": fails(UNTRUSTED, "truncated", lambda to: (to.head(Content_Length=len(GOOD) - 10), to.send(GOOD)), requests=1),
    "two lengths": network("", saying(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: -1\r\n\r\n" + GOOD)),
    "empty": fails(UNTRUSTED, "not a bundle", status("200 OK", b""), requests=1),
    "a page": fails(UNTRUSTED, "not a bundle", status("200 OK", b"<html>log in to the hotel's network</html>"), requests=1),
    "endless zeros": fails(UNTRUSTED, "not a bundle", endless(), requests=1, sent=2 << 20),
    "endless after the bundle": fails(UNTRUSTED, "after the last chunk", endless(GOOD), requests=1, sent=2 << 20),
    "a manifest without end": fails(UNTRUSTED, "the limit is", endless(b"\x50\x2a\x4d\x18\xff\xff\xff\xff"), requests=1, sent=2 << 20),
    "one bit": fails(UNTRUSTED, "does not match its hash", status("200 OK", GOOD[:-20] + bytes([GOOD[-20] ^ 1]) + GOOD[-19:]), requests=1),
    "encoded unasked": network("encoded (gzip)", status("200 OK", gzip.compress(GOOD), Content_Encoding="gzip"), requests=1),
    "10 MB of headers": network("65536 bytes of headers", saying(HEADERS_10_MB), sent=4 << 20),
    "10 MB in one header": network("", saying(ONE_LINE_10_MB), sent=8 << 20),
    "no HTTP": network("", saying(b"220 mail.example.org ESMTP\r\n")),
    # --- redirects
    "redirect loop": network("redirects", redirect("/bundle"), requests=6, seconds=3),
    "redirect to a file": network("", redirect("file:///etc/hostname"), requests=1, seconds=1.5),
    "redirect to ftp": network("", redirect("ftp://127.0.0.1/bundle"), requests=1, seconds=1.5),
    "redirect to gopher": network("", redirect("gopher://127.0.0.1:70/1"), requests=1, seconds=1.5),
}


@dataclass
class Result:
    run: Run
    machine: NetMachine
    server: BadServer


def carry_out(folder, case: Case, second: bool) -> Result:
    with BadServer() as server:
        server.serve("/bundle", *case.answers)
        server.serve("/good", good(GOOD))
        machine = NetMachine(folder, server.url("/bundle"), *([server.url("/good")] if second else []), budget=case.budget)
        return Result(machine.run(case.command), machine, server)


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    runner = Slow()
    folder = tmp_path_factory.mktemp("cases")
    for number, (name, case) in enumerate(sorted(CASES.items(), key=lambda item: -item[1].seconds)):
        for second in [False] * case.alone + [True] * case.then:
            runner.start(f"{name}{second}", lambda case=case, number=number, second=second:
                         carry_out(folder / f"{number}{second}", case, second))
    yield runner
    runner.close()


def names(which: Callable[[Case], bool]) -> list[str]:
    return [name for name, case in CASES.items() if which(case)]


def says_budget(done: Result) -> bool:
    return "Budget=" in done.run.lines[0]


@pytest.mark.parametrize("name", names(lambda case: case.alone and case.code != DONE))
def test_what_it_is_called_and_what_it_costs(slow, name):
    case, done = CASES[name], slow.result(f"{name}False")
    assert done.run.code == case.code, done.run
    assert len(done.run.lines) == 1 and done.run.lines[0].startswith(f"gpu: {REASON[case.code]}: "), done.run.lines
    assert case.says in done.run.lines[0]
    assert case.at_least <= done.run.seconds <= case.seconds + EMULATOR_S, done.run
    assert done.run.peak_kib <= PEAK_KIB
    assert done.machine.believed == []
    # what the next transfer goes on from: the beginning of the file, if that was sent
    assert all(BIG.startswith(left) or GOOD.startswith(left) for left in done.machine.in_cache)
    assert case.code == NETWORK or done.machine.in_cache == []
    # the end of the budget comes after what the time was lost with
    assert not says_budget(done) or re.search(r"\w in \d+ s; no time left \(Budget=\)$", done.run.lines[0])
    assert says_budget(done) == (case.code == NETWORK and case.command == "boot" and case.seconds >= float(case.budget.rstrip("s")))
    if case.requests is not None:
        assert len(done.server.requests) == case.requests
    if case.sent is not None:
        assert done.server.sent <= case.sent


@pytest.mark.parametrize("name", names(lambda case: case.then))
def test_the_next_source_is_tried(slow, name):
    case, done = CASES[name], slow.result(f"{name}True")
    assert done.run.code == DONE, done.run
    assert done.machine.in_cache == [GOOD]
    assert len(done.server.of("/good")) == 1
    assert case.at_least <= done.run.seconds <= case.seconds + 0.5 + EMULATOR_S, done.run
    assert done.run.peak_kib <= PEAK_KIB


@pytest.mark.parametrize("name", names(lambda case: case.code == DONE))
def test_what_ends_well(slow, name):
    case, done = CASES[name], slow.result(f"{name}False")
    assert done.run.code == DONE, done.run
    assert done.machine.in_cache == [case.bundle]
    assert case.at_least <= done.run.seconds <= case.seconds + EMULATOR_S, done.run
    assert done.run.peak_kib <= PEAK_KIB
    if case.requests is not None:
        assert len(done.server.requests) == case.requests
    if case.sent is not None:
        assert done.server.sent <= case.sent


# --- what is asked -----------------------------------------------------------------------------------

def test_a_broken_transfer_goes_on_where_it_broke(slow):
    first, second = slow.result("closed in the body, then the restFalse").server.requests
    assert "range" not in first.headers and "if-range" not in first.headers
    assert second.headers["range"] == "bytes=100000-" and second.headers["if-range"] == '"one"'
    assert second.sent - (len(BIG) - 100_000) < 1024


def test_with_a_weak_validator_the_date_is_what_counts(slow):
    _, second = slow.result("closed, a weak validator and a dateFalse").server.requests
    assert second.headers["if-range"] == "Mon, 23 Nov 2026 01:02:03 GMT"


def test_without_a_strong_validator_no_part_is_asked_for(slow):
    _, second = slow.result("closed, weak validators onlyFalse").server.requests
    assert "range" not in second.headers


def test_pauses_between_attempts_grow(slow):
    at = [request.at for request in slow.result("503 alwaysFalse").server.requests]
    pauses = [later - earlier for earlier, later in zip(at, at[1:])]
    for pause, most in zip(pauses, (0.2, 0.4, 0.8)):
        assert most / 2 <= pause <= most + 3  # a busy machine adds to it


def test_the_request_is_plain(tmp_path):
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.serve("/bundle", good(GOOD)))
        assert machine.run().code == DONE
        (request,) = server.requests
    assert request.method == "GET" and request.raw.count(b"\r\n") <= 5
    assert request.headers["user-agent"].startswith("modulus/")
    assert not {"accept-encoding", "cookie", "authorization", "referer"} & request.headers.keys()


# --- the header is judged first ----------------------------------------------------------------------

def other_kernel(manifest: dict) -> None:
    manifest["kernel"]["release"] = manifest["kernel"]["release"].replace("-99-", "-98-")
    for file in manifest["files"]:
        file["path"] = file["path"].replace("-99-", "-98-")


@pytest.mark.parametrize("command", ["boot", "fetch"])
def test_a_bundle_for_another_kernel_costs_its_header_and_not_its_payload(tmp_path, command):
    payload = 16 << 20
    bundle = noisy(payload, edit=other_kernel)
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.serve("/bundle", good(bundle)), server.serve("/good", good(GOOD)))
        done = machine.run(command)
        assert done.code == DONE and machine.in_cache == [GOOD]
        # what the kernels on both sides hold, which nobody asked for; on loopback that is a lot
        assert server.of("/bundle")[0].sent < payload / 8
        machine.sources(server.url("/bundle"))
        for path in (machine.root / "var").rglob("*.zst"):
            path.unlink()
        alone = machine.run(command)
    assert alone.code == NO_BUNDLE and alone.reason == "wrong-kernel"


@pytest.mark.parametrize("command", ["boot", "fetch"])
def test_memory_does_not_grow_with_the_bundle(tmp_path, command):
    size = 24 << 20
    bundle = noisy(size)
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.serve("/bundle", good(bundle)))
        done = machine.run(command)
    assert done.code == DONE and machine.in_cache == [bundle]
    largest = size >> 10 if command == "boot" else 0
    assert done.peak_kib <= PEAK_KIB + largest, done.peak_kib


# --- from the cache, and to it -----------------------------------------------------------------------

def test_what_is_in_the_cache_costs_no_request(tmp_path):
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.serve("/bundle", good(GOOD)))
        assert machine.run().code == DONE
        assert machine.run().code == DONE and machine.run("boot").code == DONE
        assert len(server.requests) == 1


def test_a_boot_that_fetched_says_where_from_and_keeps_it(tmp_path):
    import json
    with BadServer() as server:
        url = server.serve("/bundle", good(GOOD))
        machine = NetMachine(tmp_path, url)
        done = machine.run("boot")
    driver = json.loads(machine.status_file.read_text())["drivers"][0]
    assert done.code == DONE and driver["reason"] == "loaded"
    assert driver["source"] == "http" and driver["origin"] == url and driver["cached"]
    assert {"network", "source", "stream", "load"} <= {phase["name"] for phase in driver["phases"]}


def test_every_source_that_failed_is_in_the_report(tmp_path):
    import json
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.serve("/a", status("404 Not Found")), server.serve("/b", status("403 Forbidden")),
                             server.serve("/c", status("200 OK", b"rubbish")))
        done = machine.run("boot")
    driver = json.loads(machine.status_file.read_text())["drivers"][0]
    assert [(entry["origin"].rpartition("/")[2], entry["reason"]) for entry in driver["rejected"]] == [
        ("a", "no-bundle"), ("b", "network"), ("c", "corrupt")]
    assert done.code == UNTRUSTED and driver["reason"] == "corrupt"


def test_a_client_that_is_killed_leaves_nothing_that_is_believed(tmp_path):
    """At several places of the transfer; the next run takes it all and keeps the whole."""
    import signal
    import subprocess
    import time
    from netmachine import plain_environment
    from program import MODULUS
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.url("/bundle"))
        for size in (0, 100, 70_000, 200_000, len(BIG) - 1):
            server.serve("/bundle", part(BIG, size, stall))
            with subprocess.Popen([MODULUS, "fetch", *machine.roots], stderr=subprocess.DEVNULL, env=plain_environment()) as one:
                time.sleep(0.3)
                one.send_signal(signal.SIGKILL)
            assert not list((machine.root / "var").rglob("[!.]*.zst"))
        server.serve("/bundle", good(BIG))
        assert machine.run().code == DONE and machine.in_cache == [BIG]


# --- placeholders ------------------------------------------------------------------------------------

def test_placeholders(tmp_path):
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.url("/") + "{name}/{version}/{flavor}/{kind}/{machine}/{kernel}.zst")
        path = f"/gpu/1.0//modules/{elf.machine()}/6.1.0-99-test.zst"
        server.serve(path, good(GOOD))
        assert machine.run().code == DONE
        assert [request.target for request in server.requests] == [path]


@pytest.mark.parametrize("text", ["{nmae}", "{name", "{}", "{name}{"])
def test_a_placeholder_that_is_none_is_said(tmp_path, text):
    machine = NetMachine(tmp_path, "http://127.0.0.1:1/" + text)
    done = machine.run()
    assert done.code == 8 and "is not a placeholder" in done.lines[0]


def test_fetch_for_another_kernel(tmp_path):
    other = noisy(1000, edit=other_kernel)
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.url("/{kernel}"))
        server.serve("/6.1.0-98-test", good(other))
        done = machine.run(args=("--kernel", "6.1.0-98-test"))
        assert done.code in (DONE, UNTRUSTED), done
        assert [request.target for request in server.requests] == ["/6.1.0-98-test"]
