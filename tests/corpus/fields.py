# SPDX-License-Identifier: Apache-2.0
"""The manifest's fields one by one: missing, of another type, out of range, unknown; limits just passed."""
from collections.abc import Callable

from bundlemaker import Recipe, firmware, modules, runtime

from . import refuse

GOOD = modules()
NOW = "manifest: "
Edit = Callable[[dict], object]


def put(*where, to) -> Edit:
    """manifest[a][b]... = to"""
    def edit(manifest: dict) -> None:
        for step in where[:-1]:
            manifest = manifest[step]
        manifest[where[-1]] = to
    return edit


def drop(*where) -> Edit:
    def edit(manifest: dict) -> None:
        for step in where[:-1]:
            manifest = manifest[step]
        del manifest[where[-1]]
    return edit


def nested(depth: int) -> list:
    return [nested(depth - 1)] if depth else []


def case(name: str, says: str, edit: Edit, recipe: Recipe = GOOD) -> None:
    refuse(name, NOW + says, lambda: recipe.but(edit=edit).build())


TOP = ["format", "name", "version", "flavor", "serial", "created", "kind", "kernel", "load", "match", "options", "files",
       "links", "unpacked", "chunks"]
LINKED = modules(links=(("usr/lib/firmware/a", "b"),))

# --- missing, unknown, of another type -------------------------------------------------------------

for field in TOP:
    case(f"{field}-missing", field, drop(field))
for field in TOP + ["requires"]:
    for other, value in (("null", None), ("true", True), ("a-float", 1.0)):
        case(f"{field}-is-{other}", field, put(field, to=value))
    for other, value in (("a-string", "1"),) if field in ("format", "serial", "created", "unpacked") else ():
        case(f"{field}-is-{other}", field, put(field, to=value))
    for other, value in (("a-string", ""), ("an-object", {})) if field in ("load", "match", "options", "files", "links",
                                                                          "chunks") else ():
        case(f"{field}-is-{other}", field, put(field, to=value))
    for other, value in (("a-number", 1), ("a-list", ["gpu"])) if field in ("name", "version", "flavor", "kind",
                                                                           "kernel", "requires") else ():
        case(f"{field}-is-{other}", field, put(field, to=value))

case("unknown-field", r"colour: unknown field", put("colour", to="red"))
case("unknown-field-null", r"colour: unknown field", put("colour", to=None))
case("unknown-field-of-odd-characters", r"\\x1b\[31m.*: unknown field", put("\x1b[31m", to=1))
case("unknown-field-empty-name", r".*unknown field", put("", to=1))
case("unknown-field-that-differs-in-case", "Name: unknown field", put("Name", to="gpu"))
case("unknown-field-50-deep", "deep: unknown field", put("deep", to=nested(50)))
case("unknown-field-of-kernel", r"kernel\.cpu: unknown field", put("kernel", "cpu", to="x"))
case("unknown-field-of-a-file", r"files.*\.owner: unknown field", put("files", 1, "owner", to=0))
case("unknown-field-of-a-link", r"links.*\.mode: unknown field", put("links", 0, "mode", to=511), LINKED)
case("unknown-field-of-a-chunk", r"chunks.*\.offset: unknown field", put("chunks", 0, "offset", to=0))

for field in ("release", "machine", "vermagic"):
    case(f"kernel-{field}-missing", rf"kernel\.{field}", drop("kernel", field))
    case(f"kernel-{field}-is-null", rf"kernel\.{field}", put("kernel", field, to=None))
    case(f"kernel-{field}-is-a-number", rf"kernel\.{field}", put("kernel", field, to=6))
case("kernel-vermagic-empty", r"kernel\.vermagic", put("kernel", "vermagic", to=""))
for name, fields, recipe in (("files", ["path", "size", "mode", "sha256"], GOOD), ("links", ["path", "target"], LINKED),
                             ("chunks", ["stored", "size", "sha256"], GOOD)):
    case(f"{name}-with-a-string", name, put(name, 0, to="x"), recipe)
    case(f"{name}-with-null", name, put(name, 0, to=None), recipe)
    case(f"{name}-with-a-list", name, put(name, 0, to=[]), recipe)
    for field in fields:
        case(f"{name}-{field}-missing", rf"{name}.*{field}", drop(name, 0, field), recipe)
        case(f"{name}-{field}-is-null", rf"{name}.*{field}", put(name, 0, field, to=None), recipe)
        case(f"{name}-{field}-is-a-float", rf"{name}.*{field}", put(name, 0, field, to=420.0), recipe)
        case(f"{name}-{field}-is-true", rf"{name}.*{field}", put(name, 0, field, to=True), recipe)
        case(f"{name}-{field}-is-a-list", rf"{name}.*{field}", put(name, 0, field, to=[1]), recipe)

