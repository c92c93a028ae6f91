# SPDX-License-Identifier: Apache-2.0
"""A bundle that fits: what is reported and kept, in what order modules are tried, and that everything is read once.

No module is inserted here (see fakehost.py); the boots in tests/boot do that.
"""
import contextlib
import hashlib
import os
import re
import shutil
import socket
import subprocess

import pytest

import elf
from bundlemaker import MODULES, RELEASE, TEST_KEY, File, Recipe, cut_at, digest_of, module_file, modules, spoil
from fakehost import BUILD_ID
from minisign import PublicKey
from program import DONE, KERNEL, MODULUS, environment, modulus
from tracing import needs_strace

NODES = ("dri/card0", "dri/renderD128")
# no module is inserted, since all are live
LOADED = re.compile(r"gpu: loaded: 0 modules from (\S+) in \d+ ms \(kernel (\S+), serial 7, key ([0-9A-F]{16})\), "
                    r"nodes /dev/dri/card0 /dev/dri/renderD128")


def recipe(**fields) -> Recipe:
    return modules(fields={"serial": 7, "load": ["alpha", "beta"], **fields})


@pytest.fixture
def live(machine):
    machine.ready()
    machine.device(nodes=NODES)
    machine.module_is_live("alpha", "beta")
    return machine


def test_one_line_says_what_was_loaded_from_where_in_what_time_by_whose_word(live):
    live.usr(recipe().build())
    done = live.boot()
    assert done.code == DONE and len(done.lines) == 1
    origin, kernel, key = LOADED.fullmatch(done.lines[0]).groups()
    assert origin == f"usr:/usr/lib/modulus/bundles/{RELEASE}/gpu.tar.zst"
    assert kernel == RELEASE and key == TEST_KEY.public.name


def test_the_report_has_it_all(live):
    data = recipe(flavor="open").build()
    live.usr(data)
    driver = live.boot().driver
    assert {key: driver[key] for key in ("name", "version", "flavor", "reason", "source", "digest", "serial", "key_id", "devices",
                                         "nodes", "rejected", "warnings", "kernel_log")} == {
        "name": "gpu", "version": "1.0", "flavor": "open", "reason": "loaded", "source": "usr", "digest": digest_of(data), "serial": 7,
        "key_id": TEST_KEY.public.name, "devices": ["0000:00:02.0"], "nodes": [f"/dev/{node}" for node in NODES], "rejected": [],
        "warnings": [], "kernel_log": []}
    assert [(module["name"], module["from"]) for module in driver["modules"]] == [("alpha", "live"), ("beta", "live")]
    assert [phase["name"] for phase in driver["phases"]] == ["source", "stream", "trial", "load", "cache", "nodes"]
    assert all(type(phase["us"]) is int and phase["us"] >= 0 for phase in driver["phases"])
    assert driver["cached"] == f"/var/lib/modulus/bundles/{RELEASE}/gpu-modules-{digest_of(data)}.tar.zst"


def test_what_build_makes_is_what_boot_takes(live, tmp_path):
    """With the key that keygen made; the manifest says what to load."""
    made = tmp_path / "modules"
    made.mkdir()
    for name in ("alpha", "beta"):
        (made / f"{name}.ko").write_bytes(elf.module(name, RELEASE, depends="alpha" if name == "beta" else ""))
    public = live.root / "etc/modulus/keys/made.pub"
    assert modulus("keygen", "--secret", tmp_path / "key", "--public", public).returncode == DONE
    place = live.root / "usr/lib/modulus/bundles" / RELEASE
    place.mkdir()
    done = modulus("build", "--name", "gpu", "--version", "1.0", "--kernel", RELEASE, "--kernel-dir", tmp_path, "--modules", made,
                   "--build-id", BUILD_ID, "--serial", "7", "--key", tmp_path / "key", "--output", place / "gpu.tar.zst")
    assert done.returncode == DONE, done.stderr
    driver = live.boot().driver
    assert driver["reason"] == "loaded" and driver["serial"] == 7
    assert driver["key_id"] == PublicKey.parse(public.read_bytes()).name
    assert [module["name"] for module in driver["modules"]] == ["alpha", "beta"]


# --- the cache -------------------------------------------------------------------------------------

