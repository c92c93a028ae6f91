# SPDX-License-Identifier: Apache-2.0
"""Which bundle is taken when there are several, and what is said about the others."""
import pytest

import elf
from bundlemaker import (MODULES, OTHER_KEY, RELEASE, TEST_KEY, UNKNOWN_KEY, File, Recipe, digest_of, modules, signed_by,
                         spoil)
from program import DONE, KERNEL, NO_BUNDLE, UNTRUSTED, modulus

PLACE = "usr:/usr/lib/modulus/bundles"


def bundle(serial: int = 1, **fields) -> bytes:
    return modules(fields={"serial": serial, **fields}).build()


@pytest.fixture
def live(machine):
    """A machine whose kernel has the modules already, so that every good bundle ends in "loaded"."""
    machine.ready()
    machine.module_is_live("alpha", "beta")
    return machine


def chosen(machine) -> dict:
    done = machine.boot()
    assert done.code == DONE and done.driver["reason"] == "loaded", done.lines
    return done.driver


# --- the best --------------------------------------------------------------------------------------

def test_the_highest_serial_wins_whatever_the_files_are_called(live):
    for name, serial in (("a", 1), ("b", 10), ("c", 9)):
        live.usr(bundle(serial), f"{name}.tar.zst")
    driver = chosen(live)
    assert (driver["serial"], driver["origin"]) == (10, f"{PLACE}/{RELEASE}/b.tar.zst")
    assert driver["rejected"] == []


def test_serials_are_numbers_of_63_bits(live):
    for name, serial in (("a", 2**32), ("b", 2**63 - 1), ("c", 2**63 - 2)):
        live.usr(bundle(serial), f"{name}.tar.zst")
    assert chosen(live)["serial"] == 2**63 - 1


def test_a_pin_wins_over_every_serial(live):
    old = bundle(1)
    live.usr(old, "old.tar.zst")
    live.usr(bundle(9), "new.tar.zst")
    for value in (digest_of(old), "sha256:" + digest_of(old)):
        live.driver(Trust=f"Digest={value}")
        driver = chosen(live)
        assert driver["digest"] == digest_of(old)
        assert [entry["reason"] for entry in driver["rejected"]] == ["stale"]


def test_a_pin_wins_over_the_least_serial_and_over_equivocation(live):
    one, other = bundle(1, created=1), bundle(1, created=2)
    live.usr(one, "one.tar.zst")
    live.usr(other, "other.tar.zst")
    live.driver(Trust=f"Digest={digest_of(other)}\nMinSerial=5")
    assert chosen(live)["digest"] == digest_of(other)


def test_the_same_bundle_in_two_places_is_no_contradiction_and_the_first_source_counts(live):
    data = bundle()
    live.usr(data)
    live.cache(data, digest_of(data))
    assert chosen(live)["source"] == "cache"
    live.driver(Source="From=usr:\nFrom=cache:")
    assert chosen(live)["source"] == "usr"
    live.driver(Source="From=usr: cache:")
    assert chosen(live)["source"] == "usr"


def test_a_higher_serial_wins_over_the_order_of_sources(live):
    old, new = bundle(1), bundle(2)
    live.cache(old, digest_of(old))
    live.usr(new)
    driver = chosen(live)
    assert (driver["source"], driver["serial"]) == ("usr", 2)


def test_a_source_on_the_command_line_goes_first(live):
    data = bundle()
    live.usr(data)
    live.cache(data, digest_of(data))
    live.driver(Source="From=cache:")
    live.cmdline("ro modulus.from=usr:")
    assert chosen(live)["source"] == "usr"


def test_bundles_for_any_kernel_directory_are_looked_at_as_well(live):
    live.usr(bundle(1), folder="any")
    assert chosen(live)["origin"] == f"{PLACE}/any/gpu.tar.zst"
    live.usr(bundle(2))
    assert chosen(live)["origin"] == f"{PLACE}/{RELEASE}/gpu.tar.zst"


def test_bundles_of_other_releases_are_not_even_opened(live):
    live.usr(b"rubbish", folder="6.1.0-98-test")
    live.usr(bundle())
    assert chosen(live)["rejected"] == []


