# SPDX-License-Identifier: Apache-2.0
"""Building: from modules to a signed bundle, the same bytes each time, and nothing under the final name unless it is right."""
import gzip
import hashlib
import json
import lzma
import os
import re
import shutil
import stat
import struct
import subprocess
import time

import pytest

import elf
import kernelfile
import zstdframe
from bundlemaker import RELEASE, TEST_KEY
from fakehost import note
from program import DONE, MODULUS, SYSTEM, USAGE, environment, modulus, snapshot
from workshop import EPOCH, PLACE, Workshop, compiled

BUILD_ID = "0123456789abcdef0123456789abcdef01234567"


# --- what is in it ---------------------------------------------------------------------------------

def test_a_bundle_says_what_it_was_made_from(workshop):
    workshop.add("alpha")
    found = workshop.build("--match", "pci:v000010DEd*", "--match", "pci:v000010DFd*", "--option", "alpha x=1 y=2", "--flavor", "open",
                           "--build-id", BUILD_ID)
    manifest = found.manifest
    assert {key: manifest[key] for key in ("format", "name", "version", "flavor", "serial", "created", "kind", "load", "match",
                                           "options", "links")} == {
        "format": 1, "name": "gpu", "version": "1.0", "flavor": "open", "serial": int(EPOCH), "created": int(EPOCH), "kind": "modules",
        "load": ["alpha"], "match": ["pci:v000010DEd*", "pci:v000010DFd*"], "options": ["alpha x=1 y=2"], "links": []}
    assert manifest["kernel"] == {"release": RELEASE, "machine": elf.machine(), "build_id": BUILD_ID,
                                  "vermagic": elf.vermagic(RELEASE)}
    assert [file["path"] for file in manifest["files"]] == [PLACE + "alpha.ko"]
    assert "requires" not in manifest
    assert stat.S_IMODE(workshop.output.stat().st_mode) == 0o644
    assert b"\ntrusted comment: timestamp:1700000000\tfile:gpu-1.0-modules\n" in workshop.output.read_bytes()


def test_modules_come_in_an_order_that_suits_loading(workshop):
    workshop.add("alpha", depends="beta,gamma,outside")
    workshop.add("beta", depends="gamma")
    workshop.add("gamma")
    manifest = workshop.build().manifest
    assert [file["path"] for file in manifest["files"]] == [PLACE + f"{name}.ko" for name in ("gamma", "beta", "alpha")]
    assert manifest["load"] == ["gamma", "beta", "alpha"]


def test_load_says_what_is_loaded_and_what_comes_first(workshop):
    for name in ("alpha", "beta", "nvidia-drm"):
        workshop.add(name)
    manifest = workshop.build("--load", "nvidia_drm", "--load", "beta").manifest
    assert manifest["load"] == ["nvidia_drm", "beta"]
    assert [file["path"] for file in manifest["files"]] == [PLACE + f"{name}.ko" for name in ("nvidia-drm", "beta", "alpha")]


def test_a_circle_of_dependencies_does_not_go_round_for_ever(workshop):
    workshop.add("alpha", depends="beta")
    workshop.add("beta", depends="alpha")
    done = workshop.run()
    assert done.returncode in (DONE, SYSTEM)
    if done.returncode:
        assert "go round" in done.stderr


def test_compressed_modules_are_taken_as_they_are_inside(workshop):
    plain = workshop.add("alpha")
    workshop.add("beta.ko.xz", lzma.compress(elf.module("beta", RELEASE)))
    workshop.add("gamma.ko.gz", gzip.compress(elf.module("gamma", RELEASE)))
    workshop.add("delta.ko.zst", zstdframe.compress(elf.module("delta", RELEASE)))
    (workshop.modules / "README").write_text("not a module")
    (workshop.modules / ".hidden.ko").write_text("not a module")
    workshop.build(strip="cp-for-strip", env=_strip_that_copies(workshop))
    assert sorted(workshop.files) == [PLACE + f"{name}.ko" for name in ("alpha", "beta", "delta", "gamma")]
    assert workshop.files[PLACE + "alpha.ko"] == plain
    assert workshop.files[PLACE + "beta.ko"] == elf.module("beta", RELEASE)


