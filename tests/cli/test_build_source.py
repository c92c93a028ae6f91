# SPDX-License-Identifier: Apache-2.0
"""build --source: a kernel module's source, compiled by a kernel's own build tree in a copy; and --module-key: the kernel's
signature on each module. tests/boot/test_boot_source.py does both with a real kernel's tree."""
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

import elf
from bundlemaker import RELEASE
from program import SYSTEM, TREE, USAGE, snapshot
from workshop import MODINFO, PLACE, compiled

# what of kbuild's contract is used: make -C TREE M=DIR [KCFLAGS=...] modules
KBUILD = """modules:
\t@for c in $(M)/*.c; do gcc -g -O1 $(KCFLAGS) -c -o "$${c%.c}.ko" "$$c" || exit 1; done
"""
SOURCE = MODINFO % (elf.vermagic(RELEASE), "") + 'const char *where(void) { return __FILE__; }\nint init(void) { return 0; }\n'


@pytest.fixture
def source(workshop):
    """A source directory and a kernel directory with a build tree in it: the words for workshop.build()."""
    folder, kernel, tmp = workshop.folder / "source", workshop.folder / "kernel", workshop.folder / "tmp"
    for path in (folder, kernel / "build", tmp):
        path.mkdir(parents=True)
    (folder / "alpha.c").write_text(SOURCE)
    (kernel / "build" / "Makefile").write_text(KBUILD)
    return {"modules": None, "source": folder, "kernel_dir": kernel, "env": {"TMPDIR": str(tmp)}}


def left_over(source) -> list[Path]:
    return list(Path(source["env"]["TMPDIR"]).iterdir())


# --- --source --------------------------------------------------------------------------------------

def test_a_source_is_compiled_in_a_copy_that_goes_again(workshop, source):
    before = snapshot(source["source"])
    workshop.build(**source)
    assert list(workshop.files) == [PLACE + "alpha.ko"]
    assert snapshot(source["source"]) == before and left_over(source) == []


def test_a_source_gives_the_same_bytes_each_time_and_anywhere(workshop, source):
    """The copy has another name each time; __FILE__ and debug sections must not show it."""
    outcome = set()
    for place in ("one", "another/longer/place"):
        tmp, copy = workshop.folder / place / "tmp", workshop.folder / place / "source"
        tmp.mkdir(parents=True)
        shutil.copytree(source["source"], copy)
        workshop.build(**{**source, "source": copy, "env": {"TMPDIR": str(tmp)}})
        outcome.add(workshop.output.read_bytes())
        assert b"./alpha.c\0" in workshop.files[PLACE + "alpha.ko"]
    assert len(outcome) == 1


def test_flags_for_the_compiler_from_the_environment_still_count(workshop, source):
    (source["source"] / "alpha.c").write_text(SOURCE.replace("return 0", "return FROM_ENVIRONMENT"))
    workshop.build(**{**source, "env": {**source["env"], "KCFLAGS": "-DFROM_ENVIRONMENT=3"}})


def test_the_build_tree_may_be_named(workshop, source):
    elsewhere = workshop.folder / "elsewhere"
    (source["kernel_dir"] / "build").rename(elsewhere)
    workshop.build(**source, kernel_build=elsewhere)
    done = workshop.run(**source)
    assert done.returncode == SYSTEM and f"compiling {source['source']} with {source['kernel_dir']}/build: make failed" in done.stderr
    assert left_over(source) == []


def test_a_source_that_does_not_compile_is_said_in_the_compilers_words_and_ours(workshop, source):
    (source["source"] / "alpha.c").write_text("no C at all\n")
    done = workshop.run(**source)
    assert done.returncode == SYSTEM and done.stdout == "" and "alpha.c" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"modulus: compiling {source['source']} with ")
    assert list(workshop.output.parent.iterdir()) == [] and left_over(source) == []


def test_a_source_that_is_not_there_or_makes_no_module(workshop, source):
    done = workshop.run(**{**source, "source": workshop.folder / "none"})
    assert done.returncode == SYSTEM and f"copying {workshop.folder / 'none'}: cp failed" in done.stderr
    (source["kernel_dir"] / "build" / "Makefile").write_text("modules:\n")
    done = workshop.run(**source)
    assert done.returncode == SYSTEM and "holds no kernel module" in done.stderr
    assert left_over(source) == []


def test_a_source_compiled_for_another_kernel_is_refused(workshop, source):
    (source["source"] / "alpha.c").write_text(SOURCE.replace(RELEASE, "6.1.0-1-other"))
    done = workshop.run(**source)
    assert done.returncode == SYSTEM and "alpha.ko is for kernel" in done.stderr and left_over(source) == []


# --- the kernel's signature ------------------------------------------------------------------------

