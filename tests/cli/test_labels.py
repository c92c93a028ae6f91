# SPDX-License-Identifier: Apache-2.0
"""Where SELinux is in force, `finish` has the host's restorecon(8) label what was made before there was a policy. On this
machine's own root, with /run and /sys of the test's: for other roots nobody is asked."""
import json
import os
import subprocess
import time

import pytest

from netmachine import plain_environment
from program import DONE, MODULUS
from test_cache_places import needs_mounts

pytestmark = [needs_mounts, pytest.mark.skipif(os.path.exists("/etc/modulus"), reason="this machine has drivers of its own")]
LABELLING_S = 15  # stage/limit.h
# $1: a folder with restorecon, and the report of this boot if there is one. Out: the words of restorecon, and the report.
FINISH = """
mount -t tmpfs tmpfs /sys
mount -t tmpfs tmpfs /run
[ "$2" = without ] || { mkdir -p /sys/fs/selinux; echo 1 > /sys/fs/selinux/enforce; }
mkdir /run/modulus
[ ! -e "$1/status.json" ] || cp "$1/status.json" /run/modulus/status.json
PATH="$1:$PATH" "$3" finish
cp /run/modulus/status.json "$1/status.json"
"""


@pytest.fixture
def folder(tmp_path):
    script = tmp_path / "restorecon"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/words\n')
    script.chmod(0o755)
    return tmp_path


def run_finish(folder, kernel: str = "selinux") -> str:
    """What it said."""
    done = subprocess.run(["unshare", "-m", "sh", "-euc", FINISH, "sh", folder, kernel, MODULUS], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, env=plain_environment(), timeout=60)
    assert done.returncode == DONE, done.stderr
    return done.stderr


def finish(folder, kernel: str = "selinux") -> list[str]:
    """What restorecon was asked for; [] when it was not."""
    (folder / "words").unlink(missing_ok=True)
    run_finish(folder, kernel)
    return (folder / "words").read_text().splitlines() if (folder / "words").exists() else []


def test_what_is_ours_is_labelled(folder):
    assert finish(folder) == ["-R", "-F", "/run/modulus", "/var/lib/modulus/bundles"]


def test_nodes_libraries_and_what_engines_read_are_labelled_too(folder):
    finish(folder)
    report = json.loads((folder / "status.json").read_text())
    report["drivers"] = [{"name": "gpu", "reason": "loaded", "nodes": ["/dev/nvidia0", "/dev/nvidiactl"], "devices": ["0000:00:02.0"],
                          "modules": [], "runtime": {"reason": "loaded", "path": "/var/lib/modulus/runtime/gpu/1", "link": "/opt/drivers/gpu"}}]
    (folder / "status.json").write_text(json.dumps(report))
    assert finish(folder) == ["-R", "-F", "/run/modulus", "/var/lib/modulus/bundles", "/var/lib/modulus/runtime/gpu/1",
                              "/opt/drivers/gpu", "/dev/nvidia0", "/dev/nvidiactl"]


def test_without_selinux_nobody_is_asked(folder):
    assert finish(folder, "without") == []


def test_a_host_without_restorecon_goes_on(folder):
    (folder / "restorecon").unlink()
    assert finish(folder) == []


def test_one_that_hangs_is_killed_and_the_report_was_there_before(folder):
    seen = folder / "seen"
    seen.mkdir()
    (folder / "restorecon").write_text(f'#!/bin/sh\ncp /run/modulus/status.json /run/modulus/ready {seen}/\nexec sleep 1000\n')
    began = time.monotonic()
    said = run_finish(folder)
    assert LABELLING_S <= time.monotonic() - began < LABELLING_S + 10
    assert "restorecon: was not done in time and was killed; nodes keep the label they have\n" in said
    assert (seen / "ready").exists() and json.loads((seen / "status.json").read_text())["finish"]


def test_a_path_that_it_cannot_label_is_no_warning(folder):
    with (folder / "restorecon").open("a") as script:
        script.write("exit 255\n")
    assert "restorecon" not in run_finish(folder) and (folder / "words").exists()
