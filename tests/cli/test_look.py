# SPDX-License-Identifier: Apache-2.0
"""verify, inspect, unpack: looking at bundles by hand, from files and from a pipe; and the commands of docs/bundle.md."""
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time

import pytest

from bundlemaker import (MODULES, OTHER_KEY, TEST_KEY, UNKNOWN_KEY, File, Recipe, cut_at, digest_of, firmware, manifest_of, module_file,
                         modules, runtime, signed_by)
from program import DONE, MODULUS, RESOURCES, SYSTEM, TREE, UNTRUSTED, environment, modulus, snapshot

LINKED = runtime(links=(("usr/lib/x86_64-linux-gnu/libgpu.so.1", "libgpu.so.1.0"), ("usr/bin/smi", "gpu-smi")))


@pytest.fixture
def written(tmp_path):
    """A bundle as a file."""
    def write(recipe: Recipe, name: str = "b.tar.zst"):
        file = tmp_path / name
        file.write_bytes(recipe.build())
        return file
    return write


def manifest_bytes(file) -> bytes:
    return manifest_of(file.read_bytes())


def digest(file) -> str:
    return digest_of(file.read_bytes())


# --- verify ----------------------------------------------------------------------------------------

def test_verify_says_what_it_is_and_who_signed_it(written, keys):
    file = written(modules(fields={"serial": 7}))
    done = modulus("verify", "--keys", keys, file)
    assert (done.returncode, done.stderr) == (DONE, "")
    assert done.stdout == (f"{file}: good: modules of gpu 1.0, serial 7, sha256 {digest(file)}, "
                           f"signed by key {TEST_KEY.public.name}\n")


def test_verify_judges_each_file_and_exits_with_the_worst(written, keys, tmp_path):
    good, bad = written(modules(), "good"), written(modules(sign=signed_by(UNKNOWN_KEY)), "bad")
    done = modulus("verify", "--keys", keys, good, bad, tmp_path / "none", good)
    assert done.returncode == UNTRUSTED
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [str(good)] * 2
    assert done.stderr.splitlines() == [
        f"modulus: untrusted: {bad}: signed by unknown key {UNKNOWN_KEY.public.name}",
        f"modulus: {tmp_path / 'none'}: No such file or directory"]
    assert modulus("verify", "--keys", keys, good, tmp_path / "none").returncode == SYSTEM


def test_verify_of_a_directory_is_a_failure_of_the_system_not_of_the_bundle(keys, tmp_path):
    done = modulus("verify", "--keys", keys, tmp_path)
    assert (done.returncode, done.stderr) == (SYSTEM, f"modulus: {tmp_path}: reading: Is a directory\n")


def test_verify_reads_standard_input_once_and_to_its_end(written, keys):
    data = written(modules()).read_bytes()
    done = modulus("verify", "--keys", keys, "-", stdin=data)  # a pipe cannot be read twice
    assert done.returncode == DONE and done.stdout.startswith("-: good: ")
    done = modulus("verify", "--keys", keys, "-", stdin=data + b"x")
    assert (done.returncode, done.stderr) == (UNTRUSTED, "modulus: corrupt: -: data after the last chunk\n")
    assert modulus("verify", "--keys", keys, "-", stdin=b"").returncode == UNTRUSTED


def test_names_from_the_command_line_cannot_play_with_the_terminal(keys, tmp_path):
    done = modulus("verify", "--keys", keys, tmp_path / "\x1b[31mred")
    assert done.returncode == SYSTEM and done.stderr.endswith("No such file or directory\n")


# --- inspect ---------------------------------------------------------------------------------------