def test_the_bundle_is_kept_byte_for_byte_and_the_next_boot_takes_it(live):
    data = recipe().build()
    file = live.usr(data)
    live.boot()
    assert live.cached == [f"{RELEASE}/gpu-modules-{digest_of(data)}.tar.zst"]
    assert (live.root / "var/lib/modulus/bundles" / live.cached[0]).read_bytes() == data
    file.unlink()
    second = live.boot()
    assert second.code == DONE and second.driver["source"] == "cache" and second.driver["cached"] is None
    assert second.driver["origin"] == f"cache:/var/lib/modulus/bundles/{live.cached[0]}"


def test_a_hit_in_the_cache_writes_the_record_of_the_attempt_alone(live):
    data = recipe().build()
    live.cache(data, digest_of(data))
    before = live.snapshot()
    assert live.boot().driver["source"] == "cache"
    (record,) = (live.root / f"var/lib/modulus/trials/{RELEASE}").iterdir()
    assert record.name == f"{digest_of(data)}-{BUILD_ID}.json"
    shutil.rmtree(live.root / "var/lib/modulus/trials")
    assert live.snapshot() == before


def test_without_trials_a_hit_in_the_cache_writes_nothing_outside_run(live):
    data = recipe().build()
    live.cache(data, digest_of(data))
    live.driver(Policy="Trial=none")
    before = live.snapshot()
    assert live.boot().driver["source"] == "cache"
    assert live.snapshot() == before


def test_what_is_in_the_cache_already_is_not_written_again(live):
    data = recipe().build()
    live.driver(Source="From=usr:")
    live.usr(data)
    kept = live.cache(data, digest_of(data))
    before = kept.stat().st_mtime_ns, kept.stat().st_ino
    assert live.boot().driver["source"] == "usr"
    assert (kept.stat().st_mtime_ns, kept.stat().st_ino) == before


@pytest.mark.parametrize("damage", [
    lambda data: spoil(data, len(data) - 20, b"\0\0\0\0"), lambda data: data[:-1], lambda data: data + b"x", lambda data: b"",
    lambda data: data[:100],
], ids=["flipped", "cut", "longer", "empty", "header-only"])
def test_a_damaged_copy_in_the_cache_is_not_used_and_replaced_by_a_good_one(live, damage):
    data = recipe().build()
    kept = live.cache(damage(data), digest_of(data))
    live.usr(data)
    done = live.boot()
    assert done.code == DONE and done.driver["source"] == "usr"
    assert [entry["reason"] for entry in done.driver["rejected"]] == ["corrupt"]
    assert kept.read_bytes() == data
    assert live.boot().driver["source"] == "cache"


def test_a_stranger_in_the_cache_under_a_right_name_is_not_believed(live):
    """Names only narrow the look-up; what is in there is verified again."""
    data, other = recipe().build(), recipe(version="6.6").build()
    live.cache(other, digest_of(data))
    live.usr(data)
    done = live.boot()
    assert done.driver["digest"] == digest_of(data) and done.driver["source"] == "usr"
    assert [(entry["reason"], entry["text"]) for entry in done.driver["rejected"]] == [
        ("corrupt", "its manifest is not the one that its name tells")]


def test_half_a_copy_of_an_earlier_run_is_not_looked_at_and_overwritten(live):
    data = recipe().build()
    half = live.write_root(f"var/lib/modulus/bundles/{RELEASE}/.gpu-modules-{digest_of(data)}.tar.zst.part", data[:200])
    live.usr(data)
    done = live.boot()
    assert done.code == DONE and done.driver["rejected"] == []
    assert not half.exists() and live.cached == [f"{RELEASE}/gpu-modules-{digest_of(data)}.tar.zst"]


def test_a_cache_on_a_file_system_that_is_not_there_yet_is_a_warning(live):
    live.write_root("etc/fstab", "/dev/vda4 /var ext4 defaults 0 2\n")
    live.usr(recipe().build())
    done = live.boot()
    assert done.code == DONE and done.driver["reason"] == "loaded" and done.driver["cached"] is None
    assert any("cache-unreachable" in line and "/var" in line for line in done.driver["warnings"])
    assert live.cached == []


