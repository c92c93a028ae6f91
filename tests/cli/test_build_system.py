# SPDX-License-Identifier: Apache-2.0
"""What `make` promises: one static file, the same bytes anywhere, nothing foreign in libkmod.a, plain words when
something is missing."""
import os
import re
import pathlib
import shlex
import shutil
import subprocess

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
BUILD = TREE / "build"
DEPS = TREE / "tests" / "deps"
PROGRAMS = ["modulus", "modulus-boot"]
MIB = 1 << 20


def run(*args, **kwargs):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, **kwargs)


def make(directory, *args):
    # our variables, but not the job server of the make that runs us
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    overrides = shlex.split(os.environ.get("MAKEFLAGS", "").partition(" -- ")[2])
    return run("make", "-C", directory, "--no-print-directory", *overrides, "V=0", *args, env=env)


static = pytest.mark.skipif(os.environ.get("STATIC") == "0", reason="a promise of the static build")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The sources in another directory, at another depth, built from nothing."""
    place = tmp_path_factory.mktemp("another") / "place" / "with-a-longer-name"
    place.mkdir(parents=True)
    for folder in ("stage", "dracut"):  # the program holds the text of one unit
        shutil.copytree(TREE / folder, place / folder)
    shutil.copytree(DEPS, place / "tests" / "deps")
    shutil.copy(TREE / "Makefile", place)
    done = make(place, "-j2")
    assert done.returncode == 0, done.stderr
    return place


# what goes into an initramfs has 6 MiB, TLS included; the one with the builder stays in the real root
@static
@pytest.mark.parametrize("program, mib", [("modulus-boot", 6), ("modulus", 7)])
def test_program_is_one_static_stripped_file_within_its_size(program, mib):
    file = BUILD / program
    assert file.stat().st_size <= mib * MIB
    assert "There is no dynamic section" in run("readelf", "--dynamic", file).stdout
    assert "INTERP" not in run("readelf", "--program-headers", "--wide", file).stdout
    assert "statically linked" in run("file", file).stdout
    assert "not a dynamic executable" in run("ldd", file).stderr
    assert run("nm", file).stdout == ""


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_names_no_place_of_the_machine_that_built_it(copy, program):
    file = copy / "build" / program
    assert b"with-a-longer-name" not in file.read_bytes()
    assert "Build ID" not in run("readelf", "--notes", file).stdout


@static
def test_initramfs_program_has_no_builder():
    whole, boot = BUILD / "modulus", BUILD / "modulus-boot"
    assert boot.stat().st_size < whole.stat().st_size
    for command in ["build", "sign", "keygen"]:
        assert run(whole, command, "--help").returncode == 0, command
        assert run(boot, command, "--help").returncode == 2, command


def test_same_sources_give_the_same_bytes_in_another_directory(copy):
    for program in PROGRAMS:
        assert (copy / "build" / program).read_bytes() == (BUILD / program).read_bytes()


def test_make_does_nothing_twice_and_sees_a_changed_flag_or_list_of_files(copy):
    assert make(copy).stdout == ""
    # a new file, and gone again: nothing is newer then
    (copy / "stage" / "added.c").write_text("extern int added_symbol;\nint added_symbol;\n")
    assert "LINK   build/modulus-boot" in make(copy).stdout
    (copy / "stage" / "added.c").unlink()
    again = make(copy).stdout
    assert "LINK   build/modulus-boot" in again and "CC" not in again
    # a header
    (copy / "stage" / "err.h").touch()
    assert "CC     build/obj/err.o" in make(copy, "-j2", "build/obj/err.o").stdout
    # another flag, and back; one object stands for all of them and for the libraries, which take a minute
    assert "CC     build/obj/main.o" in make(copy, "CPPFLAGS=-DOTHER", "build/obj/main.o").stdout
    assert "CC     build/obj/main.o" in make(copy, "build/obj/main.o").stdout


# --- libkmod.a -------------------------------------------------------------------------------------

def only_prefix(archive):
    return run(DEPS / "only-prefix.sh", "kmod_", archive)


@static
def test_libkmod_shows_only_its_own_names():
    done = only_prefix(BUILD / "libkmod.a")
    assert done.returncode == 0, done.stderr


def test_an_archive_with_other_names_or_none_is_noticed(tmp_path):
    (tmp_path / "a.c").write_text("int kmod_x; int array_append;\n")
    run("gcc", "-c", "a.c", cwd=tmp_path)
    run("ar", "rcs", "a.a", "a.o", cwd=tmp_path)
    run("ar", "rcs", "empty.a", cwd=tmp_path)
    done = only_prefix(tmp_path / "a.a")
    assert (done.returncode, "array_append" in done.stderr) == (1, True)
    assert only_prefix(tmp_path / "empty.a").returncode == 1


# --- what is missing is said plainly ---------------------------------------------------------------

def tools(tmp_path, **scripts):
    """An environment with stand-ins for some programs at the front of PATH."""
    for name, script in scripts.items():
        file = tmp_path / name.replace("_", "-")
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


def test_installed_packages_are_found_without_apt(tmp_path):
    env = tools(tmp_path, apt_get="echo apt-get was run; exit 1")
    done = run(DEPS / "install.sh", "dpkg", "tar", env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_missing_packages_are_installed_and_only_those(tmp_path):
    env = tools(tmp_path, id="echo 0", apt_get=f'echo "$@" >> {tmp_path}/log')
    done = run(DEPS / "install.sh", "dpkg", "modulus-no-such-package", env=env)
    assert done.returncode == 0, done.stderr
    update, install = (tmp_path / "log").read_text().splitlines()
    assert update.endswith("update")
    assert install.endswith("install -y --no-install-recommends modulus-no-such-package")


def test_a_failing_apt_is_shown(tmp_path):
    env = tools(tmp_path, id="echo 0", apt_get="echo E: no such thing; exit 100")
    done = run(DEPS / "install.sh", "modulus-no-such-package", env=env)
    assert done.returncode == 1
    assert "E: no such thing" in done.stderr and "could not install: modulus-no-such-package" in done.stderr


def test_missing_packages_are_named():
    assert run(DEPS / "install.sh", "--list", "dpkg", "modulus-no-such-package", "tar").stdout \
        == "modulus-no-such-package\n"


def test_a_user_is_told_what_to_install(tmp_path):
    env = tools(tmp_path, id="echo 1000", apt_get="echo apt-get was run; exit 1")
    done = run(DEPS / "install.sh", "tar", "modulus-no-such-package", env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "modulus: run 'make deps' as root, or install: modulus-no-such-package\n"
    # the tests go on all the same: each says itself what it lacks
    assert run(DEPS / "install.sh", "--auto", "modulus-no-such-package", env=env).returncode == 0


def test_without_apt_the_counterparts_are_named(tmp_path):
    (tmp_path / "sh").symlink_to(shutil.which("sh"))
    done = run("sh", DEPS / "install.sh", "libzstd-dev", env={"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert "Debian 12 only" in done.stderr and "libzstd-dev" in done.stderr


@pytest.mark.parametrize("package, omits", [("dracut", True), ("dracut-core", False)])
def test_ignition_stays_out_of_the_machines_own_initramfs(tmp_path, package, omits):
    """Its dracut module has no check(): where the machine's initramfs is dracut's, it would go in."""
    conf = tmp_path / "dracut.conf.d"
    script = tmp_path / "install.sh"
    script.write_text((DEPS / "install.sh").read_text().replace("/etc/dracut.conf.d", str(conf)))
    env = tools(tmp_path, id="echo 0", apt_get="exit 0",
                dpkg_query=f'for last; do :; done; [ "$last" = {package} ] && printf installed')
    conf.mkdir()
    done = run("sh", script, "ignition", env=env)
    assert done.returncode == 0, done.stderr
    assert [p.read_text() for p in conf.iterdir()] == (['omit_dracutmodules+=" ignition "\n'] if omits else [])


@pytest.mark.parametrize("theirs", [False, True], ids=["ours", "theirs"])
@pytest.mark.parametrize("signal", ["HUP", "INT", "TERM"])
def test_an_install_that_is_interrupted_lets_services_start_again(tmp_path, signal, theirs):
    """While it runs a policy keeps servers from being started; one that was there before is somebody else's."""
    policy, script, temporary = tmp_path / "policy-rc.d", tmp_path / "install.sh", tmp_path / "tmp"
    script.write_text((DEPS / "install.sh").read_text().replace("/usr/sbin/policy-rc.d", str(policy)))
    temporary.mkdir()
    if theirs:
        policy.write_text("#!/bin/sh\nexit 0\n")
    env = tools(tmp_path, id="echo 0", apt_get=f"cat {policy} >> {tmp_path}/seen; kill -{signal} $PPID")
    env["TMPDIR"] = str(temporary)
    done = run("env", f"--default-signal={signal}", "sh", script, "modulus-no-such-package", env=env)
    assert done.returncode == 1, done
    assert (tmp_path / "seen").read_text() == f"#!/bin/sh\nexit {0 if theirs else 101}\n", "apt-get was run once"
    assert policy.exists() == theirs and list(temporary.iterdir()) == []


