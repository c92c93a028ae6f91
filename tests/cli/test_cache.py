# SPDX-License-Identifier: Apache-2.0
"""`modulus cache`: looking at it, checking it, tidying it, bringing something in."""
import fcntl
import hashlib
import json
import os
import subprocess
import time

import pytest

from bundlemaker import OTHER_KEY, RELEASE, UNKNOWN_KEY, digest_of, firmware, renamed, signed_by, spoil
from cachemachine import NEXT, OLDER, CacheMachine, place_of, recipe
from netmachine import plain_environment
from program import DONE, MODULUS, NO_BUNDLE, RESOURCES, SYSTEM, UNTRUSTED
from tracing import needs_strace


def flipped(data: bytes) -> bytes:
    return spoil(data, len(data) - 20, b"\0\0\0\0")


@pytest.fixture
def host(tmp_path):
    return CacheMachine(tmp_path)


def listed(host) -> dict[str, dict]:
    """digest -> what the list says."""
    done = host.command("cache", "list", "--json")
    assert (done.returncode, done.stderr) == (DONE, "")
    told = json.loads(done.stdout)
    assert told["format"] == 1 and told["cache"] == "/var/lib/modulus/bundles"
    return {entry["digest"]: entry for entry in told["bundles"]}


def record(host, data: bytes, misses: int, build: str = "00" * 20, release: str = RELEASE, name: str = "gpu") -> None:
    host.write_root(f"var/lib/modulus/trials/{release}/{digest_of(data)}-{build}.json",
                    json.dumps({"name": name, "open": None, "misses": misses, "blessed": False}))


# --- list ---

def test_the_list_tells_all_of_a_bundle(host):
    data = recipe(serial=7, flavor="open").build()
    os.utime(host.keep(data), (1000, 1000))
    entry = listed(host)[digest_of(data)]
    assert entry == {"name": "gpu", "version": "1.0", "flavor": "open", "kernel": RELEASE, "kind": "modules", "serial": 7,
                     "size": len(data), "changed": 1000, "digest": digest_of(data), "file": place_of(data).split("/")[1],
                     "state": "good", "reason": None, "text": None, "misses": 0, "blocked": False}
    done = host.command("cache", "list")
    head, line = done.stdout.splitlines()
    assert head.split() == ["DRIVER", "VERSION", "KIND", "KERNEL", "SERIAL", "SIZE", "AGE", "DIGEST", "STATE"]
    assert line.split()[:5] == ["gpu", "1.0", "modules", RELEASE, "7"] and line.split()[-2:] == [digest_of(data)[:12], "good"]


def test_an_empty_cache_is_an_empty_list(host):
    assert listed(host) == {}
    assert host.command("cache", "list").stdout == ""


def test_what_belongs_to_no_kernel_is_listed_without_one(host):
    data = firmware().build()
    host.write_root(f"var/lib/modulus/bundles/any/gpu-firmware-{digest_of(data)}.tar.zst", data)
    entry = listed(host)[digest_of(data)]
    assert (entry["kernel"], entry["kind"], entry["state"]) == (None, "firmware", "good")


@pytest.mark.parametrize("spoilt,reason", [
    (lambda data: data[:-1], "corrupt"), (lambda data: data[:50], "corrupt"), (lambda data: b"", "corrupt"),
    (lambda data: spoil(data, 30, b"x"), "corrupt"), (lambda data: recipe(serial=9).build(), "corrupt"),
    (lambda data: recipe().but(sign=signed_by(UNKNOWN_KEY)).build(), "untrusted"),
], ids=["cut", "header-cut", "empty", "flipped", "another", "stranger"])
def test_a_bad_header_is_said_with_its_reason(host, spoilt, reason):
    data = recipe().build()
    host.keep(data).write_bytes(spoilt(data))
    entry = listed(host)[digest_of(data)]
    assert (entry["state"], entry["reason"]) == ("bad", reason) and entry["text"]
    assert host.command("cache", "list").stdout.splitlines()[1].endswith(reason)