MARKER = b"~Module signature appended~\n"


@pytest.fixture(scope="session")
def module_key(tmp_path_factory):
    """As docs/secure-boot.md makes it: private key and certificate."""
    folder = tmp_path_factory.mktemp("module-key")
    page = (TREE / "docs" / "secure-boot.md").read_text()
    (command,) = re.findall(r"^(openssl req .*?-out module\.pem)$", page.replace("\\\n", ""), flags=re.M)
    done = subprocess.run(["sh", "-ec", command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "module.key", folder / "module.pem"


def apart(signed: bytes) -> tuple[bytes, bytes]:
    """Module and PKCS#7 of a signed module; its trailer must be as in include/linux/module_signature.h."""
    assert signed.endswith(MARKER)
    trailer = signed[-len(MARKER) - 12:-len(MARKER)]
    algo, digest, id_type, signer, key_id, pad, length = struct.unpack(">BBBBB3sI", trailer)
    assert (algo, digest, id_type, signer, key_id, pad) == (0, 0, 2, 0, 0, bytes(3))
    rest = signed[:-len(MARKER) - 12]
    return rest[:-length], rest[-length:]


def stripped(content: bytes, folder: Path) -> bytes:
    (folder / "plain.ko").write_bytes(content)
    subprocess.run(["strip", "--strip-debug", "-o", folder / "stripped.ko", folder / "plain.ko"], check=True)
    return (folder / "stripped.ko").read_bytes()


def signed_words(module_key) -> dict:
    return {"module_key": module_key[0], "module_cert": module_key[1]}


def test_the_signature_holds_over_the_stripped_module_and_over_nothing_else(workshop, module_key, tmp_path):
    plain = compiled(workshop.modules / "alpha.ko", "int init(void) { return 0; }\n")
    workshop.build(**signed_words(module_key))
    module, signature = apart(workshop.files[PLACE + "alpha.ko"])
    assert module == stripped(plain, tmp_path) and len(module) < len(plain)
    (tmp_path / "signature").write_bytes(signature)
    for content, holds in ((module, True), (module[:-1] + bytes([module[-1] ^ 1]), False), (plain, False)):
        (tmp_path / "content").write_bytes(content)
        done = subprocess.run(["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", tmp_path / "signature", "-content",
                               tmp_path / "content", "-certfile", module_key[1], "-noverify", "-out", tmp_path / "out"],
                              capture_output=True, text=True)
        assert (done.returncode == 0) == holds, done.stderr
    shown = subprocess.run(["openssl", "cms", "-cmsout", "-print", "-inform", "DER", "-in", tmp_path / "signature"],
                           capture_output=True, text=True, check=True).stdout
    assert re.search(r"certificates:\s+<ABSENT>", shown) and re.search(r"signedAttrs:\s+<ABSENT>", shown)
    assert re.search(r"eContent: <ABSENT>", shown) and "sha256" in shown and "d.issuerAndSerialNumber" in shown


def test_signed_modules_are_the_same_bytes_each_time_whatever_form_the_certificate_has(workshop, module_key, tmp_path):
    workshop.add("alpha")
    workshop.build(**signed_words(module_key))
    once = workshop.output.read_bytes()
    subprocess.run(["openssl", "x509", "-in", module_key[1], "-outform", "DER", "-out", tmp_path / "module.der"], check=True)
    workshop.build(module_key=module_key[0], module_cert=tmp_path / "module.der")
    assert workshop.output.read_bytes() == once


def test_a_module_that_has_a_kernels_signature_keeps_it(workshop, module_key):
    signed = workshop.add("alpha", signed=True)
    workshop.build(**signed_words(module_key))
    assert workshop.files[PLACE + "alpha.ko"] == signed


def test_a_compiled_source_is_signed_too(workshop, source, module_key):
    workshop.build(**source, **signed_words(module_key))
    apart(workshop.files[PLACE + "alpha.ko"])


def test_a_key_that_cannot_sign_is_named(workshop, module_key, tmp_path):
    workshop.add("alpha")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ED25519", "-out", tmp_path / "other.key"], check=True)
    key, certificate = module_key
    workshop.refuses(f"{certificate} does not belong to {tmp_path / 'other.key'}", module_key=tmp_path / "other.key", module_cert=certificate)
    workshop.refuses(f"{certificate}: not a private key in PEM form", module_key=certificate, module_cert=certificate)
    workshop.refuses(f"{key}: not a certificate in PEM or DER form", module_key=key, module_cert=key)
    workshop.refuses("none: No such file or directory", module_key=tmp_path / "none", module_cert=certificate)
    done = workshop.run(module_key=key)
    assert done.returncode == USAGE and "--module-key and --module-cert belong together" in done.stderr
