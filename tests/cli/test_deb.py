# SPDX-License-Identifier: Apache-2.0
"""`make deb`: a package that lintian has nothing against, the same bytes each time, of what `make install` installs; dpkg
puts it onto a real Debian, where it runs, and takes it away without a trace. What make has compiled is packaged; a whole
build from `make dist` by dpkg-buildpackage is not tried here, since it takes minutes."""
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netmachine import plain_environment
from program import MODULUS, MODULUS_BOOT, TREE
from test_cache_places import needs_mounts

sys.path.append(str(TREE / "tests/boot"))
from rig import debian  # noqa: E402

pytestmark = [pytest.mark.skipif(os.environ.get("STATIC") == "0", reason="the package is of the static build"),
              pytest.mark.skipif(not shutil.which("dh"), reason="debhelper is not installed: make deps")]
PACKAGING = TREE / "docs/debian"
# what the package leaves out of `make install`, and what debhelper adds
LEFT_OUT = {"lib/systemd/system/nvidia-persistenced.service", "usr/share/doc/modulus/LICENSE"}
ADDED = {"usr/share/doc/modulus/" + name for name in ("README.Debian", "changelog", "copyright", "modulus.spdx.json")} | {
    "usr/share/lintian/overrides/modulus"}
# An overlay in memory, so that the system that all tests share stays as it is. What dpkg itself keeps does not count.
INSTALL = """
given=$1 debian=$2 memory=$3
mount -t tmpfs tmpfs "$memory"
mkdir "$memory/upper" "$memory/work" "$memory/root"
mount -t overlay overlay -o lowerdir="$debian",upperdir="$memory/upper",workdir="$memory/work" "$memory/root"
cd "$memory/root"
mount -t proc proc proc
cp "$given/modulus.deb" tmp
rm -f etc/dpkg/dpkg.cfg.d/*     # leaves out manual and documents
look() { find . -xdev -path ./proc -prune -o -path ./var/lib/dpkg -prune -o -path ./var/log/dpkg.log -prune -o -printf '%p %y %l\\n' | sort > "$given/$1"; }
inside() { chroot . env DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
look before
inside dpkg --install /tmp/modulus.deb
look installed
inside modulus --version > "$given/version"
inside dpkg --verify modulus > "$given/verified"
inside systemctl --no-reload enable modulus-finish.service modulus-bless.service modulus-fetch.path modulus-fetch.timer
mkdir -p etc/modulus var/lib/modulus/bundles
echo mine > etc/modulus/gpu.conf
echo cached > var/lib/modulus/bundles/file
inside dpkg --remove modulus
[ -e var/lib/modulus/bundles/file ]
look removed
inside dpkg --purge modulus
[ "$(cat etc/modulus/gpu.conf)" = mine ]
rm -r etc/modulus
look purged
"""


def make() -> bytes:
    done = subprocess.run(["make", "-s", "-C", TREE, "deb"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (path,) = (TREE / "build").glob("modulus_*.deb")
    return path.read_bytes()


@pytest.fixture(scope="module")
def deb(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("deb") / "modulus.deb"
    path.write_bytes(make())
    return path


@pytest.fixture(scope="module")
def unpacked(deb) -> Path:
    subprocess.run(["dpkg-deb", "-R", deb, deb.parent / "tree"], check=True)
    return deb.parent / "tree"


def names(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix().removesuffix(".gz") for path in root.rglob("*")
            if (path.is_file() or path.is_symlink()) and "DEBIAN" not in path.parts}


def test_the_same_programs_give_the_same_package(deb):
    time.sleep(1.1)     # another second
    os.umask(0o077)
    try:
        assert make() == deb.read_bytes()
    finally:
        os.umask(0o022)


def test_lintian_has_nothing_against_it_but_that_it_is_static(deb):
    if not shutil.which("lintian"):
        pytest.skip("lintian is not installed: make deps")
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", deb], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    overridden = set(re.findall(r"^modulus: (\S+)", (PACKAGING / "modulus.lintian-overrides").read_text(), flags=re.M))
    assert overridden == {"embedded-library", "statically-linked-binary"}


def test_it_is_what_make_install_installs(unpacked, tmp_path):
    subprocess.run(["make", "-s", "-C", TREE, "install", f"DESTDIR={tmp_path}", "unitdir=/lib/systemd/system",
                    "zshdir=/usr/share/zsh/vendor-completions"], check=True, capture_output=True, timeout=600)
    installed = names(tmp_path)
    assert LEFT_OUT <= installed and ADDED.isdisjoint(installed)
    assert names(unpacked) == installed - LEFT_OUT | ADDED
    assert (unpacked / "usr/bin/modulus").read_bytes() == MODULUS.read_bytes()
    assert (unpacked / "usr/lib/dracut/modules.d/50modulus/modulus").read_bytes() == MODULUS_BOOT.read_bytes()


def test_version_date_and_build_dependencies_are_those_of_the_makefile(unpacked):
    makefile = (TREE / "Makefile").read_text().replace("\\\n", " ")
    setting = dict(re.findall(r"^(\w+) := (.*)$", makefile, flags=re.M))
    assert f"\nVersion: {setting['VERSION']}\n" in (unpacked / "DEBIAN/control").read_text()
    stamp = subprocess.run(["dpkg-parsechangelog", "-l", PACKAGING / "changelog", "-S", "Timestamp"], capture_output=True, text=True, check=True)
    assert stamp.stdout.strip() == setting["RELEASED"]
    asked = re.search(r"^Build-Depends:\n((?: .*\n)+)", (PACKAGING / "control").read_text(), flags=re.M)[1]
    # every build of a Debian package has these; the tarball of curl and kmod is fetched by `make deps`
    always = {"gcc", "libc6-dev", "make", "dpkg-dev", "ca-certificates"}
    assert set(re.findall(r"^ ([\w.-]+)", asked, flags=re.M)) - {"debhelper-compat", "python3"} == \
        set(setting["BUILD_PACKAGES"].split()) - always


def test_its_licences_are_those_of_what_is_linked_in(unpacked):
    spdx = (TREE / "build/modulus.spdx.json").read_text()
    sources = set(re.findall(r'"built from (\S+) ', spdx)) - {"gcc-12"}
    text = (unpacked / "usr/share/doc/modulus/copyright").read_text()
    other = {"libzstd": "zstd", "libinih": "inih"}
    assert [name for name in sources if other.get(name, name) not in text.lower()] == [] and len(sources) >= 11


@needs_mounts
def test_dpkg_installs_it_and_purges_it_without_a_trace(deb):
    given, memory = deb.parent, deb.parent / "memory"
    memory.mkdir()
    done = subprocess.run(["unshare", "-m", "sh", "-euc", INSTALL, "sh", given, debian.root(), memory], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, env=plain_environment(), timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    listing = {name: set((given / name).read_text().splitlines()) for name in ("before", "installed", "removed", "purged")}
    version = re.search(r"^VERSION := (.*)$", (TREE / "Makefile").read_text(), flags=re.M)[1]
    assert (given / "version").read_text().split()[:2] == ["modulus", version] and (given / "verified").read_text() == ""
    new = listing["installed"] - listing["before"]
    assert "./usr/bin/modulus f " in new and not [line for line in new if line.startswith("./etc/")]     # nothing is enabled
    assert listing["removed"] - listing["before"] >= {"./var/lib/modulus d ", "./etc/modulus/gpu.conf f "}
    assert listing["purged"] == listing["before"]
