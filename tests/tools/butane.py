#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Renders the part of Butane that ignition/*.bu use (variant fcos, version 1.4.0) to Ignition 3.3.0.

Debian has no butane; this lets a test compare each source with the rendered file beside it. It is strict: what it
does not know is an error, never dropped. The output is that of `butane --strict --pretty`, except that Butane takes
the shortest of percent-encoding, base64 and gzip for contents; here it is always the first, which people can read.

    butane.py [--files-dir DIR] FILE.bu > FILE.ign
"""
import argparse
import json
import os
import pathlib
import re
import sys
import urllib.parse

import yaml


class Refused(Exception):
    """What is wrong and where, in one line."""


class UniqueKeys(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys; Butane refuses them, and so do we."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise Refused(f"line {key_node.start_mark.line + 1}: {key} is there twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


def take(where, value, kind):
    # bool is an int in Python
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Refused(f"{where}: {value!r} is not a {kind.__name__}")
    return value


def fields(where, value, known):
    """The known keys of a mapping, rendered by their own function, in Butane's order; others are refused."""
    take(where, value, dict)
    for key in value:
        if key not in known:
            raise Refused(f"{where}: {key}: unknown here")
    out = {}
    for key, (name, render) in known.items():
        if key in value:
            out[name] = render(f"{where}.{key}", value[key])
    return out


def each(render):
    return lambda where, value: [render(f"{where}[{i}]", v) for i, v in enumerate(take(where, value, list))]


def text(where, value):
    return take(where, value, str)


def flag(where, value):
    return take(where, value, bool)


def path(where, value):
    if not take(where, value, str).startswith("/") or str(pathlib.PurePosixPath(value)) != value or "/../" in value + "/":
        raise Refused(f"{where}: {value}: not a clean absolute path")
    return value


def mode(where, value):
    if not 0 <= take(where, value, int) <= 0o777:
        raise Refused(f"{where}: {value}: not a mode (written in octal, with a leading zero?)")
    return value


def unit_name(where, value):
    if not re.fullmatch(r"[A-Za-z0-9:_.\\@-]+\.(service|socket|path|timer|mount|target)", take(where, value, str)):
        raise Refused(f"{where}: {value}: not the name of a unit")
    return value


def url(where, value):
    if not re.fullmatch(r"(https?|s3|gs|tftp)://[!-~]+", take(where, value, str)):
        raise Refused(f"{where}: {value}: not a URL that Ignition fetches")
    return value


def digest(where, value):
    if not re.fullmatch(r"sha512-[0-9a-f]{128}|sha256-[0-9a-f]{64}", take(where, value, str)):
        raise Refused(f"{where}: {value}: not sha512- or sha256- and a hash")
    return value


def data_url(content):
    return "data:," + urllib.parse.quote(content, safe="-_.!~*'()")


def contents(files_dir):
    def local(where, value):
        # judged by its text, as Butane does: a link in the directory may lead out of it
        full = pathlib.Path(os.path.normpath(files_dir / take(where, value, str)))
        if files_dir not in full.parents:
            raise Refused(f"{where}: {value}: outside the files directory")
        if not full.is_file():
            raise Refused(f"{where}: {value}: no such file in the files directory")
        return data_url(full.read_bytes())

    def render(where, value):
        out = fields(where, value, {
            "local": ("local", local),
            "inline": ("inline", lambda w, v: data_url(text(w, v).encode())),
            "source": ("source", url),
            "verification": ("verification", lambda w, v: fields(w, v, {"hash": ("hash", digest)})),
        })
        hashes = {"verification": out.pop("verification")} if "verification" in out else {}
        if len(out) != 1:
            raise Refused(f"{where}: exactly one of local, inline and source is needed")
        # Butane says so only where it made the URL itself
        compression = {} if "source" in out else {"compression": ""}
        return {**compression, "source": next(iter(out.values())), **hashes}

    return render


def need(out, where, *names):
    for name in names:
        if name not in out:
            raise Refused(f"{where}: {name}: is needed")
    return out


def render_config(config, files_dir):
    def file(where, value):
        out = fields(where, value, {
            "overwrite": ("overwrite", flag), "path": ("path", path),
            "contents": ("contents", contents(files_dir)), "mode": ("mode", mode)})
        # Ignition's own defaults are fine, but a reader should not have to know them
        return need(out, where, "path", "contents", "mode")

    def link(where, value):
        return need(fields(where, value, {
            "overwrite": ("overwrite", flag), "path": ("path", path), "target": ("target", text)}),
            where, "path", "target")

    def unit(where, value):
        return need(fields(where, value, {
            "contents": ("contents", text), "enabled": ("enabled", flag), "name": ("name", unit_name)}), where, "name")

    def storage(where, value):
        out = fields(where, value, {"files": ("files", each(file)), "links": ("links", each(link))})
        paths = [node["path"] for nodes in out.values() for node in nodes]
        for twice in sorted({p for p in paths if paths.count(p) > 1}):
            raise Refused(f"{where}: {twice}: is there twice")
        return out

    def ignition(where, value):
        merge = ("merge", each(contents(files_dir)))
        return fields(where, value, {"config": ("config", lambda w, v: fields(w, v, {"merge": merge}))})

    def exactly(wanted):
        def check(where, value):
            if value != wanted:
                raise Refused(f"{where}: {value}: only {wanted} is known")
            return value
        return check

    out = fields("$", config, {
        "variant": ("variant", exactly("fcos")),
        "version": ("version", exactly("1.4.0")),
        "kernel_arguments": ("kernelArguments", lambda w, v: fields(w, v, {
            "should_exist": ("shouldExist", each(text)), "should_not_exist": ("shouldNotExist", each(text))})),
        "ignition": ("ignition", ignition),
        "storage": ("storage", storage),
        "systemd": ("systemd", lambda w, v: fields(w, v, {"units": ("units", each(unit))})),
    })
    need(out, "$", "variant", "version")
    del out["variant"], out["version"]
    return {"ignition": {**out.pop("ignition", {}), "version": "3.3.0"}, **out}


def render(source, files_dir):
    """The text of the Ignition file for the Butane file `source`."""
    try:
        config = yaml.load(pathlib.Path(source).read_text(), UniqueKeys)
    except yaml.YAMLError as error:
        raise Refused(str(error).replace("\n", " ")) from error
    return json.dumps(render_config(config, pathlib.Path(files_dir).resolve()), indent=2) + "\n"


def main():
    parser = argparse.ArgumentParser(description="Render a subset of Butane (fcos 1.4.0) to Ignition 3.3.0.")
    parser.add_argument("--files-dir", default=".")
    parser.add_argument("source")
    args = parser.parse_args()
    try:
        sys.stdout.write(render(args.source, args.files_dir))
    except (Refused, OSError) as error:
        sys.exit(f"butane.py: {args.source}: {error}")


if __name__ == "__main__":
    main()
