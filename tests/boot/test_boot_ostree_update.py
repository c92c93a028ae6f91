# SPDX-License-Identifier: Apache-2.0
"""An ostree host stages an update with another kernel. It is not finalized before that kernel's bundle is here; then the new
deployment has its GPU before switch-root without any network, and so has the old one when somebody goes back."""

import pytest

from rig.injected import DRIVER

GPU_NODES = ["/dev/dri/card0", "/dev/dri/renderD128"]


@pytest.fixture
def staged(ostree_updated):
    return ostree_updated.staged


def fields(report, what: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in report.text("real-root", what).splitlines() if "=" in line)


def test_a_held_update_is_locked_and_asked_about_again(staged):
    assert staged.section("real-root", "stage").code == 0, staged.text("real-root", "stage")
    for what in ("held", "held-again"):
        assert staged.text("real-root", f"{what}-lock").strip() == "modulus"
        assert fields(staged, f"{what}-unit")["ActiveState"] == "activating"
    said = staged.text("real-root", "held-status")
    assert "  update   held since " in said and f"{DRIVER}: no-bundle" in said
    assert "  lock     /run/ostree/staged-deployment-locked is ours" in said


def test_rpm_ostree_would_not_restart_a_machine_that_is_held(staged):
    """Its check_sd_inhibitor_locks() asks logind for locks against a shutdown in the mode `block`."""
    def ours(what: str) -> list[str]:
        return [line for line in staged.text("real-root", f"{what}-inhibitors").splitlines() if line.startswith("Modulus ")]

    (line,) = ours("held")
    assert " shutdown " in line and line.split()[-1] == "block"
    assert ours("deadline") == [] and len(ours("held-again")) == 1


def test_ostree_does_not_finalize_what_is_held(staged):
    assert "Not finalizing; deployment is locked" in staged.text("real-root", "finalize-journal")
    assert "staged-deployment" in staged.text("real-root", "held-files").split()


def test_the_deadline_opens_the_gate(staged):
    assert staged.section("real-root", "deadline-lock").code != 0, "the lock is gone"
    assert "may go on: Gate= has held for its time" in staged.text("real-root", "deadline-status")
    assert fields(staged, "deadline-unit")["ActiveState"] == "inactive"


def test_the_journal_says_why(staged):
    said = staged.text("real-root", "gate-journal")
    assert "update: held since " in said and "lock: /run/ostree/staged-deployment-locked is ours" in said


def test_the_shutdown_fetches_what_has_come_and_lets_ostree_finalize(ostree_updated):
    new, asked = ostree_updated.new.release, ostree_updated.server.asked
    codes = [code for path, code in asked if path == f"/{new}/{DRIVER}.tar.zst"]
    assert codes[-1] == 200 and set(codes[:-1]) == {404}, codes
    assert asked.index((f"/{new}/{DRIVER}.tar.zst", 200)) > [path for path, _ in asked].index("/publish")
    said = ostree_updated.updated.text("real-root", "shutdown-journal")
    fetched, opened, finalized = (said.index(words) for words in (f"for kernel {new}", "update: may go on", "Finalized deployment"))
    assert fetched < opened < finalized, said


@pytest.mark.parametrize("which, kernel", [("updated", "new"), ("rolled_back", "old")])
def test_both_deployments_have_their_gpu_before_switch_root_from_the_cache_without_a_network(ostree_updated, which, kernel):
    report = getattr(ostree_updated, which)
    assert report.text("real-root", "release").strip() == getattr(ostree_updated, kernel).release
    driver = report.driver("initramfs", DRIVER)
    assert (driver["reason"], driver["source"]) == ("loaded", "cache"), driver
    for where in ("initramfs", "real-root"):
        assert "virtio_gpu" in report.modules(where) and report.nodes(where) == GPU_NODES
    assert "virtio_gpu" not in report.modules("before")
    assert "eth0" not in report.text("initramfs", "network"), "there is no card"


@pytest.mark.parametrize("which", ["staged", "updated", "rolled_back"])
def test_no_unit_failed(ostree_updated, which):
    failed = [line.split()[0] for line in getattr(ostree_updated, which).text("real-root", "failed-units").splitlines() if line]
    assert [unit for unit in failed if "modulus" in unit or "ostree" in unit] == []