def test_inspect_shows_everything_that_matters(written):
    file = written(modules("nvidia", "nvidia-drm", fields={
        "version": "535.1", "flavor": "open", "serial": 7, "created": 1700000000, "load": ["nvidia", "nvidia-drm"],
        "match": ["pci:v000010DEd*", "pci:v000010DFd*"], "options": ["nvidia a=1 b=2"], "requires": "ab" * 32,
    }, sign=signed_by(TEST_KEY, UNKNOWN_KEY, comment=b"by\x1b[31mhand"), links=(("usr/lib/firmware/a", "b"),)))
    done = modulus("inspect", file)
    assert (done.returncode, done.stderr) == (DONE, "")
    lines = done.stdout.splitlines()
    for line in (
            "bundle    modules of gpu 535.1, flavor open", f"sha256    {digest(file)}",
            "serial    7, created 2023-11-14 22:13:20 UTC", "load      nvidia nvidia-drm",
            "match     pci:v000010DEd* pci:v000010DFd*", "option    nvidia a=1 b=2", "requires  " + "ab" * 32,
            f"signature key {TEST_KEY.public.name}, by\\x1b[31mhand (not verified here)",
            f"signature key {UNKNOWN_KEY.public.name}, by\\x1b[31mhand (not verified here)",
            "link      usr/lib/firmware/a -> b"):
        assert line in lines, (line, done.stdout)
    assert re.search(r"^kernel    6\.1\.0-99-test \S+, build-id not known$", done.stdout, flags=re.M)
    assert re.search(r"^payload   2 chunks, \d+ bytes stored, 3072 unpacked$", done.stdout, flags=re.M)
    assert [line.split()[-1] for line in lines if line.startswith("file ")] == [MODULES + "nvidia.ko", MODULES + "nvidia-drm.ko"]
    assert re.fullmatch(r"[\n -~]*", done.stdout)


def test_inspect_json_is_the_manifest_byte_for_byte(written):
    """So that its digest and its signature can be checked by others."""
    file = written(modules(encode=lambda manifest: b" " + json.dumps(manifest, indent=3).encode() + b"\n\n"))
    done = modulus("inspect", "--json", file)
    assert done.returncode == DONE
    assert done.stdout.encode() == manifest_bytes(file)


def test_inspect_json_without_a_line_feed_of_its_own(written):
    assert not modulus("inspect", "--json", written(modules())).stdout.endswith("\n")


def test_inspect_needs_no_key_and_reads_no_payload(written):
    file = written(modules(sign=lambda manifest: b"rubbish"))
    whole = file.read_bytes()
    assert modulus("inspect", file).returncode == DONE
    header = whole[:whole.index(b"\x28\xb5\x2f\xfd")]
    from_pipe = modulus("inspect", "--json", "-", stdin=header)
    assert from_pipe.returncode == DONE and json.loads(from_pipe.stdout)["name"] == "gpu"


def test_inspect_of_what_is_no_bundle(tmp_path):
    (tmp_path / "x").write_text("hello")
    done = modulus("inspect", tmp_path / "x")
    assert (done.returncode, done.stderr) == (UNTRUSTED, f"modulus: corrupt: {tmp_path / 'x'}: not a bundle: no manifest frame\n")
    assert modulus("inspect", tmp_path / "none").returncode == SYSTEM


# --- unpack ----------------------------------------------------------------------------------------

def test_unpack_writes_files_modes_and_links_and_nothing_else(written, keys, tmp_path):
    recipe = LINKED
    done = modulus("unpack", "--keys", keys, written(recipe), tmp_path / "new")
    assert (done.returncode, done.stdout, done.stderr) == (DONE, "", "")
    files = {file.path: (file.content, file.mode) for file in recipe.files}
    found = {}
    for path in (tmp_path / "new").rglob("*"):
        about, name = path.lstat(), path.relative_to(tmp_path / "new").as_posix()
        if stat.S_ISREG(about.st_mode):
            found[name] = (path.read_bytes(), stat.S_IMODE(about.st_mode))
        elif stat.S_ISLNK(about.st_mode):
            assert (name, os.readlink(path)) in recipe.links
        else:
            assert stat.S_IMODE(about.st_mode) == 0o755 and any(path.iterdir())
    assert found == files


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777])
def test_unpacked_modes_do_not_depend_on_the_umask(written, keys, tmp_path, umask):
    file = written(LINKED)
    old = os.umask(umask)
    try:
        done = modulus("unpack", "--keys", keys, file, tmp_path / "t")
    finally:
        os.umask(old)
    assert done.returncode == DONE, done.stderr
    assert stat.S_IMODE((tmp_path / "t/usr/bin/gpu-smi").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "t/usr/bin").stat().st_mode) == 0o755


