# SPDX-License-Identifier: Apache-2.0
"""Libraries and programs of a live driver: `finish` installs them whole or not at all, and the host finds them."""
import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bundlemaker import UNKNOWN_KEY, File, cut_at, digest_of, modules, runtime, signed_by
from cachemachine import CacheMachine
from fakehost import Machine
from program import DONE, MODULUS

SMI, LIBRARY = b"#!/bin/sh\necho it is me\n", b"library " * 3000
FILES = (File("usr/bin/gpu-smi", SMI, 0o755), File("usr/lib64/libgpu.so.1.0", LIBRARY),
         File("usr/lib64/vdpau/libgpu_vdpau.so.1.0", b"v"), File("usr/share/gpu/readme", b"r"))
LINKS = (("usr/lib64/libgpu.so.1", "libgpu.so.1.0"),)
TREE, LINK = "var/lib/modulus/runtime/gpu/1.0", "opt/drivers/gpu"


def made(version: str = "1.0", serial: int = 1, files: tuple[File, ...] = FILES, **options):
    return runtime(*files, links=LINKS, cut=cut_at(4096), fields={"version": version, "serial": serial}, **options)


class Host(Machine):
    """Its driver is live; what an installed system has is there."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.ready(modules().build())
        self.module_is_live("alpha", "beta")
        for path in ("opt", "usr/local/bin", "usr/bin", "etc/ld.so.conf.d"):
            (self.root / path).mkdir(parents=True, exist_ok=True)
        self.write_root("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
        self.write_live("proc/meminfo", "MemTotal:  9000000 kB\nMemAvailable:  8000000 kB\n")

    def ship(self, data: bytes, name: str = "runtime.tar.zst") -> bytes:
        """The OS image has it."""
        self.usr(data, name, "any")
        return data

    def finish(self, *words: str):
        assert self.boot().driver["reason"] == "loaded"
        return self.again(*words)

    def again(self, *words: str):
        done = self.boot("finish", env={**os.environ}) if not words else self._words(*words)
        assert done.code == DONE, done
        return done

    def _words(self, *words: str):
        subprocess.run([MODULUS, "finish", *words, *self.roots], check=True, capture_output=True)
        return self.boot("finish")

    def forget_modules(self) -> None:
        """Nobody goes back to a version whose modules are not cached."""
        shutil.rmtree(self.root / "var/lib/modulus/bundles")

    @property
    def told(self) -> dict | None:
        (driver,) = json.loads(self.status_file.read_text())["drivers"]
        return driver["runtime"]

    @property
    def tree(self) -> Path:
        return self.root / TREE

    @property
    def entries(self) -> list[str]:
        return sorted(path.name for path in self.tree.parent.iterdir() if path.name != ".lock")


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def inside(root: Path, path: str) -> Path:
    """Where a path leads when `root` is "/", as in a container that has the tree mounted."""
    found, rest = Path("/"), list(Path(path).parts[1:])
    for _ in range(64):
        if not rest:
            return root / found.relative_to("/")
        part = rest.pop(0)
        if part == "..":
            found = found.parent
            continue
        here = root / (found / part).relative_to("/")
        if here.is_symlink():
            target = Path(os.readlink(here))
            found = Path("/") if target.is_absolute() else found
            rest = [word for word in target.parts if word != "/"] + rest
        else:
            found /= part
    raise AssertionError(f"{path}: too many links")


# --- it is there -----------------------------------------------------------------------------------

def test_a_live_driver_has_its_libraries_and_programs_after_finish(host):
    data = host.ship(made().build())
    done = host.finish()
    assert (host.tree / "usr/bin/gpu-smi").read_bytes() == SMI
    assert (host.tree / "usr/bin/gpu-smi").stat().st_mode & 0o777 == 0o755
    assert (host.tree / "usr/lib64/libgpu.so.1").read_bytes() == LIBRARY
    assert host.told == {"reason": "loaded", "text": "", "version": "1.0", "digest": digest_of(data),
                         "origin": "usr:/usr/lib/modulus/bundles/any/runtime.tar.zst", "path": f"/{TREE}", "link": f"/{LINK}",
                         "programs": "/usr/local/bin", "extension": False, "warnings": []}
    assert f"gpu: runtime of version 1.0 from usr:/usr/lib/modulus/bundles/any/runtime.tar.zst, in /{TREE}" in done.lines
    assert f"  runtime  loaded: /{TREE}, as /{LINK}\n" in host.status().stdout
    assert host.entries == ["1.0"]


def test_the_layout_is_that_of_the_tool_before_us(host):
    host.ship(made().build())
    host.finish()
    assert os.readlink(host.root / LINK) == f"/{TREE}"
    for path, content in {"bin/gpu-smi": SMI, "lib/libgpu.so.1": LIBRARY, "lib64/libgpu.so.1.0": LIBRARY}.items():
        assert inside(host.root, f"/{LINK}/{path}").read_bytes() == content
    # `modprobe -d /opt/drivers/gpu` finds what modprobe finds
    assert inside(host.root, f"/{LINK}/lib/modules") == host.root / "usr/lib/modules"


@pytest.mark.parametrize("path", ["bin/gpu-smi", "lib/libgpu.so.1", "lib64/libgpu.so.1", "lib/libgpu_vdpau.so.1.0"])
def test_mounted_into_a_container_all_links_stay_inside(host, path, tmp_path):
    """docker run --volume=/opt/drivers/gpu:/usr/local/gpu:ro"""
    host.ship(made().build())
    host.finish()
    container = tmp_path / "container"
    (container / "usr/local/gpu").mkdir(parents=True)
    shown = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", 'mount --bind "$1" "$2/usr/local/gpu"; cat "$2/usr/local/gpu/$3"', "sh",
         inside(host.root, f"/{LINK}"), container, path], capture_output=True)
    assert shown.returncode == 0 and shown.stdout, shown
    # and by no luck of the host's: seen from the container's own root
    mounted = tmp_path / "mounted"
    (mounted / "usr/local").mkdir(parents=True)
    shutil.copytree(inside(host.root, f"/{LINK}"), mounted / "usr/local/gpu", symlinks=True)
    assert inside(mounted, f"/usr/local/gpu/{path}").read_bytes() == shown.stdout


def test_programs_are_on_the_path(host):
    host.ship(made().build())
    host.finish()
    assert os.readlink(host.root / "usr/local/bin/gpu-smi") == f"/{LINK}/bin/gpu-smi"
    assert not os.path.lexists(host.root / "usr/bin/gpu-smi")


def test_where_there_is_no_usr_local_they_are_in_usr_bin(host):
    shutil.rmtree(host.root / "usr/local")
    host.ship(made().build())
    host.finish()
    assert os.readlink(host.root / "usr/bin/gpu-smi") == f"/{LINK}/bin/gpu-smi" and host.told["programs"] == "/usr/bin"


@pytest.mark.parametrize("theirs", ["file", "link", "dangling"])
def test_a_program_of_somebody_else_stays(host, theirs):
    place = host.root / "usr/local/bin/gpu-smi"
    if theirs == "file":
        place.write_text("theirs")
    else:
        place.symlink_to("/usr/bin/true" if theirs == "link" else "/nowhere")
    before = os.lstat(place).st_ino
    host.ship(made().build())
    host.finish()
    assert os.lstat(place).st_ino == before
    assert host.told["warnings"] == ["/usr/local/bin/gpu-smi is somebody else's and stays"]
    assert (host.root / LINK / "bin").is_symlink() or host.told["link"]


def compiled(path: Path, soname: str) -> bytes:
    subprocess.run(["gcc", "-x", "c", "-", "-shared", "-nostdlib", "-o", path, f"-Wl,-soname,{soname}"], input=b"int f;", check=True)
    return path.read_bytes()


def test_the_loader_finds_the_libraries(host, tmp_path):
    library = compiled(tmp_path / "l", "libgpu.so.1")
    host.ship(made(files=(File("usr/lib64/libgpu.so.1.0", library),)).build())
    host.finish()
    assert (host.root / "etc/ld.so.conf.d/modulus-gpu.conf").read_text() == f"/{LINK}/lib\n"
    listed = subprocess.run(["ldconfig", "-r", host.root, "-p"], capture_output=True, text=True, check=True).stdout
    assert f"=> /{LINK}/lib/libgpu.so.1\n" in listed


def test_a_host_without_glibcs_loader_is_left_alone(host):
    shutil.rmtree(host.root / "etc/ld.so.conf.d")
    (host.root / "etc/ld.so.conf").unlink()
    host.ship(made().build())
    host.finish()
    assert host.told["warnings"] == [] and not (host.root / "etc/ld.so.conf.d").exists()


def test_an_opt_that_is_a_link_as_on_fedora_coreos(host):
    (host.root / "opt").rmdir()
    (host.root / "opt").symlink_to("var/opt")
    (host.root / "var/opt").mkdir()
    shutil.rmtree(host.root / "usr/local")
    (host.root / "usr/local").symlink_to("../var/usrlocal")
    (host.root / "var/usrlocal/bin").mkdir(parents=True)
    host.ship(made().build())
    host.finish()
    assert os.readlink(host.root / "var/opt/drivers/gpu") == f"/{TREE}"
    assert os.readlink(host.root / "var/usrlocal/bin/gpu-smi") == f"/{LINK}/bin/gpu-smi"
    assert host.told["warnings"] == []


def test_a_driver_without_such_a_bundle_says_nothing(host):
    host.finish()
    assert host.told is None and not (host.root / "var/lib/modulus/runtime").exists() and not (host.root / "opt/drivers").exists()


def test_a_driver_that_is_not_loaded_gets_nothing(host):
    host.ship(made().build())
    shutil.rmtree(host.live / "sys/module")
    assert host.boot().driver["reason"] == "init-failed"
    host.again()
    assert host.told is None and not host.tree.exists()


# --- again -----------------------------------------------------------------------------------------

def written(host: Host) -> dict[Path, tuple[int, int]]:
    return {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in host.root.rglob("*")
            if "trials" not in path.parts}


def test_the_next_boot_writes_nothing(host, tmp_path):
    library = compiled(tmp_path / "l", "libgpu.so.1")
    host.ship(made(files=(FILES[0], File("usr/lib64/libgpu.so.1.0", library))).build())
    host.finish()
    before = written(host)
    host.finish()
    assert written(host) == before
    assert host.told["reason"] == "loaded" and host.told["origin"] is None and host.told["path"] == f"/{TREE}"


def test_it_stays_where_no_source_has_it_any_more(host):
    host.ship(made().build())
    host.finish()
    (host.root / "usr/lib/modulus/bundles/any/runtime.tar.zst").unlink()
    host.finish()
    assert host.told["reason"] == "loaded" and host.told["link"] == f"/{LINK}" and host.told["warnings"] == []


def test_a_newer_bundle_of_the_version_takes_its_place(host):
    host.ship(made().build())
    host.finish()
    newer = host.ship(made(serial=2, files=(File("usr/bin/gpu-smi", b"newer", 0o755),)).build(), "newer.tar.zst")
    host.finish()
    assert host.told["digest"] == digest_of(newer) and (host.tree / "usr/bin/gpu-smi").read_bytes() == b"newer"
    # what was mounted from the old one is still there
    assert host.entries == [".1.0.old", "1.0"]
    assert (host.tree.parent / ".1.0.old/usr/bin/gpu-smi").read_bytes() == SMI


@pytest.mark.parametrize("harm", ["file missing", "file short", "link missing", "link elsewhere", "no record", "other record"])
def test_a_tree_that_is_not_whole_is_made_again(host, harm):
    host.ship(made().build())
    host.finish()
    library, link, record = host.tree / "usr/lib64/libgpu.so.1.0", host.tree / "usr/lib64/libgpu.so.1", host.tree / ".bundle"
    if harm == "file missing":
        library.unlink()
    elif harm == "file short":
        library.write_bytes(LIBRARY[:-1])
    elif harm == "no record":
        record.unlink()
    elif harm == "other record":
        record.write_bytes(made(sign=signed_by(UNKNOWN_KEY)).build())
    else:
        link.unlink()
        if harm == "link elsewhere":
            link.symlink_to("libgpu.so.9.9")
    host.finish()
    assert library.read_bytes() == LIBRARY and os.readlink(link) == "libgpu.so.1.0"
    assert host.told["reason"] == "loaded" and host.told["origin"] and len(host.told["warnings"]) == 1, host.told


def test_what_an_interrupted_run_left_is_removed(host):
    half = host.tree.parent / ".1.0.part"
    (half / "usr/lib64/deep/er").mkdir(parents=True)
    (half / "usr/lib64/libgpu.so.1.0").write_bytes(b"half")
    (half / "usr/lib64/out").symlink_to(host.root / "etc")
    host.ship(made().build())
    host.finish()
    assert host.entries == ["1.0"] and (host.tree / "usr/lib64/libgpu.so.1.0").read_bytes() == LIBRARY
    assert (host.root / "etc/ld.so.conf").exists()


def test_a_half_made_tree_is_nobodys_runtime(host):
    """Only the name counts, and it is given last."""
    host.ship(made().build())
    host.finish()
    (host.root / "usr/lib/modulus/bundles/any/runtime.tar.zst").unlink()
    host.tree.rename(host.tree.parent / ".1.0.part")
    host.finish()
    assert host.told is None


# --- what goes wrong -------------------------------------------------------------------------------

def damaged() -> bytes:
    data = made(serial=2).build()
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


@pytest.mark.parametrize("bad, reason", [(damaged, "corrupt"), (lambda: made(serial=2).build()[:-50], "corrupt"),
                                         (lambda: made(serial=2, sign=signed_by(UNKNOWN_KEY)).build(), "untrusted")],
                         ids=["one bit of its end", "cut off", "a stranger's"])
def test_a_bad_bundle_leaves_the_old_tree_active(host, bad, reason):
    data = host.ship(made().build())
    host.finish()
    (host.root / "usr/lib/modulus/bundles/any/runtime.tar.zst").unlink()
    host.ship(bad(), "bad.tar.zst")
    host.finish()
    assert host.told["digest"] == digest_of(data) and host.told["reason"] == "loaded" and host.entries == ["1.0"]
    assert (host.tree / "usr/lib64/libgpu.so.1.0").read_bytes() == LIBRARY
    assert any(f"runtime: {reason}: " in warning for warning in host.told["warnings"]), host.told


def test_a_bad_bundle_alone_leaves_nothing(host):
    host.ship(damaged())
    host.finish()
    assert host.told["reason"] == "corrupt" and host.told["path"] is None and host.entries == []
    assert not (host.root / "opt/drivers").exists()
    assert "  runtime  corrupt: " in host.status().stdout


def test_a_bundle_of_another_version_is_none(host):
    host.ship(made(version="1.1").build())
    host.finish()
    assert host.told is None


def test_the_version_that_is_loaded_counts_not_that_of_the_file(host):
    host.ship(made().build())
    host.finish()
    host.driver(text="[Driver]\nVersion=1.1\nMatch=pci:v00001AF4d*\n")
    host.ship(made(version="1.1").build(), "next.tar.zst")
    host.again()
    assert host.told["reason"] == "loaded" and host.told["version"] == "1.0"
    assert os.readlink(host.root / LINK) == f"/{TREE}" and host.entries == ["1.0"]


@pytest.mark.parametrize("live, reason", [("1.0", "loaded"), ("1.0.1", "wrong-version")])
def test_the_live_module_has_the_last_word(tmp_path, live, reason):
    host = Host(tmp_path)
    host.usr(modules("nvidia").build(), "0.tar.zst")
    host.module_is_live("nvidia")
    host.write_live("sys/module/nvidia/version", live + "\n")
    host.ship(made().build())
    host.finish()
    assert host.told["reason"] == reason, host.told
    assert host.tree.exists() == (reason == "loaded")


def test_something_else_at_the_links_place_stays(host):
    host.write_root(f"{LINK}/mine", "x")
    host.ship(made().build())
    host.finish()
    assert (host.root / LINK / "mine").read_text() == "x" and host.told["link"] is None
    assert host.told["warnings"] == [f"/{LINK}: File exists"]
    # found all the same, by the tree's own path
    assert os.readlink(host.root / "usr/local/bin/gpu-smi") == f"/{TREE}/bin/gpu-smi"


def test_a_link_of_the_tool_before_us_is_switched(host):
    (host.root / "opt/drivers").mkdir()
    (host.root / LINK).symlink_to("/opt/modulus/archive/gpu/0.9")
    host.ship(made().build())
    host.finish()
    assert os.readlink(host.root / LINK) == f"/{TREE}"


READ_ONLY = 'mount --bind "$1" "$1"; mount -o remount,bind,$2 "$1"; shift 2; exec "$@"'


def in_mounts(host: Host, path: str, how: str) -> str:
    done = subprocess.run(["unshare", "--mount", "sh", "-ec", READ_ONLY, "sh", host.root / path, how, MODULUS, "finish", *host.roots],
                          capture_output=True, text=True)
    assert done.returncode == DONE, done
    return done.stderr


@pytest.mark.parametrize("how", ["ro", "noexec"])
def test_a_var_that_is_of_no_use_has_it_in_memory(host, how):
    host.ship(made().build())
    assert host.boot().driver["reason"] == "loaded"
    in_mounts(host, "var", how)
    assert host.told["path"] == "/run/modulus/runtime/gpu/1.0" and host.told["reason"] == "loaded"
    assert (host.live / "run/modulus/runtime/gpu/1.0/usr/lib64/libgpu.so.1").read_bytes() == LIBRARY
    assert os.readlink(host.root / LINK) == "/run/modulus/runtime/gpu/1.0" and not host.tree.exists()
    # a second run finds it there
    in_mounts(host, "var", how)
    assert host.told["origin"] is None and host.told["path"] == "/run/modulus/runtime/gpu/1.0"


def test_a_read_only_opt_is_a_warning(host):
    host.ship(made().build())
    assert host.boot().driver["reason"] == "loaded"
    in_mounts(host, "opt", "ro")
    assert host.told["reason"] == "loaded" and host.told["link"] is None
    assert host.told["warnings"] == [f"/{LINK}: Read-only file system"]


def on_small_var(host: Host, size: str) -> None:
    done = subprocess.run(["unshare", "--mount", "sh", "-ec", 'mount -t tmpfs -o size="$1" none "$2"; shift 2; exec "$@"', "sh", size,
                           host.root / "var", MODULUS, "finish", *host.roots], capture_output=True, text=True)
    assert done.returncode == DONE, done


def test_where_there_is_no_space_the_boot_goes_on_without(host):
    host.ship(made(files=(File("usr/bin/gpu-smi", os.urandom(3 << 20), 0o755),)).build())
    assert host.boot().driver["reason"] == "loaded"
    on_small_var(host, "3m")
    assert host.told["reason"] == "no-space" and host.told["path"] is None and not (host.root / "opt/drivers").exists()
    on_small_var(host, "16m")
    assert host.told["reason"] == "loaded"


def test_memory_is_not_filled(host):
    host.ship(made().build())
    host.write_live("proc/meminfo", "MemTotal:  9000000 kB\nMemAvailable:  32800 kB\n")
    assert host.boot().driver["reason"] == "loaded"
    on_small_var(host, "16m")
    assert host.told["reason"] == "no-space" and "MiB of memory" in host.told["text"]


# --- the network -----------------------------------------------------------------------------------

def test_what_only_the_network_has_is_left_to_a_unit_of_its_own(host):
    from badserver import BadServer, good
    data = made().build()
    with BadServer() as server:
        server.serve("/runtime", good(data))
        host.driver(Source=f"From=usr:\nRuntime={server.url('/{kind}')}\n")
        done = host.finish()
        assert not server.of("/runtime") and not host.tree.exists()   # containers do not wait for it
        assert host.told["reason"] == "network" and host.told["text"] == "not on this machine; modulus-runtime.service asks the network"
        assert [line for line in done.lines if line.startswith("modulus-runtime.service cannot be started: ")], done
        subprocess.run([MODULUS, "finish", "--runtime", *host.roots], check=True, capture_output=True)
        assert host.told["reason"] == "loaded" and host.told["origin"] == server.url("/runtime") and len(server.of("/runtime")) == 1
        assert host.cached[-1] == f"any/gpu-runtime-{digest_of(data)}.tar.zst"
        host.finish("--runtime")
        assert len(server.of("/runtime")) == 1 and host.told["origin"] is None


def test_what_others_report_during_a_download_stays(host):
    """It takes minutes; the boot is found good meanwhile, and udev has a module loaded."""
    from badserver import BadServer
    from test_network_lock import Gate, begin
    data = made().build()
    gate = Gate(data, 1000)
    with BadServer() as server:
        server.serve("/runtime", gate)
        host.driver(Source=f"From=usr:\nRuntime={server.url('/{kind}')}\n")
        host.finish()
        with subprocess.Popen([MODULUS, "finish", "--runtime", *host.roots], stderr=subprocess.PIPE) as loading:
            assert gate.reached.wait(20)
            bless = begin(host, "bless")
            assert "waiting for another modulus" in bless.stderr.readline()     # to tidy; its mark is there
            report = json.loads(host.status_file.read_text())
            assert report["blessed"]
            report["drivers"][0]["modules"].append({"name": "gamma", "from": "bundle", "us": 1})
            host.status_file.write_text(json.dumps(report))
            gate.opened.set()
            assert loading.wait(20) == DONE
        assert bless.communicate(timeout=20) and bless.returncode == DONE
    after = json.loads(host.status_file.read_text())
    assert after["blessed"] == report["blessed"] and after["drivers"][0]["modules"] == report["drivers"][0]["modules"]
    assert host.told["reason"] == "loaded" and (host.live / "run/modulus/ready").exists()


def test_a_network_that_does_not_answer_is_said(host):
    host.driver(Source="From=usr:\nRuntime=http://127.0.0.1:1/{kind}\n")
    host.finish("--runtime")
    subprocess.run([MODULUS, "finish", "--runtime", *host.roots], check=True, capture_output=True)
    assert host.told["reason"] == "network" and host.told["path"] is None


# --- systemd-sysext --------------------------------------------------------------------------------

EXTENSION = "run/extensions/modulus-gpu"


def test_sysext_makes_an_extension_of_it_and_no_takes_it_away(host):
    host.driver(Source="From=usr:\n", Policy="Sysext=yes")
    host.ship(made().build())
    host.finish()
    assert os.readlink(host.live / EXTENSION) == f"/{TREE}" and host.told["extension"] is True
    assert (host.tree / "usr/lib/extension-release.d/extension-release.modulus-gpu").read_text() == "ID=_any\n"
    assert not (host.tree / "usr/lib/modules").exists()
    host.driver(Source="From=usr:\n", Policy="Sysext=no")
    host.finish()
    assert not os.path.lexists(host.live / EXTENSION) and host.told["extension"] is False


MERGED = """
mount --make-rslave /; mount --make-rshared /
mount -t tmpfs none /run; mount --make-shared /run; mkdir /run/extensions
ln -s "$1" /run/extensions/modulus-gpu
systemd-sysext refresh
cat /usr/bin/gpu-smi /usr/lib64/libgpu.so.1
systemd-sysext unmerge
"""


def test_systemd_sysext_takes_it(host):
    host.driver(Source="From=usr:\n", Policy="Sysext=yes")
    host.ship(made().build())
    host.finish()
    done = subprocess.run(["unshare", "--mount", "sh", "-ec", MERGED, "sh", host.tree], capture_output=True)
    assert done.returncode == 0 and done.stdout == SMI + LIBRARY, done.stderr


# --- old ones --------------------------------------------------------------------------------------

def next_version(host: Host, version: str = "1.1") -> None:
    host.driver(text=f"[Driver]\nVersion={version}\nMatch=pci:v00001AF4d*\n")
    host.usr(modules("alpha", "beta", fields={"version": version}).build(), f"{version}.tar.zst")
    host.ship(made(version=version).build(), f"runtime-{version}.tar.zst")


def test_an_old_version_is_there_until_a_boot_was_good(host):
    host.ship(made().build())
    host.finish()
    next_version(host)
    host.finish()
    host.forget_modules()
    assert os.readlink(host.root / LINK) == "/var/lib/modulus/runtime/gpu/1.1" and host.entries == ["1.0", "1.1"]
    done = host.boot("bless")
    assert done.code == DONE and host.entries == ["1.1"], done
    assert f"/{TREE}: removed" in done.lines


def test_while_another_modulus_is_at_work_no_old_version_is_removed(host):
    host.ship(made().build())
    host.finish()
    next_version(host)
    host.finish()
    host.forget_modules()
    with open(host.live / "run/modulus/lock", "r+") as handle:
        fcntl.lockf(handle, fcntl.LOCK_EX)
        done = host.boot("bless")
    assert done.code == DONE and host.entries == ["1.0", "1.1"] and done.status["blessed"], done
    assert [line for line in done.lines if "not tidied: another modulus is at work" in line], done
    assert host.boot("bless").code == DONE and host.entries == ["1.1"]


@pytest.mark.parametrize("process", [1, 4321], ids=["host", "container"])
@pytest.mark.parametrize("field", ["{} /mnt/x", "/ /var/lib/modulus/runtime/gpu/1.0/usr"])
def test_a_version_that_is_mounted_is_not_removed(host, field, process):
    host.ship(made().build())
    host.finish()
    next_version(host)
    host.finish()
    host.forget_modules()
    field = field.format("/lib/modulus/runtime/gpu/1.0/usr/lib64")     # a /var of its own
    host.mounts(f"2 1 253:2 {field} rw - ext4 /dev/vda2 rw\n", process)
    assert host.boot("bless").code == DONE and host.entries == ["1.0", "1.1"]
    host.mounts("", process)
    assert host.boot("bless").code == DONE and host.entries == ["1.1"]


def test_a_version_whose_modules_are_cached_is_kept(tmp_path):
    host = Host(tmp_path)
    host.driver(Source="From=cache: usr:\n")
    host.ship(made().build())
    host.finish()       # the modules of 1.0 are cached now
    next_version(host)
    host.driver(text="[Driver]\nVersion=1.1\nMatch=pci:v00001AF4d*\n[Source]\nFrom=cache: usr:\n")
    host.finish()
    done = host.boot("bless")
    assert host.entries == ["1.0", "1.1"], done


def test_prune_says_what_it_would_remove_and_removes_it(host):
    host.ship(made().build())
    host.finish()
    next_version(host)
    host.finish()
    host.forget_modules()
    machine = CacheMachine.__new__(CacheMachine)
    machine.__dict__.update(host.__dict__)
    assert f"would remove /{TREE}\n" in machine.command("cache", "prune", "--dry-run").stdout and host.entries == ["1.0", "1.1"]
    assert f"removed /{TREE}\n" in machine.command("cache", "prune").stdout and host.entries == ["1.1"]


def test_rebuild_hashes_every_file_and_the_next_finish_mends_it(host):
    host.ship(made().build())
    host.finish()
    library = host.tree / "usr/lib64/libgpu.so.1.0"
    library.write_bytes(LIBRARY[:-1] + b"X")
    host.finish()
    assert library.read_bytes() != LIBRARY      # no boot hashes hundreds of MB
    rebuilt = subprocess.run([MODULUS, "rebuild", *host.roots], capture_output=True, text=True)
    assert f"/{TREE}: usr/lib64/libgpu.so.1.0 does not match its hash" in rebuilt.stderr, rebuilt
    host.finish()
    assert library.read_bytes() == LIBRARY and host.told["reason"] == "loaded"
    rebuilt = subprocess.run([MODULUS, "rebuild", *host.roots], capture_output=True, text=True)
    assert f"gpu: /{TREE} is good" in rebuilt.stderr, rebuilt
