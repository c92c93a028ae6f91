# SPDX-License-Identifier: Apache-2.0
"""Every reason not to load: the word, the exit code, one line, the report; and nothing inserted, nothing kept."""
import json
import os
import shutil

import pytest

import elf
from bundlemaker import END, OTHER_KEY, RELEASE, UNKNOWN_KEY, File, Recipe, entry, modules, renamed, signed_by, spoil
from fakehost import BUILD_ID
from program import CONFIG, DONE, KERNEL, NO_BUNDLE, UNTRUSTED

PLACE = "/usr/lib/modulus/bundles"


def for_kernel(release: str = RELEASE, machine: str | None = None, build_id: str | None = None) -> Recipe:
    def edit(manifest: dict) -> None:
        manifest["kernel"]["release"] = release
        if machine:
            manifest["kernel"]["machine"] = machine
        if build_id:
            manifest["kernel"]["build_id"] = build_id
        for file in manifest["files"]:
            file["path"] = file["path"].replace(RELEASE, release)

    return modules(edit=edit, tar=lambda files: b"".join(
        entry(File(file.path.replace(RELEASE, release), file.content)) for file in files) + END)


def one_line(done, reason: str, code: int, says: str) -> None:
    """What everybody sees: exit code, one line, the report."""
    assert done.code == code
    assert len(done.lines) == 1, done.lines
    assert done.lines[0] == f"gpu: {reason}: {done.driver['text']}"
    assert done.driver["reason"] == reason
    assert says in done.driver["text"], done.driver["text"]
    assert done.driver["modules"] == [] and done.driver["nodes"] == []


def refused(machine, reason: str, code: int, says: str, rejected: int | None = 1, wrote: bool = False):
    """... and nothing was kept or touched."""
    before = machine.snapshot()
    done = machine.boot()
    one_line(done, reason, code, says)
    assert [done.driver[key] for key in ("source", "origin", "digest", "serial", "key_id", "cached")] == [None] * 6
    assert done.status["taint"] == {"before": 0, "after": 0}
    if rejected is not None:
        assert len(done.driver["rejected"]) == rejected
    for each in done.driver["rejected"]:
        assert set(each) == {"origin", "reason", "text"} and all(each.values())
    assert machine.cached == []
    if not wrote:
        assert machine.snapshot() == before
    assert machine.status().returncode == code
    return done


# --- no-bundle -------------------------------------------------------------------------------------

def test_no_bundle_names_the_driver_and_where_it_was_looked_for(machine):
    machine.ready()
    done = refused(machine, "no-bundle", NO_BUNDLE, "no bundle of gpu 1.0 in cache: usr:", rejected=0)
    assert done.driver["devices"] == ["0000:00:02.0"]


def test_no_bundle_directory_at_all(machine):
    machine.ready()
    shutil.rmtree(machine.root / "usr")
    shutil.rmtree(machine.root / "var")
    refused(machine, "no-bundle", NO_BUNDLE, "no bundle of gpu 1.0", rejected=0)


@pytest.mark.parametrize("recipe,why", [
    (modules(fields={"version": "1.0.1"}), "is version 1.0.1, wanted 1.0"),
    (modules(fields={"version": "1"}), "is version 1, wanted 1.0"),
], ids=["newer", "shorter"])
def test_bundles_of_another_version_are_no_bundles(machine, recipe, why):
    machine.ready(recipe.build())
    done = refused(machine, "no-bundle", NO_BUNDLE, "no bundle of gpu 1.0")
    assert done.driver["rejected"] == [{"origin": f"usr:{PLACE}/{RELEASE}/0.tar.zst", "reason": "no-bundle", "text": why}]


def test_bundles_of_another_driver_are_no_bundles(machine):
    machine.ready(renamed(modules(), "npu").build())
    done = refused(machine, "no-bundle", NO_BUNDLE, "no bundle of gpu 1.0")
    assert done.driver["rejected"][0]["text"] == "holds modules of npu"


@pytest.mark.parametrize("name", [".hidden.tar.zst", "gpu.tar.zst.part", "gpu.tar", "gpu.zst", "with blank.tar.zst", "gpu\x01.tar.zst"])
def test_files_that_are_not_called_like_bundles_are_not_looked_at(machine, name):
    machine.ready()
    machine.usr(b"rubbish", name)
    refused(machine, "no-bundle", NO_BUNDLE, "no bundle", rejected=0)


