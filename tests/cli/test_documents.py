# SPDX-License-Identifier: Apache-2.0
"""Every example in README.md and docs/*.md is checked by its kind; one of a kind that nobody knows fails. What is done:

sh            shellcheck; each `modulus` command and option is one of the program's, each `make` target and snippet.sh option
              exists. Most say what to type on a machine with a GPU, a cluster or a registry and are only read so. Run are: README.md's
              bundle and stock-hosts.md's snippets, here, and those of the pages in RUN_BY, by the test that it names.
bash          dracut's configuration: bash reads it, and the modules that it adds are those of dracut/
ini           read by `modulus check --config` without a word; a piece of a driver file gets the two lines that one must have
yaml          Butane is rendered and ignition-validate takes it, README.md's goes through the real Ignition; alert rules name
              metrics that the program has; else it is YAML
json          is JSON, or the inside of an object
Containerfile is built by test_containerfile.py
ipxe, bls     the file that they name besides the kernel's own is what `make initrd` makes
text          pictures, output and formulas, which nothing checks: no command is in one

Commands between backquotes in running text, and the examples of modulus(1) and modulus.conf(5), are looked at likewise."""
import functools
import json
import re
import shlex
import shutil
import subprocess
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

import butane
import elf
import test_containerfile
from bundlemaker import TEST_KEY
from fakehost import Machine
from program import CONFIG, DONE, MODULUS, MODULUS_BOOT, TREE, environment, modulus
from test_ignition import apply  # noqa: F401  (a fixture)
from workshop import Workshop

DOCUMENTS = [TREE / "README.md", *sorted((TREE / "docs").rglob("*.md"))]
MAKEFILE = (TREE / "Makefile").read_text()
# page -> the test that runs commands of it
RUN_BY = {"docs/bundle.md": "test_look.py", "docs/secure-boot.md": "test_build_source.py", "docs/migrating.md": "test_migrating.py",
          "docs/ways-in.md": "test_containerfile.py"}
# unused and unset variables are the reader's; cd in a script of three lines; ls for eyes
SHELLCHECK_LESS = "SC2034,SC2154,SC2164,SC2012"


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(path: Path) -> list[Block]:
    text = path.read_text()
    return [Block(path.relative_to(TREE).as_posix(), text.count("\n", 0, found.start()) + 1, found[2], textwrap.dedent(found[3]))
            for found in re.finditer(r"^( *)```(\S*)\n(.*?)^\1```$", text, flags=re.M | re.S)]


BLOCKS = [block for path in DOCUMENTS for block in blocks(path)]


def of_kind(*kinds: str):
    return pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind in kinds], ids=str)


def test_every_example_is_in_a_fence_of_a_kind_that_is_checked():
    assert {block.kind for block in BLOCKS} == {"sh", "bash", "ini", "yaml", "json", "Containerfile", "ipxe", "bls", "text"}
    for path in DOCUMENTS:
        text = path.read_text()
        assert len(re.findall(r"^ *```", text, flags=re.M)) == 2 * len(blocks(path)), path
        outside = re.sub(r"^( *)```(\S*)\n(.*?)^\1```$", "", text, flags=re.M | re.S)
        assert re.findall(r"\n\n {4,}\S.*", outside) == [], path      # the other way that Markdown has


# --- commands --------------------------------------------------------------------------------------

@functools.cache
def options_of(command: str) -> set[str]:
    done = modulus(command, "--help")
    return set(re.findall(r"--[a-z][a-z-]*", done.stdout)) if done.returncode == 0 else set()


def words_of(text: str) -> list[list[str]]:
    """The simple commands of a script, without their comments."""
    commands = [[]]
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split, lexer.commenters = True, "#"
        for word in lexer:
            if re.fullmatch(r"[|&;]+", word):
                commands.append([])
            else:
                commands[-1].append(word)
        commands.append([])
    return [command for command in commands if command]


