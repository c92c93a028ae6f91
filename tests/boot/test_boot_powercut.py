# SPDX-License-Identifier: Apache-2.0
"""The power fails while a bundle is fetched into the cache at first boot, while the cache is rebuilt, or while the next
kernel's bundle is fetched and then a newer one, and what was not flushed is lost: what bears a bundle's name is whole, what was
reported is there, the next boot brings the GPU, and the next trigger completes the fetch. `make check-powercut` does the same
more often.

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


def test_a_cut_prefetch_leaves_the_old_bundle_or_the_new_one_or_both_and_only_a_whole_one_is_believed(crash_images):
    for cut, found in crash_images.prefetch:
        here = {crash_images.older, crash_images.newer} & set(found.left.good)
        assert found.left.bad == {} and (found.believed in here if here else not found.believed), (crash_images.seed, cut, found)


def test_what_a_prefetch_reported_as_fetched_survives_any_cut_from_then_on(crash_images):
    for name, bundle in (("prefetched", crash_images.older), ("refreshed", crash_images.newer)):
        later = [(cut, found) for cut, found in crash_images.prefetch if cut.after >= crash_images.log.index(Mark(name))]
        assert later, f"no image of the time when it was {name}"
        assert [(cut, found) for cut, found in later if bundle not in found.left.good] == [], f"seed {crash_images.seed}"


def _completed(crash_images, found) -> bool:
    """And the trigger after that knew that there is nothing newer."""
    return (found.fetch.code == found.again.code == 0 and crash_images.newer in found.then.good
            and "has not changed" in found.again.text and "fetched from" not in found.again.text)


def test_the_next_trigger_completes_a_cut_prefetch(crash_images):
    left = [(cut, found) for cut, found in crash_images.prefetch
            if not _completed(crash_images, found) or found.then.bad or any(name.endswith(".part") for name in found.then.others)]
    assert left == [], f"seed {crash_images.seed}"


def test_the_images_are_of_moments_before_during_and_after_both_transfers(crash_images):
    of_next = (crash_images.older, crash_images.newer)
    states = Counter((sum(name in found.left.good for name in of_next), any(name.endswith("zst.part") for name in found.left.others),
                      sum(any(digest in name for digest in found.noted) for name in of_next)) for _, found in crash_images.prefetch)
    assert {(0, True, 0), (1, False, 1), (1, True, 1), (2, False, 1)} <= set(states), f"seed {crash_images.seed}: {states}"


def test_the_images_of_a_prefetch_that_does_not_sync_show_it(crash_images):
    broken = [cut for cut, found in crash_images.prefetch_without_sync
              if {crash_images.older, crash_images.newer} & set(found.left.bad)]
    assert broken, f"seed {crash_images.seed}"


def test_neither_a_broken_bundle_nor_a_note_without_its_bundle_keeps_the_next_trigger_from_completing(crash_images):
    seen = crash_images.prefetch_without_sync
    assert [(cut, found) for cut, found in seen if found.believed and found.believed not in found.left.good] == []
    assert [(cut, found) for cut, found in seen if not _completed(crash_images, found)] == [], f"seed {crash_images.seed}"


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