def test_what_is_no_file_is_not_read(machine):
    machine.ready()
    folder = machine.root / "usr/lib/modulus/bundles" / RELEASE
    (folder / "directory.tar.zst").mkdir(parents=True)
    os.mkfifo(folder / "fifo.tar.zst")
    done = machine.boot()  # a FIFO would keep it waiting for ever
    assert done.code != DONE and len(done.lines) == 1
    assert len(done.driver["rejected"]) == 2 and done.driver["reason"] != "loaded"


# --- wrong-kernel ----------------------------------------------------------------------------------

def test_a_bundle_for_another_release_is_said_with_both(machine):
    machine.ready(for_kernel(release="6.1.0-98-test").build())
    refused(machine, "wrong-kernel", NO_BUNDLE, f"usr:{PLACE}/{RELEASE}/0.tar.zst: bundle is for kernel 6.1.0-98-test, running {RELEASE}")


def test_a_bundle_for_another_machine(machine):
    machine.ready(for_kernel(machine="vax").build())
    refused(machine, "wrong-kernel", NO_BUNDLE, f"bundle is for vax, running on {elf.machine()}")


def test_a_bundle_for_another_build_of_this_release(machine):
    machine.ready(for_kernel(build_id="ff" + BUILD_ID[2:]).build())
    refused(machine, "wrong-kernel", NO_BUNDLE, f"bundle is for build ff{BUILD_ID[2:12]}... of kernel {RELEASE}, running build {BUILD_ID[:12]}")


@pytest.mark.parametrize("bundle_id,kernel_id", [(BUILD_ID, BUILD_ID), (None, BUILD_ID), (BUILD_ID, None), (None, None)])
def test_a_build_id_that_is_equal_or_not_known_is_no_reason(machine, bundle_id, kernel_id):
    machine.ready(for_kernel(build_id=bundle_id).build())
    machine.build_id(kernel_id)
    assert machine.boot().driver["reason"] == "init-failed"  # it got as far as the kernel


def test_a_module_that_is_not_what_the_manifest_says(machine):
    """The manifest names this kernel, the module in it another one: nothing is inserted, the next bundle is tried."""
    odd = Recipe(files=(File(f"usr/lib/modules/{RELEASE}/modulus/gpu/alpha.ko", elf.module("alpha", "6.1.0-98-test")),))
    machine.ready(odd.build())
    refused(machine, "wrong-kernel", NO_BUNDLE, "alpha has another vermagic than its manifest says", wrote=True)


def test_a_vermagic_for_another_release(machine):
    odd = Recipe(files=(File(f"usr/lib/modules/{RELEASE}/modulus/gpu/alpha.ko", elf.module("alpha", "6.1.0-98-test")),),
                 edit=lambda m: m["kernel"].update(vermagic=elf.vermagic("6.1.0-98-test")))
    machine.ready(odd.build())
    refused(machine, "wrong-kernel", NO_BUNDLE, "alpha has vermagic 6.1.0-98-test", wrote=True)


def test_a_module_for_another_machine(machine):
    other = "aarch64" if elf.machine() == "x86_64" else "x86_64"
    odd = Recipe(files=(File(f"usr/lib/modules/{RELEASE}/modulus/gpu/alpha.ko", elf.module("alpha", RELEASE, machine_name=other)),))
    machine.ready(odd.build())
    refused(machine, "wrong-kernel", NO_BUNDLE, f"alpha is for {other}", wrote=True)


# --- untrusted -------------------------------------------------------------------------------------

def test_an_unknown_key_is_named(machine):
    machine.ready(modules(sign=signed_by(UNKNOWN_KEY)).build())
    refused(machine, "untrusted", UNTRUSTED, f"signed by unknown key {UNKNOWN_KEY.public.name}")


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_without_any_key_nobody_is_trusted(machine, folder):
    machine.ready(modules().build())
    shutil.rmtree(machine.root / "etc/modulus/keys")
    if folder == "empty":
        (machine.root / "etc/modulus/keys").mkdir()
    refused(machine, "untrusted", UNTRUSTED, "and no public key is installed")


