# SPDX-License-Identifier: Apache-2.0
"""`make sbom`: a document by the rules of SPDX 2.3 that names exactly what was linked in."""
import hashlib
import json
import re
import shutil
import subprocess

import pytest

from program import TREE

BUILD = TREE / "build"
pytestmark = pytest.mark.skipif(not shutil.which("dpkg-query"), reason="versions are those of Debian's packages")
# 7.1 to 7.17 of the specification: what a package has to have, or has here
FIELDS = {"SPDXID", "name", "versionInfo", "downloadLocation", "filesAnalyzed", "licenseConcluded", "licenseDeclared",
          "copyrightText", "checksums"}


def make() -> bytes:
    (BUILD / "modulus.spdx.json").unlink(missing_ok=True)
    done = subprocess.run(["make", "-s", "-C", TREE, "sbom"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return (BUILD / "modulus.spdx.json").read_bytes()


@pytest.fixture(scope="module")
def document() -> dict:
    return json.loads(make())


def linked(document: dict, program: str) -> set[str]:
    names = {one["SPDXID"]: one["name"] for one in document["packages"]}
    return {names[r["relatedSpdxElement"]] for r in document["relationships"]
            if r["relationshipType"] == "STATIC_LINK" and names.get(r["spdxElementId"]) == program}


def test_it_keeps_the_rules_of_the_specification(document):
    assert (document["spdxVersion"], document["dataLicense"], document["SPDXID"]) == ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT")
    assert re.fullmatch(r"https://[^#\s]+", document["documentNamespace"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["creationInfo"]["created"])
    assert all(re.match(r"(Tool|Organization|Person): .", creator) for creator in document["creationInfo"]["creators"])
    ids = [one["SPDXID"] for one in document["packages"]]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", one) for one in ids)
    for one in document["packages"]:
        assert FIELDS <= set(one) and one["filesAnalyzed"] is False and one["versionInfo"]
        assert all(re.fullmatch(r"[0-9a-f]{64}", sum_["checksumValue"]) for sum_ in one["checksums"])
        for ref in one.get("externalRefs", []):
            assert ref["referenceCategory"] == "PACKAGE-MANAGER" and ref["referenceType"] == "purl"
            assert re.fullmatch(r"pkg:deb/debian/[a-z0-9.+-]+@[A-Za-z0-9.:~%-]+\?arch=source", ref["referenceLocator"])
    for relation in document["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= {*ids, "SPDXRef-DOCUMENT"}


def test_the_archives_are_those_that_the_build_recorded(document):
    recorded = {line.split()[1]: line.split()[0] for line in (BUILD / "linked").read_text().splitlines() if not line.startswith("#")}
    sums = {one["name"]: one["checksums"][0]["checksumValue"] for one in document["packages"]}
    assert len(recorded) > 8 and recorded.items() <= sums.items()
    for name in ("modulus", "modulus-boot", "libkmod.a", "libcurl.a"):
        assert sums[name] == hashlib.sha256((BUILD / name).read_bytes()).hexdigest()
    assert linked(document, "modulus") == {*recorded, "libkmod.a", "libcurl.a", "libgcc.a"}
    assert linked(document, "modulus") - linked(document, "modulus-boot") == {"libarchive.a", "libb2.a"}


def test_versions_are_those_of_the_packages(document):
    versions = {one["name"]: one["versionInfo"] for one in document["packages"]}
    for name, binary in {"libssl.a": "libssl-dev", "libcrypto.a": "libssl-dev", "libzstd.a": "libzstd-dev", "libc.a": "libc6-dev"}.items():
        done = subprocess.run(["dpkg-query", "-W", "-f", "${source:Version}", binary], capture_output=True, text=True, check=True)
        assert versions[name] == done.stdout
    program = subprocess.run([BUILD / "modulus", "--version"], capture_output=True, text=True, check=True).stdout
    assert f"modulus {versions['modulus']}\n" in program and f"OpenSSL {versions['libssl.a'].split('-')[0]} " in program


def test_the_same_build_gives_the_same_document():
    assert make() == make()
