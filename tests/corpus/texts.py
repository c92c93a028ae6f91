# SPDX-License-Identifier: Apache-2.0
"""The manifest as text: what is not strict JSON, and JSON that is made to hurt its reader."""
import json
from collections.abc import Callable

from bundlemaker import compact, modules

from . import refuse

GOOD = modules()
NOT_JSON = "manifest: not JSON"


def written(encode: Callable[[dict], bytes]) -> Callable[[], bytes]:
    return lambda: GOOD.but(encode=encode).build()


def literal(name: str, text: bytes, says: str = NOT_JSON) -> None:
    """The manifest is this text."""
    refuse(f"manifest-{name}", says, written(lambda m: text))


def edited(name: str, old: bytes, new: bytes, says: str = NOT_JSON) -> None:
    """The good text with one thing replaced."""
    def encode(manifest: dict) -> bytes:
        text = compact(manifest)
        assert text.count(old) >= 1, old
        return text.replace(old, new, 1)
    refuse(f"manifest-{name}", says, written(encode))


literal("empty", b"")
literal("blanks", b" \n\t ")
literal("a-list", b"[]", "manifest: .*not an object")
literal("null", b"null", "manifest: ")
literal("a-string", b'"format"', "manifest: ")
literal("a-number", b"1", "manifest: ")
literal("an-empty-object", b"{}", "manifest: format: missing")
literal("lists-3000-deep", b"[" * 3000)
literal("rubbish", bytes(range(256)))
literal("XML", b"<manifest/>")
literal("lists-100000-deep", b"[" * 100000, "manifest: ")
literal("objects-100000-deep", b'{"a":' * 100000, "manifest: ")

# as many as may be, which is not JSON, and one more, which is not even looked at; of those in strings there may be any number
literal("65536-commas", b"," * 65536)
literal("65537-commas", b"," * 65537, "manifest: more than 65536 values")
literal("65537-values", b"{" + b"[" * 32768 + b"," * 32768, "manifest: more than 65536 values")
refuse("manifest-65537-commas-in-a-string", "manifest: colour: unknown field", written(lambda m: compact({**m, "colour": "[,{" * 30000})))

refuse("manifest-cut-in-the-middle", NOT_JSON, written(lambda m: compact(m)[:-40]))
refuse("manifest-text-behind-it", NOT_JSON, written(lambda m: compact(m) + b"x"))
refuse("manifest-NUL-behind-it", NOT_JSON, written(lambda m: compact(m) + b"\0"))
refuse("manifest-twice-in-its-frame", NOT_JSON, written(lambda m: compact(m) * 2))
refuse("manifest-byte-order-mark", NOT_JSON, written(lambda m: b"\xef\xbb\xbf" + compact(m)))
refuse("manifest-UTF-16", NOT_JSON, written(lambda m: json.dumps(m).encode("utf-16")))
refuse("manifest-UTF-32", NOT_JSON, written(lambda m: json.dumps(m).encode("utf-32-le")))
refuse("manifest-JSON5", NOT_JSON, written(lambda m: compact(m).replace(b'"', b"'")))
edited("comment", b"{", b"/* hello */{")
edited("comma-too-many", b'"links":[]', b'"links":[],')
edited("comma-missing", b',"links"', b' "links"')
edited("comma-at-the-end-of-a-list", b'"match":["pci:*"]', b'"match":["pci:*",]')
edited("string-cut-by-a-line-feed", b'"name":"gpu"', b'"name":"g\npu"')
edited("string-with-a-NUL-byte", b'"name":"gpu"', b'"name":"g\0pu"')
edited("string-with-an-escaped-NUL", b'"name":"gpu"', b'"name":"gpu\\u0000x"')
edited("key-with-an-escaped-NUL", b'"name":', b'"name\\u0000":')
edited("string-with-half-a-surrogate-pair", b'"name":"gpu"', b'"name":"gpu\\ud83d"')
edited("string-that-is-not-UTF-8", b'"name":"gpu"', b'"name":"gp\xff"')
edited("string-with-overlong-UTF-8", b'"name":"gpu"', b'"name":"gp\xc1\xb5"')
edited("string-with-a-surrogate-in-UTF-8", b'"name":"gpu"', b'"name":"gp\xed\xa0\x80"')
edited("string-not-closed", b'"name":"gpu"', b'"name":"gpu')
edited("unknown-escape", b'"name":"gpu"', b'"name":"\\gpu"')
edited("word-that-JSON-lacks", b'"serial":1', b'"serial":nil')
edited("NaN", b'"serial":1', b'"serial":NaN')
edited("infinity", b'"serial":1', b'"serial":Infinity')
edited("number-with-leading-zero", b'"serial":1', b'"serial":01')
edited("number-with-a-plus", b'"serial":1', b'"serial":+1')
edited("number-hexadecimal", b'"serial":1', b'"serial":0x1')
edited("number-of-5000-digits", b'"serial":1', b'"serial":' + b"9" * 5000)
edited("number-2-to-the-63", b'"serial":1', b'"serial":9223372036854775808')
edited("number-2-to-the-64", b'"serial":1', b'"serial":18446744073709551616')
edited("number-2-to-the-64-plus-1", b'"serial":1', b'"serial":18446744073709551617')

# duplicate keys: two readers could each see another one
edited("format-twice", b'"format":1', b'"format":1,"format":1')
edited("name-twice", b'"name":"gpu"', b'"name":"gpu","name":"gpu"')
edited("name-twice-once-in-escapes", b'"name":"gpu"', b'"name":"gpu","n\\u0061me":"gpu"')
edited("files-twice", b'"files":[', b'"files":[],"files":[')
edited("chunks-twice", b'"chunks":[', b'"chunks":[],"chunks":[')
edited("kernel-release-twice", b'"kernel":{', b'"kernel":{"release":"1",')
edited("file-path-twice", b'"files":[{', b'"files":[{"path":"usr/lib/firmware/x",')
edited("chunk-size-twice", b'"chunks":[{', b'"chunks":[{"size":1,')
refuse("manifest-link-target-twice", NOT_JSON,
       written(lambda m: compact(m).replace(b'"links":[]', b'"links":[{"path":"usr/lib/firmware/x","target":"a","target":"b"}]')))


def filled(what: bytes, more: bytes, end: bytes) -> Callable[[], bytes]:
    """One MiB of a manifest whose `chunks` repeat something small."""
    def encode(manifest: dict) -> bytes:
        manifest["chunks"] = []
        text = compact(manifest)
        head = text[:text.rindex(b"]}")]
        room = (1 << 20) - len(head) - len(what) - len(end) - 2
        return head + what + more * (room // len(more)) + end + b"]}"
    return written(encode)


# a reader that makes a tree of values first pays 50 to 250 bytes for each of these
refuse("manifest-1-MiB-of-empty-objects", "manifest: .*", filled(b"{}", b",{}", b""))
refuse("manifest-1-MiB-of-empty-lists", "manifest: .*", filled(b"[]", b",[]", b""))
refuse("manifest-1-MiB-of-zeros", "manifest: .*", filled(b"0", b",0", b""))
refuse("manifest-1-MiB-of-empty-strings", "manifest: .*", filled(b'""', b',""', b""))
refuse("manifest-1-MiB-of-nested-lists", "manifest: .*", filled(b"[0", b",[0", b"]" * 100))