def test_a_bundle_without_a_signature(machine):
    machine.ready(modules(sign=lambda manifest: b"").build())
    refused(machine, "untrusted", UNTRUSTED, "not signed")


def test_a_manifest_that_was_changed(machine):
    good = modules().build()
    machine.ready(spoil(good, good.index(b'"serial":1'), b'"serial":9'))
    refused(machine, "untrusted", UNTRUSTED, "does not hold: the manifest was changed")


def test_a_key_file_that_is_rubbish_is_a_warning_and_trusts_nobody(machine):
    machine.ready(modules().build())
    (key,) = (machine.root / "etc/modulus/keys").iterdir()
    key.write_text("rubbish")
    done = machine.boot()
    assert done.code == UNTRUSTED and done.driver["reason"] == "untrusted"
    assert done.status["warnings"] == [f"/etc/modulus/keys/{key.name}: not a minisign public key"]


def test_a_key_of_the_image_counts_as_one_of_the_operator(machine):
    machine.driver()
    machine.device()
    machine.usr(modules().build())
    machine.key(folder="usr/lib")
    assert machine.boot().driver["reason"] == "init-failed"


def test_trust_only_usr_takes_no_key_from_etc(machine):
    machine.ready(modules().build())
    machine.driver(Trust="TrustOnly=usr")
    refused(machine, "untrusted", UNTRUSTED, "no public key is installed")
    machine.key(folder="usr/lib")
    assert machine.boot().driver["reason"] == "init-failed"


def test_what_etc_revokes_is_revoked_for_all(machine):
    machine.ready(modules().build())
    machine.driver(Trust="TrustOnly=usr")
    (key,) = (machine.root / "etc/modulus/keys").iterdir()
    machine.key(folder="usr/lib")
    machine.write_root("etc/modulus/keys/revoked", key.stem + "\n")
    refused(machine, "untrusted", UNTRUSTED, f"signed by revoked key {key.stem}")


# --- corrupt ---------------------------------------------------------------------------------------

GOOD = modules().build()


@pytest.mark.parametrize("data,says,wrote", [
    (spoil(GOOD, len(GOOD) - 40, bytes([GOOD[-40] ^ 1])), "chunk 1 of 2 does not match its hash", True),
    (GOOD[:-1], "truncated in chunk 2 of 2", True),
    (GOOD[:-150], "truncated in chunk 1 of 2", True),
    (GOOD + b"x", "data after the last chunk", True),
    (GOOD[:300], "truncated inside the manifest", False),
    (b"rubbish", "not a bundle: no manifest frame", False),
    (b"", "not a bundle: no manifest frame", False),
    (modules(sign=lambda manifest: b"rubbish").build(), "does not hold minisign signatures", False),
    (modules(fields={"format": 2}).build(), "manifest: format: 2", False),
], ids=["flipped", "cut-by-a-byte", "cut-in-chunk", "longer", "cut-in-manifest", "rubbish", "empty", "signatures", "format-2"])
def test_a_damaged_bundle_is_named_with_what_is_wrong(machine, data, says, wrote):
    machine.ready(data)
    done = refused(machine, "corrupt", UNTRUSTED, says, wrote=wrote)
    assert done.driver["text"].startswith(f"usr:{PLACE}/{RELEASE}/0.tar.zst: ")
    assert not list(machine.root.rglob("*.part"))


def test_a_module_that_is_no_module(machine):
    machine.ready(Recipe(files=(File(f"usr/lib/modules/{RELEASE}/modulus/gpu/alpha.ko", b"not ELF"),)).build())
    refused(machine, "corrupt", UNTRUSTED, "alpha: not a kernel module", wrote=True)


def test_an_empty_module(machine):
    machine.ready(Recipe(files=(File(f"usr/lib/modules/{RELEASE}/modulus/gpu/alpha.ko", b""),)).build())
    refused(machine, "corrupt", UNTRUSTED, "alpha: not a module", wrote=True)


# --- stale, equivocation ---------------------------------------------------------------------------

def test_a_serial_below_the_least(machine):
    machine.ready(modules(fields={"serial": 2}).build())
    machine.driver(Trust="MinSerial=3")
    refused(machine, "stale", NO_BUNDLE, "has serial 2, MinSerial= wants 3")
    machine.driver(Trust="MinSerial=2")
    assert machine.boot().driver["reason"] == "init-failed"


