# SPDX-License-Identifier: Apache-2.0
"""One guest, many drivers, most of them with a module whose init goes wrong: each is told apart, what the kernel said
is kept, and neither the boot nor the drivers that come after are held up for longer than the faulty one's budget."""

import re

import pytest

from rig import places
from rig.scenarios import DRIVER, FAULTS, HANGS, HELLO

SECOND = 1_000_000
LATE_US = 2 * SECOND            # how much a busy host may add to a deadline
DEFAULT_BUDGET_US = 60 * SECOND
TAINT_DIED = 1 << 7             # admin-guide/tainted-kernels: D
SLOW_US = 2 * SECOND

# driver -> reason, what the text says, what the kernel said
OUTCOMES = {
    "fault-einval": ("init-failed", "fault_einval: Invalid argument", "fault_einval: this parameter makes no sense"),
    "fault-enodev": ("no-device", "fault_enodev found no device", "fault_enodev: this device is not supported"),
    "fault-killable": ("init-hung", "fault_killable was still in its init", "fault_killable: waiting"),
    "fault-oops": ("init-failed", "fault_oops: the process that inserted it was killed",
                   "BUG: kernel NULL pointer dereference"),
    "fault-stuck": ("init-hung", "fault_stuck was still in its init", "fault_stuck: waiting for ever"),
    "fault-symbol": ("init-failed", "fault_symbol needs a symbol that is not there",
                     "fault_symbol: Unknown symbol fault_no_such_symbol"),
}
LOADED = ("fault-slow", HELLO, DRIVER)


def test_the_guest_tried_every_one_of_them(faulty):
    names = [driver["name"] for driver in faulty.boot.status("initramfs")["drivers"]]
    assert set(names) == {*OUTCOMES, *LOADED} == {*FAULTS, HELLO, DRIVER}
    assert names[-2:] == [HELLO, DRIVER], "the sound ones are the last"


@pytest.mark.parametrize("name", OUTCOMES)
def test_the_reason_names_what_happened_and_the_module(faulty, name):
    reason, text, _ = OUTCOMES[name]
    driver = faulty.boot.driver("initramfs", name)
    assert driver["reason"] == reason, driver["text"]
    assert text in driver["text"]
    assert driver["modules"] == []


@pytest.mark.parametrize("name", OUTCOMES)
def test_what_the_kernel_said_is_in_the_report(faulty, name):
    lines = faulty.boot.driver("initramfs", name)["kernel_log"]
    assert any(OUTCOMES[name][2] in line for line in lines), lines
    others = {module for driver, module in FAULTS.items() if driver != name}
    assert not [line for line in lines if line.split(":")[0] in others], "words about another driver's module"


def test_the_report_of_an_oops_names_the_function(faulty):
    assert any("fault_init" in line and "[fault_oops]" in line
               for line in faulty.boot.driver("initramfs", "fault-oops")["kernel_log"])
    assert faulty.boot.status("initramfs")["taint"]["after"] & TAINT_DIED


@pytest.mark.parametrize("name", HANGS)
def test_a_hanging_init_costs_its_budget_and_no_more(faulty, name):
    driver = faulty.boot.driver("initramfs", name)
    assert "Budget=" in driver["text"]
    assert HANGS[name] * SECOND <= driver["us"] < HANGS[name] * SECOND + LATE_US


@pytest.mark.parametrize("name", sorted(set(OUTCOMES) - set(HANGS)))
def test_a_failing_init_costs_next_to_nothing(faulty, name):
    assert faulty.boot.driver("initramfs", name)["us"] < min(HANGS.values()) * SECOND


def test_a_slow_init_is_waited_for(faulty):
    driver = faulty.boot.driver("initramfs", "fault-slow")
    assert driver["reason"] == "loaded", driver["text"]
    ((name, us),) = [(module["name"], module["us"]) for module in driver["modules"]]
    assert name == "fault_slow" and SLOW_US <= us < DEFAULT_BUDGET_US
    assert "fault_slow" in faulty.boot.modules("initramfs")


@pytest.mark.parametrize("name, module", [(HELLO, "hello_gpu"), (DRIVER, "virtio_gpu")])
def test_the_drivers_after_the_faults_are_loaded(faulty, name, module):
    driver = faulty.boot.driver("initramfs", name)
    assert driver["reason"] == "loaded", driver["text"]
    assert module in faulty.boot.modules("initramfs") and module in faulty.boot.modules("real-root")


def test_the_gpu_is_there_before_switch_root(faulty):
    assert faulty.boot.nodes("initramfs") == ["/dev/dri/card0", "/dev/dri/renderD128"]


def test_a_bundle_without_a_build_id_that_fits_is_loaded(faulty):
    driver = faulty.boot.driver("initramfs", HELLO)
    assert [(module["name"], module["from"]) for module in driver["modules"]] == [("hello_gpu", "bundle")]
    assert faulty.boot.kernel_log("hello_gpu: hello")


def test_a_killed_init_leaves_no_module_behind(faulty):
    assert "fault_killable" not in faulty.boot.modules("initramfs")
    assert "fault_stuck" in faulty.boot.modules("real-root"), "one that cannot be killed would be seen"


def test_the_boot_goes_on_in_bounded_time(faulty):
    status = faulty.boot.status("initramfs")
    assert status["finished_us"] - status["started_us"] < sum(HANGS.values()) * SECOND + DEFAULT_BUDGET_US
    assert faulty.boot.uptime("real-root") * SECOND < status["finished_us"] + DEFAULT_BUDGET_US
    assert "modulus.service: State" not in faulty.boot.console, "systemd waited for what cannot be killed"
    assert faulty.boot.ended


def test_the_units_own_clock_was_moved_along(faulty):
    unit = (places.DRACUT_MODULE / "modulus.service").read_text()
    (limit_s,) = re.findall(r"^TimeoutStartSec=(\d+)$", unit, flags=re.M)
    status = faulty.boot.status("initramfs")
    assert status["finished_us"] - status["started_us"] > int(limit_s) * SECOND


def test_each_fault_is_one_line_in_the_journal(faulty):
    for name, (reason, _, _) in OUTCOMES.items():
        lines = [line for line in faulty.boot.console.splitlines() if f" {name}: {reason}:" in line]
        assert len(lines) == 1, (name, lines)


def test_status_exits_with_the_code_of_a_kernel_that_said_no(faulty):
    assert faulty.boot.section("real-root", "status-text").code == 5
