# SPDX-License-Identifier: Apache-2.0
"""The Ignition snippets: what is in the tree is what Butane would make, Ignition takes it, and what it writes is right.

Ignition itself is Debian's, applied to a directory: no boot, less than a second. tests/boot does the same in one.
"""
import base64
import fnmatch
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
SNIPPETS = TREE / "ignition"
IGNITION = "/usr/lib/dracut/modules.d/30ignition/ignition"

sys.path.insert(0, str(TREE / "tests" / "tools"))
import butane  # noqa: E402  (a script beside the tests, no package)

SOURCES = sorted(SNIPPETS.glob("*.bu"))
RENDERED = sorted(SNIPPETS.glob("*.ign"))


def name(path):
    return path.name


def needs(program):
    """make check installs it, so that in CI its absence is a failure."""
    if shutil.which(program) is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{program} is not installed: make deps")


def test_every_source_has_its_rendered_file_and_the_other_way_round():
    assert {p.stem for p in SOURCES} == {p.stem for p in RENDERED} == {
        "modulus", "modulus-kargs", "modulus-injected", "modulus-injected-kargs", "modulus-flatcar", "modulus-packages",
        "modulus-ostree"}


@pytest.mark.parametrize("source", SOURCES, ids=name)
def test_rendered_file_is_that_of_its_butane_source(source):
    assert source.with_suffix(".ign").read_text() == butane.render(source, SNIPPETS), "run: make ignition"


