# SPDX-License-Identifier: Apache-2.0
"""ignition/examples: each is what Butane would make of its source, Ignition takes it, merged behind modulus.ign it wins, and
the program understands what it wrote."""
import json
import subprocess
import urllib.parse

import pytest

import butane
from fakehost import Machine
from program import DONE, TREE
from test_ignition import apply, needs  # noqa: F401  (a fixture)

SNIPPETS = TREE / "ignition"
EXAMPLES = sorted((SNIPPETS / "examples").glob("*.bu"))
DRIVERS = {"nvidia-web-server": ["nvidia"], "nvidia-registry": ["nvidia"], "nvidia-usr": ["nvidia"],
           "several-drivers": ["nvidia", "virtio-gpu"], "required": ["nvidia"], "no-gpu": ["nvidia", "wireguard"]}
SETTINGS = {"nvidia-web-server": "Runtime=https://", "nvidia-registry": "From=oci://", "nvidia-usr": "TrustOnly=usr",
            "several-drivers": "Match=pci:v000010DE", "required": "Required=yes\nOnFailure=reboot\n", "no-gpu": "Match=pci:v000010DE"}


def test_each_case_has_its_example():
    assert {path.stem for path in EXAMPLES} == set(DRIVERS) == {path.stem for path in (SNIPPETS / "examples").glob("*.ign")}


@pytest.mark.parametrize("source", EXAMPLES, ids=lambda path: path.stem)
def test_it_is_rendered_and_ignition_accepts_it_without_a_word(source):
    rendered = source.with_suffix(".ign")
    assert rendered.read_text() == butane.render(source, SNIPPETS), "run: make ignition"
    needs("ignition-validate")
    done = subprocess.run(["ignition-validate", rendered], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("source", EXAMPLES, ids=lambda path: path.stem)
def test_merged_behind_the_snippet_it_is_what_the_program_reads(source, apply, tmp_path):  # noqa: F811
    merge = [{"source": "data:," + urllib.parse.quote(path.read_text())}
             for path in (SNIPPETS / "modulus.ign", source.with_suffix(".ign"))]
    config = tmp_path / "fleet.ign"
    config.write_text(json.dumps({"ignition": {"version": "3.3.0", "config": {"merge": merge}}}))
    root = apply(config)
    machine = Machine(tmp_path / "machine")
    machine.root = root
    done = machine.boot()
    assert done.code == DONE and done.status["warnings"] == []
    assert [(driver["name"], driver["reason"]) for driver in done.status["drivers"]] == \
        [(name, "no-device") for name in DRIVERS[source.stem]]
    assert SETTINGS[source.stem] in (root / "etc/modulus/nvidia.conf").read_text()


@pytest.mark.parametrize("name", ["nvidia-web-server", "nvidia-registry"])
def test_bundles_are_looked_for_where_the_page_has_them_put(name):
    page = (TREE / "docs/nvidia.md").read_text()
    addresses = [line.strip() for line in (SNIPPETS / f"examples/{name}.bu").read_text().splitlines() if "://" in line]
    assert [line.split("=")[0] for line in addresses] == ["From", "Runtime"] and "{flavor}" in addresses[0]
    assert [line for line in addresses if line not in page.splitlines()] == []