def test_firmware_comes_behind_the_modules_in_bytewise_order(workshop):
    workshop.add("zeta")
    firmware = workshop.folder / "firmware"
    for name in ("gpu/b.bin", "gpu/a.bin", "gpu-2/c.bin", "A"):
        (firmware / name).parent.mkdir(parents=True, exist_ok=True)
        (firmware / name).write_text(name)
    found = workshop.build("--firmware", firmware)
    assert [file["path"] for file in found.manifest["files"]] == [PLACE + "zeta.ko", *(
        f"usr/lib/firmware/{name}" for name in ("A", "gpu-2/c.bin", "gpu/a.bin", "gpu/b.bin"))]
    assert workshop.files["usr/lib/firmware/gpu/a.bin"] == b"gpu/a.bin"


def test_a_module_larger_than_a_chunk_is_cut_into_several(workshop):
    workshop.add("large", signed=True, padding=9 << 20)
    found = workshop.build()
    assert len(found.manifest["chunks"]) == 3
    assert hashlib.sha256(workshop.files[PLACE + "large.ko"]).hexdigest() == found.manifest["files"][0]["sha256"]


def test_the_serial_is_the_time_unless_it_is_given(workshop):
    workshop.add("alpha")
    assert workshop.build("--serial", "0").manifest["serial"] == 0
    assert workshop.build("--serial", str(2**63 - 1)).manifest["serial"] == 2**63 - 1
    before = int(time.time())
    manifest = workshop.build(epoch=None).manifest
    assert before <= manifest["serial"] == manifest["created"] <= time.time()


# --- the same bytes --------------------------------------------------------------------------------

def test_the_same_input_gives_the_same_bytes_anywhere(tmp_path):
    outcome = []
    for name, order in (("one", ["alpha", "beta", "gamma"]), ("another/deeper/place", ["gamma", "alpha", "beta"])):
        place = Workshop(tmp_path / name)
        for module in order:
            place.add(module, padding=100000)
        firmware = place.folder / "firmware"
        firmware.mkdir()
        for file in (["x", "y"] if name == "one" else ["y", "x"]):
            (firmware / file).write_text(file)
        os.utime(place.modules / "alpha.ko", (1, 1) if name == "one" else (2, 2))
        place.build("--firmware", firmware)
        outcome.append(place.output.read_bytes())
    assert outcome[0] == outcome[1]
    assert str(tmp_path).encode() not in outcome[0]


def test_another_epoch_gives_another_digest_and_the_same_files(workshop):
    workshop.add("alpha")
    one, other = workshop.build(), workshop.build(epoch="1700000001")
    assert one.digest != other.digest and one.manifest["files"] == other.manifest["files"]


# --- stripping -------------------------------------------------------------------------------------

def sections(content: bytes, tmp_path) -> str:
    (tmp_path / "x.ko").write_bytes(content)
    return subprocess.run(["readelf", "--sections", "--symbols", "--wide", tmp_path / "x.ko"], capture_output=True, text=True,
                          check=True).stdout


def test_debug_sections_go_and_all_else_stays(workshop, tmp_path):
    before = compiled(workshop.modules / "alpha.ko", "int some_function(void); int init(void) { return some_function(); }\n")
    assert ".debug_info" in sections(before, tmp_path)
    workshop.build()
    after = workshop.files[PLACE + "alpha.ko"]
    shown = sections(after, tmp_path)
    assert ".debug_" not in shown and len(after) < len(before)
    for kept in (".modinfo", ".text", ".rela.text", ".symtab", "some_function", "init"):
        assert kept in shown
    assert elf.vermagic(RELEASE).encode() in after


def test_a_module_with_the_kernels_signature_is_not_touched(workshop, tmp_path):
    signed = compiled(workshop.modules / "alpha.ko", "int init(void) { return 0; }\n") + b"PKCS#7" + elf.SIGNATURE_MARKER
    workshop.add("alpha", signed)
    workshop.build()
    assert workshop.files[PLACE + "alpha.ko"] == signed


def _strip_that_copies(workshop, body: str = 'cp "$4" "$3"') -> dict[str, str]:
    """A PATH whose cp-for-strip does this instead of stripping; called as: --strip-debug -o OUT IN."""
    folder = workshop.folder / "bin"
    folder.mkdir(exist_ok=True)
    (folder / "cp-for-strip").write_text(f"#!/bin/sh\n{body}\n")
    (folder / "cp-for-strip").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_strip_can_be_another_program_by_option_or_environment(workshop):
    plain = workshop.add("alpha")
    note_it = f'echo "$1 $2" >> {workshop.folder}/log; cp "$4" "$3"'
    env = _strip_that_copies(workshop, note_it)
    workshop.build(strip="cp-for-strip", env=env)
    workshop.build(env={**env, "STRIP": "cp-for-strip"})
    assert (workshop.folder / "log").read_text() == "--strip-debug -o\n" * 2
    assert workshop.files[PLACE + "alpha.ko"] == plain