KILL_IT = "kill -TERM $PPID"
KILLED_APT = f"case $* in indextargets*) echo http://mirror bookworm main ;; *) {KILL_IT} ;; esac"


@pytest.mark.parametrize("words, stand_ins", [
    (("fetch.sh", "x.tar", "pool", "0" * 64), {"apt_get": "echo http://mirror bookworm main", "helper": KILL_IT}),
    (("fetch-source.sh", "x", "x"), {"apt_get": KILLED_APT, "apt_cache": "", "dpkg_source": ""}),
    (("sysroot.sh", "arm64", "x"), {"apt_get": KILLED_APT, "apt_cache": "", "dpkg_deb": ""}),
], ids=["fetch", "fetch-source", "sysroot"])
def test_a_download_that_is_interrupted_leaves_nothing(tmp_path, words, stand_ins):
    cache, scripts = tmp_path / "cache", tmp_path / "deps"
    shutil.copytree(DEPS, scripts)
    fetch = scripts / "fetch.sh"
    fetch.write_text(fetch.read_text().replace("/usr/lib/apt/apt-helper", str(tmp_path / "helper")))
    cache.mkdir()
    env = {**tools(tmp_path, **stand_ins), "MODULUS_CACHE": str(cache)}
    done = run("env", "--default-signal=TERM", "sh", scripts / words[0], *words[1:], env=env)
    assert done.returncode == 1 and list(cache.iterdir()) == [], done


