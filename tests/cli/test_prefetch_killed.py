# SPDX-License-Identifier: Apache-2.0
"""`modulus fetch --next --refresh` over a network, ended by SIGKILL at any instant: what was there stays, nothing that is half
here is believed, nothing that is missing is taken for fetched, and the next one completes."""
import dataclasses
import random
import shutil
import subprocess
from pathlib import Path

from badserver import BadServer
from bundlemaker import File, cut_at, module_file
from cachemachine import NEXT, RELEASE, CacheMachine, place_of, recipe
from netmachine import plain_environment
from program import DONE, MODULUS
from test_rebuild import instants
from test_refresh import Files
from tracing import needs_strace

CUTS = 40
CHUNK = 64 << 10
FETCH = ("fetch", "--next", "--refresh")


def several_chunks(serial: int) -> bytes:
    """Read from the network and written one after another."""
    first = module_file("alpha", NEXT)
    tail = random.Random(serial).randbytes(6 * CHUNK)
    made = recipe(NEXT, serial=serial)
    return dataclasses.replace(made, files=(File(first.path, first.content + tail), *made.files[1:]), cut=cut_at(CHUNK)).build()


OLD, NEW = several_chunks(1), several_chunks(2)


@needs_strace
def test_killed_at_any_call_nothing_is_lost_and_the_next_one_completes(tmp_path):
    with BadServer() as server:
        url = server.serve("/gpu", Files(OLD, '"one"'))
        before = CacheMachine(tmp_path / "before", Source=f"From=cache:\n {url}")
        before.installed(RELEASE, NEXT)
        assert before.command(*FETCH).returncode == DONE and list(before.good()) == [place_of(OLD, NEXT)]
        server.serve("/gpu", Files(NEW, '"two"'))

        def prepared(name: str) -> CacheMachine:
            """The older bundle was fetched, and is known by its tag."""
            folder = Path(shutil.copytree(tmp_path / "before", tmp_path / name, symlinks=True))
            host = CacheMachine.__new__(CacheMachine)
            host.root, host.live = folder / "root", folder / "live"
            return host

        counting = prepared("counting")
        calls = instants([MODULUS, *FETCH, *counting.roots], tmp_path / "log", counting.root / "var/lib/modulus")
        assert len(calls) >= CUTS and {"write", "fsync", "renameat"} <= {call for call, _ in calls}
        states = set()
        for cut in range(CUTS):
            host = prepared(str(cut))
            call, number = calls[cut * (len(calls) - 1) // (CUTS - 1)]
            killed = subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                                     f"inject={call}:signal=KILL:when={number}", MODULUS, *FETCH, *host.roots],
                                    capture_output=True, env=plain_environment())
            assert killed.returncode == -9, (call, number, killed)
            left = set(host.good())
            assert place_of(OLD, NEXT) in left <= {place_of(OLD, NEXT), place_of(NEW, NEXT)}, (call, number)
            states.add((len(left), any(place.endswith(".part") for place in host.cached)))
            done = host.command(*FETCH)
            assert done.returncode == DONE, (call, number, done.stderr)
            assert set(host.good()) == {place_of(OLD, NEXT), place_of(NEW, NEXT)}, (call, number)
            assert not [place for place in host.cached if place.endswith(".part")]
            shutil.rmtree(host.root.parent)
        assert {(1, False), (1, True), (2, False)} <= states, "no cut was before, in, or after the transfer"
        # what was completed is known by its tag: a third one costs one small answer
        assert "has not changed" in counting.command(*FETCH).stderr
