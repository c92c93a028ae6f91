# SPDX-License-Identifier: Apache-2.0
"""boot and fetch at the same time: one waits for the other, says so, and does not wait for ever."""
import fcntl
import os
import subprocess
import threading

import pytest

from badserver import BadServer, part
from netmachine import GOOD, NetMachine, noisy, plain_environment
from program import DONE, MODULUS

BIG = noisy()
BOOT_WAITS_S = 10  # stage/limit.h


class Gate:
    """An answer that stops after some bytes, until it is opened."""

    def __init__(self, data: bytes, before: int):
        self.reached, self.opened, self.data, self.before = threading.Event(), threading.Event(), data, before

    def __call__(self, to) -> None:
        to.head(Content_Length=len(self.data))
        to.send(self.data[:self.before])
        self.reached.set()
        self.opened.wait(60)
        to.send(self.data[self.before:])


def begin(machine: NetMachine, command: str) -> subprocess.Popen:
    return subprocess.Popen([MODULUS, command, *machine.roots], stderr=subprocess.PIPE, text=True, env=plain_environment())


@pytest.mark.parametrize("second", ["fetch", "boot"])
def test_the_second_waits_says_for_whom_and_finds_what_the_first_brought(tmp_path, second):
    gate = Gate(BIG, 200_000)
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.serve("/x", gate))
        first = begin(machine, "fetch")
        assert gate.reached.wait(20)
        other = begin(machine, second)
        assert other.stderr.readline() == f"modulus: waiting for another modulus that is at work (process {first.pid})\n"
        gate.opened.set()
        rest = other.communicate(timeout=20)[1]
        assert first.communicate(timeout=20) is not None and first.returncode == DONE
        assert other.returncode == DONE and "cache:/var/lib/modulus/bundles" in rest, rest
        assert len(server.requests) == 1 and machine.in_cache == [BIG]


def hold(machine: NetMachine):
    """The lock, as a process of modulus that never ends would hold it."""
    path = machine.live / "run/modulus/lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = open(path, "w")
    fcntl.lockf(handle, fcntl.LOCK_EX)
    return handle


def test_a_boot_goes_on_beside_one_that_does_not_end(tmp_path):
    machine = NetMachine(tmp_path)
    machine.usr(GOOD)
    machine.sources("usr:")
    with hold(machine):
        done = machine.run("boot")
    assert done.code == DONE and BOOT_WAITS_S <= done.seconds < BOOT_WAITS_S + 5, done
    assert done.lines[:2] == [f"waiting for another modulus that is at work (process {os.getpid()})",
                              f"another modulus is at work (process {os.getpid()}) and was not done in {BOOT_WAITS_S} s"]


def test_who_dies_gives_the_lock_up(tmp_path):
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.serve("/x", part(GOOD, 100, lambda to: to.wait())))
        gone = machine.run("fetch", "/usr/bin/timeout", "-s", "KILL", "1")
        assert gone.code != DONE
        server.serve("/x", part(GOOD, len(GOOD)))
        done = machine.run()
        assert done.code == DONE and not [line for line in done.lines if "waiting" in line], done