def test_a_good_bundle_in_the_folder_of_another_kernel_is_bad(host):
    data = recipe().build()
    host.keep(data, NEXT)
    assert listed(host)[digest_of(data)]["reason"] == "corrupt"


def test_attempts_that_failed_are_shown_and_forgotten_on_demand(host):
    two, blocked = recipe(serial=1).build(), recipe(serial=2).build()
    for data in (two, blocked):
        host.keep(data)
    record(host, two, 2)
    record(host, blocked, 1)
    record(host, blocked, 3, "unknown")
    told = listed(host)
    assert (told[digest_of(two)]["misses"], told[digest_of(two)]["blocked"]) == (2, False)
    assert (told[digest_of(blocked)]["misses"], told[digest_of(blocked)]["blocked"]) == (3, True)
    lines = {line.split()[4]: line for line in host.command("cache", "list").stdout.splitlines()[1:]}
    assert lines["1"].endswith("good, 2 failed") and lines["2"].endswith("blocked")
    done = host.command("cache", "unblock", "gpu")
    assert done.returncode == DONE and "3 failed attempts forgotten" in done.stdout
    assert [entry["misses"] for entry in listed(host).values()] == [0, 0]


def test_a_bundle_that_was_never_cached_is_unblocked_too(host):
    """One of /usr or of the network that brings the machine down at once is not kept before it does."""
    record(host, recipe(serial=1).build(), 3)
    record(host, recipe(serial=2).build(), 3, name="other")
    host.write_root(f"var/lib/modulus/trials/{RELEASE}/{'0' * 64}-{'0' * 40}.json", "no JSON")
    done = host.command("cache", "unblock", "gpu")
    assert done.returncode == DONE
    assert done.stdout == f"gpu: bundle {digest_of(recipe(serial=1).build())[:12]} on kernel {RELEASE}: 3 failed attempts forgotten\n"
    again = host.command("cache", "unblock", "gpu")
    assert (again.returncode, again.stdout, again.stderr) == (DONE, "", "")
    assert "3 failed attempts" in host.command("cache", "unblock", "other").stdout


def test_unblocking_what_was_never_tried_is_said(host):
    host.keep(recipe().build())
    done = host.command("cache", "unblock", "gpu")
    assert done.returncode == NO_BUNDLE and "gpu: no attempt with a bundle of that name is recorded" in done.stderr


def test_names_that_are_no_bundles_and_links_are_not_looked_at(host):
    for name in ("x.tar.zst", "gpu-modules-12.tar.zst", f".gpu-modules-{'0' * 64}.tar.zst.part", f"gpu-other-{'0' * 64}.tar.zst",
                 f"-modules-{'0' * 64}.tar.zst", f"{'g' * 65}-modules-{'0' * 64}.tar.zst"):
        host.write_root(f"var/lib/modulus/bundles/{RELEASE}/{name}", b"x")
    (host.folder / RELEASE / f"gpu-modules-{'1' * 64}.tar.zst").symlink_to("/etc/passwd")
    (host.folder / "elsewhere").symlink_to(host.root)
    assert listed(host) == {}
    assert host.command("cache", "verify").returncode == DONE


def test_a_cache_that_is_too_full_to_be_one_is_refused(host):
    for number in range(4096):
        host.write_root(f"var/lib/modulus/bundles/{RELEASE}/gpu-modules-{number:064x}.tar.zst", b"")
    assert len(listed(host)) == 4096
    host.write_root(f"var/lib/modulus/bundles/{RELEASE}/gpu-modules-{4096:064x}.tar.zst", b"")
    done = host.command("cache", "list")
    assert done.returncode == SYSTEM and "more than 4096 files" in done.stderr


def test_a_cache_full_of_damage_hides_no_other_source(host):
    """64 are looked at in each place: those of one do not count in the next."""
    for number in range(65):
        host.cache(b"", f"{number:064x}")
    host.offer(recipe().build())
    host.device()
    host.module_is_live("alpha", "beta")
    host.driver(Source="From=cache: usr:\n")
    booted = host.boot()
    assert booted.code == DONE, booted.lines
    assert json.loads(host.status("--json").stdout)["drivers"][0]["source"] == "usr"


# --- verify ---

