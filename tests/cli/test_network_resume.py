# SPDX-License-Identifier: Apache-2.0
"""A transfer that broke goes on where it broke: in the next source, the next command, the next boot. What is on the disk from
before is hashed like everything else."""
import os
import signal
import subprocess
import time

import pytest

from badserver import BadServer, good, part, stall
from netmachine import NetMachine, noisy, plain_environment
from ocilayout import BUNDLE, Image, digest
from program import DONE, MODULUS, NETWORK

BIG = noisy(3_000_000)    # 12 chunks
OTHER = noisy(3_000_001)
CUT = 2_000_000           # where the connection ends
CHUNK = 256 << 10         # what is in the cache then is whole chunks: at most this much less
SLACK = 2 * CHUNK + 65536 # a chunk, what a reader may be ahead, headers


def parts(machine: NetMachine) -> list:
    return sorted((machine.root / "var/lib/modulus/bundles").rglob("*.part"))


def killed_in_the_middle(machine: NetMachine, command: str = "fetch") -> None:
    """The sources stall; the client is killed once it has written what it got."""
    with subprocess.Popen([MODULUS, command, *machine.roots], stderr=subprocess.DEVNULL, env=plain_environment()) as client:
        deadline = time.monotonic() + 30
        while not (parts(machine) and parts(machine)[0].stat().st_size > CUT - CHUNK - 65536):
            assert time.monotonic() < deadline and client.poll() is None
            time.sleep(0.02)
        client.send_signal(signal.SIGKILL)
    assert client.returncode == -signal.SIGKILL and len(parts(machine)) == 1


def goes_on(requests) -> int:
    """The last two requests are for the header and for the rest; returns where the rest begins."""
    first, second = requests[-2:]
    assert "range" not in first.headers and second.headers["if-range"] == '"one"'
    return int(second.headers["range"].removeprefix("bytes=").removesuffix("-"))


@pytest.fixture
def broken(tmp_path):
    """A machine whose client was killed in the middle of BIG, and the server."""
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.serve("/x", part(BIG, CUT, stall)))
        killed_in_the_middle(machine)
        yield machine, server


@pytest.mark.parametrize("command", ["fetch", "boot"])
def test_after_kill_9_the_next_one_goes_on(broken, command):
    machine, server = broken
    server.serve("/x", good(BIG))
    done = machine.run(command)
    assert done.code == DONE and machine.in_cache == [BIG], done
    assert CUT - CHUNK - 65536 < goes_on(server.requests) <= CUT
    assert server.requests[-1].sent <= len(BIG) - CUT + SLACK


def test_the_servers_file_has_changed_meanwhile(broken):
    machine, server = broken
    server.serve("/x", good(OTHER, etag='"two"'))
    assert machine.run().code == DONE
    assert machine.in_cache == [OTHER]  # and nothing of the other one
    assert "range" not in server.requests[-1].headers


def test_the_servers_file_changes_between_the_header_and_the_rest(broken):
    machine, server = broken
    server.serve("/x", good(BIG), good(OTHER, etag='"two"'), good(BIG))
    done = machine.run()
    assert done.code == NETWORK and "changed while it was read" in done.lines[-1], done
    assert machine.run().code == DONE and machine.in_cache == [BIG]


@pytest.mark.parametrize("where", [0, 100, 1_000_000, -1], ids=["header", "first chunk", "in the middle", "end"])
def test_what_is_on_the_disk_is_not_believed(broken, where):
    machine, server = broken
    (left,) = parts(machine)
    data = bytearray(left.read_bytes())
    data[where] ^= 1
    left.write_bytes(data)
    server.serve("/x", good(BIG))
    assert machine.run().code == DONE and machine.in_cache == [BIG]


@pytest.mark.parametrize("content", [b"", b"\0" * 4_000_000, BIG, BIG + b"more"], ids=["empty", "zeros", "whole", "longer"])
def test_whatever_is_on_the_disk(broken, content):
    machine, server = broken
    parts(machine)[0].write_bytes(content)
    server.serve("/x", good(BIG))
    assert machine.run().code == DONE and machine.in_cache == [BIG]


def test_a_pipe_is_on_the_disk(broken):
    machine, server = broken
    (left,) = parts(machine)
    left.unlink()
    os.mkfifo(left)
    server.serve("/x", good(BIG))
    done = machine.run()
    assert done.code != DONE and done.seconds < 5, done


def test_without_a_validator_everything_is_read_again(broken):
    machine, server = broken
    server.serve("/x", good(BIG, etag=None))
    assert machine.run().code == DONE and machine.in_cache == [BIG]
    assert "range" not in server.requests[-1].headers


def test_the_next_source_goes_on(tmp_path):
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.serve("/x", part(BIG, CUT), part(BIG, 0)), server.serve("/good", good(BIG)))
        assert machine.run().code == DONE and machine.in_cache == [BIG]
        assert CUT - CHUNK - 65536 < goes_on(server.of("/good")) <= CUT


def test_a_layer_in_a_registry_goes_on_and_its_digest_is_that_of_all_of_it(tmp_path):
    image = Image.of((BUNDLE, BIG))
    with BadServer() as server:
        machine = NetMachine(tmp_path, f"oci://{image.serve(server, 'fleet/gpu', '1.0')}:1.0")
        blob = f"/v2/fleet/gpu/blobs/{digest(BIG)}"
        server.serve(blob, part(BIG, CUT, stall))
        killed_in_the_middle(machine)
        server.serve(blob, good(BIG))
        assert machine.run().code == DONE and machine.in_cache == [BIG]
        assert CUT - CHUNK - 65536 < goes_on(server.of(blob)) <= CUT


def test_a_boot_that_ran_out_of_time_helps_the_next_one(tmp_path):
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.serve("/x", part(BIG, CUT, stall)), budget="3s")
        assert machine.run("boot").code == NETWORK and len(parts(machine)) == 1
        server.serve("/x", good(BIG))
        assert machine.run("boot").code == DONE and machine.in_cache == [BIG]
        assert CUT - CHUNK - 65536 < goes_on(server.requests) <= CUT


def test_a_bundle_that_turned_out_bad_leaves_nothing(tmp_path):
    bad = bytearray(BIG)
    bad[CUT] ^= 1
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.serve("/x", good(bytes(bad))))
        assert machine.run().reason == "corrupt" and machine.in_cache == []


def test_two_that_share_a_cache_but_no_lock_do_not_write_one_file(tmp_path):
    """As a container and its host would."""
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.serve("/x", part(BIG, CUT, stall)))
        with subprocess.Popen([MODULUS, "fetch", *machine.roots], stderr=subprocess.DEVNULL, env=plain_environment()) as first:
            while not parts(machine) or parts(machine)[0].stat().st_size < CHUNK:
                time.sleep(0.02)
            lock = machine.live / "run/modulus/lock"
            lock.unlink()
            server.serve("/x", good(BIG))
            before = parts(machine)[0].read_bytes()
            done = machine.run()
            assert done.code != DONE and "another process is writing" in done.lines[-1], done
            assert machine.run("boot").code == DONE  # without a copy
            assert parts(machine)[0].read_bytes()[:len(before)] == before
            first.kill()