def test_a_link_inside_the_directory_is_followed_one_out_of_it_is_not(live):
    live.driver(Source="From=usr:")
    data = bundle()
    live.usr(data, folder="store")
    place = live.root / "usr/lib/modulus/bundles" / RELEASE
    place.mkdir()
    (place / "gpu.tar.zst").symlink_to("../store/gpu.tar.zst")
    assert chosen(live)["digest"] == digest_of(data)
    (place / "gpu.tar.zst").unlink()
    live.write_root("elsewhere.tar.zst", data)
    for target in ("../../../../../elsewhere.tar.zst", "/elsewhere.tar.zst", str(live.root / "elsewhere.tar.zst")):
        (place / "gpu.tar.zst").symlink_to(target)
        done = live.boot()
        assert done.code != DONE and done.driver["modules"] == []
        (place / "gpu.tar.zst").unlink()


# --- equivocation ----------------------------------------------------------------------------------

def test_only_the_best_serial_must_be_unique(live):
    for name, data in (("a", bundle(1, created=1)), ("b", bundle(1, created=2)), ("c", bundle(2))):
        live.usr(data, f"{name}.tar.zst")
    assert chosen(live)["serial"] == 2


def test_equivocation_across_sources(live):
    one, other = bundle(1, created=1), bundle(1, created=2)
    live.cache(one, digest_of(one))
    live.usr(other)
    done = live.boot()
    assert done.code == UNTRUSTED and done.driver["reason"] == "equivocation"


def test_a_second_signature_makes_no_second_bundle(live):
    recipe = modules()
    live.usr(recipe.build(), "a.tar.zst")
    live.usr(recipe.but(sign=signed_by(OTHER_KEY, TEST_KEY)).build(), "b.tar.zst")
    assert chosen(live)["serial"] == 1


# --- bad ones among good ones ----------------------------------------------------------------------

def test_what_was_refused_is_listed_with_the_reason_and_the_good_one_is_taken(live):
    good = bundle(5)
    live.usr(good, "good.tar.zst")
    live.usr(modules(fields={"serial": 9}, sign=signed_by(UNKNOWN_KEY)).build(), "a-unknown.tar.zst")
    live.usr(bundle(9, version="2.0"), "b-version.tar.zst")
    live.usr(b"rubbish", "c-rubbish.tar.zst")
    live.usr(modules(fields={"serial": 9}, edit=lambda m: m["kernel"].update(machine="vax")).build(), "d-machine.tar.zst")
    live.driver(Trust="MinSerial=2")
    live.usr(bundle(1), "e-stale.tar.zst")
    driver = chosen(live)
    assert driver["digest"] == digest_of(good)
    assert {entry["origin"].rpartition("/")[2]: entry["reason"] for entry in driver["rejected"]} == {
        "a-unknown.tar.zst": "untrusted", "b-version.tar.zst": "no-bundle", "c-rubbish.tar.zst": "corrupt",
        "d-machine.tar.zst": "wrong-kernel", "e-stale.tar.zst": "stale"}
    assert all(entry["text"] for entry in driver["rejected"])
    shown = live.status().stdout
    for name in ("a-unknown", "b-version", "c-rubbish", "d-machine", "e-stale"):
        assert f"refused  {PLACE}/{RELEASE}/{name}.tar.zst: " in shown


def test_when_the_payload_turns_out_bad_the_next_best_is_taken(live):
    good, bad = bundle(1), bundle(9)
    live.usr(good, "good.tar.zst")
    live.usr(spoil(bad, len(bad) - 30, b"\0\0\0\0"), "bad.tar.zst")
    driver = chosen(live)
    assert driver["digest"] == digest_of(good) and driver["serial"] == 1
    assert [(entry["reason"], entry["origin"]) for entry in driver["rejected"]] == [
        ("corrupt", f"{PLACE}/{RELEASE}/bad.tar.zst")]
    assert live.cached == [f"{RELEASE}/gpu-modules-{digest_of(good)}.tar.zst"]


def test_when_a_module_is_for_another_kernel_the_next_best_is_taken(live):
    good = bundle(1)
    odd = Recipe(files=(File(MODULES + "alpha.ko", elf.module("alpha", "6.1.0-98-test")),), fields={"serial": 9}).build()
    live.usr(good, "good.tar.zst")
    live.usr(odd, "odd.tar.zst")
    driver = chosen(live)
    assert driver["serial"] == 1 and [entry["reason"] for entry in driver["rejected"]] == ["wrong-kernel"]
    assert live.cached == [f"{RELEASE}/gpu-modules-{digest_of(good)}.tar.zst"]