def test_a_strip_that_is_missing_fails_or_ruins_is_named(workshop):
    workshop.add("alpha")
    # an emulator makes a fork of posix_spawn's vfork: that the exec failed is not heard of then
    workshop.refuses(f"alpha.ko: no-such-strip{'' if elf.EMULATED else ': '}", strip="no-such-strip")
    workshop.refuses("cp-for-strip could not strip", strip="cp-for-strip", env=_strip_that_copies(workshop, "exit 1"))
    workshop.refuses("left no kernel module", strip="cp-for-strip", env=_strip_that_copies(workshop, 'echo x > "$3"'))
    workshop.refuses("left no kernel module", strip="cp-for-strip", env=_strip_that_copies(workshop, ":"))


# --- what cannot be built --------------------------------------------------------------------------

def test_a_directory_without_modules(workshop):
    workshop.refuses(str(workshop.modules))
    (workshop.modules / "x.txt").write_text("x")
    workshop.refuses(str(workshop.modules))
    workshop.refuses("No such file or directory", modules=workshop.folder / "none")


@pytest.mark.parametrize("content", [
    b"", b"x", b"\x7fELF", b"not a module" * 100, elf.module("x", RELEASE, elf_type=2), elf.file([(b".text", b"")]),
    elf.module("x", RELEASE)[:200], elf.module("x", RELEASE).replace(b".modinfo", b".nothing"),
    b"\x7fELF\x01" + elf.module("x", RELEASE)[5:],
], ids=["empty", "a-byte", "magic-only", "text", "executable", "no-modinfo", "cut", "modinfo-renamed", "32-bit"])
def test_what_is_not_a_module_is_named(workshop, content):
    workshop.add("alpha")
    workshop.add("bad.ko", content)
    workshop.refuses("bad.ko")


def test_a_damaged_compressed_module_is_named(workshop):
    workshop.add("bad.ko.xz", lzma.compress(elf.module("x", RELEASE))[:-20])
    done = workshop.run()
    assert done.returncode != DONE and "bad.ko.xz" in done.stderr
    assert not workshop.output.exists()


def test_a_module_for_another_kernel_is_named_with_both(workshop):
    workshop.add("alpha", elf.module("alpha", "6.1.0-1-other"))
    workshop.refuses(f'alpha.ko is for kernel "6.1.0-1-other SMP preempt mod_unload modversions ", --kernel is {RELEASE}')
    # a release is not a prefix of another
    workshop.add("alpha", elf.module("alpha", RELEASE + "x"))
    workshop.refuses("alpha.ko is for kernel")
    workshop.add("alpha", elf.module("alpha", RELEASE, magic=""))
    workshop.refuses("alpha.ko is for kernel")


def test_modules_of_two_builds_do_not_mix(workshop):
    workshop.add("alpha")
    workshop.add("beta", elf.module("beta", RELEASE, magic=f"{RELEASE} SMP mod_unload "))
    workshop.refuses(f'beta.ko has vermagic "{RELEASE} SMP mod_unload "')


def test_modules_for_two_machines_do_not_mix(workshop):
    other = "aarch64" if elf.machine() == "x86_64" else "x86_64"
    workshop.add("alpha", elf.module("alpha", RELEASE, signed=True))
    workshop.add("beta", elf.module("beta", RELEASE, machine_name=other, signed=True))
    workshop.refuses(other)


@pytest.mark.parametrize("one,other", [("nvidia-drm.ko", "nvidia_drm.ko"), ("x.ko", "x.ko.xz")])
def test_one_module_in_two_spellings(workshop, one, other):
    for name in (one, other):
        content = elf.module(name.split(".")[0], RELEASE)
        workshop.add(name, lzma.compress(content) if name.endswith("xz") else content)
    workshop.refuses("is there twice")


def test_a_name_to_load_that_is_not_there(workshop):
    workshop.add("alpha")
    workshop.refuses("--load beta: no such module", "--load", "beta")


