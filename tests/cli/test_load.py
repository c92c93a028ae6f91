# SPDX-License-Identifier: Apache-2.0
"""modulus load and unload by hand, and what the real modprobe makes of what boot tells it.

No module is inserted or removed here (see fakehost.py): what would have been is refused and named. The boots in
tests/boot do it.
"""
import fcntl
import json
import re
import subprocess
import time

import pytest

from bundlemaker import Recipe, digest_of, module_file, modules
from program import DONE, KERNEL, NO_BUNDLE, SYSTEM, USAGE, modulus

GOES_ON_S = 10  # stage/limit.h
GLOB = "pci:v000010DEd*sv*sd*bc03sc02i00*"


def recipe(**fields) -> Recipe:
    files = (module_file("alpha", info={"alias": GLOB}), module_file("beta", depends="alpha"),
             module_file("gamma", depends="alpha"))
    return Recipe(files=files, fields={"serial": 7, "load": ["alpha", "beta"], **fields})


@pytest.fixture
def booted(machine):
    """alpha and beta are live; gamma is in the bundle, and nobody asked for it."""
    machine.ready()
    machine.device()
    machine.module_is_live("alpha", "beta")
    machine.data = recipe().build()
    machine.usr(machine.data)
    assert machine.boot().code == DONE
    for name in ("alpha", "beta"):
        machine.write_live(f"sys/module/{name}/refcnt", "0\n")
        (machine.live / f"sys/module/{name}/holders").mkdir()
    return machine


def run(machine, *words: str) -> subprocess.CompletedProcess:
    return modulus(words[0], *machine.roots, *words[1:])


def refused(done: subprocess.CompletedProcess) -> str:
    """The module that came as far as the kernel, which refuses all of them here."""
    assert done.returncode == KERNEL, done.stderr
    return re.search(r"init-failed: (?:\w+: )?(\w+): Operation not permitted", done.stderr)[1]


def told(machine) -> str:
    return (machine.live / "run/modprobe.d/modulus-gpu.conf").read_text()


# --- modprobe --------------------------------------------------------------------------------------

def modprobe(machine, *words: str, in_tree: str | None = None) -> subprocess.CompletedProcess:
    """The real one, over an index of no module, or of one, and nothing but our file."""
    index = machine.root.parent / "index"
    (index / "lib/modules/0.0.0").mkdir(parents=True, exist_ok=True)
    if in_tree:
        (index / f"lib/modules/0.0.0/{in_tree}.ko").write_bytes(module_file(in_tree).content)
    subprocess.run(["depmod", "-b", index, "0.0.0"], check=True, stderr=subprocess.DEVNULL)
    return subprocess.run(["modprobe", "-d", index, "-S", "0.0.0", "-C", machine.live / "run/modprobe.d", *words],
                          capture_output=True, text=True)


@pytest.mark.parametrize("asked, module", [("gamma", "gamma"), ("pci:v000010DEd00002330sv0sd0bc03sc02i00", "alpha")])
def test_modprobe_finds_a_module_of_the_bundle_by_name_and_by_modalias(booted, asked, module):
    done = modprobe(booted, "--show-depends", asked)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"install /run/modulus/bin/modulus load --quiet --module {module} -- $CMDLINE_OPTS"


def test_what_modprobe_would_run_is_what_the_program_takes(booted):
    words = modprobe(booted, "--show-depends", "gamma").stdout.split()[2:]
    assert words[0] == "load" and words[-2:] == ["--", "$CMDLINE_OPTS"]
    assert refused(run(booted, *words[:-1], "a=1", "b=2 3")) == "gamma"


def test_a_device_of_another_vendor_is_not_this_drivers(booted):
    assert modprobe(booted, "--show-depends", "pci:v00001002d00002330sv0sd0bc03sc02i00").returncode != 0