# --- values ----------------------------------------------------------------------------------------

case("format-0", "format", put("format", to=0))
case("format-2", r"format: 2", put("format", to=2))
case("format-minus-1", "format", put("format", to=-1))
case("format-2-to-the-32-plus-1", "format", put("format", to=2**32 + 1))

NOT_NAMES = {"empty": "", "upper-case": "GPU", "a-dot": "gpu.x", "a-slash": "gpu/x", "dots": "..", "a-blank": "gpu x",
             "dash-first": "-gpu", "underscore-first": "_gpu", "a-line-feed-last": "gpu\n", "an-umlaut": "gpü",
             "digits-of-another-script": "gpu\u0661", "a-percent": "%s", "65-bytes": "g" * 65, "a-backslash": "gpu\\"}
for what, value in NOT_NAMES.items():
    case(f"name-{what}", "name", put("name", to=value))
    if value:
        case(f"flavor-{what}", "flavor", put("flavor", to=value))
NOT_WORDS = {"empty": "", "a-slash": "1/2", "dots": "..", "dot-first": ".1", "dash-first": "-1", "a-blank": "1 2",
             "a-line-feed-last": "1.0\n", "an-umlaut": "1.0ü", "65-bytes": "1" * 65, "a-colon": "1:2"}
for what, value in NOT_WORDS.items():
    case(f"version-{what}", "version", put("version", to=value))
    case(f"kernel-release-{what}", r"kernel\.release", put("kernel", "release", to=value))
    case(f"kernel-machine-{what}", r"kernel\.machine", put("kernel", "machine", to=value))
case("kernel-machine-a-dot", r"kernel\.machine", put("kernel", "machine", to="x86.64"))
for what, value in {"257-bytes": "v" * 257, "a-line-feed": "6.1\n", "an-umlaut": "6.1 ü", "a-tab": "6.1\tSMP",
                    "delete": "6.1\x7f"}.items():
    case(f"kernel-vermagic-{what}", r"kernel\.vermagic", put("kernel", "vermagic", to=value))
for what, value in {"empty": "", "odd": "0" * 41, "upper-case": "AB" * 20, "7-bytes": "ab" * 7, "33-bytes": "ab" * 33,
                    "not-hex": "xy" * 20, "null": None, "a-number": 12}.items():
    case(f"kernel-build-id-{what}", r"kernel\.build_id", put("kernel", "build_id", to=value))
for field in ("serial", "created"):
    case(f"{field}-minus-1", field, put(field, to=-1))
    case(f"{field}-minus-2-to-the-63", field, put(field, to=-2**63))
    case(f"{field}-a-float-of-a-whole-number", field, put(field, to=1e15))
for what, value in {"empty": "", "upper-case": "Modules", "another": "kernel", "a-blank": "modules "}.items():
    case(f"kind-{what}", "kind", put("kind", to=value))
case("kernel-in-a-bundle-of-firmware", "kernel", put("kernel", to={}), firmware())
case("kernel-null-in-a-bundle-of-firmware", "kernel", put("kernel", to=None), firmware())
case("kernel-in-a-bundle-of-libraries", "kernel", put("kernel", to={"release": "1", "machine": "m", "vermagic": "v"}),
     runtime())
for what, value in {"63-digits": "a" * 63, "65-digits": "a" * 65, "upper-case": "A" * 64, "empty": "",
                    "prefixed": "sha256:" + "a" * 64, "not-hex": "g" * 64}.items():
    case(f"requires-{what}", "requires", put("requires", to=value))
    case(f"file-sha256-{what}", r"files.*sha256", put("files", 0, "sha256", to=value))
    case(f"chunk-sha256-{what}", r"chunks.*sha256", put("chunks", 0, "sha256", to=value))

# --- lists of strings ------------------------------------------------------------------------------