def test_a_machine_that_cannot_build_is_told_so_in_one_line(copy):
    done = make(copy, "CC=modulus-no-such-compiler", "build/obj/main.o")
    assert done.returncode == 2
    assert "cannot build it yet: modulus-no-such-compiler: not found" in done.stderr.splitlines()[0]
    assert "make deps" in done.stderr


@static
def test_absent_kmod_source_is_said_with_both_ways_out(copy):
    done = make(copy, "MODULUS_CACHE=/nonexistent", "build/libkmod.a")
    assert done.returncode == 2
    assert "make deps" in done.stderr and "KMOD_SRC=" in done.stderr


# --- fetching --------------------------------------------------------------------------------------

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def fetch(tmp_path, sha256, mirrors=""):
    cache = tmp_path / "cache"
    env = tools(tmp_path, id="echo 1000", apt_get=f"printf '%s' '{mirrors}'")
    return cache, run(DEPS / "fetch.sh", "x.tar.xz", "pool/x", sha256, env={**env, "MODULUS_CACHE": str(cache)})


def test_source_comes_from_the_mirrors_of_apt_and_is_kept(tmp_path):
    (tmp_path / "mirror/pool/x").mkdir(parents=True)
    (tmp_path / "mirror/pool/x/x.tar.xz").touch()
    cache, done = fetch(tmp_path, EMPTY_SHA256, f"file:/nonexistent/\nfile:{tmp_path}/mirror/\n")
    assert done.returncode == 0, done.stderr
    assert [p.name for p in cache.iterdir()] == ["x.tar.xz"]
    # and then needs no mirror
    assert fetch(tmp_path, EMPTY_SHA256)[1].returncode == 0