def test_an_operators_blacklist_goes_first(booted):
    (booted.live / "run/modprobe.d/site.conf").write_text("blacklist alpha\n")
    assert modprobe(booted, "-b", "--show-depends", "pci:v000010DEd00002330sv0sd0bc03sc02i00").stdout == ""


def test_so_does_an_operators_own_way_in_a_file_with_an_earlier_name(booted):
    (booted.live / "run/modprobe.d/a-site.conf").write_text("install gamma /bin/own\n")
    (booted.live / "run/modprobe.d/z-site.conf").write_text("install beta /bin/own\n")
    assert modprobe(booted, "--show-depends", "gamma").stdout.strip() == "install /bin/own"
    assert "modulus load" in modprobe(booted, "--show-depends", "beta").stdout


def test_the_line_counts_where_the_kernels_tree_has_a_module_of_that_name_too(booted):
    """As long as the bundle's is not live; what is live is nobody's to load."""
    words = modprobe(booted, "--show-depends", "gamma", in_tree="gamma").stdout
    assert words.startswith("install /run/modulus/bin/modulus load") and words.count("\n") == 1
    (booted.live / "run/modprobe.d/modulus-gpu.conf").unlink()
    assert modprobe(booted, "--show-depends", "gamma").stdout.endswith("/gamma.ko \n")


def test_nothing_is_told_of_a_driver_that_is_not_live(machine):
    machine.ready(recipe().build())
    assert machine.boot().code == KERNEL
    assert not (machine.live / "run/modprobe.d").exists()


# --- load ------------------------------------------------------------------------------------------

def test_what_is_live_is_done(booted):
    done = run(booted, "load", "--module", "alpha", "beta")
    assert (done.returncode, done.stderr) == (DONE, "")


def test_a_module_of_the_bundle_that_was_not_asked_for_at_boot(booted):
    done = run(booted, "load", "gamma")
    assert refused(done) == "gamma"
    assert "gamma: init-failed: gpu: " in done.stderr


def test_the_driver_itself_stands_for_all_that_it_loads(booted):
    (booted.live / "sys/module/beta/initstate").unlink()
    for file in sorted((booted.live / "sys/module/beta").iterdir()):
        file.rmdir() if file.is_dir() else file.unlink()
    (booted.live / "sys/module/beta").rmdir()
    assert refused(run(booted, "load", "gpu")) == "beta"


def test_modules_of_two_builds_are_no_driver(booted):
    """What was fetched since this boot is not mixed with what is live."""
    newer = recipe(serial=8).build()
    booted.usr(newer)
    booted.cache(newer, digest_of(newer))
    assert refused(run(booted, "load", "gamma")) == "gamma"      # boot kept its copy
    for cached in (booted.root / "var/lib/modulus/bundles").rglob(f"*{digest_of(booted.data)}*"):
        cached.unlink()
    done = run(booted, "load", "gamma")
    assert done.returncode == NO_BUNDLE
    assert f"the modules that are live are of {digest_of(booted.data)[:12]}" in done.stderr


def test_a_driver_that_is_live_is_done_whatever_has_come_since(booted):
    before = json.loads(booted.status_file.read_text())
    booted.usr(recipe(serial=8).build(), "newer.tar.zst")
    done = run(booted, "load", "gpu")
    assert (done.returncode, done.stderr) == (DONE, "modulus: gpu: is loaded already\n")
    assert json.loads(booted.status_file.read_text()) == before
    assert run(booted, "load", "--quiet", "gpu").stderr == ""


def test_who_may_be_waited_for_by_the_one_at_work_does_not_wait_for_it(booted):
    """The init of a module asks modprobe for another one, inside of `modulus load`."""
    with open(booted.live / "run/modulus/lock", "w") as handle:
        fcntl.lockf(handle, fcntl.LOCK_EX)
        began = time.monotonic()
        assert refused(run(booted, "load", "--quiet", "--module", "gamma")) == "gamma"
        assert GOES_ON_S <= time.monotonic() - began < GOES_ON_S + 10