def test_verify_reads_every_file_whole_and_changes_nothing(host):
    good, bad = recipe(serial=1).build(), recipe(NEXT).build()
    host.keep(good)
    host.keep(bad, NEXT).write_bytes(flipped(bad))
    assert listed(host)[digest_of(bad)]["state"] == "good"  # the header is
    before = host.snapshot()
    done = host.command("cache", "verify")
    assert done.returncode == UNTRUSTED
    assert done.stdout == f"{place_of(good)}: good\n"
    assert done.stderr.startswith(f"modulus: corrupt: {place_of(bad, NEXT)}: ")
    assert host.snapshot() == before
    (host.folder / place_of(bad, NEXT)).unlink()
    assert host.command("cache", "verify").returncode == DONE


def test_the_vendors_keys_alone_count_where_the_driver_says_so(host):
    data = recipe().build()
    host.keep(data)
    assert host.command("cache", "verify").returncode == DONE
    host.driver(Trust="TrustOnly=usr")
    done = host.command("cache", "verify")
    assert done.returncode == UNTRUSTED and "untrusted" in done.stderr
    host.key(folder="usr/lib")
    assert host.command("cache", "verify").returncode == DONE


# --- prune ---

def pruned(host, *words: str) -> list[str]:
    done = host.command("cache", "prune", *words)
    assert (done.returncode, done.stderr) == (DONE, "")
    verb = "would remove " if "--dry-run" in words else "removed "
    return sorted(line.removeprefix(verb) for line in done.stdout.splitlines() if line.startswith(verb))


def test_the_two_newest_serials_for_each_kernel_that_matters_stay(host):
    host.installed(RELEASE, NEXT)
    kept, gone = [], []
    for release in (RELEASE, NEXT):
        bundles = [recipe(release, serial).build() for serial in (1, 2, 10)]
        for data in bundles:
            host.keep(data, release)
        gone.append(place_of(bundles[0], release))
        kept += [place_of(data, release) for data in bundles[1:]]
    other_flavor, other_driver = recipe(serial=1, flavor="open").build(), renamed(recipe(serial=1), "npu").build()
    host.keep(other_flavor)
    host.keep(other_driver, name="npu")
    kept += [place_of(other_flavor), place_of(other_driver, name="npu")]
    assert pruned(host, "--dry-run") == sorted(gone)
    assert len(host.cached) == len(kept) + len(gone)
    assert pruned(host) == sorted(gone)
    assert sorted(host.good()) == sorted(kept)
    assert pruned(host) == []


def test_of_the_other_kernels_the_two_that_were_used_last_stay(host):
    releases = [f"5.{number}.0-test" for number in range(4)]
    places = {}
    for number, release in enumerate(releases):
        data = recipe(release).build()
        os.utime(host.keep(data, release), (number, number))
        places[release] = place_of(data, release)
    host.keep(recipe().build())
    assert pruned(host) == sorted([places[releases[0]], places[releases[1]]])
    assert not (host.folder / releases[0]).exists()
    assert sorted(host.good()) == sorted([place_of(recipe().build()), places[releases[2]], places[releases[3]]])


def test_what_the_running_kernel_uses_stays_however_old(tmp_path):
    host = CacheMachine(tmp_path, Trust=f"Digest=sha256:{digest_of(recipe(serial=2).build())}")
    bundles = [recipe(serial=serial).build() for serial in (1, 2, 3, 4, 5)]
    for data in bundles:
        host.keep(data)
    host.write_live("run/modulus/status.json", json.dumps({
        "format": 1, "drivers": [{"name": "gpu", "digest": digest_of(bundles[0]), "reason": "loaded"}]}))
    assert pruned(host) == [place_of(bundles[2])]


def test_leftovers_of_copies_go_and_what_is_no_bundle_stays(host):
    data = recipe(serial=3).build()
    host.keep(data)
    part = host.write_root(f"var/lib/modulus/bundles/{RELEASE}/.gpu-modules-{'0' * 64}.tar.zst.part", b"half")
    note = host.write_root(f"var/lib/modulus/bundles/{RELEASE}/README", b"by the operator")
    assert pruned(host) == []
    assert not part.exists() and note.read_bytes() == b"by the operator"