def test_a_digest_that_is_not_the_pinned_one(machine):
    machine.ready(modules().build())
    machine.driver(Trust="Digest=sha256:" + "ab" * 32)
    refused(machine, "stale", NO_BUNDLE, "Digest= pins abababababab...")


def test_two_bundles_with_one_serial_are_both_refused_and_named(machine):
    machine.ready(modules(fields={"created": 1}).build(), modules(fields={"created": 2}).build())
    refused(machine, "equivocation", UNTRUSTED,
            f"usr:{PLACE}/{RELEASE}/0.tar.zst and usr:{PLACE}/{RELEASE}/1.tar.zst both have serial 1 and differ", rejected=None)


# --- what the kernel says --------------------------------------------------------------------------

def test_the_kernel_refuses_a_module(machine):
    machine.ready(modules().build())
    done = machine.boot()
    assert done.code == KERNEL and done.driver["reason"] == "init-failed"
    assert len(done.lines) == 1 and "alpha: Operation not permitted" in done.lines[0]
    assert machine.status().returncode == KERNEL


@pytest.mark.parametrize("path,content,refuses", [
    ("sys/module/module/parameters/sig_enforce", "Y\n", True), ("sys/module/module/parameters/sig_enforce", "N\n", False),
    ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n", True),
    ("sys/kernel/security/lockdown", "none integrity [confidentiality]\n", True),
    ("sys/kernel/security/lockdown", "[none] integrity confidentiality\n", False),
])
def test_where_the_kernel_wants_signed_modules_an_unsigned_one_is_not_even_tried(machine, path, content, refuses):
    machine.write_live(path, content)
    machine.ready(modules().build())
    done = machine.boot()
    assert done.code == KERNEL and len(done.lines) == 1
    if not refuses:
        assert done.driver["reason"] == "init-failed"
        return
    assert done.driver["reason"] == "unsigned-module"
    assert "alpha carries no kernel signature" in done.driver["text"]
    machine.usr(Recipe(files=(File(f"usr/lib/modules/{RELEASE}/modulus/gpu/alpha.ko", elf.module("alpha", RELEASE, signed=True)),)).build(),
                "0.tar.zst")
    driver = machine.boot().driver  # EPERM from the seam: what lockdown says of a signature that it does not know
    assert driver["reason"] == "unsigned-module" and "alpha: the kernel does not accept its signature" in driver["text"]


@pytest.mark.parametrize("word", ["modprobe.blacklist=alpha", "rd.driver.blacklist=x,alpha", "module_blacklist=alpha,beta"])
def test_a_blacklist_on_the_command_line_is_obeyed(machine, word):
    machine.ready(modules().build())
    machine.cmdline(f"ro {word}")
    done = machine.boot()
    assert done.code == DONE and done.driver["reason"] == "disabled"
    assert done.lines == ["gpu: disabled: alpha is blacklisted on the kernel command line"]


def test_a_blacklist_knows_both_spellings(machine):
    machine.ready(modules("nvidia-drm").build())
    machine.cmdline("modprobe.blacklist=nvidia_drm")
    assert machine.boot().driver["reason"] == "disabled"


# --- sources ---------------------------------------------------------------------------------------

def test_a_source_that_this_program_does_not_know(machine):
    machine.ready()
    machine.driver(Source="From=carrier-pigeon:somewhere")
    done = refused(machine, "bad-config", CONFIG, "carrier-pigeon:somewhere: not a source that this program knows")
    assert done.driver["rejected"][0]["origin"] == "carrier-pigeon:somewhere"


def test_the_report_can_be_read_whatever_the_bundles_are_called(machine):
    """One line and valid JSON, even where names are odd."""
    machine.ready()
    for name in ("ü.tar.zst", "\x1b[31m.tar.zst", '".tar.zst', "%s%n.tar.zst"):
        machine.usr(modules(sign=signed_by(OTHER_KEY)).build(), name)
    done = machine.boot()
    assert done.code == UNTRUSTED and len(done.lines) == 1
    assert all(32 <= ord(c) < 127 for c in done.lines[0] + json.dumps(done.status))
    assert sorted(each["origin"].rpartition("/")[2] for each in done.driver["rejected"]) == ['".tar.zst', "%s%n.tar.zst"]
