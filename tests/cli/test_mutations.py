# SPDX-License-Identifier: Apache-2.0
"""No byte of a bundle can be changed or left out unnoticed.

MODULUS_MUTATIONS=20000 tries so many, as `make fuzz` does (`make check`: 1,000), MODULUS_SEED=N others.
"""
import hashlib
import io
import os
import random

import pytest

import bundle
from bundlemaker import BLOCK, RELEASE, TEST_KEY, File, Recipe, cut_at, firmware, module_file, plain_tar, spoil
from program import MODULUS, environment, modulus

COUNT = int(os.environ.get("MODULUS_MUTATIONS", "1000"))
SEED = int(os.environ.get("MODULUS_SEED", "1"))
AT_ONCE = 100
PUBLIC = [TEST_KEY.public]


def dense(size: int) -> bytes:
    """Bytes that do not compress, so that most of the bundle is content."""
    return b"".join(hashlib.sha256(b"%d" % at).digest() for at in range(size // 32))


@pytest.fixture(scope="module")
def good():
    return Recipe(files=(module_file("alpha"), File(f"usr/lib/modules/{RELEASE}/modulus/gpu/beta.ko", dense(1024)),
                         File("usr/lib/firmware/gpu/x.bin", dense(2048))), cut=cut_at(1536)).build()


def free_text(data: bytes) -> range:
    """The untrusted comment: the only bytes that no signature covers (docs/bundle.md, section 2)."""
    start = data.index(b"untrusted comment:") + len(b"untrusted comment:")
    return range(start, data.index(b"\n", start))


def mutations(data: bytes, count: int, seed: int):
    """Every other one is cut off, every other one has one byte changed."""
    dice = random.Random(seed)
    free = free_text(data)
    covered = [at for at in range(len(data)) if at not in free]
    for number in range(count):
        if number % 2:
            length = dice.randrange(len(data))
            yield f"cut to {length}", data[:length]
        else:
            at, change = dice.choice(covered), dice.randrange(1, 256)
            yield f"byte {at} xor {change}", spoil(data, at, bytes([data[at] ^ change]))


def accepted_by_the_second_reader(data: bytes) -> bool:
    try:
        bundle.verify(io.BytesIO(data), PUBLIC)
    except bundle.Refused:
        return False
    return True


def test_no_mutation_verifies_and_none_crashes(good, keys, tmp_path, spawner):
    assert accepted_by_the_second_reader(good)
    every = list(mutations(good, COUNT, SEED))
    for start in range(0, len(every), AT_ONCE):
        some = every[start:start + AT_ONCE]
        files = []
        for number, (_, data) in enumerate(some):
            files.append(tmp_path / f"{number}.tar.zst")
            files[-1].write_bytes(data)
        done = spawner.run(MODULUS, "verify", "--keys", keys, *files, env=environment())
        assert (done.code, done.out) == (4, b""), f"seed {SEED}, from {start}: {done}"
        lines = done.err.decode().splitlines()
        assert len(lines) == len(files)
        for file, (what, data), line in zip(files, some, lines):
            assert line.startswith((f"modulus: corrupt: {file}: ", f"modulus: untrusted: {file}: ")), (what, line)
            assert not accepted_by_the_second_reader(data), what


def test_the_free_text_is_free_and_changes_nothing(good, keys):
    digest = bundle.verify(io.BytesIO(good), PUBLIC).digest
    for at in free_text(good):
        changed = spoil(good, at, bytes([good[at] ^ 1]))
        assert bundle.verify(io.BytesIO(changed), PUBLIC).digest == digest
    done = modulus("verify", "--keys", keys, "-", stdin=changed)
    assert done.returncode == 0 and digest in done.stdout


def headers_changed(count: int, seed: int):
    """Bundles with right hashes and a right signature around a tar whose headers have some other bytes, most with a right sum."""
    dice = random.Random(seed)
    files = (File("usr/lib/firmware/a", b"hello"), File(f"usr/lib/firmware/{'b' * 60}/{'c' * 60}/d", bytes(700), 0o755))
    at_header = (0, 2 * BLOCK)
    places = [range(BLOCK), range(100, 156), range(156, 160), range(257, 265), range(345, BLOCK)]  # numbers, type, magic, prefix
    for _ in range(count):
        tar = bytearray(plain_tar(list(files)))
        for _ in range(dice.choice((1, 1, 1, 2, 3))):
            tar[dice.choice(at_header) + dice.choice(dice.choice(places))] = dice.choice([*b"\0 0178\x80", dice.randrange(256)])
        for at in at_header:
            if dice.random() < 0.9:
                total = sum(tar[at:at + 148]) + 8 * 0x20 + sum(tar[at + 156:at + BLOCK])
                tar[at + 148:at + 156] = b"%06o\0 " % total
        yield firmware(*files, tar=lambda _, tar=bytes(tar): tar).build()


def test_both_readers_take_the_same_headers(keys, tmp_path, spawner):
    """What docs/bundle.md leaves open (times, owners' names) is taken, nothing else is; and they never disagree."""
    every = list(headers_changed(COUNT // 4, SEED))
    taken = [accepted_by_the_second_reader(data) for data in every]
    assert 0 < sum(taken) < len(every)
    files = []
    for number, data in enumerate(every):
        files.append(tmp_path / f"{number}.tar.zst")
        files[-1].write_bytes(data)
    done = spawner.run(MODULUS, "verify", "--keys", keys, *files, env=environment())
    good_ones = {line.split(": good: ")[0] for line in done.out.decode().splitlines()}
    assert [str(file) in good_ones for file in files] == taken, f"seed {SEED}"