def test_a_file_that_says_nothing_of_itself_is_not_removed_for_being_old(host):
    bundles = [recipe(serial=serial).build() for serial in (1, 2, 3)]
    for data in bundles:
        host.keep(data)
    host.keep(bundles[0]).write_bytes(b"rubbish")
    assert pruned(host) == []


# --- import ---

def test_an_imported_bundle_is_kept_under_its_own_name_for_any_kernel(host, tmp_path):
    here, there = recipe().build(), recipe(NEXT).build()
    files = []
    for number, data in enumerate((here, there)):
        (tmp_path / f"{number}.bin").write_bytes(data)
        files.append(tmp_path / f"{number}.bin")
    done = host.command("cache", "import", *files)
    assert (done.returncode, done.stderr) == (DONE, "")
    assert done.stdout.splitlines() == [f"{files[0]}: /var/lib/modulus/bundles/{place_of(here)}",
                                        f"{files[1]}: /var/lib/modulus/bundles/{place_of(there, NEXT)}"]
    assert sorted(host.good()) == sorted([place_of(here), place_of(there, NEXT)])


@pytest.mark.parametrize("make,code,reason", [
    (lambda: flipped(recipe().build()), UNTRUSTED, "corrupt"),
    (lambda: recipe().build()[:-1], UNTRUSTED, "corrupt"),
    (lambda: recipe().build() + b"x", UNTRUSTED, "corrupt"),
    (lambda: recipe().but(sign=signed_by(OTHER_KEY)).build(), UNTRUSTED, "untrusted"),
    (lambda: b"rubbish", UNTRUSTED, "corrupt"),
    (lambda: None, SYSTEM, "system-error"),
], ids=["flipped", "cut", "longer", "stranger", "rubbish", "absent"])
def test_what_cannot_be_verified_is_not_imported_and_the_others_are(host, tmp_path, make, code, reason):
    bad, good = tmp_path / "bad", tmp_path / "good"
    data = make()
    if data is not None:
        bad.write_bytes(data)
    good.write_bytes(recipe(NEXT).build())
    done = host.command("cache", "import", bad, good)
    assert done.returncode == code and done.stderr.startswith(f"modulus: {reason}: {bad}")
    assert list(host.good()) == [place_of(recipe(NEXT).build(), NEXT)]
    assert not [place for place in host.cached if place.endswith(".part")]


def test_a_second_truth_is_not_imported(host, tmp_path):
    """Two bundles with one serial would both be refused at the next boot: the first one must stay usable."""
    first, second = recipe(serial=5).build(), recipe(serial=5, created=1).build()
    host.keep(first)
    (tmp_path / "second").write_bytes(second)
    done = host.command("cache", "import", tmp_path / "second")
    assert done.returncode == UNTRUSTED and done.stderr.startswith("modulus: equivocation: ")
    assert list(host.good()) == [place_of(first)]
    host.offer(second)
    assert host.command("rebuild").returncode == UNTRUSTED
    assert list(host.good()) == [place_of(first)]


def test_nobody_asks_for_it_is_a_warning(host, tmp_path):
    (tmp_path / "npu").write_bytes(renamed(recipe(), "npu").build())
    done = host.command("cache", "import", tmp_path / "npu")
    assert done.returncode == DONE and "no driver file asks for npu" in done.stderr


# --- Cache= ---

def test_the_cache_may_be_another_directory(host):
    host.write_root("etc/modulus/modulus.conf", "[Source]\nCache=/srv/gpu cache\n")
    data = recipe().build()
    host.offer(data)
    assert host.command("fetch").returncode == DONE
    assert (host.root / "srv/gpu cache" / place_of(data)).read_bytes() == data
    assert not host.folder.exists()
    assert json.loads(host.command("cache", "list", "--json").stdout)["cache"] == "/srv/gpu cache"
    (host.root / "usr/lib/modulus/bundles" / RELEASE).rename(host.root / "away")
    done = host.command("fetch")
    assert done.returncode == DONE and "is in the cache and verified: cache:/srv/gpu cache/" in done.stderr


