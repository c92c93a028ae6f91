# SPDX-License-Identifier: Apache-2.0
"""What a person, and systemd, sees of a transfer."""
import os
import pty
import re
import socket
import subprocess
import threading
import time

import pytest
from badserver import BadServer
from netmachine import NetMachine, noisy, plain_environment
from program import DONE, MODULUS

PAUSES = 6


def in_pieces(data: bytes):
    """In PAUSES pieces, a third of a second apart."""
    def answer(to) -> None:
        to.head(Content_Length=len(data), ETag='"one"')
        size = len(data) // PAUSES + 1
        for at in range(0, len(data), size):
            to.send(data[at:at + size])
            time.sleep(0.35)
    return answer


def read_all(fd: int) -> str:
    text = b""
    while True:
        try:
            more = os.read(fd, 65536)
        except OSError:  # a terminal that nobody holds any more
            return text.decode()
        if not more:
            return text.decode()
        text += more


def test_a_terminal_shows_bytes_rate_and_time_left(tmp_path):
    bundle = noisy(3 << 20)
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.serve("/x", in_pieces(bundle)))
        ours, theirs = pty.openpty()
        with subprocess.Popen([MODULUS, "fetch", *machine.roots], stderr=theirs, env=plain_environment()) as program:
            os.close(theirs)
            text = read_all(ours)
        os.close(ours)
    assert program.returncode == DONE
    shown = re.findall(r"\r\x1b\[Kgpu: +(\d+)%  (\d+) of (\d+) KiB  (\d+) KiB/s  (\d+) s left", text)
    percents = [int(one[0]) for one in shown]
    assert len(shown) >= 4 and percents == sorted(percents) and percents[-1] == 100, text
    assert all(int(done) <= int(total) <= len(bundle) >> 10 for _, done, total, _, _ in shown)
    # the line is gone when all is there, and the result is a line of its own
    assert re.search(r"\r\x1b\[K(modulus: )?gpu: modules of gpu 1.0 for kernel [^\r]*fetched from http:[^\r]*\r?\n$", text), repr(text[-300:])


def test_without_a_terminal_there_is_one_line(tmp_path):
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.serve("/x", in_pieces(noisy(1 << 20))))
        done = machine.run()
    assert done.code == DONE and len(done.lines) == 1 and "%" not in done.lines[0]


def told_by(tmp_path, words: str, data: bytes) -> list[str]:
    """What systemd hears of one command; it listens all the time, since the kernel keeps only a few datagrams."""
    told = []

    def listen() -> None:
        while text := listener.recv(4096).decode():
            told.append(text)

    with BadServer() as server, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        systemd = threading.Thread(target=listen)
        systemd.start()
        try:
            machine = NetMachine(tmp_path / "m", server.serve("/x", in_pieces(data)))
            assert machine.run(words, env=plain_environment(NOTIFY_SOCKET=str(tmp_path / "notify"))).code == DONE
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(b"", str(tmp_path / "notify"))
            systemd.join()
    return told


def test_systemd_is_told(tmp_path):
    told = told_by(tmp_path, "fetch", noisy(1 << 20))
    assert len(told) >= 2 and all(re.match(r"STATUS=gpu: \d+% of \d+ KiB", one) for one in told), told
    assert told[-1].startswith("STATUS=gpu: 100%")


def test_systemd_is_told_at_boot_too(tmp_path):
    told = told_by(tmp_path, "boot", noisy(9 << 20))
    percents = [int(one) for one in re.findall(r"STATUS=gpu: (\d+)% of \d+ KiB", "\n".join(told))]
    assert percents == sorted(percents) and 0 < percents[0] < percents[-1] == 100, told


@pytest.mark.parametrize("words", ("fetch", "boot"))
def test_nobody_who_listens_stops_nothing(tmp_path, words):
    with BadServer() as server, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        listener.bind(str(tmp_path / "notify"))
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            for _ in range(1 << 16):
                other.sendto(b"STATUS=of another", str(tmp_path / "notify"))
        machine = NetMachine(tmp_path / "m", server.serve("/x", in_pieces(noisy(1 << 20))))
        done = machine.run(words, env=plain_environment(NOTIFY_SOCKET=str(tmp_path / "notify")))
    assert done.code == DONE
