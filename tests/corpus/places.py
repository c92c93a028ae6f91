# SPDX-License-Identifier: Apache-2.0
"""Where files and links may be: characters, trees of each kind, collisions, order."""
from bundlemaker import MODULES, RELEASE, File, Recipe, firmware, module_file, modules, plain_tar, runtime

from . import refuse

FIRMWARE = "usr/lib/firmware/"
ODD = "odd characters"
OUTSIDE = "outside the trees"


def with_file(recipe: Recipe, path: str) -> Recipe:
    """One more file; tar, sizes and hashes know it."""
    return recipe.but(files=recipe.files + (File(path, b"content"),))


def with_link(recipe: Recipe, path: str, target: str = "x") -> Recipe:
    return recipe.but(links=((path, target),))


def files(name: str, says: str, recipe: Recipe) -> None:
    refuse(name, "manifest: .*(" + says + ")", recipe.build)


# --- characters and parts --------------------------------------------------------------------------

ODD_PATHS = {
    "absolute": "/usr/lib/firmware/x", "absolute-etc-shadow": "/etc/shadow", "up": "../x", "up-and-down": FIRMWARE + "../../../../etc/x",
    "up-at-the-end": FIRMWARE + "..", "dot": FIRMWARE + "./x", "dot-first": "./" + FIRMWARE + "x", "slash-slash": FIRMWARE + "/x",
    "slash-last": FIRMWARE + "x/", "empty": "", "hidden-file": FIRMWARE + ".x", "hidden-directory": FIRMWARE + ".x/y",
    "dash-first": FIRMWARE + "-rf", "backslash": FIRMWARE + "..\\x", "blank": FIRMWARE + "x y", "tab": FIRMWARE + "x\ty",
    "line-feed": FIRMWARE + "x\ny", "escape": FIRMWARE + "\x1b[2J", "umlaut": FIRMWARE + "ü", "percent": FIRMWARE + "%s%n",
    "star": FIRMWARE + "*", "quote": FIRMWARE + "x'", "dollar": FIRMWARE + "$HOME", "semicolon": FIRMWARE + "x;reboot",
    "201-bytes": FIRMWARE + "x" * (201 - len(FIRMWARE)),
    "4000-bytes": FIRMWARE + "x/" * 2000 + "y", "full-width-slash": FIRMWARE + "..\uff0fx",
}
for name, path in ODD_PATHS.items():
    # some of these cannot even be written into a tar
    files(f"path-{name}", ODD, firmware(File(path, b"content"), tar=lambda fs: plain_tar([File("x", f.content) for f in fs])))

# --- trees -----------------------------------------------------------------------------------------

OUTSIDE_MODULES = {
    "etc": "etc/modprobe.d/x.conf", "bin": "usr/bin/x", "lib": "lib/modules/x.ko", "usr": "usr/x", "name-only": "x.ko",
    "kernels-own-tree": f"usr/lib/modules/{RELEASE}/kernel/x.ko", "modules-dep": f"usr/lib/modules/{RELEASE}/modules.dep",
    "another-release": "usr/lib/modules/6.1.0-1-other/modulus/gpu/x.ko",
    "release-as-a-prefix": f"usr/lib/modules/{RELEASE}x/modulus/gpu/x.ko",
    "another-driver": f"usr/lib/modules/{RELEASE}/modulus/other/x.ko", "driver-as-a-prefix": f"usr/lib/modules/{RELEASE}/modulus/gpux/x.ko",
    "directory-below-the-driver": MODULES + "sub/x.ko", "not-ko": MODULES + "x.txt", "compressed": MODULES + "x.ko.xz",
    "no-release": "usr/lib/modules/modulus/gpu/x.ko", "firmware-as-a-prefix": "usr/lib/firmwarex/x", "firmware-itself": "usr/lib/firmware",
    "library": "usr/lib/libx.so", "upper-case": "USR/LIB/FIRMWARE/x",
}
for name, path in OUTSIDE_MODULES.items():
    files(f"modules-tree-{name}", OUTSIDE, with_file(modules(), path))
for name, path in {"modules": f"usr/lib/modules/{RELEASE}/modulus/gpu/x.ko", "library": "usr/lib/libx.so", "bin": "usr/bin/x",
                   "share": "usr/share/x", "firmware-itself": "usr/lib/firmware", "etc": "etc/x"}.items():
    files(f"firmware-tree-{name}", OUTSIDE, firmware(File(path, b"content")))
OUTSIDE_RUNTIME = {
    "modules": f"usr/lib/modules/{RELEASE}/kernel/x.ko", "firmware": "usr/lib/firmware/x", "unit": "usr/lib/systemd/system/x.service",
    "udev-rule": "usr/lib/udev/rules.d/99-x.rules", "sbin": "usr/sbin/x", "etc": "etc/ld.so.preload", "local": "usr/local/bin/x",
    "include": "usr/include/x.h", "usr-itself": "usr", "lib-itself": "usr/lib", "bin-itself": "usr/bin", "opt": "opt/x",
    "lib-upper-case": "usr/libX/x", "lib-with-a-dash": "usr/lib-x/x", "library-of-root": "lib/x",
}
for name, path in OUTSIDE_RUNTIME.items():
    files(f"runtime-tree-{name}", OUTSIDE, runtime(File(path, b"content")))