@pytest.mark.parametrize("value", ["relative/path", "PARTLABEL=", "nfs:server", "LABEL"])
def test_a_place_that_is_none_is_bad_config(host, value):
    host.write_root("etc/modulus/modulus.conf", f"[Source]\nCache={value}\n")
    host.offer(recipe().build())
    done = host.command("fetch")
    assert "modulus.conf:2: Cache=: not a usable value" in done.stderr and "bad-config" in done.stderr


def test_a_drivers_file_does_not_move_the_cache(tmp_path):
    host = CacheMachine(tmp_path, Source="Cache=/elsewhere\n")
    host.offer(recipe().build())
    done = host.command("fetch")
    assert done.returncode == DONE and "gpu.conf: Cache= counts in modulus.conf only" in done.stderr
    assert list(host.good()) == [place_of(recipe().build())]


@pytest.mark.parametrize("place", ["PARTLABEL=modulus-no-such", "/dev/null"])
def test_a_partition_that_is_not_there_is_cache_unreachable_and_the_boot_loads(host, place):
    host.write_root("etc/modulus/modulus.conf", f"[Source]\nCache={place}\n")
    host.offer(recipe().build())
    host.device()
    host.module_is_live("alpha", "beta")
    done = host.boot()
    assert done.code == DONE and done.driver["cached"] is None
    assert any("not cached: cache-unreachable: " in line for line in done.driver["warnings"])
    refused = host.command("fetch")
    assert refused.returncode == RESOURCES and "gpu: cache-unreachable: " in refused.stderr


# --- one at a time ---

WAITS = "waiting for another modulus that is at work"


@pytest.fixture
def held(host):
    """The lock of the machine is this process' own."""
    path = host.live / "run/modulus/lock"
    path.parent.mkdir(parents=True)
    with open(path, "w") as handle:
        fcntl.lockf(handle, fcntl.LOCK_EX)
        yield handle


@pytest.mark.parametrize("words", [("rebuild",), ("cache", "prune"), ("cache", "import", "FILE"), ("cache", "unblock", "gpu")], ids=" ".join)
def test_what_writes_waits_for_its_turn(host, held, tmp_path, words):
    data = recipe().build()
    (tmp_path / "FILE").write_bytes(data)
    host.offer(data)
    host.keep(data)
    record(host, data, 1)
    with subprocess.Popen([MODULUS, *words, *host.roots], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path,
                          env=plain_environment()) as program:
        assert WAITS in program.stderr.readline()
        assert program.poll() is None
        fcntl.lockf(held, fcntl.LOCK_UN)
        assert program.wait(20) == DONE


@pytest.mark.parametrize("words", [("list",), ("verify",), ("prune", "--dry-run")], ids=" ".join)
def test_what_only_looks_does_not_wait(host, held, words):
    host.keep(recipe().build())
    done = host.command("cache", *words)
    assert done.returncode == DONE and WAITS not in done.stderr


# --- a look does not depend on how much is cached ---

@needs_strace
def test_a_boot_opens_no_more_files_however_full_the_cache_is(host, tmp_path):
    host.device()
    host.module_is_live("alpha", "beta")
    host.keep(recipe().build())

    def opened() -> int:
        log = tmp_path / "log"
        done = subprocess.run(["strace", "-f", "-o", log, "-e", "trace=open,openat,openat2,newfstatat,statx", MODULUS, "boot", *host.roots],
                              capture_output=True, env=plain_environment())
        assert done.returncode == DONE, done.stderr
        # A call that another thread's interrupts is in the log twice, the second time as "<... openat resumed>".
        return len([line for line in log.read_text().splitlines() if "(" in line and " resumed>" not in line])

    opened()  # the first run makes directories
    few = opened()
    for number in range(300):
        host.write_root(f"var/lib/modulus/bundles/5.{number}-test/gpu-modules-{number:064x}.tar.zst", b"x")
        host.write_root(f"var/lib/modulus/bundles/{RELEASE}/npu{number}-modules-{number:064x}.tar.zst", b"x")
    assert opened() == few


# --- what is damaged ---