@pytest.mark.parametrize("change,field", [
    ({"match": "*"}, "match"), ({"option": " x"}, "options"), ({"build_id": "xyz"}, "build_id|build-id"),
    ({"build_id": "ab" * 33}, "build_id|build-id"), ({"load": "../alpha"}, "load"), ({"option": "a\nb"}, "options"),
], ids=str)
def test_what_the_format_does_not_allow_is_named_and_not_written(workshop, change, field):
    workshop.add("alpha")
    done = workshop.run(**change)
    assert done.returncode not in (DONE, 2) and re.search(field, done.stderr), done
    assert list(workshop.output.parent.iterdir()) == []


@pytest.mark.parametrize("option,words", [
    ("name", ["GPU", "../gpu", "", "-gpu", "g.pu", "g" * 65]), ("flavor", ["Open", "-x", "o" * 65]),
    ("version", ["1 0", "", ".1", "1/0", "v" * 65]), ("kernel", ["6.1 x", "", "../6.1", "6" * 65])])
def test_words_that_the_format_has_no_place_for_are_a_usage_error(workshop, option, words):
    """Said at once, though nothing else is there either."""
    for word in words:
        done = workshop.run(**{option: word, "modules": workshop.folder / "none"})
        assert done.returncode == USAGE and f"build: --{option} takes 1 to 64" in done.stderr and "--help" in done.stderr, done


def test_words_of_64_bytes_are_taken(workshop):
    long = "6" * 64
    workshop.add("alpha", elf.module("alpha", long))
    found = workshop.build(name="n" * 64, version="v" * 64, flavor="f" * 64, kernel=long)
    assert [len(found.manifest[key]) for key in ("name", "version", "flavor")] == [64] * 3


def test_firmware_that_no_bundle_may_hold(workshop):
    workshop.add("alpha")
    firmware = workshop.folder / "firmware"
    firmware.mkdir()
    (firmware / "with blank").write_text("x")
    workshop.refuses("with blank", "--firmware", firmware)
    (firmware / "with blank").unlink()
    (firmware / ".hidden").write_text("x")
    workshop.refuses(".hidden", "--firmware", firmware)
    (firmware / ".hidden").unlink()
    os.mkfifo(firmware / "fifo")
    workshop.refuses("neither a file nor a directory", "--firmware", firmware)
    workshop.refuses("No such file or directory", "--firmware", firmware / "none")


def test_a_key_that_cannot_be_used(workshop):
    workshop.add("alpha")
    workshop.refuses("No such file or directory", key=workshop.folder / "none")
    (workshop.folder / "bad").write_text(TEST_KEY.public.text())
    workshop.refuses("not a minisign secret key", key=workshop.folder / "bad")


def test_an_output_in_a_directory_that_is_not_there(workshop):
    workshop.add("alpha")
    done = workshop.run(output=workshop.folder / "none" / "b.tar.zst")
    assert done.returncode == SYSTEM and f"{workshop.folder / 'none'}" in done.stderr and "No such file" in done.stderr
    done = workshop.run(output=workshop.output.parent)
    assert done.returncode == SYSTEM and list(workshop.output.parent.iterdir()) == []


# --- interrupted -----------------------------------------------------------------------------------

def test_a_build_that_is_killed_leaves_nothing_under_the_final_name(workshop):
    workshop.add("alpha")
    workshop.output.write_text("the one before")
    done = subprocess.run([MODULUS, *workshop.words(strip="cp-for-strip")], capture_output=True,
                          env=environment(**_strip_that_copies(workshop, "kill -9 $PPID")))
    assert done.returncode == -9
    assert workshop.output.read_text() == "the one before"


@pytest.mark.parametrize("limit", [1000, 2000, 30000, 60000])
def test_a_disk_that_fills_up_leaves_the_bundle_before(workshop, spawner, limit):
    """A limit on file sizes stands for the disk, and kills the program wherever it is."""
    workshop.add("alpha", signed=True, padding=1 << 20, content=elf.module("alpha", RELEASE, signed=True) + os.urandom(70000) +
                 elf.SIGNATURE_MARKER)
    workshop.output.write_text("the one before")
    done = spawner.run(MODULUS, *workshop.words(), env=environment(), limits={"FSIZE": limit})
    assert done.code != DONE
    assert workshop.output.read_text() == "the one before"
    quiet = spawner.run("/bin/sh", "-c", 'trap "" XFSZ; exec "$0" "$@"', MODULUS, *workshop.words(), env=environment(),
                        limits={"FSIZE": limit})
    assert quiet.code not in (DONE, 2) and b"File too large" in quiet.err, quiet
    assert workshop.output.read_text() == "the one before"
    assert [path.name for path in workshop.output.parent.iterdir() if not path.name.endswith(".part")] == ["b.tar.zst"]