def test_unpack_reads_a_pipe(written, keys, tmp_path):
    assert modulus("unpack", "--keys", keys, "-", tmp_path / "t", stdin=written(modules()).read_bytes()).returncode == DONE
    assert (tmp_path / "t" / MODULES / "alpha.ko").read_bytes() == module_file("alpha").content


def test_unpack_refuses_before_it_makes_the_target(written, keys, tmp_path):
    done = modulus("unpack", "--keys", keys, written(modules(sign=signed_by(UNKNOWN_KEY))), tmp_path / "t")
    assert done.returncode == UNTRUSTED and not (tmp_path / "t").exists()


def test_unpack_adds_to_a_directory_with_other_things(written, keys, tmp_path):
    target = tmp_path / "t"
    assert modulus("unpack", "--keys", keys, written(firmware()), target).returncode == DONE
    assert modulus("unpack", "--keys", keys, written(LINKED), target).returncode == DONE
    assert (target / "usr/lib/firmware/gpu/one.bin").exists() and (target / "usr/bin/gpu-smi").exists()


@pytest.mark.parametrize("what", ["file", "link", "directory"])
def test_unpack_overwrites_nothing_and_takes_its_own_away_again(written, keys, tmp_path, what):
    target = tmp_path / "t"
    there = target / MODULES / "beta.ko"  # the second of two files
    there.parent.mkdir(parents=True)
    {"file": lambda: there.write_text("precious"), "link": lambda: there.symlink_to("elsewhere"),
     "directory": there.mkdir}[what]()
    before = snapshot(target)
    done = modulus("unpack", "--keys", keys, written(modules()), target)
    assert done.returncode == SYSTEM and "beta.ko: File exists" in done.stderr
    assert snapshot(target) == before


def broken_last_file() -> Recipe:
    """Good until its last file."""
    return Recipe(files=(module_file("alpha"), module_file("beta"), File("usr/lib/firmware/x", b"good")),
                  edit=lambda manifest: manifest["files"][-1].update(sha256="0" * 64))


def test_unpack_of_a_bundle_that_turns_out_bad_leaves_nothing(written, keys, tmp_path):
    (tmp_path / "t").mkdir()
    done = modulus("unpack", "--keys", keys, written(broken_last_file()), tmp_path / "t")
    assert done.returncode == UNTRUSTED and list((tmp_path / "t").iterdir()) == []


def test_unpack_of_a_bad_bundle_does_not_remove_files_of_others(written, keys, tmp_path):
    """Files that have names from the manifest, but that this run did not write."""
    target = tmp_path / "t"
    mine = target / "usr/lib/firmware/x"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    recipe = broken_last_file()
    bad_first = recipe.but(edit=lambda manifest: manifest["files"][0].update(sha256="0" * 64))
    done = modulus("unpack", "--keys", keys, written(bad_first), target)
    assert done.returncode == UNTRUSTED
    assert mine.exists() and mine.read_text() == "precious"


def test_unpack_that_fails_leaves_the_directories_of_others_and_none_of_its_own(written, keys, tmp_path):
    target = tmp_path / "t"
    (target / "usr/lib/modules").mkdir(parents=True)  # empty, on the way to our files
    (target / "opt").mkdir()
    before = snapshot(target)
    done = modulus("unpack", "--keys", keys, written(broken_last_file()), target)
    assert done.returncode == UNTRUSTED
    assert snapshot(target) == before


def test_unpack_that_fails_takes_a_target_away_that_it_made(written, keys, tmp_path):
    done = modulus("unpack", "--keys", keys, written(broken_last_file()), tmp_path / "t")
    assert done.returncode == UNTRUSTED and not (tmp_path / "t").exists()