# a link or file in place of a directory that is not ours would be a way into it
for name in ("modules", "firmware", "systemd", "udev"):
    files(f"runtime-tree-{name}-itself-as-a-link", OUTSIDE, with_link(runtime(), f"usr/lib/{name}", "x86_64-linux-gnu"))
    files(f"runtime-tree-{name}-itself-as-a-file", OUTSIDE, runtime(File(f"usr/lib/{name}", b"content")))

# --- names of modules ------------------------------------------------------------------------------

for name, base in {"underscore-first": "_x", "a-dot": "x.y", "a-plus": "x+y", "a-comma": "x,y", "65-bytes": "x" * 65}.items():
    files(f"module-name-{name}", "not a module's name", with_file(modules(), MODULES + base + ".ko"))
files("module-in-two-spellings", "module a_b is there twice", modules("a-b", "a_b"))
files("module-in-two-spellings-apart", "module a_b_c is there twice", modules("a-b_c", "x", "a_b-c"))

# --- two in one place ------------------------------------------------------------------------------

TWICE = "named twice"
FILE_AND_DIRECTORY = "both a file and a directory"
files("file-twice", TWICE, firmware(File(FIRMWARE + "x", b"a"), File(FIRMWARE + "x", b"a")))
files("file-twice-with-other-content", TWICE, firmware(File(FIRMWARE + "x", b"a"), File(FIRMWARE + "x", b"b")))
files("module-twice", TWICE, modules("alpha", "alpha"))
files("link-twice", TWICE, firmware(links=((FIRMWARE + "x", "a"), (FIRMWARE + "x", "b"))))
files("link-where-a-file-is", TWICE, with_link(firmware(), FIRMWARE + "gpu/one.bin"))
files("file-below-a-file", FILE_AND_DIRECTORY, firmware(File(FIRMWARE + "x", b"a"), File(FIRMWARE + "x/y", b"b")))
files("file-far-below-a-file", FILE_AND_DIRECTORY, firmware(File(FIRMWARE + "x", b"a"), File(FIRMWARE + "x-1", b"b"),
                                                            File(FIRMWARE + "x/y/z/w", b"b")))
files("file-below-a-link", FILE_AND_DIRECTORY, firmware(File(FIRMWARE + "x/y", b"a"), links=((FIRMWARE + "x", "gpu"),)))
files("link-below-a-file", FILE_AND_DIRECTORY, firmware(File(FIRMWARE + "x", b"a"), links=((FIRMWARE + "x/y", "z"),)))
files("link-below-a-link", FILE_AND_DIRECTORY, firmware(links=((FIRMWARE + "x", "gpu"), (FIRMWARE + "x/y", "z"))))
files("module-below-a-module", FILE_AND_DIRECTORY + "|" + OUTSIDE, with_file(modules(), MODULES + "alpha.ko/x.ko"))

# --- order -----------------------------------------------------------------------------------------

ORDER = "out of order"
files("module-behind-firmware", ORDER, Recipe(files=(module_file("alpha"), File(FIRMWARE + "x", b"a"), module_file("beta"))))
files("firmware-before-modules", ORDER, Recipe(files=(File(FIRMWARE + "x", b"a"), module_file("alpha")),
                                               edit=lambda m: m.update(load=["alpha"])))
files("firmware-not-sorted", ORDER, firmware(File(FIRMWARE + "b", b"a"), File(FIRMWARE + "a", b"a")))
files("firmware-sorted-as-a-walk-does", ORDER, firmware(File(FIRMWARE + "a/b", b"a"), File(FIRMWARE + "a-b", b"a")))
files("libraries-not-sorted", ORDER, runtime(File("usr/lib/x", b"a"), File("usr/bin/x", b"a")))

# --- how many --------------------------------------------------------------------------------------

EMPTY = File(FIRMWARE + "x", b"")
files("files-empty", "files: empty", firmware(edit=lambda m: m.update(files=[])))
files("files-4097", "files: too many entries", firmware(edit=lambda m: m.update(
    files=[{"path": f"{FIRMWARE}{i:04}", "size": 0, "mode": 420, "sha256": "0" * 64} for i in range(4097)])))
files("links-4097", "links: too many entries",
      firmware(links=tuple((f"{FIRMWARE}l{i:04}", "gpu") for i in range(4097))))

# --- links -----------------------------------------------------------------------------------------

for name, target in {"absolute": "/etc/shadow", "up": "..", "up-and-more": "../x", "here": ".", "below": "gpu/one.bin", "empty": "",
                     "hidden": ".x", "slash-last": "gpu/", "dash-first": "-x", "201-bytes": "x" * 201, "blank": "x y",
                     "line-feed": "x\ny", "umlaut": "ü", "backslash": "..\\x"}.items():
    files(f"link-target-{name}", r"links.*target", with_link(firmware(), FIRMWARE + "link", target))
for name, path in {"absolute": "/usr/lib/firmware/x", "up": FIRMWARE + "../x", "hidden": FIRMWARE + ".x", "empty": "",
                   "201-bytes": FIRMWARE + "x" * (201 - len(FIRMWARE))}.items():
    files(f"link-path-{name}", ODD, with_link(firmware(), path))
files("link-path-outside", OUTSIDE, with_link(firmware(), "usr/bin/x"))
files("link-that-is-a-module", "a module must be a file", with_link(modules(), MODULES + "x.ko"))
files("link-in-the-modules-directory", OUTSIDE, with_link(modules(), MODULES + "x"))
files("link-in-place-of-the-firmware-directory", OUTSIDE, with_link(firmware(), "usr/lib/firmware", "modules"))
