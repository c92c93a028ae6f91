# SPDX-License-Identifier: Apache-2.0
"""What the dracut module puts into an image, as dracut calls it; the images themselves are made in tests/boot."""

import subprocess

import pytest

from program import MODULUS_BOOT

# what dracut offers to a module, as far as install() uses it
DRACUT = '''
inst_simple() { mkdir -p "$initdir${2%/*}" && cp "$1" "$initdir$2"; }
dfatal() { echo "$@" >&2; }
. "$moddir/module-setup.sh"
install
'''


def install(tmp_path, project, **variables: str) -> subprocess.CompletedProcess:
    image = tmp_path / "image"
    image.mkdir()
    return subprocess.run(["sh", "-euc", DRACUT], capture_output=True, text=True, env={
        "PATH": "/usr/bin:/bin", "initdir": str(image), "moddir": str(project / "dracut" / "50modulus"), "SYSTEMCTL": "true",
        "systemdsystemunitdir": "/usr/lib/systemd/system", "MODULUS_BINARY": str(MODULUS_BOOT), **variables})


@pytest.fixture
def project():
    return MODULUS_BOOT.parents[1]


def test_rivals_named_in_dracut_conf_are_blacklisted_in_the_image(tmp_path, project):
    done = install(tmp_path, project, modulus_evict="nouveau nova_core")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "image/etc/modprobe.d/modulus-evict.conf").read_text() == "blacklist nouveau\nblacklist nova_core\n"


def test_without_rivals_nothing_but_program_and_unit_goes_in(tmp_path, project):
    done = install(tmp_path, project)
    assert done.returncode == 0, done.stderr
    found = sorted(str(path.relative_to(tmp_path / "image")) for path in (tmp_path / "image").rglob("*") if path.is_file())
    assert found == ["usr/bin/modulus", "usr/lib/systemd/system/modulus.service"]
    assert (tmp_path / "image/usr/bin/modulus").read_bytes() == MODULUS_BOOT.read_bytes()
