# SPDX-License-Identifier: Apache-2.0
"""The power fails while a bundle is fetched into the cache at first boot, or while the cache is rebuilt, and what was not
flushed is lost: what bears a bundle's name is whole, what was reported is there, and the next boot brings the GPU. `make
check-powercut` does the same more often.

MODULUS_SEED=... repeats a run; the seed is in the summary and in what a failing test says.
"""

from collections import Counter

from rig.blocklog import BLOCK, Mark, Write
from rig.powercut import DRIVER


def _bad(seen) -> list:
    return [(cut, found.bad) for cut, found in seen if found.bad]


def test_whatever_part_of_the_unflushed_writes_is_lost_no_broken_bundle_is_in_the_cache(crash_images):
    assert _bad(crash_images.seen) == [], f"seed {crash_images.seed}"


def test_what_the_report_calls_cached_survives_any_cut_from_then_on_rebuild_or_not(crash_images):
    booted, rebuilt = (crash_images.log.index(Mark(name)) for name in ("booted", "rebuilt"))
    assert [entry for entry in crash_images.log[booted:rebuilt] if isinstance(entry, Write) and len(entry.data) > BLOCK], \
        "the rebuild wrote nothing"
    later = [(cut, found) for cut, found in crash_images.seen if cut.after >= booted]
    assert later, "no image of that time"
    assert [(cut, found) for cut, found in later if len(found.good) != 1] == [], f"seed {crash_images.seed}"


def test_the_images_are_of_moments_before_during_and_after_the_copy(crash_images):
    states = Counter("whole" if found.good else "part" if any(name.endswith(".part") for name in found.others) else "none"
                     for _, found in crash_images.seen)
    assert set(states) == {"none", "part", "whole"}, f"seed {crash_images.seed}: {states}"


def test_these_images_show_a_program_that_does_not_sync(crash_images):
    broken = [bad for _, bad in _bad(crash_images.without_sync) if any(name.startswith(DRIVER) for name in bad)]
    assert broken, f"seed {crash_images.seed}"


def test_after_a_cut_the_cache_holds_the_whole_bundle_or_none(power_cuts):
    assert [(one.operations, one.left.bad) for one in power_cuts.survived if one.left.bad] == [], f"seed {power_cuts.seed}"


def test_most_cuts_found_the_machine_at_work(power_cuts):
    assert sum(one.cut for one in power_cuts.survived) > len(power_cuts.survived) / 2, f"seed {power_cuts.seed}"


def test_the_boot_after_a_cut_brings_the_gpu(power_cuts):
    for one in power_cuts.survived:
        driver = one.boot.driver("real-root", DRIVER)
        assert driver["reason"] == "loaded", (power_cuts.seed, one.operations, driver)
        assert driver["source"] == ("cache" if one.left.good else "http"), (power_cuts.seed, one.operations, driver)
        assert one.boot.nodes("real-root") == ["/dev/dri/card0", "/dev/dri/renderD128"]


def test_the_boot_after_a_cut_leaves_the_bundle_in_the_cache(power_cuts):
    for one in power_cuts.survived:
        assert (one.then.bad, len(one.then.good)) == ({}, 1), (power_cuts.seed, one.operations)