def test_after_a_module_was_tried_no_other_bundle_is(machine):
    machine.ready(bundle(1), bundle(2))
    done = machine.boot()
    assert done.code == KERNEL and done.driver["reason"] == "init-failed" and done.driver["serial"] == 2
    assert done.driver["rejected"] == []


@pytest.mark.parametrize("kinds,reason", [
    (["version", "kernel"], "wrong-kernel"), (["kernel", "stale"], "stale"), (["stale", "corrupt"], "corrupt"),
    (["corrupt", "untrusted"], "untrusted"), (["version", "kernel", "stale", "corrupt", "untrusted"], "untrusted"),
    (["version"], "no-bundle"),
])
def test_of_several_refusals_the_one_that_nearly_fitted_is_told(machine, kinds, reason):
    made = {
        "version": bundle(version="2.0"), "stale": bundle(0), "corrupt": b"rubbish",
        "kernel": modules(edit=lambda m: m["kernel"].update(machine="vax")).build(),
        "untrusted": modules(sign=signed_by(UNKNOWN_KEY)).build(),
    }
    machine.ready(*(made[kind] for kind in kinds))
    machine.driver(Trust="MinSerial=1")
    done = machine.boot()
    assert done.driver["reason"] == reason and len(done.lines) == 1
    assert len(done.driver["rejected"]) == len(kinds)
    assert done.code == (UNTRUSTED if reason in ("corrupt", "untrusted") else NO_BUNDLE)


# --- serials that were in use ----------------------------------------------------------------------

def test_a_bundle_that_was_blessed_is_not_replaced_by_an_older_one(live):
    live.usr(bundle(5))
    assert chosen(live)["serial"] == 5
    assert modulus("bless", *live.roots).returncode == DONE
    for path in live.root.glob("var/lib/modulus/bundles/*/*"):
        path.unlink()
    live.usr(bundle(4))
    done = live.boot()
    assert done.code == NO_BUNDLE and done.driver["reason"] == "stale"
    assert "has serial 4; serial 5 was in use here" in done.driver["text"]
    # the operator's pin wins
    live.driver(Trust=f"Digest={digest_of(bundle(4))}")
    assert chosen(live)["serial"] == 4


def test_another_bundle_with_the_serial_that_was_blessed_is_refused(live):
    live.usr(bundle(5))
    chosen(live)
    modulus("bless", *live.roots)
    for path in live.root.glob("var/lib/modulus/bundles/*/*"):
        path.unlink()
    live.usr(bundle(5, created=77))
    done = live.boot()
    assert done.code == UNTRUSTED and done.driver["reason"] == "equivocation"


def test_what_was_never_blessed_is_not_remembered(live):
    live.usr(bundle(5))
    chosen(live)
    for path in live.root.glob("var/lib/modulus/bundles/*/*"):
        path.unlink()
    live.usr(bundle(4))
    assert chosen(live)["serial"] == 4


def test_a_failed_driver_is_not_blessed(machine):
    machine.ready(bundle(5))
    assert machine.boot().driver["reason"] == "init-failed"
    assert modulus("bless", *machine.roots).returncode == DONE
    assert not list(machine.root.glob("var/lib/modulus/serials/*/*"))


def test_a_lower_version_or_another_kernel_build_finds_its_bundle(live):
    live.usr(bundle(5))
    chosen(live)
    modulus("bless", *live.roots)
    live.usr(bundle(1, version="0.9"), "older.tar.zst")
    live.driver(text="[Driver]\nVersion=0.9\nMatch=pci:*\n")
    assert chosen(live)["serial"] == 1
    live.driver()
    live.usr(bundle(4))
    for path in live.root.glob("var/lib/modulus/bundles/*/*"):
        path.unlink()
    live.build_id("ee" * 20)
    assert chosen(live)["serial"] == 4


@pytest.mark.parametrize("content", ["", "rubbish", "[]", '{"serial": "x"}', '{"serial": -1}', "x" * 10000])
def test_a_mark_that_cannot_be_read_is_none(live, content):
    live.write_root(f"var/lib/modulus/serials/{RELEASE}/gpu-modules-.json", content)
    live.usr(bundle(1))
    assert chosen(live)["serial"] == 1
