# SPDX-License-Identifier: Apache-2.0
"""Sources compiled by a real kernel's build tree; nothing is booted. What a made-up tree can show is in tests/cli."""

import shutil
from pathlib import Path

import pytest

from rig import modules, places, secureboot
from rig.host import RigError, run


@pytest.fixture
def build(workshop, tmp_path):
    """A bundle of a source directory; its only module, unpacked."""
    key = workshop.programs.key_pair(tmp_path, "bundle")

    def compile_one(name: str, source: Path, *more) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        words = [workshop.programs.modulus, "build", "--name", "hello", "--version", "1", "--kernel", workshop.kernel.release,
                 "--kernel-dir", workshop.kernel.modules, "--kernel-build", workshop.build_tree,
                 "--symvers", workshop.build_tree / "Module.symvers", "--source", source, *more,
                 "--key", key.secret, "--output", folder / "b.tar.zst"]
        run(*words, env={"TMPDIR": str(folder), "SOURCE_DATE_EPOCH": "1700000000"})
        run(workshop.programs.modulus, "unpack", "--keys", tmp_path, folder / "b.tar.zst", folder / "tree")
        (module,) = (folder / "tree").rglob("*.ko")
        return module
    return compile_one


def test_kbuild_compiles_the_same_bytes_twice_and_sign_file_would_have_signed_them_so(workshop, build, tmp_path):
    key = secureboot.foreign_key(tmp_path)
    source = tmp_path / "a-copy-elsewhere"
    shutil.copytree(places.TEST_MODULES / modules.HELLO, source)
    plain = build("plain", places.TEST_MODULES / modules.HELLO)
    signed = build("signed", source, "--module-key", key.secret, "--module-cert", key.certificate)
    (sign_file,) = workshop.build_tree.parents[1].glob("lib/linux-kbuild-*/scripts/sign-file")
    run(sign_file, "sha256", key.secret, key.certificate, plain)
    assert plain.read_bytes() == signed.read_bytes()


def test_what_no_kernel_exports_is_refused_when_it_is_built(workshop, build, tmp_path):
    """modpost is told to warn only."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("fault_symbol.c", "fault.h"):
        shutil.copy(places.TEST_MODULES / modules.FAULTS / name, source)
    (source / "Makefile").write_text("obj-m := fault_symbol.o\nKBUILD_MODPOST_WARN := 1\n")
    with pytest.raises(RigError) as refused:
        build("refused", source)
    assert "modulus: fault_symbol imports fault_no_such_symbol, which neither the kernel nor the bundle exports" in str(refused.value)
