# SPDX-License-Identifier: Apache-2.0
"""Completions for bash, zsh and fish, made of what `modulus COMMAND --help` says, so that they have every command and
option and no other. `make completions` writes them into completions/."""
import pathlib
import re
import subprocess
import sys
from dataclasses import dataclass, field

TREE = pathlib.Path(__file__).resolve().parents[2]
FOLDER = TREE / "completions"
HEAD = "# SPDX-License-Identifier: Apache-2.0\n# Made by `make completions` of what `modulus COMMAND --help` says.\n"
# of which drivers there are, by their files
NAMES = "/etc/modulus/*.conf /usr/lib/modulus/*.conf"


@dataclass
class Option:
    name: str
    argument: str
    what: str


@dataclass
class Command:
    name: str
    what: str
    words: list[str] = field(default_factory=list)
    options: list[Option] = field(default_factory=list)
    takes_names: bool = False


def _help(program: pathlib.Path, *words: str) -> str:
    return subprocess.run([program, *words, "--help"], capture_output=True, text=True, check=True).stdout


def commands(program: pathlib.Path) -> list[Command]:
    found = []
    for name, what in re.findall(r"^  ([a-z]+) +(\S.*)$", _help(program), flags=re.M):
        text = _help(program, name)
        usage = text.split("\n\n", 1)[0]
        words = re.findall(rf"modulus {name} ([a-z]+(?: ?\| ?[a-z]+)*)", usage)
        command = Command(name, what, sorted({word for group in words for word in re.split(r" ?\| ?", group)}, key=usage.index),
                          takes_names="NAME..." in re.sub(r"--[a-z-]+ NAME\.\.\.", "", usage))
        for option, argument, what in re.findall(r"^  (--[a-z][a-z-]*)(?:[ =]([A-Z][A-Z|a-z-]*))?(?:,? +(.*))?$", text, flags=re.M):
            command.options.append(Option(option, argument, what.split(";")[0].strip()))
        found.append(command)
    return found


def _kind(option: Option) -> str:
    return "dir" if option.argument in ("DIR", "PLACE") else "file" if option.argument == "FILE" else "word" if option.argument else ""


def bash(all_: list[Command]) -> str:
    out = [HEAD, "_modulus() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} options='' words='' names=''\n",
           "    local files='' dirs='' others=''\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n",
           f"        mapfile -t COMPREPLY < <(compgen -W '{' '.join(c.name for c in all_)} --help --version' -- \"$cur\")\n",
           "        return\n    fi\n    case ${COMP_WORDS[1]} in\n"]
    for c in all_:
        of = {kind: " ".join(o.name for o in c.options if _kind(o) == kind) for kind in ("file", "dir", "word")}
        out.append(f"        {c.name})\n            options='{' '.join(o.name for o in c.options)}'\n")
        for variable, value in (("words", " ".join(c.words)), ("files", of["file"]), ("dirs", of["dir"]), ("others", of["word"]),
                                ("names", "yes" if c.takes_names else "")):
            if value:
                out.append(f"            {variable}='{value}'\n")
        out.append("            ;;\n")
    out.append("""    esac
    case " $files " in *" $prev "*) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;; esac
    case " $dirs " in *" $prev "*) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;; esac
    case " $others " in *" $prev "*) COMPREPLY=(); return ;; esac
    case $cur in
        -*) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur") ;;
        *)
            if [ -n "$names" ]; then
                words="$words $(for file in %s; do
                    file=${file##*/}
                    case $file in modulus.conf | '*.conf') ;; *) echo "${file%%.conf}" ;; esac
                done)"
            fi
            mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
            [ -n "$names$words" ] || mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            ;;
    esac
}
complete -F _modulus modulus
""" % NAMES)
    return "".join(out)


def _zsh_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "'\\''").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")


def zsh(all_: list[Command]) -> str:
    out = ["#compdef modulus\n", HEAD, "_modulus_names() {\n    local -a names\n",
           "    names=(/etc/modulus/*.conf(N:t:r) /usr/lib/modulus/*.conf(N:t:r))\n    compadd -- ${names:#modulus}\n}\n\n_modulus() {\n",
           "    if (( CURRENT == 2 )); then\n        local -a commands=(\n"]
    out += [f"            '{c.name}:{_zsh_text(c.what)}'\n" for c in all_]
    out.append("        )\n        _describe command commands\n        return\n    fi\n    local command=$words[2]\n"
               "    shift words\n    (( CURRENT-- ))\n    case $command in\n")
    for c in all_:
        out.append(f"        {c.name})\n            _arguments \\\n")
        for o in c.options:
            action = {"file": ":file:_files", "dir": ":directory:_files -/", "word": f":{o.argument.lower()}: ", "": ""}[_kind(o)]
            out.append(f"                '*{o.name}[{_zsh_text(o.what)}]{action}' \\\n")
        rest = f"'1:word:({' '.join(c.words)})' '*:name:_modulus_names'" if c.words and c.takes_names else \
            f"'1:word:({' '.join(c.words)})' '*:file:_files'" if c.words else \
            "'*:name:_modulus_names'" if c.takes_names else "'*:file:_files'"
        out.append(f"                {rest}\n            ;;\n")
    out.append("    esac\n}\n_modulus \"$@\"\n")
    return "".join(out)


def _fish_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish(all_: list[Command]) -> str:
    out = [HEAD, "function __modulus_names\n    for file in /etc/modulus/*.conf /usr/lib/modulus/*.conf\n",
           "        set -l name (string replace -r '.*/(.*)\\.conf$' '$1' $file)\n        test $name != modulus; and echo $name\n    end\nend\n\n"]
    for c in all_:
        out.append(f"complete -c modulus -n __fish_use_subcommand -f -a {c.name} -d {_fish_text(c.what)}\n")
    for c in all_:
        seen = f"'__fish_seen_subcommand_from {c.name}'"
        for word in c.words:
            out.append(f"complete -c modulus -n {seen} -f -a {word}\n")
        if c.takes_names:
            out.append(f"complete -c modulus -n {seen} -f -a '(__modulus_names)'\n")
        for o in c.options:
            how = {"file": " -r -F", "dir": " -x -a '(__fish_complete_directories)'", "word": " -x", "": ""}[_kind(o)]
            out.append(f"complete -c modulus -n {seen} -l {o.name[2:]}{how} -d {_fish_text(o.what)}\n")
    return "".join(out)


FILES = {"modulus.bash": bash, "_modulus": zsh, "modulus.fish": fish}


def main(program: pathlib.Path) -> None:
    all_ = commands(program)
    for name, make in FILES.items():
        (FOLDER / name).write_text(make(all_))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
