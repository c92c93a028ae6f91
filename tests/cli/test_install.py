# SPDX-License-Identifier: Apache-2.0
"""`make install` for packagers, and what it installs: whole dracut modules, units, manual, completions."""
import pathlib
import re
import shutil
import subprocess
import tarfile

import pytest

import butane
import completions
from program import MODULUS, TREE

PROGRAM = {command.name: command for command in completions.commands(MODULUS)}


def make(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(["make", "-s", "-C", TREE, *words], capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("root")
    done = make("install", f"DESTDIR={root}", "prefix=/usr/local")
    assert done.returncode == 0, done.stderr
    return root


def files(root: pathlib.Path) -> dict[str, int]:
    return {path.relative_to(root).as_posix(): path.stat().st_mode & 0o777 for path in root.rglob("*") if path.is_file()}


def test_everything_is_below_prefix_but_what_is_read_at_one_place_only(installed):
    assert {name for name in files(installed) if not name.startswith(("usr/local/", "usr/lib/dracut/", "usr/lib/systemd/system/"))} == set()
    assert not [name for name in files(installed) if ".wants/" in name]


def test_each_unit_of_the_tree_is_there(installed):
    units = {path.name for path in (TREE / "ignition/units").iterdir()}
    assert {path.name for path in (installed / "usr/lib/systemd/system").iterdir()} == units
    assert {"modulus-finish.service", "modulus-ready.target", "modulus@.service"} <= units


def test_dracut_modules_have_all_that_they_name(installed):
    modules = installed / "usr/lib/dracut/modules.d"
    for source in (TREE / "dracut").glob("5*"):
        have = {path.name: path.stat().st_mode & 0o777 for path in (modules / source.name).iterdir()}
        named = set(re.findall(r"\$moddir/([\w.-]+)", (source / "module-setup.sh").read_text()))
        assert {path.name for path in source.iterdir()} | named <= set(have)
        assert all(mode == (0o644 if name.endswith(".service") else 0o755) for name, mode in have.items())
    assert (modules / "50modulus/modulus").read_bytes() == (MODULUS.parent / "modulus-boot").read_bytes()


def test_program_manual_licence_and_completions_are_there(installed):
    have = files(installed)
    assert have["usr/local/bin/modulus"] == 0o755
    for page in [*(TREE / "docs").glob("*.[1-9]")]:
        assert have[f"usr/local/share/man/man{page.suffix[1]}/{page.name}"] == 0o644
    for name in ("doc/modulus/LICENSE", "bash-completion/completions/modulus", "zsh/site-functions/_modulus",
                 "fish/vendor_completions.d/modulus.fish"):
        assert have[f"usr/local/share/{name}"] == 0o644


def test_snippets_are_there_and_their_script_finds_the_unit_of_the_initramfs(installed):
    snippets = installed / "usr/local/share/modulus/ignition"
    for folder in (".", "drivers", "examples", "hooks", "keys", "units"):
        tree = {path.name for path in (TREE / "ignition" / folder).iterdir() if path.is_file()}
        assert {path.name for path in (snippets / folder).iterdir() if path.is_file()} == tree, folder
    said = [subprocess.run([folder / "snippet.sh", "--smbios"], capture_output=True, check=True).stdout for folder in (snippets, TREE / "ignition")]
    assert said[0] == said[1] != b""


def test_installed_sources_are_rendered_to_the_installed_snippets(installed):
    snippets = installed / "usr/local/share/modulus/ignition"
    sources = [*snippets.glob("*.bu"), *snippets.glob("examples/*.bu")]
    assert {path.relative_to(snippets) for path in sources} == {path.relative_to(TREE / "ignition") for path in (TREE / "ignition").rglob("*.bu")}
    for source in sources:
        assert butane.render(source, snippets) == source.with_suffix(".ign").read_text(), source.name


def test_documents_find_each_other_where_they_are_installed(installed):
    """Manual pages are where man(1) looks; the source of the program and the tests are not installed."""
    documents = installed / "usr/local/share/doc/modulus"
    assert {path.name for path in (documents / "docs").glob("*.md")} == {path.name for path in (TREE / "docs").glob("*.md")}
    for path in documents.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            elsewhere = re.search(r"\.[1-9]$|^(\.\./)*(tests|stage|dracut)/", target)
            assert elsewhere or (path.parent / target).exists(), (path.name, target)


# --- completions -----------------------------------------------------------------------------------

@pytest.mark.parametrize("name", completions.FILES)
def test_completions_are_those_of_help(name):
    made = completions.FILES[name](list(PROGRAM.values()))
    assert (TREE / "completions" / name).read_text() == made, "run: make completions"


def test_what_help_has_is_found():
    """By another way than the generator's."""
    for name, command in PROGRAM.items():
        text = subprocess.run([MODULUS, name, "--help"], capture_output=True, text=True, check=True).stdout
        body = text.split("\n\n", 1)[1]
        assert {o.name for o in command.options} == set(re.findall(r"^\s+(--[a-z][a-z-]*)", body, flags=re.M)), name
    assert PROGRAM["cache"].words == ["list", "verify", "prune", "import", "unblock"] and PROGRAM["network"].words == ["up", "down"]
    assert [c.name for c in PROGRAM.values() if c.takes_names] == ["load", "unload", "fetch", "rebuild", "cache", "uninstall"]


def complete(line: str) -> set[str]:
    script = (f'. {TREE}/completions/modulus.bash; COMP_WORDS=({line}); case "{line}" in *" ") COMP_WORDS+=("");; esac; '
              'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _modulus; printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "--norc", "-euc", script], capture_output=True, text=True, cwd="/")
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())


def test_bash_completes_commands_options_and_words():
    assert complete("modulus un") == {"unload", "uninstall", "unpack"}
    assert complete("modulus cache ") >= {"list", "verify", "prune", "import", "unblock"}
    for name, command in PROGRAM.items():
        assert complete(f"modulus {name} --") == {o.name for o in command.options}, name
    assert "etc" in complete("modulus status --root ") and complete("modulus check --kernel ") == set()


def needs(shell: str) -> str:
    path = shutil.which(shell)
    if not path:
        pytest.skip(f"{shell} is not installed: make deps")
    return path


def test_zsh_takes_the_file():
    done = subprocess.run([needs("zsh"), "-fn", TREE / "completions/_modulus"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_fish_completes_commands_and_options(tmp_path):
    def ask(line: str) -> set[str]:
        done = subprocess.run([needs("fish"), "--no-config", "-c", f"source {TREE}/completions/modulus.fish; complete -C '{line}'"],
                              capture_output=True, text=True, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
        assert (done.returncode, done.stderr) == (0, "")
        return {word.split("\t")[0] for word in done.stdout.splitlines()}
    assert ask("modulus un") == {"unload", "uninstall", "unpack"}
    for name, command in PROGRAM.items():
        assert ask(f"modulus {name} --") == {o.name for o in command.options}, name


# --- dist ------------------------------------------------------------------------------------------

def test_the_tarball_is_what_is_committed_and_the_same_each_time():
    if subprocess.run(["git", "-C", TREE, "rev-parse"], capture_output=True).returncode != 0:
        pytest.skip("not a git checkout")
    (path,) = [TREE / f"build/modulus-{version}.tar.gz" for version in re.findall(r"^VERSION := (.*)$", (TREE / "Makefile").read_text(), flags=re.M)]
    made = []
    for _ in range(2):
        path.unlink(missing_ok=True)
        assert make("dist").returncode == 0
        made.append(path.read_bytes())
    assert made[0] == made[1]
    tracked = subprocess.run(["git", "-C", TREE, "ls-tree", "-r", "--name-only", "HEAD"], capture_output=True, text=True, check=True)
    with tarfile.open(path) as tar:
        names = {name.split("/", 1)[1] for name in tar.getnames() if not tar.getmember(name).isdir() and "/" in name}
        assert {(member.uid, member.uname) for member in tar} == {(0, "root")}
    assert names == set(tracked.stdout.splitlines())
