# SPDX-License-Identifier: Apache-2.0
"""`modulus fetch --every DURATION`: what a container runs that keeps a node's cache filled."""
import os
import shutil
import signal
import subprocess
import time

import pytest

from bundlemaker import modules
from netmachine import plain_environment
from program import MODULUS, USAGE, modulus


@pytest.fixture
def empty(machine):
    """A driver and a key, and no bundle yet."""
    machine.driver()
    machine.key()
    return machine


def wait_for(what, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def test_a_bundle_that_comes_later_is_fetched_and_a_failure_is_no_end(empty, tmp_path):
    log = tmp_path / "log"
    with log.open("w") as said, subprocess.Popen([MODULUS, "fetch", *empty.roots, "--every", "50ms"], stderr=said,
                                                 env=plain_environment()) as program:
        try:
            wait_for(lambda: log.read_text().count("gpu: no-bundle: ") >= 2)
            assert empty.cached == []
            empty.usr(modules().build())
            wait_for(lambda: any(name.endswith(".tar.zst") for name in empty.cached))
            assert program.poll() is None
            program.terminate()
            assert program.wait(timeout=10) == 0
        finally:
            program.kill()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_asked_to_as_the_first_process_of_a_container_too(empty, sent):
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("namespaces are not allowed here")
    read, write = os.pipe()
    command = ["unshare", "--pid", "--fork", "--kill-child", str(MODULUS), "fetch", *empty.roots, "--every", "60min"]
    with subprocess.Popen(command, stderr=write, env=plain_environment()) as outside:
        os.close(write)
        try:
            with open(read) as said:
                assert "no-bundle" in said.readline()
            time.sleep(0.1)
            (inside,) = open(f"/proc/{outside.pid}/task/{outside.pid}/children").read().split()
            os.kill(int(inside), sent)
            assert outside.wait(timeout=10) == 0
        finally:
            outside.kill()


@pytest.mark.parametrize("duration", ["", "0", "soon", "1441min", "-1"])
def test_what_is_no_duration_is_refused(duration):
    assert modulus("fetch", "--every", duration).returncode == USAGE
