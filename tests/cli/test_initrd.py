# SPDX-License-Identifier: Apache-2.0
"""The add-on for somebody else's initramfs: what is in it, by the rules of the kernel that unpacks it. A boot with it is in
tests/boot."""

import os
import stat
import subprocess
from dataclasses import dataclass

import pytest

from program import MODULUS_BOOT, TREE, environment

MIB = 1 << 20
LIMIT = 2.4 * MIB
UNITS = "usr/lib/systemd/system"
# links in most images: a directory of that name would take the place of the link, and of all that is reached by it
LINKS = {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr/sbin", "usr/lib64", "var/run", "usr/lib/dracut/hooks"}


@dataclass(frozen=True)
class Entry:
    mode: int
    owner: tuple[int, int]
    mtime: int
    data: bytes


def read_newc(archive: bytes) -> dict[str, Entry]:
    """name -> entry, in the archive's order. By the kernel's Documentation/driver-api/early-userspace/buffer-format.rst,
    and not by cpio, which made it."""
    found: dict[str, Entry] = {}
    at = 0
    while True:
        assert archive[at:at + 6] == b"070701", f"no header at {at}"
        fields = [int(archive[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        _, mode, uid, gid, _, mtime, size, *_, name_size, _ = fields
        name = archive[at + 110:at + 110 + name_size - 1].decode()
        data_at = (at + 110 + name_size + 3) & ~3
        if name == "TRAILER!!!":
            return found
        assert name not in found
        found[name] = Entry(mode, (uid, gid), mtime, archive[data_at:data_at + size])
        at = (data_at + size + 3) & ~3


def make(output, **variables: str) -> bytes:
    done = subprocess.run([TREE / "dracut/initrd.sh", MODULUS_BOOT, output], capture_output=True, text=True,
                          env=environment(**variables))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return output.read_bytes()


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return make(tmp_path_factory.mktemp("initrd") / "a.cpio.zst", SOURCE_DATE_EPOCH="1700000000")


@pytest.fixture(scope="module")
def entries(archive):
    plain = subprocess.run(["zstd", "-dcq"], input=archive, capture_output=True, check=True).stdout
    return read_newc(plain)


def test_it_holds_program_units_and_link_and_nothing_else(entries):
    files = {name for name, entry in entries.items() if not stat.S_ISDIR(entry.mode)}
    link = "etc/systemd/system/initrd.target.wants/modulus.service"
    assert files == {"usr/bin/modulus", f"{UNITS}/modulus.service", link}
    assert entries["usr/bin/modulus"].data == MODULUS_BOOT.read_bytes()
    assert entries[f"{UNITS}/modulus.service"].data == (TREE / "dracut/50modulus/modulus.service").read_bytes()
    assert stat.S_ISLNK(entries[link].mode)
    assert entries[link].data.decode() == f"/{UNITS}/modulus.service"


def test_every_parent_is_there_before_its_children(entries):
    seen = set()
    for name in entries:
        parent = os.path.dirname(name)
        assert parent == "" or parent in seen, f"{name} would be left out by the kernel"
        if stat.S_ISDIR(entries[name].mode):
            seen.add(name)


def test_no_directory_takes_the_place_of_a_link(entries):
    assert not LINKS & set(entries)
    assert all(not name.startswith(("/", "./")) and ".." not in name.split("/") for name in entries)


def test_owner_and_modes_are_those_of_the_system(entries):
    assert {entry.owner for entry in entries.values()} == {(0, 0)}
    # an entry for a directory that is there already changes its mode
    assert {oct(entry.mode) for entry in entries.values() if stat.S_ISDIR(entry.mode)} == {"0o40755"}
    assert oct(entries["usr/bin/modulus"].mode) == "0o100755"
    assert oct(entries[f"{UNITS}/modulus.service"].mode) == "0o100644"


def test_the_same_input_gives_the_same_bytes_whoever_makes_it(archive, entries, tmp_path):
    assert {entry.mtime for entry in entries.values()} == {1700000000}
    elsewhere = tmp_path / "another-tmp"
    elsewhere.mkdir()
    before = os.umask(0o077)
    try:
        again = make(tmp_path / "again.cpio.zst", SOURCE_DATE_EPOCH="1700000000", TMPDIR=str(elsewhere), TZ="Asia/Tokyo",
                     LC_ALL="C.UTF-8")
    finally:
        os.umask(before)
    assert again == archive
    assert list(elsewhere.iterdir()) == []


def test_it_is_small(archive):
    assert len(archive) <= LIMIT, f"{len(archive) / MIB:.2f} MiB"


def test_the_kernel_can_decompress_it(archive):
    """lib/decompress_unzstd.c reads one frame, and refuses a window above 128 MiB."""
    done = subprocess.run(["zstd", "-tq", "--memory=128MB"], input=archive, capture_output=True)
    assert archive[:4] == bytes.fromhex("28b52ffd") and done.returncode == 0, done.stderr


def test_a_program_that_is_not_there_leaves_no_archive(tmp_path):
    output = tmp_path / "none.cpio.zst"
    done = subprocess.run([TREE / "dracut/initrd.sh", tmp_path / "absent", output], capture_output=True, text=True)
    assert done.returncode != 0 and "absent" in done.stderr
    assert not output.exists()
