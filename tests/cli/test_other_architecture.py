# SPDX-License-Identifier: Apache-2.0
"""`make check-arm64`: what the program of another architecture makes is, byte for byte, what this machine's makes, and each
believes the other."""
import os

import pytest

import elf
from bundlemaker import RELEASE
from program import DONE, MODULUS, TREE, environment, modulus
from test_build_tree import LIBRARIES, TreeWorkshop, put
from workshop import EPOCH, Workshop

pytestmark = pytest.mark.skipif(not elf.EMULATED, reason="a matter of make check-arm64")
HERE, THERE = TREE / "build/modulus", MODULUS


def bundles(shop: Workshop, *more) -> list[bytes]:
    """The same by each program."""
    made = []
    for program in (HERE, THERE):
        done = modulus(*shop.words(*more), program=program, env=environment(SOURCE_DATE_EPOCH=EPOCH))
        assert done.returncode == DONE, done.stderr
        made.append(shop.output.read_bytes())
        shop.output.unlink()
    return made


def test_they_are_of_two_architectures():
    assert HERE.read_bytes()[18:20] != (TREE / "build/arm64/modulus").read_bytes()[18:20]


@pytest.mark.parametrize("machine_name", ["aarch64", "x86_64"])
def test_a_bundle_of_modules_is_the_same_bytes(tmp_path, machine_name):
    """Of two chunks, for either kernel."""
    shop = Workshop(tmp_path)
    shop.add("alpha", padding=5 << 20, machine_name=machine_name, signed=True)
    shop.add("beta", depends="alpha", machine_name=machine_name, signed=True)
    (tmp_path / "firmware").mkdir()
    (tmp_path / "firmware/gpu.bin").write_bytes(os.urandom(1 << 16))
    here, there = bundles(shop, "--firmware", tmp_path / "firmware", "--option", "alpha debug=1", "--build-id", "ab" * 20)
    assert here == there


def test_a_bundle_of_libraries_is_the_same_bytes(tmp_path):
    shop = TreeWorkshop(tmp_path / "w")
    put(shop.tree, "usr/bin/gpu-smi", b"program" * 1000, 0o755)
    put(shop.tree, f"{LIBRARIES}/libgpu.so.1.0", bytes(range(256)) * 4096)
    put(shop.tree, f"{LIBRARIES}/libgpu.so.1", "libgpu.so.1.0")
    here, there = bundles(shop)
    assert here == there


@pytest.mark.parametrize("signer, reader", [(HERE, THERE), (THERE, HERE)], ids=["here-there", "there-here"])
def test_each_takes_what_the_other_signed(tmp_path, signer, reader):
    """Keys, signature, chunks; and says the same of it."""
    shop = Workshop(tmp_path / "w")
    shop.add("alpha", elf.module("alpha", RELEASE, signed=True))
    (tmp_path / "keys").mkdir()
    secret, public = tmp_path / "secret", tmp_path / "keys/fleet.pub"
    assert modulus("keygen", "--secret", secret, "--public", public, program=signer).returncode == DONE
    done = modulus(*shop.words(key=secret), program=signer)
    assert done.returncode == DONE, done.stderr
    done = modulus("verify", "--keys", public.parent, shop.output, program=reader)
    assert (done.returncode, done.stderr) == (DONE, "")
    assert modulus("unpack", "--keys", public.parent, shop.output, tmp_path / "out", program=reader).returncode == DONE
    assert len([*(tmp_path / "out").rglob("alpha.ko")]) == 1
    said = [modulus("inspect", "--json", shop.output, program=program).stdout for program in (HERE, THERE)]
    assert said[0] == said[1] != ""