def test_a_build_replaces_the_bundle_before(workshop):
    workshop.add("alpha")
    workshop.output.write_text("the one before")
    workshop.build()
    assert [path.name for path in workshop.output.parent.iterdir()] == ["b.tar.zst"]


def test_input_is_only_read(workshop):
    workshop.add("alpha")
    before = snapshot(workshop.modules)
    workshop.build()
    assert snapshot(workshop.modules) == before


# --- the kernel's image ----------------------------------------------------------------------------

def vmlinux(build_id: str) -> bytes:
    """An ELF file with a note segment; somebody else's note is first."""
    notes = note(b"Xen\0", 3, b"x" * 20) + note(b"GNU\0", 3, bytes.fromhex(build_id))
    header = struct.pack("=16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01" + bytes(9), 2, elf.MACHINES[elf.machine()], 1, 0, 64, 0, 0, 64, 56,
                         1, 0, 0, 0)
    return header + struct.pack("=IIQQQQQQ", 4, 4, 120, 0, 0, len(notes), len(notes), 4) + notes


def bzimage(payload: bytes) -> bytes:
    """Kernel Documentation/arch/x86/boot.rst: setup sectors, then the protected-mode code with the payload in it."""
    setup = bytearray(2 * 512)
    setup[0x1f1] = 1
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", setup, 0x248, 64, len(payload))
    return bytes(setup) + bytes(64) + payload