def test_where_nothing_ran_in_this_boot_a_driver_is_loaded_all_the_same(machine):
    machine.ready(recipe().build())
    machine.module_is_live("alpha", "beta")
    done = run(machine, "load", "gpu")
    assert done.returncode == DONE, done.stderr
    assert done.stderr.startswith("modulus: gpu: loaded: ")
    assert json.loads(machine.status_file.read_text())["drivers"][0]["reason"] == "loaded"


def test_a_module_alone_is_no_boot(machine):
    """finish would take a status.json for boot's, and leave its work undone."""
    machine.ready(recipe().build())
    machine.module_is_live("alpha")
    assert refused(run(machine, "load", "gamma")) == "gamma"
    assert not machine.status_file.exists()


def test_a_name_that_no_bundle_has(booted):
    done = run(booted, "load", "delta")
    assert done.returncode == NO_BUNDLE
    assert done.stderr == "modulus: delta: no-bundle: no bundle of a configured driver has such a module\n"


def test_a_damaged_bundle_loads_nothing(booted):
    for place in (booted.root / "usr/lib/modulus/bundles", booted.root / "var/lib/modulus/bundles"):
        for path in place.rglob("*.tar.zst"):
            data = bytearray(path.read_bytes())
            data[-1] ^= 1
            path.write_bytes(data)
    done = run(booted, "load", "gamma")
    assert done.returncode == 4 and "corrupt" in done.stderr


def test_switched_off_is_off(booted):
    booted.cmdline("modulus=off")
    done = run(booted, "load", "gamma")
    assert done.returncode == DONE and "disabled" in done.stderr


def test_a_failed_attempt_is_closed(booted):
    run(booted, "load", "gamma")
    trials = list((booted.root / "var/lib/modulus/trials").rglob("*.json"))
    assert all(not json.loads(path.read_text()).get("open") for path in trials)


@pytest.mark.parametrize("words, why", [
    (["load"], "which driver or module?"), (["unload", "--quiet"], "which driver or module?"),
    (["load", "a", "b", "--", "x=1"], "parameters are for one module"), (["unload", "a", "--", "x=1"], "parameters are for one module"),
    (["load", "--frobnicate", "a"], "frobnicate")])
def test_wrong_words(machine, words, why):
    done = run(machine, *words)
    assert done.returncode == USAGE and why in done.stderr


# --- unload ----------------------------------------------------------------------------------------

def test_what_is_in_use_stays_and_its_users_are_named(booted):
    booted.write_live("sys/module/alpha/refcnt", "2\n")
    (booted.live / "sys/module/alpha/holders/delta").mkdir()
    done = run(booted, "unload", "alpha")
    assert done.returncode == SYSTEM and "alpha is in use by delta" in done.stderr
    (booted.live / "sys/module/alpha/holders/delta").rmdir()
    assert "alpha is in use: 2 times by programs or devices" in run(booted, "unload", "alpha").stderr


def test_a_module_that_is_not_there_is_not_removed(booted):
    done = run(booted, "unload", "gamma")
    assert done.returncode == SYSTEM and done.stderr == "modulus: gamma: system-error: not loaded\n"


def test_what_is_not_of_a_bundle_is_none_of_our_business(booted):
    booted.module_is_live("ext4")
    done = run(booted, "unload", "ext4")
    assert done.returncode == SYSTEM
    assert done.stderr == "modulus: ext4: system-error: is no driver's of ours; rmmod(8) takes it out\n"


def test_removing_is_the_kernels_word(booted):
    done = run(booted, "unload", "beta")
    assert done.returncode == SYSTEM and "removing beta: Operation not permitted" in done.stderr


def test_a_driver_of_which_nothing_came_from_a_bundle(booted):
    done = run(booted, "unload", "gpu")      # all was live before
    assert done.returncode == SYSTEM and "nothing of this driver was loaded from a bundle" in done.stderr