case("load-empty", "load", put("load", to=[]))
case("load-of-a-module-that-is-not-there", "load: no module gamma", put("load", to=["alpha", "gamma"]))
case("load-of-a-number", "load", put("load", to=[1]))
case("load-of-an-empty-name", "load", put("load", to=[""]))
case("load-with-a-slash", "load", put("load", to=["../alpha"]))
case("load-with-a-suffix", "load", put("load", to=["alpha.ko"]))
case("load-65-names", "load", put("load", to=["alpha"] * 65))
case("load-of-65-bytes", "load", put("load", to=["a" * 65]))
case("match-without-a-bus", "match", put("match", to=["*"]))
case("match-empty-glob", "match", put("match", to=[""]))
case("match-of-a-number", "match", put("match", to=[1]))
case("match-with-a-line-feed", "match", put("match", to=["pci:*\n"]))
case("match-with-an-umlaut", "match", put("match", to=["pci:ü"]))
case("match-513-globs", "match", put("match", to=["pci:*"] * 513))
case("match-of-257-bytes", "match", put("match", to=["pci:" + "*" * 253]))
case("options-empty-line", "options", put("options", to=[""]))
case("options-with-a-blank-first", "options", put("options", to=[" alpha x=1"]))
case("options-with-a-line-feed", "options", put("options", to=["alpha x=1\nbeta y=1"]))
case("options-of-a-number", "options", put("options", to=[1]))
case("options-65-lines", "options", put("options", to=["alpha x=1"] * 65))
case("options-of-4097-bytes", "options", put("options", to=["a" * 4097]))
for kind, recipe in (("firmware", firmware()), ("runtime", runtime())):
    case(f"load-in-a-bundle-of-{kind}", "load", put("load", to=["alpha"]), recipe)
    case(f"match-in-a-bundle-of-{kind}", "load|match", put("match", to=["pci:*"]), recipe)
    case(f"options-in-a-bundle-of-{kind}", "load|options", put("options", to=["alpha x=1"]), recipe)

# --- sizes -----------------------------------------------------------------------------------------

TWO_GIB, FOUR_MIB = 2 << 30, 4 << 20
for what, value in {"minus-1": -1, "2-GiB-and-1": TWO_GIB + 1, "2-to-the-32": 2**32, "2-to-the-63-less-1": 2**63 - 1,
                    "minus-2-to-the-63": -2**63}.items():
    case(f"file-size-{what}", r"files.*size", put("files", 0, "size", to=value))
    case(f"unpacked-{what}", "unpacked", put("unpacked", to=value))
for field in ("stored", "size"):
    for what, value in {"minus-1": -1, "0": 0, "4-MiB-and-1": FOUR_MIB + 1, "2-to-the-63-less-1": 2**63 - 1}.items():
        case(f"chunk-{field}-{what}", rf"chunks.*{field}|chunks.*empty", put("chunks", 0, field, to=value))
    # in 32 bits that is the right number
    case(f"chunk-{field}-2-to-the-32-too-much", rf"chunks.*{field}",
         lambda m, field=field: m["chunks"][0].update({field: m["chunks"][0][field] + 2**32}))
case("unpacked-one-less", "unpacked", lambda m: m.update(unpacked=m["unpacked"] - 1))
case("unpacked-one-more", "unpacked", lambda m: m.update(unpacked=m["unpacked"] + 1))
case("unpacked-0", "unpacked", put("unpacked", to=0))
case("unpacked-512-too-much", "unpacked", lambda m: m.update(unpacked=m["unpacked"] + 512))
case("file-larger-than-unpacked", r"unpacked|larger", put("files", 0, "size", to=1 << 20))
case("files-that-add-up-to-8-TiB", r"unpacked|larger", lambda m: m.update(files=[
    {**m["files"][0], "path": f"usr/lib/firmware/{i:04}", "size": TWO_GIB} for i in range(4096)]), firmware())
case("chunks-that-add-up-to-more-than-2-GiB", r"unpacked", lambda m: m.update(
    unpacked=TWO_GIB, chunks=[{**m["chunks"][0], "size": FOUR_MIB}] * 513))
case("unpacked-of-10-GiB-in-10-KiB", r"unpacked: above its limit", lambda m: m.update(
    unpacked=10 << 30, chunks=[{**m["chunks"][0], "size": FOUR_MIB}] * 60))
case("chunks-empty", r"chunks|unpacked|tar", put("chunks", to=[]))
case("chunks-and-unpacked-empty", r"unpacked|tar|larger", lambda m: m.update(chunks=[], unpacked=0))
for mode in (0, 0o600, 0o640, 0o664, 0o700, 0o777, 0o2755, 0o4755, 0o100644, -420, 644):
    case(f"file-mode-{mode:o}".replace("-mode--", "-mode-minus-"), r"files.*mode", put("files", 0, "mode", to=mode))