IMAGES = {
    "vmlinux": vmlinux(BUILD_ID), "bzImage-gzip": bzimage(gzip.compress(vmlinux(BUILD_ID))),
    "bzImage-xz": bzimage(lzma.compress(vmlinux(BUILD_ID), check=lzma.CHECK_CRC32)),
    "bzImage-zstd": bzimage(zstdframe.compress(vmlinux(BUILD_ID))),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_the_build_id_comes_from_the_kernels_image(workshop, kind):
    workshop.add("alpha")
    image = workshop.folder / "image"
    image.write_bytes(IMAGES[kind])
    assert workshop.build("--kernel-image", image).manifest["kernel"]["build_id"] == BUILD_ID


def test_the_image_is_found_beside_the_modules(workshop):
    workshop.add("alpha")
    (workshop.folder / "vmlinuz").write_bytes(IMAGES["bzImage-gzip"])
    assert workshop.build().manifest["kernel"]["build_id"] == BUILD_ID


def test_the_image_is_found_in_boot(workshop):
    workshop.add("alpha")
    root = workshop.folder / "root"
    (root / "lib/modules" / RELEASE).mkdir(parents=True)
    (root / "boot").mkdir()
    (root / "boot" / f"vmlinuz-{RELEASE}").write_bytes(IMAGES["vmlinux"])
    assert workshop.build(kernel_dir=root / "lib/modules" / RELEASE).manifest["kernel"]["build_id"] == BUILD_ID


def test_without_an_image_a_warning_says_what_that_means(workshop):
    workshop.add("alpha")
    done = workshop.run()
    assert done.returncode == DONE
    assert f"no build-id: no readable image of its kernel near {workshop.folder}" in done.stderr
    assert "--kernel-image" in done.stderr


def test_an_image_that_was_named_must_have_a_build_id(workshop):
    workshop.add("alpha")
    (workshop.folder / "image").write_text("not a kernel")
    workshop.refuses(f"{workshop.folder / 'image'}: holds no GNU build-id", "--kernel-image", workshop.folder / "image")
    workshop.refuses("No such file or directory", "--kernel-image", workshop.folder / "none")


@pytest.mark.parametrize("kind", ["bzImage", "vmlinux"])
def test_an_image_of_another_kernel_is_refused(workshop, kind):
    workshop.add("alpha")
    image = workshop.folder / "image"
    def of(release: str) -> bytes:
        if kind == "bzImage":
            return kernelfile.bzimage(BUILD_ID, release)
        return vmlinux(BUILD_ID) + f"Linux version {release} (who@where)".encode()
    for other in ("6.1.0-100-test", RELEASE + "-rt", RELEASE[:-1]):
        image.write_bytes(of(other))
        workshop.refuses(f"{image}: is not of kernel {RELEASE}", "--kernel-image", image)
    image.write_bytes(of(RELEASE))
    assert workshop.build("--kernel-image", image).manifest["kernel"]["build_id"] == BUILD_ID


def test_an_image_of_another_kernel_beside_the_modules_is_passed_over(workshop):
    workshop.add("alpha")
    root = workshop.folder / "root"
    folder = root / "lib/modules" / RELEASE
    folder.mkdir(parents=True)
    (folder / "vmlinuz").write_bytes(kernelfile.bzimage("ff" * 20, "6.1.0-100-test"))
    assert "build_id" not in workshop.build(kernel_dir=folder).manifest["kernel"]
    (root / "boot").mkdir()
    (root / "boot" / f"vmlinuz-{RELEASE}").write_bytes(kernelfile.bzimage(BUILD_ID, RELEASE))
    assert workshop.build(kernel_dir=folder).manifest["kernel"]["build_id"] == BUILD_ID


# --- from an installed kernel ----------------------------------------------------------------------

@pytest.fixture
def kernel(workshop):
    """lib/modules/RELEASE with alpha, which needs a symbol of beta; depmod ran."""
    if shutil.which("depmod") is None:
        pytest.skip("depmod is not installed")
    tree = workshop.folder / "root/lib/modules" / RELEASE
    (tree / "kernel/drivers").mkdir(parents=True)
    exported = 'asm(".section __ksymtab_strings,\\"a\\"\\n.asciz \\"beta_function\\"\\n.previous\\n");\n'
    compiled(tree / "kernel/drivers/beta.ko", exported + "int beta_function(void) { return 1; }\n"
             'asm(".globl __ksymtab_beta_function\\n.set __ksymtab_beta_function, beta_function\\n");\n')
    compiled(tree / "kernel/drivers/alpha.ko", "int beta_function(void); int init(void) { return beta_function(); }\n", "beta")
    (tree / "kernel/drivers/other.ko.xz").write_bytes(lzma.compress(elf.module("other", RELEASE), check=lzma.CHECK_CRC32))
    (tree / "modules.order").write_text("kernel/drivers/beta.ko\nkernel/drivers/alpha.ko\n")
    (tree / "modules.builtin").write_text("kernel/lib/within.ko\n")
    done = subprocess.run(["depmod", "-b", workshop.folder / "root", RELEASE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "alpha.ko: kernel/drivers/beta.ko" in (tree / "modules.dep").read_text()
    return tree


def from_kernel(workshop, kernel, *modules: str, **changes):
    words = [word for module in modules for word in ("--module", module)]
    return workshop.build("--from-kernel", *words, *changes.pop("more", []), modules=None, kernel_dir=kernel, **changes)


def test_a_module_of_the_kernel_by_name(workshop, kernel):
    found = from_kernel(workshop, kernel, "alpha")
    assert [file["path"] for file in found.manifest["files"]] == [PLACE + "alpha.ko"]
    assert found.manifest["load"] == ["alpha"]


def test_with_deps_takes_all_that_it_needs_in_order(workshop, kernel):
    found = from_kernel(workshop, kernel, "alpha", more=["--with-deps"])
    assert [file["path"] for file in found.manifest["files"]] == [PLACE + "beta.ko", PLACE + "alpha.ko"]
    assert found.manifest["load"] == ["alpha"]


def test_a_compressed_module_of_the_kernel(workshop, kernel):
    found = from_kernel(workshop, kernel, "other", "alpha")
    assert sorted(workshop.files) == [PLACE + "alpha.ko", PLACE + "other.ko"]
    assert found.manifest["load"] == ["other", "alpha"]


def test_a_module_that_the_kernel_does_not_have(workshop, kernel):
    workshop.refuses("has no module nothing", "--from-kernel", "--module", "nothing", modules=None, kernel_dir=kernel)
    workshop.refuses("within is built into kernel", "--from-kernel", "--module", "within", modules=None, kernel_dir=kernel)


def test_a_kernel_directory_that_is_not_one(workshop):
    done = workshop.run("--from-kernel", "--module", "alpha", modules=None, kernel_dir=workshop.folder / "none")
    assert done.returncode == SYSTEM and str(workshop.folder / "none") in done.stderr


def test_what_is_built_is_json_that_others_can_read(workshop):
    workshop.add("alpha")
    workshop.build()
    shown = modulus("inspect", "--json", workshop.output)
    assert json.loads(shown.stdout)["kernel"]["release"] == RELEASE