def complaints(words: list[str]) -> list[str]:
    """What is not there of what a command names: a `modulus` command (kubectl's behind a --), a target, an option."""
    if words[0] == "kubectl" and "--" in words:
        words = words[words.index("--") + 1:]
    given = [word.split("=")[0] for word in (words[:words.index("--")] if "--" in words else words) if word.startswith("--")]
    name = words[0].rsplit("/", 1)[-1]
    if name == "modulus":
        if len(words) < 2 or words[1].startswith("--"):
            return [word for word in given if word not in ("--help", "--version")]
        known = options_of(words[1])
        return [f"{words[1]}: no such command"] if not known else [f"{words[1]}: {option}" for option in given if option not in known]
    if name == "snippet.sh":
        usage = subprocess.run([TREE / "ignition/snippet.sh", "--help"], capture_output=True, text=True).stdout
        return [option for option in given if option not in usage]
    if name == "make":
        phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.M)[1].split()
        rest = re.sub(r"-C \S+", "", " ".join(words[1:])).split()
        return [word for word in rest if "=" not in word and not word.startswith("-") and word not in phony]
    return []


@of_kind("sh")
def test_commands_are_shell_and_name_only_what_exists(block):
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed: make deps")
    done = subprocess.run(["shellcheck", "--shell=sh", f"--exclude={SHELLCHECK_LESS}", "-"], input=block.text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert [one for words in words_of(block.text) for one in complaints(words)] == []


def test_that_check_is_no_formality():
    assert complaints(["modulus", "chekc"]) and complaints(["modulus", "check", "--kernal", "x"]) and complaints(["make", "bundels"])
    assert complaints(["ignition/snippet.sh", "--drivers", "x"]) and complaints(["kubectl", "exec", "x", "--", "modulus", "rebuild", "--rot"])
    assert not complaints(["modulus", "load", "x", "--", "--a-parameter"]) and not complaints(["make", "-C", "x", "install", "A=b"])
    assert words_of("modulus a \\\n  b  # c | d\nmake x && y") == [["modulus", "a", "b"], ["make", "x"], ["y"]]


def test_the_commands_of_the_manuals_examples_exist():
    page = (TREE / "docs/modulus.1").read_text().split(".SH EXAMPLES\n")[1].split(".SH ")[0].replace("\\-", "-").replace("\\e", "\\")
    commands = [words for example in re.findall(r"^\.nf\n(.*?)^\.fi", page, flags=re.M | re.S) for words in words_of(example)]
    assert {words[1] for words in commands} >= {"build", "check", "load", "status"}
    assert [one for words in commands for one in complaints(words)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(TREE).as_posix())
def test_commands_in_running_text_exist(path):
    outside = re.sub(r"^( *)```(\S*)\n(.*?)^\1```$", "", path.read_text(), flags=re.M | re.S)
    found = [found.replace("\n", " ") for found in re.findall(r"`((?:build/)?modulus [^`]+|make [a-z][^`]*)`", outside)]
    if path.name == "migrating.md":     # the earlier tool's are in its first cells
        found = [command for command in found if not re.search(rf"^\| [^|]*{re.escape(command)}", outside, flags=re.M)]
    for command in found:
        # `cache list|verify`, `--next` of a choice, an apostrophe in prose
        words = re.sub(r"[\[\]()|…'\"]", " ", command).split()
        assert complaints(words) == [], command


# --- configuration ---------------------------------------------------------------------------------

def read_as_driver_file(text: str, folder: Path) -> None:
    if not re.match(r"\[", text):
        text = "[Driver]\n" + text
    if "Version=" not in text:
        needed = "Version=1.0\nMatch=pci:v000010DEd*\n"
        text = text.replace("[Driver]\n", "[Driver]\n" + needed) if "[Driver]" in text else f"[Driver]\n{needed}{text}"
    (folder / "keys").mkdir()
    (folder / "nvidia.conf").write_text(text)
    done = modulus("check", "--config", folder / "nvidia.conf", "--keys", folder / "keys", "--root", folder)
    assert done.returncode != CONFIG and done.stderr == "", done.stderr


@of_kind("ini")
def test_configuration_is_understood_to_the_last_key(block, tmp_path):
    read_as_driver_file(block.text, tmp_path)


def test_the_example_of_the_manual_is_understood(tmp_path):
    page = (TREE / "docs/modulus.conf.5").read_text()
    (example,) = re.findall(r"^\.SH EXAMPLE\n(?:.*\n)*?\.nf\n(.*?)^\.fi", page, flags=re.M | re.S)
    assert "Version=" in example
    read_as_driver_file(example.replace("\\-", "-"), tmp_path)


@of_kind("bash")
def test_configuration_of_dracut_names_our_modules(block):
    shown = block.text + 'echo $add_dracutmodules'
    done = subprocess.run(["bash", "--norc", "-eu", "-c", "add_dracutmodules=; " + shown], capture_output=True, text=True, check=True)
    every = set(done.stdout.split()) | set(re.findall(r"modulus[a-z-]*", " ".join(re.findall(r'add_dracutmodules\+="([^"]*)"', block.text))))
    assert every == {re.sub(r"^\d+", "", path.name) for path in (TREE / "dracut").iterdir() if path.is_dir()}
    for variable in re.findall(r"\b(modulus_\w+)=", block.text):
        assert f"${{{variable}:-}}" in (TREE / "dracut/50modulus/module-setup.sh").read_text()


@of_kind("yaml")
def test_yaml_is_what_it_is_for(block, tmp_path):
    document = yaml.safe_load(block.text)
    if "variant" in document:
        for path in (TREE / "ignition").glob("*.ign"):
            shutil.copy(path, tmp_path)
        shutil.copy(TREE / "ignition/examples/nvidia-usr.ign", tmp_path / "fleet.ign")     # the reader's own
        shutil.copy(TREE / "ignition/keys/replace-me.pub", tmp_path / "fleet.pub")
        shutil.copy(TREE / "ignition/units/modulus@.service", tmp_path)
        (tmp_path / "block.bu").write_text(block.text)
        (tmp_path / "block.ign").write_text(butane.render(tmp_path / "block.bu", tmp_path))
        done = subprocess.run(["ignition-validate", tmp_path / "block.ign"], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    elif "groups" in document:
        source = "".join(path.read_text() for path in (TREE / "stage").glob("*.c"))
        rules = [rule["expr"] for group in document["groups"] for rule in group["rules"]]
        assert [name for rule in rules for name in re.findall(r"modulus_\w+", rule) if name.removeprefix("modulus_") not in source] == [] and rules
    else:
        assert list(document) == ["command"]


@of_kind("json")
def test_json_is_json(block):
    assert json.loads(block.text if block.text.startswith("{") else f"{{{block.text}}}")


@of_kind("Containerfile")
def test_the_container_build_is_the_one_that_is_tested(block):
    assert block.text == test_containerfile.block("Containerfile")


@of_kind("ipxe", "bls")
def test_boot_loaders_are_given_the_file_that_is_made(block):
    archives = set(re.findall(r"[\w.-]+\.cpio\.\w+", block.text))
    assert archives == {re.search(r"^initrd: \$B/(\S+)$", MAKEFILE, flags=re.M)[1]}


@of_kind("text")
def test_no_command_hides_in_what_nothing_checks(block):
    assert re.findall(r"^(?:\$ |(?:modulus|make|sudo|systemctl|dracut) ).*", block.text, flags=re.M) == []


# --- what is run -----------------------------------------------------------------------------------

def test_pages_whose_commands_another_test_runs_are_named_there():
    for page, test in RUN_BY.items():
        assert Path(page).name in (TREE / "tests/cli" / test).read_text(), (page, test)


def run(text: str, folder: Path, **more: str) -> str:
    """In a directory, where `build` finds what it wants to know of the kernel."""
    shim = folder / "bin/modulus"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\ncommand=$1; shift\n[ "$command" = build ] && set -- --kernel-dir "{folder}" "$@"\nexec {MODULUS} "$command" "$@"\n')
    shim.chmod(0o755)
    done = subprocess.run(["sh", "-euc", text], cwd=folder, capture_output=True, text=True,
                          env=environment(PATH=f"{shim.parent}:/usr/sbin:/usr/bin:/sbin:/bin", **more))
    assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_bundle_of_the_readme_is_made_and_verified(tmp_path):
    (block,) = [block for block in BLOCKS if block.page == "README.md" and "modulus keygen" in block.text]
    release = re.search(r"--kernel (\S+)", block.text)[1]
    shop = Workshop(tmp_path / "w")
    (shop.folder / "kmods").mkdir()
    (shop.folder / "kmods/nvidia.ko").write_bytes(elf.module("nvidia", release))
    assert "nvidia.tar.zst" in run(block.text, shop.folder)
    assert "nvidia 535.261.03" in modulus("inspect", shop.folder / "nvidia.tar.zst").stdout


def test_the_butane_of_the_readme_provisions_a_machine(apply, tmp_path):  # noqa: F811
    """By the real Ignition, and the program reads what is there then."""
    ours, merging = (block.text for block in BLOCKS if block.page == "README.md" and block.kind == "yaml")
    folder = tmp_path / "desk"
    folder.mkdir()
    shutil.copy(TREE / "ignition/modulus.ign", folder)
    (folder / "fleet.pub").write_text(TEST_KEY.public.text())
    for name, text in {"fleet": ours, "machine": merging}.items():
        (folder / f"{name}.bu").write_text(text)
        (folder / f"{name}.ign").write_text(butane.render(folder / f"{name}.bu", folder))
    machine = Machine(tmp_path / "machine")
    machine.root = apply(folder / "machine.ign")
    done = machine.boot()
    assert done.code == DONE and done.status["warnings"] == []
    (driver,) = done.status["drivers"]
    assert (driver["name"], driver["version"], driver["reason"]) == ("nvidia", "535.261.03", "no-device")
    assert (machine.root / "etc/modulus/keys/fleet.pub").read_text() == TEST_KEY.public.text()


def test_the_snippets_of_a_stock_host_are_made_and_what_is_said_is_shown(tmp_path):
    page = [block for block in BLOCKS if block.page == "docs/stock-hosts.md"]
    (make,) = [n for n, block in enumerate(page) if "--url" in block.text and block.kind == "sh"]
    shutil.copytree(TREE / "ignition", tmp_path / "ignition")
    shutil.copytree(TREE / "dracut", tmp_path / "dracut")
    (tmp_path / "build").mkdir()
    shutil.copy(MODULUS_BOOT, tmp_path / "build")
    shutil.copy(TREE / "ignition/drivers/nvidia.conf", tmp_path)
    shutil.copy(TREE / "ignition/keys/replace-me.pub", tmp_path / "fleet.pub")
    assert run(page[make].text, tmp_path) == page[make + 1].text
    for block in page[make + 2:]:
        if block.kind == "sh":
            shutil.rmtree(tmp_path / "bin")
            assert run(block.text, tmp_path)


def test_the_instance_for_an_older_systemd_is_enabled(apply, tmp_path):  # noqa: F811
    (block,) = [block for block in BLOCKS if block.page == "docs/stock-hosts.md" and block.kind == "yaml" and "modulus@" in block.text]
    folder = tmp_path / "desk"
    folder.mkdir()
    shutil.copy(TREE / "ignition/modulus.ign", folder / "modulus-injected.ign")     # the same but for the program, which is fetched
    shutil.copy(TREE / "ignition/units/modulus@.service", folder)
    (folder / "machine.bu").write_text(block.text)
    (folder / "machine.ign").write_text(butane.render(folder / "machine.bu", folder))
    root = apply(folder / "machine.ign")
    instance = "modulus@nvidia-535.261.03.service"
    assert instance in block.text and "ExecStart=modulus finish --driver %i\n" in (root / "etc/systemd/system/modulus@.service").read_text()
    done = subprocess.run(["systemctl", f"--root={root}", "is-enabled", instance, "modulus-finish.service"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "enabled\n" * 2), done.stderr


# --- links -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(TREE).as_posix())
def test_links_lead_to_what_is_there(path):
    for target, part in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]*))?\)", path.read_text()):
        there = path.parent / target if target else path
        assert there.exists(), target
        if part:
            titles = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", there.read_text(), flags=re.M)}
            assert part in titles, (target, part)