def test_a_cache_that_cannot_be_written_is_a_warning(live):
    live.write_root("var/lib/modulus", "a file where a directory should be")
    live.usr(recipe().build())
    done = live.boot()
    assert done.code == DONE and done.driver["reason"] == "loaded"
    assert [warning.split(":")[0] for warning in done.driver["warnings"]] == ["not cached", "attempt not recorded"]
    assert len(done.lines) == 3 and "not cached" in done.lines[1] and "not recorded" in done.lines[2]


def test_the_cache_is_not_written_through_a_link_out_of_the_root(live, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (live.root / "var/lib").mkdir(parents=True)
    (live.root / "var/lib/modulus").symlink_to(outside)
    live.usr(recipe().build())
    done = live.boot()
    assert done.code == DONE and list(outside.iterdir()) == []


# --- what is loaded --------------------------------------------------------------------------------

def tried(done) -> str:
    """The module whose insertion was refused."""
    assert done.code == KERNEL and done.driver["reason"] == "init-failed", done.lines
    return re.match(r"(\w+)", done.driver["text"])[1]


def test_what_a_module_needs_is_tried_before_it(machine):
    files = (module_file("alpha", depends="beta"), module_file("beta", depends="gamma"), module_file("gamma"))
    machine.ready(Recipe(files=files).build())
    assert tried(machine.boot()) == "gamma"


def test_a_wish_comes_before_and_its_failure_does_not_matter(machine):
    files = (module_file("alpha", info={"softdep": "pre: beta missing post: gamma"}), module_file("beta"), module_file("gamma"))
    machine.ready(Recipe(files=files).build())
    assert tried(machine.boot()) == "alpha"


def test_the_drivers_list_wins_over_the_manifests(machine):
    machine.ready(recipe().build())
    machine.driver(text="[Driver]\nVersion=1.0\nMatch=pci:*\nLoad=beta\n")
    assert tried(machine.boot()) == "beta"


def test_names_are_found_in_both_spellings(machine):
    machine.ready(modules("nvidia-drm", fields={"load": ["nvidia_drm"]}).build())
    assert tried(machine.boot()) == "nvidia_drm"
    machine.driver(text="[Driver]\nVersion=1.0\nMatch=pci:*\nLoad=nvidia-drm\n")
    assert tried(machine.boot()) == "nvidia_drm"


def test_a_module_to_load_that_is_nowhere(machine):
    machine.ready(recipe().build())
    machine.driver(text="[Driver]\nVersion=1.0\nMatch=pci:*\nLoad=gamma\n")
    done = machine.boot()
    assert done.code == KERNEL and "gamma is neither live nor in the bundle nor in" in done.driver["text"]


def test_what_is_live_is_not_inserted_again(machine):
    files = (module_file("alpha", depends="beta"), module_file("beta"))
    machine.ready(Recipe(files=files).build())
    machine.module_is_live("beta")
    assert tried(machine.boot()) == "alpha"


def test_code_that_is_built_in_counts_as_live(machine):
    machine.ready(Recipe(files=(module_file("alpha", depends="drm"),)).build())
    (machine.live / "sys/module/drm/parameters").mkdir(parents=True)
    assert tried(machine.boot()) == "alpha"


def test_a_module_that_is_still_coming_is_not_live(machine):
    machine.ready(recipe().build())
    machine.write_live("sys/module/alpha/initstate", "coming\n")
    assert tried(machine.boot()) == "alpha"


def test_a_circle_of_dependencies_ends(machine):
    files = (module_file("alpha", depends="beta"), module_file("beta", depends="alpha"))
    machine.ready(Recipe(files=files).build())
    assert machine.boot().code == KERNEL


def test_a_chain_that_is_too_deep_is_refused(machine):
    files = tuple(module_file(f"m{n}", depends=f"m{n + 1}" if n < 20 else "") for n in range(21))
    machine.ready(Recipe(files=files).build())
    done = machine.boot()
    assert done.driver["reason"] in ("corrupt", "init-failed") and len(done.lines) == 1


# --- firmware --------------------------------------------------------------------------------------

def test_firmware_is_put_where_the_kernel_looks(live):
    content = b"firmware" * 1000
    live.write_live("sys/module/firmware_class/parameters/path", "\n")
    live.usr(Recipe(files=(module_file("alpha"), File("usr/lib/firmware/gpu/x.bin", content))).build())
    done = live.boot()
    assert done.code == DONE
    assert (live.live / "run/modulus/firmware/gpu/x.bin").read_bytes() == content
    assert (live.live / "sys/module/firmware_class/parameters/path").read_text() == "/run/modulus/firmware"
    assert live.boot().code == DONE  # a second run writes it again
    assert (live.live / "run/modulus/firmware/gpu/x.bin").read_bytes() == content


def test_a_firmware_path_of_somebody_else_is_left_alone_and_reported(live):
    live.write_live("sys/module/firmware_class/parameters/path", "/lib/firmware/mine\n")
    live.usr(Recipe(files=(module_file("alpha"), File("usr/lib/firmware/x", b"x"))).build())
    done = live.boot()
    assert done.code == DONE and any("/lib/firmware/mine" in line for line in done.driver["warnings"])
    assert (live.live / "sys/module/firmware_class/parameters/path").read_text() == "/lib/firmware/mine\n"


# --- once ------------------------------------------------------------------------------------------

def dense(size: int) -> bytes:
    return b"".join(hashlib.sha256(b"%d" % at).digest() for at in range(size // 32))


@needs_strace
def test_the_bundle_is_opened_once_and_each_byte_of_it_read_once(live, tmp_path):
    large = File(MODULES + "alpha.ko", elf.file([(b".modinfo", b"vermagic=" + elf.vermagic(RELEASE).encode() + b"\0"),
                                                 (b".data", dense(6 << 20))]))
    data = Recipe(files=(large, module_file("beta")), cut=cut_at(1 << 20)).build()
    live.usr(data)
    # a file for each thread: in one of all a call that another's interrupts is in two pieces
    done = subprocess.run(["strace", "-ff", "-y", "-e", "trace=openat2,openat,open,read,pread64,readv,mmap,sendfile,copy_file_range,splice,lseek",
                           "-o", tmp_path / "trace", MODULUS, "boot", *live.roots], capture_output=True, text=True, env=environment())
    assert done.returncode == DONE, done.stderr
    lines = [line for log in tmp_path.glob("trace.*") for line in log.read_text().splitlines()
             if "gpu.tar.zst" in line and str(live.root / "usr") in line]
    opened = [line for line in lines if re.search(r"open(at2?)?\(.*gpu\.tar\.zst[^)]*\) = \d+|openat2\(", line)]
    assert len(opened) == 1, opened
    assert sum(int(line.rpartition("= ")[2]) for line in lines if line.startswith("read(")) == len(data)
    assert all(line.startswith("read(") for line in lines if line not in opened), lines


def test_a_large_bundle_is_streamed_in_little_memory(live, spawner):
    """16 MiB and the largest module, which is held as a whole."""
    files = tuple(File(MODULES + f"m{n}.ko", elf.file([(b".modinfo", b"vermagic=" + elf.vermagic(RELEASE).encode() + b"\0"),
                                                       (b".data", os.urandom(1 << 20) * 4)])) for n in range(4))
    live.module_is_live("m0")
    live.usr(Recipe(files=files, cut=cut_at(4 << 20)).build())
    done = spawner.run(MODULUS, "boot", *live.roots, env=environment())
    assert done.code == DONE, done
    assert done.peak_kib <= (16 + 4) << 10, done


def test_systemd_is_told_what_is_done_and_how_long_it_may_take(live, tmp_path):
    live.usr(recipe().build())
    live.driver(Policy="Budget=70s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        live.boot(env=environment(NOTIFY_SOCKET=str(tmp_path / "notify")))
        listener.settimeout(0.2)
        told = []
        with contextlib.suppress(TimeoutError):
            while True:
                told.append(listener.recv(4096).decode())
    (extended,) = [one for one in told if one.startswith("EXTEND_TIMEOUT_USEC=")]
    # the driver's own deadline and half a minute, for the unit's clock runs behind ours
    assert 99_000_000 < int(extended.split("=")[1]) <= 100_000_000
    assert told.index(extended) < told.index(f"STATUS=gpu: reading usr:/usr/lib/modulus/bundles/{RELEASE}/gpu.tar.zst")
    assert "STATUS=gpu: loading" in told