@pytest.mark.parametrize("ends", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_unpack_that_is_interrupted_leaves_nothing_and_dies_of_the_signal(keys, tmp_path, ends):
    data = firmware(cut=cut_at(512)).build()
    # whoever started these tests may ignore signals, and that is inherited
    with subprocess.Popen(["env", "--default-signal", MODULUS, "unpack", "--keys", keys, "-", tmp_path / "t"],
                          stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as running:
        running.stdin.write(data[:-10])  # the rest never comes
        running.stdin.flush()
        until = time.monotonic() + 30
        while not (tmp_path / "t/usr/lib/firmware/gpu/two.bin").exists():
            assert time.monotonic() < until and running.poll() is None
            time.sleep(0.01)
        running.send_signal(ends)
        assert running.wait(30) == -ends
    assert not (tmp_path / "t").exists()


# --- whose keys ------------------------------------------------------------------------------------

def test_without_keys_those_of_this_machine_count(written, machine, tmp_path):
    file = written(firmware())
    for folder in ("etc", "usr/lib"):
        done = modulus("verify", *machine.roots, file)
        assert done.returncode == UNTRUSTED and TEST_KEY.public.name in done.stderr
        key = machine.key(folder=folder)
        for command, *more in (("verify", file), ("unpack", file, tmp_path / f"t-{folder.replace('/', '-')}")):
            done = modulus(command, *machine.roots, *more)
            assert (done.returncode, done.stderr) == (DONE, "")
        key.unlink()


def test_a_key_that_this_machine_revoked_does_not_count(written, machine):
    machine.key(folder="usr/lib")
    machine.write_root("etc/modulus/keys/revoked", TEST_KEY.public.name + "\n")
    done = modulus("verify", *machine.roots, written(firmware()))
    assert done.returncode == UNTRUSTED and "revoked" in done.stderr


def test_with_keys_the_machines_own_do_not_count(written, machine, tmp_path):
    machine.key()
    (tmp_path / "empty").mkdir()
    assert modulus("verify", "--keys", tmp_path / "empty", *machine.roots[2:], written(firmware())).returncode == UNTRUSTED


# --- unpack and links ------------------------------------------------------------------------------

def test_unpack_goes_through_no_link_neither_to_write_nor_to_clean_up(written, keys, tmp_path):
    outside, target = tmp_path / "outside", tmp_path / "t"
    precious = outside / MODULES.removeprefix("usr/") / "alpha.ko"
    precious.parent.mkdir(parents=True)
    precious.write_text("precious")
    target.mkdir()
    (target / "usr").symlink_to(outside)
    before = snapshot(outside)
    done = modulus("unpack", "--keys", keys, written(modules()), target)
    assert done.returncode == SYSTEM and done.stderr != ""
    assert snapshot(outside) == before


def test_unpack_into_what_is_no_directory(written, keys, tmp_path):
    (tmp_path / "t").write_text("x")
    done = modulus("unpack", "--keys", keys, written(modules()), tmp_path / "t")
    assert (done.returncode, done.stderr) == (SYSTEM, f"modulus: {tmp_path / 't'}: Not a directory\n")
    assert modulus("unpack", "--keys", keys, written(modules()), tmp_path / "a" / "b").returncode == SYSTEM


def test_unpack_on_a_full_disk_says_so_and_leaves_nothing(written, keys, tmp_path, spawner):
    """A limit on file sizes stands for the disk: the signal is ignored, as for a full one there is none."""
    file = written(firmware(File("usr/lib/firmware/x", b"x" * 100000)))
    (tmp_path / "t").mkdir()
    done = spawner.run("/bin/sh", "-c", 'trap "" XFSZ; exec "$0" "$@"', MODULUS, "unpack", "--keys", keys, file, tmp_path / "t",
                       env=environment(), limits={"FSIZE": 4096})
    assert done.code == RESOURCES and b"no-space" in done.err, done
    assert list((tmp_path / "t").iterdir()) == []


# --- docs/bundle.md --------------------------------------------------------------------------------

@pytest.mark.skipif(shutil.which("minisign") is None, reason="minisign is not installed")
def test_the_commands_of_the_format_page_take_a_bundle_apart(written, tmp_path):
    page = (TREE / "docs" / "bundle.md").read_text()
    (script,) = [block for block in re.findall(r"^```sh\n(.*?)^```$", page, flags=re.M | re.S) if "minisign -V" in block]
    file = written(modules(sign=signed_by(TEST_KEY, OTHER_KEY)))
    (tmp_path / "key.pub").write_text(TEST_KEY.public.text())
    done = subprocess.run(["sh", "-e", "-c", script], cwd=tmp_path, env={**os.environ, "bundle": str(file), "LC_ALL": "C"},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Signature and comment signature verified" in done.stdout and digest(file) in done.stdout
    assert (tmp_path / "manifest.json").read_bytes() == manifest_bytes(file)