@pytest.mark.parametrize("rendered", RENDERED, ids=name)
def test_ignition_accepts_the_rendered_file_without_a_word(rendered):
    needs("ignition-validate")
    done = subprocess.run(["ignition-validate", rendered], capture_output=True, text=True)
    # its warnings ("unused key") leave the exit code 0, and are what a mistyped key looks like
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def resources(value):
    """Everything in a config that has a source."""
    if isinstance(value, dict):
        if "source" in value:
            yield value
        for inner in value.values():
            yield from resources(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from resources(inner)


@pytest.mark.parametrize("rendered", RENDERED, ids=name)
def test_first_boot_needs_a_network_for_the_program_only_and_checks_that(rendered):
    remote = [found for found in resources(json.loads(rendered.read_text())) if not found["source"].startswith("data:")]
    assert len(remote) == (rendered.stem == "modulus-injected")
    assert all(found["verification"]["hash"].startswith("sha512-") for found in remote)


def test_kernel_arguments_are_in_their_own_snippets_only():
    # Ignition fails the boot of a live or PXE system on them
    for stem in ("modulus", "modulus-injected"):
        assert "kernelArguments" not in json.loads((SNIPPETS / f"{stem}.ign").read_text())
        assert list(json.loads((SNIPPETS / f"{stem}-kargs.ign").read_text())) == ["ignition", "kernelArguments"]


# --- the renderer is as strict as Butane -----------------------------------------------------------

HEAD = "variant: fcos\nversion: 1.4.0\n"
FILE = HEAD + "storage:\n  files:\n  - path: /etc/x\n    mode: 0644\n    contents:\n      local: x\n"


@pytest.fixture
def files_dir(tmp_path):
    (tmp_path / "x").write_text("100% of it\n")
    (tmp_path.parent / "outside").write_text("secret\n")
    return tmp_path


def render(files_dir, text):
    source = files_dir / "source.bu"
    source.write_text(text)
    return butane.render(source, files_dir)


def test_renderer_encodes_contents_and_mode(files_dir):
    assert json.loads(render(files_dir, FILE)) == {
        "ignition": {"version": "3.3.0"},
        "storage": {"files": [{
            "path": "/etc/x", "mode": 0o644,
            "contents": {"compression": "", "source": "data:,100%25%20of%20it%0A"}}]}}


@pytest.mark.parametrize("text, why", [
    (FILE.replace("mode", "mod"), "mod: unknown here"),
    (FILE + "systemd:\n  unit: []\n", "unit: unknown here"),
    (FILE.replace("0644", "644"), "not a mode"),
    (FILE.replace("local: x", "local: ../outside"), "outside the files directory"),
    (FILE.replace("local: x", "local: absent"), "no such file"),
    (FILE.replace("local: x", "local: x\n      inline: y"), "exactly one of"),
    (FILE.replace("local: x", "source: file:///x"), "not a URL that Ignition fetches"),
    (FILE.replace("local: x", "source: http://x/y\n      verification:\n        hash: sha512-00"), "not sha512- or sha256-"),
    (FILE + "ignition:\n  config:\n    merge:\n    - local: absent\n", "no such file"),
    (FILE + "ignition:\n  version: 3.0.0\n", "version: unknown here"),
    (FILE.replace("/etc/x", "etc/x"), "not a clean absolute path"),
    (FILE.replace("/etc/x", "/etc/../x"), "not a clean absolute path"),
    (FILE + "  links:\n  - path: /etc/x\n    target: /y\n", "/etc/x: is there twice"),
    (FILE.replace("    mode: 0644\n", "    mode: 0644\n    mode: 0600\n"), "mode is there twice"),
    (FILE.replace("1.4.0", "1.5.0"), "only 1.4.0 is known"),
    (HEAD + "systemd:\n  units:\n  - name: nonsense\n", "not the name of a unit"),
    (HEAD + "systemd:\n  units:\n  - name: a.service\n    enabled: 1\n", "is not a bool"),
    ("variant: fcos\n", "version: is needed"),
])
def test_renderer_refuses(files_dir, text, why):
    with pytest.raises(butane.Refused, match=why):
        render(files_dir, text)


# --- Ignition writes what we mean ------------------------------------------------------------------

STAGES = """
set -e
mount -t tmpfs tmpfs /run
for stage in fetch-offline kargs mount files umount; do
    "$0" --platform=file --root="$ROOT" --stage=$stage --log-to-stdout
done
"""


@pytest.fixture
def apply(tmp_path):
    """Runs the stages of Ignition that need no disk on an empty root, with /run of their own."""
    needs(IGNITION)
    root, tools = tmp_path / "root", tmp_path / "tools"
    tools.mkdir()
    # Debian builds Ignition with SELinux relabelling on, and ships neither a policy nor setfiles
    (root / "etc/selinux").mkdir(parents=True)
    (root / "etc/selinux/config").write_text("SELINUXTYPE=stub\n")
    for program, script in {
            "setfiles": "#!/bin/sh\nexit 0\n",
            # Debian's only fails; each distribution has to bring its own
            "ignition-kargs-helper": f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {tmp_path}/kargs\n"}.items():
        (tools / program).write_text(script)
        (tools / program).chmod(0o755)

    def run(config):
        # a user name space is for those who need one: the kernel refuses it in a chroot
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        done = subprocess.run(
            ["unshare", "--mount", *user, "sh", "-c", STAGES, IGNITION], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PATH": f"{tools}:{os.environ['PATH']}", "ROOT": root, "IGNITION_CONFIG_FILE": config})
        assert done.returncode == 0, done.stdout
        return root

    run.kargs = tmp_path / "kargs"
    return run


def mode(path):
    return path.stat().st_mode & 0o7777


def test_snippet_writes_the_driver_file_and_the_public_key(apply):
    etc = apply(SNIPPETS / "modulus.ign") / "etc"
    assert sorted(str(p.relative_to(etc)) for p in (etc / "modulus").rglob("*")) == [
        "modulus/keys", "modulus/keys/replace-me.pub", "modulus/nvidia.conf"]
    for written, source in {
            "modulus/nvidia.conf": "drivers/nvidia.conf",
            "modulus/keys/replace-me.pub": "keys/replace-me.pub",
            "systemd/system/modulus-finish.service": "units/modulus-finish.service",
            "systemd/system/modulus-bless.service": "units/modulus-bless.service",
            "systemd/system/modulus-runtime.service": "units/modulus-runtime.service",
            "systemd/system/modulus-fetch.service": "units/modulus-fetch.service",
            "systemd/system/modulus-fetch.path": "units/modulus-fetch.path",
            "systemd/system/modulus-fetch.timer": "units/modulus-fetch.timer",
            "systemd/system/modulus-ready.target": "units/modulus-ready.target"}.items():
        assert (etc / written).read_bytes() == (SNIPPETS / source).read_bytes()
        assert mode(etc / written) == 0o644
        assert mode((etc / written).parent) == 0o755


def test_snippet_enables_the_real_root_units_with_and_without_systemds_presets(apply):
    root = apply(SNIPPETS / "modulus.ign")
    units = ["modulus-finish.service", "modulus-bless.service", "modulus-fetch.path", "modulus-fetch.timer"]
    preset = (root / "etc/systemd/system-preset/20-ignition.preset").read_text().splitlines()
    assert sorted(preset) == sorted(f"enable {unit}" for unit in units)
    # as systemd sees it when no preset is ever applied
    done = subprocess.run(["systemctl", f"--root={root}", "is-enabled", *units], capture_output=True, text=True)
    assert done.stdout == "enabled\n" * len(units), done.stderr


@pytest.mark.parametrize("snippet, hooks", [
    ("modulus-flatcar", {"oem/bin/oem-postinst": "oem-postinst"}),
    ("modulus-packages", {"etc/kernel/postinst.d/modulus": "kernel-installed",
                          "etc/kernel/install.d/95-modulus.install": "kernel-installed"})])
def test_hooks_are_written_where_updaters_look_and_can_be_run(apply, snippet, hooks):
    root = apply(SNIPPETS / f"{snippet}.ign")
    for written, source in hooks.items():
        assert (root / written).read_bytes() == (SNIPPETS / "hooks" / source).read_bytes()
        assert mode(root / written) == 0o755


def test_the_snippet_for_ostree_enables_what_waits_and_nothing_that_works(apply):
    root = apply(SNIPPETS / "modulus-ostree.ign")
    states = {"modulus-fetch-ostree.path": "enabled", "modulus-gate-stop.service": "enabled", "modulus-gate.service": "static",
              "modulus-inhibit.service": "static"}
    for unit in states:
        assert (root / "etc/systemd/system" / unit).read_bytes() == (SNIPPETS / "units" / unit).read_bytes()
    done = subprocess.run(["systemctl", f"--root={root}", "is-enabled", *states], capture_output=True, text=True)
    assert done.stdout.split() == list(states.values()), done.stderr


def test_units_that_need_a_network_are_started_by_others_alone(apply):
    """Enabled, they would make every boot wait for network-online.target."""
    root = apply(SNIPPETS / "modulus.ign")
    done = subprocess.run(["systemctl", f"--root={root}", "is-enabled", "modulus-runtime.service", "modulus-fetch.service"],
                          capture_output=True, text=True)
    assert done.stdout == "static\nstatic\n", done.stderr
    unit = (SNIPPETS / "units/modulus-runtime.service").read_text().splitlines()
    finish = (SNIPPETS / "units/modulus-finish.service").read_text().splitlines()
    (before,) = [line for line in unit if line.startswith("Before=")]
    assert before in finish, "what waits for the one waits for the other"
    assert {"Wants=network-online.target", "After=network-online.target modulus-finish.service",
            "ExecStart=modulus finish --runtime"} <= set(unit)


def test_operator_overrides_the_examples_by_a_config_merged_after_it(apply, tmp_path):
    def merge_entry(text):
        return {"source": "data:;base64," + base64.b64encode(text.encode()).decode()}

    own = {"ignition": {"version": "3.3.0"}, "storage": {"files": [
        {"path": "/etc/modulus/nvidia.conf", "overwrite": True, "contents": {"source": "data:,mine%0A"}}]}}
    parent = tmp_path / "parent.ign"
    parent.write_text(json.dumps({"ignition": {"version": "3.3.0", "config": {"merge": [
        merge_entry((SNIPPETS / "modulus.ign").read_text()), merge_entry(json.dumps(own))]}}}))
    assert (apply(parent) / "etc/modulus/nvidia.conf").read_text() == "mine\n"


def test_kargs_snippet_blacklists_rivals_in_both_roots_and_writes_nothing(apply):
    root = apply(SNIPPETS / "modulus-kargs.ign")
    assert apply.kargs.read_text().split() == [
        "--should-exist", "rd.driver.blacklist=nouveau,nova_core",
        "--should-exist", "modprobe.blacklist=nouveau,nova_core"]
    assert not (root / "etc/modulus").exists()


# --- the examples ----------------------------------------------------------------------------------

def test_example_key_is_one_that_nobody_can_sign_with():
    """Its point is a hash, so that no one can have made it from a secret."""
    comment, key = (SNIPPETS / "keys/replace-me.pub").read_text().splitlines()
    assert "REPLACE THIS KEY" in comment
    digest = hashlib.sha256(b"Modulus example key, replace me").digest()
    assert base64.b64decode(key, validate=True) == b"Ed" + digest[:8] + digest


def values(driver, key):
    text = (SNIPPETS / "drivers" / driver).read_text()
    return [line.split("=", 1)[1] for line in text.splitlines() if line.startswith(f"{key}=")]


@pytest.mark.parametrize("driver, wanted, unwanted", [
    ("nvidia.conf",
     # H100 (3D controller), GeForce (VGA)
     ["pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00", "pci:v000010DEd00002684sv00001043sd000088E2bc03sc00i00"],
     # the audio function of the same card, an AMD GPU
     ["pci:v000010DEd000022BAsv00001043sd000088E2bc04sc03i00", "pci:v00001002d0000744Csv00001EAEsd00007901bc03sc00i00"]),
    ("virtio-gpu.conf",
     # virtio-vga, virtio-gpu-pci
     ["pci:v00001AF4d00001050sv00001AF4sd00001100bc03sc00i00", "pci:v00001AF4d00001050sv00001AF4sd00001100bc03sc80i00"],
     # a virtio disk
     ["pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00"]),
])
def test_example_driver_matches_its_gpus_and_nothing_else(driver, wanted, unwanted):
    globs = values(driver, "Match")
    matches = [alias for alias in wanted + unwanted if any(fnmatch.fnmatchcase(alias, glob) for glob in globs)]
    assert matches == wanted


@pytest.mark.parametrize("driver", sorted(p.name for p in (SNIPPETS / "drivers").glob("*.conf")))
def test_example_driver_asks_for_local_sources_only(driver):
    assert values(driver, "From") == ["cache:", "usr:"]


def test_modulus_understands_the_example_drivers_without_a_warning(tmp_path):
    etc, live = tmp_path / "root/etc/modulus", tmp_path / "live"
    shutil.copytree(SNIPPETS / "drivers", etc)
    for file, content in {
            "proc/cmdline": "quiet", "proc/sys/kernel/osrelease": "6.1.0-example", "proc/sys/kernel/tainted": "0",
            "run/empty": "", "dev/empty": "",
            "sys/bus/pci/devices/0000:00:02.0/modalias": "pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00"}.items():
        (live / file).parent.mkdir(parents=True, exist_ok=True)
        (live / file).write_text(content + "\n")
    done = subprocess.run([TREE / "build/modulus", "boot", "--root", tmp_path / "root", "--live-root", live],
                          capture_output=True, text=True)
    report = json.loads((live / "run/modulus/status.json").read_text())
    assert {d["name"]: (d["version"], d["reason"]) for d in report["drivers"]} == {
        "nvidia": ("535.261.03", "no-bundle"), "virtio-gpu": ("1", "no-device")}
    assert ".conf" not in done.stderr + str(report["warnings"] + [d["warnings"] for d in report["drivers"]])


def test_unit_is_sound_and_bounded():
    unit = (SNIPPETS / "units/modulus-finish.service").read_text()
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *sorted(SNIPPETS.glob("units/*"))],
                          capture_output=True, text=True)
    # its program and a driver's are not there; nothing else may be complained about
    absent = ("modulus is not executable", "/opt/drivers/nvidia/bin/nvidia-persistenced is not executable")
    complaints = [line for line in done.stderr.splitlines() if not any(words in line for words in absent)]
    assert complaints == []
    for line in ["ConditionPathExists=/run/modulus/bin/modulus", "ExecStart=/run/modulus/bin/modulus finish",
                 "RequiresMountsFor=/var", "WantedBy=multi-user.target"]:
        assert line in unit.splitlines()
    assert "TimeoutStartSec=infinity" not in unit


def test_units_find_what_the_program_starts():
    """ExecSearchPath= is the PATH of the process as well, and ldconfig of Debian is in /usr/sbin."""
    paths = {unit.name: re.findall(r"^ExecSearchPath=(.*)$", unit.read_text(), re.M) for unit in SNIPPETS.glob("units/*.service")}
    assert len([path for path in paths.values() if path]) == 5
    for unit, path in paths.items():
        assert not path or shutil.which("ldconfig", path=path[0]), unit


def test_units_make_no_cycle_with_a_check_of_the_boot(tmp_path):
    """systemd's own check of a boot waits for multi-user.target, and modulus-bless.service for the check."""
    tree = tmp_path / "root"
    units, etc = tree / "usr/lib/systemd/system", tree / "etc/systemd/system"
    shutil.copytree("/usr/lib/systemd/system", units, symlinks=True)
    for name in ("bin", "lib", "sbin"):
        (tree / name).symlink_to(f"usr/{name}")
    wants = [("boot-complete.target.requires", "systemd-boot-check-no-failures.service")]
    for unit in SNIPPETS.glob("units/*"):
        shutil.copy(unit, units)
        wants += [(f"{target}.wants", unit.name) for target in re.findall(r"^WantedBy=(\S+)$", unit.read_text(), re.M) if "@" not in unit.name]
    assert ("multi-user.target.wants", "modulus-bless.service") in wants
    for folder, unit in wants:
        (etc / folder).mkdir(parents=True, exist_ok=True)
        (etc / folder / unit).symlink_to(f"/usr/lib/systemd/system/{unit}")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", f"--root={tree}", "multi-user.target"], capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if "cycle" in line] == []