def test_quarantine_keeps_the_latest_four_and_64_mib(host):
    for number in range(7):
        data = recipe(serial=number + 1).build()
        host.keep(data).write_bytes(flipped(data))
        assert host.command("rebuild").returncode == NO_BUNDLE
        time.sleep(0.01)
    latest = sorted(f".quarantine/{place_of(recipe(serial=number + 1).build()).split('/')[1]}" for number in range(3, 7))
    assert host.quarantined == latest
    assert json.loads(host.command("cache", "list", "--json").stdout)["quarantined"] == 4
    assert "4 damaged files are in /var/lib/modulus/bundles/.quarantine" in host.command("cache", "list").stdout
    big = host.folder / RELEASE / f"gpu-modules-{'0' * 64}.tar.zst"
    with open(big, "wb") as stream:
        stream.truncate((64 << 20) + 1)
    assert host.command("rebuild").returncode == NO_BUNDLE
    assert host.quarantined == []  # it alone is too big, and those that are older do not outlive it


@needs_strace
@pytest.mark.parametrize("first", [1, 3], ids=["at-once", "later"])
def test_a_file_that_the_disk_cannot_read_is_replaced_and_not_put_aside(host, first):
    """Nobody could look at it there either, and it may be a cable: without another source it stays."""
    data = recipe().build()
    kept = host.keep(data)
    host.device()
    host.module_is_live("alpha", "beta")

    def boot() -> dict:
        subprocess.run(["strace", "-f", "-o", "/dev/null", "-P", kept, "-e", f"inject=read:error=EIO:when={first}+", MODULUS, "boot",
                        *host.roots], capture_output=True, env=plain_environment())
        return json.loads(host.status_file.read_text())["drivers"][0]

    before = kept.stat().st_ino
    driver = boot()
    assert driver["reason"] == "system-error" and "Input/output error" in driver["text"], driver
    assert kept.read_bytes() == data and kept.stat().st_ino == before
    host.offer(data)
    driver = boot()
    assert (driver["reason"], driver["source"]) == ("loaded", "usr")
    assert kept.read_bytes() == data and kept.stat().st_ino != before and host.quarantined == []


def test_quarantine_is_never_a_source(host):
    data = recipe().build()
    host.write_root(f"var/lib/modulus/bundles/.quarantine/{place_of(data).split('/')[1]}", data)
    assert host.command("fetch").returncode == NO_BUNDLE
    assert listed(host) == {}


# --- power ---

@needs_strace
def test_all_that_leads_to_a_bundle_is_made_durable_in_order(host, tmp_path):
    data = recipe().build()
    host.offer(data)
    log = tmp_path / "log"
    done = subprocess.run(["strace", "-f", "-y", "-o", log, "-e", "trace=mkdirat,fsync,renameat", MODULUS, "fetch", *host.roots],
                          capture_output=True, env=plain_environment())
    assert done.returncode == DONE, done.stderr
    var, steps = str(host.root / "var"), []
    for line in log.read_text().splitlines():
        call = line.split(" ", 1)[1].strip().replace(" (deleted)", "")
        if var not in call:
            continue
        where = call.split("<", 1)[1].split(">", 1)[0].removeprefix(var).lstrip("/")
        name = call.split('"')[1] if '"' in call else ""
        if call.startswith("mkdirat") and call.endswith("= 0"):
            steps.append(("mkdir", f"{where}/{name}".lstrip("/")))
        elif call.startswith("fsync"):
            steps.append(("fsync", where))
        elif call.startswith("renameat"):
            steps.append(("rename", name))
    folder = f"lib/modulus/bundles/{RELEASE}"
    part = f".{place_of(data).split('/')[1]}.part"
    made = ["lib", "lib/modulus", "lib/modulus/bundles", folder]
    expected = []
    for path in made:
        expected += [("mkdir", path), ("fsync", os.path.dirname(path))]
    expected += [("fsync", f"{folder}/{part}"), ("rename", part), ("fsync", folder)]
    assert steps == expected
    assert hashlib.sha256((host.folder / place_of(data)).read_bytes()).digest() == hashlib.sha256(data).digest()
