# SPDX-License-Identifier: Apache-2.0
"""Boots the machines that the chosen tests ask for, two at a time, in the background.

A test names a machine (a function of rig/scenarios.py or another with an ALL) as its argument and gets what its guests
said. All machines that any chosen test needs are started when collection ends, so that one boots while another's tests run.
"""

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from rig import (faultboots, guest, injected, mimic, nvidia, ostreeupdate, packaged, places, powercut, scenarios, updates,
                 verity)
from rig.machines import Workshop

GUESTS_AT_ONCE = int(os.environ.get("MODULUS_GUESTS") or min(2, os.cpu_count() or 1))

# the longest first
MACHINES = (powercut.ALL | nvidia.ALL | ostreeupdate.ALL | packaged.ALL | updates.ALL | mimic.ALL | injected.ALL
            | scenarios.ALL | verity.ALL | faultboots.ALL)

_pool = ThreadPoolExecutor(GUESTS_AT_ONCE, thread_name_prefix="guest")
_boots: dict[str, Future] = {}
_said: list[str] = []
_workshop_lock = threading.Lock()
_workshop: list[Workshop] = []


def the_workshop() -> Workshop:
    """One workshop for the whole session; made on first use, in whichever thread that is."""
    with _workshop_lock:
        if not _workshop:
            _workshop.append(Workshop(places.WORK / "tests", _said.append))
        return _workshop[0]


def _boot(name: str) -> Future:
    """The machine of that name, started if nobody has."""
    if name not in _boots:
        _boots[name] = _pool.submit(lambda: MACHINES[name](the_workshop()))
    return _boots[name]


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly:
        return
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    for name in MACHINES:
        if name in wanted:
            _boot(name)


def pytest_terminal_summary(terminalreporter) -> None:
    if _said:
        terminalreporter.write_line(f"boot tests: logs of every guest are in {places.WORK / 'tests'}")
    for line in _said:
        terminalreporter.write_line(f"  {line}")


def pytest_unconfigure() -> None:
    for boot in _boots.values():
        boot.cancel()
    guest.end_all()
    _pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def workshop() -> Workshop:
    return the_workshop()


def _machine(name: str):
    @pytest.fixture(scope="session", name=name)
    def booted():
        return _boot(name).result()
    return booted


globals().update({f"machine_{name}": _machine(name) for name in MACHINES})