@pytest.mark.parametrize("where", ["mirror/pool/x", "cache"])
def test_source_with_another_digest_is_refused(tmp_path, where):
    (tmp_path / where).mkdir(parents=True)
    (tmp_path / where / "x.tar.xz").write_text("not what was pinned")
    cache, done = fetch(tmp_path, EMPTY_SHA256, f"file:{tmp_path}/mirror/\n")
    assert done.returncode == 1
    assert f"x.tar.xz: no Debian mirror of this machine has it: put it into {cache} yourself" in done.stderr
    assert where == "cache" or not list(cache.iterdir())


# --- another architecture --------------------------------------------------------------------------

def test_an_architecture_that_cannot_be_built_for_is_refused(copy):
    done = make(copy, "ARCH=riscv64")
    assert (done.returncode, done.stdout) == (2, "")
    assert "ARCH=riscv64: " in done.stderr and "the one other that can be built for is arm64" in done.stderr


@pytest.mark.skipif(os.uname().machine == "aarch64", reason="arm64 is this machine's own")
@pytest.mark.parametrize("words, says", [(["build/arm64/ready", "MODULUS_CACHE=/nonexistent"], "make deps"),
                                         (["check-boot"], "check-arm64"), (["all", "STATIC=0"], "static only")])
def test_what_a_cross_build_lacks_or_cannot_do_is_said(copy, words, says):
    done = make(copy, "ARCH=arm64", *words)
    assert done.returncode == 2 and says in done.stderr


def test_libraries_of_another_architecture_are_unpacked_beside_the_system_and_anew_for_another_version(tmp_path):
    package = tmp_path / "package"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "DEBIAN/control").write_text("Package: x\nVersion: 1\nArchitecture: arm64\nMaintainer: x <x@x>\nDescription: x\n")
    (package / "x.h").touch()
    assert run("dpkg-deb", "--build", package, tmp_path / "x.deb").returncode == 0
    fetches = f'case "$*" in *indextargets*) echo http://x bookworm main;; *arm64*download*) cp {tmp_path}/x.deb .;; *arm64*update) ;; *) exit 1;; esac'

    def sysroot(version: int, apt_get: str):
        env = tools(tmp_path, apt_get=apt_get, apt_cache=f'echo "x:"; echo "  Candidate: {version}"')
        return run(DEPS / "sysroot.sh", "arm64", "x", env={**env, "MODULUS_CACHE": str(tmp_path / "cache")})

    for version, apt_get in (1, fetches), (1, "exit 1"), (2, fetches):
        done = sysroot(version, apt_get)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "cache/sysroot-arm64/x.h").exists()
    assert len([*(tmp_path / "cache").iterdir()]) == 3  # two, and the link
    done = sysroot(3, 'case "$*" in *indextargets*) echo http://x bookworm main;; *) exit 1;; esac')
    assert done.returncode == 1 and "apt could not fetch for arm64: x" in done.stderr
    assert (tmp_path / "cache/sysroot-arm64/x.h").exists() and len([*(tmp_path / "cache").iterdir()]) == 3


# --- the tree --------------------------------------------------------------------------------------

def test_every_source_file_carries_the_licence_line():
    named = [TREE / "Makefile", TREE / ".ci/run", TREE / ".clang-format"]
    suffixes = {".c", ".h", ".py", ".sh", ".bu", ".service"}
    for folder in ["stage", "dracut", "ignition", "tests"]:
        named += [p for p in (TREE / folder).rglob("*") if p.suffix in suffixes and p.is_file()]
    without = [str(p.relative_to(TREE)) for p in named
               if not re.search(r"SPDX-License-Identifier: (GPL-2.0-only OR )?Apache-2.0", p.read_text()[:200])]
    assert without == []
