# SPDX-License-Identifier: Apache-2.0
"""What is linked into the two programs, as SPDX 2.3 in JSON (https://spdx.github.io/spdx-spec/v2.3/): each archive by its
digest, with the version of the Debian source package that it is from. The same build gives the same bytes.

    sbom.py VERSION EPOCH CC KMOD_ORIGIN CURL_ORIGIN "LIBS_BOOT" "LIBS_ALL" BUILD > modulus.spdx.json
"""
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import time


def said(*words: object) -> str:
    return subprocess.run([*map(str, words)], capture_output=True, text=True, check=True).stdout.strip()


def sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def package(name: str, version: str, **more: object) -> dict:
    return {"SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name), "name": name, "versionInfo": version,
            "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION", **more}


def debian(path: pathlib.Path) -> tuple[str, str]:
    """(source package, its version) of an installed file."""
    owner = said("dpkg-query", "-S", path).split(": ", 1)[0]
    source, version = said("dpkg-query", "-W", "-f", "${source:Package} ${source:Version}", owner).split()
    return source, version


def archive(path: pathlib.Path, source: str, version: str) -> dict:
    return package(path.name, version, checksums=[{"algorithm": "SHA256", "checksumValue": sha256(path)}],
                   sourceInfo=f"built from {source} {version}",
                   externalRefs=[{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                                  "referenceLocator": f"pkg:deb/debian/{source}@{version.replace('+', '%2B')}?arch=source"}])


def document(version: str, epoch: int, cc: str, kmod: str, curl: pathlib.Path, boot: list[str], all_: list[str],
             build: pathlib.Path) -> dict:
    def of_compiler(name: str) -> dict:
        path = pathlib.Path(said(cc, f"-print-file-name={name}")).resolve()
        return archive(path, *debian(path))
    programs = [package(name, version, licenseDeclared="Apache-2.0", primaryPackagePurpose="APPLICATION",
                        checksums=[{"algorithm": "SHA256", "checksumValue": sha256(build / name)}])
                for name in ("modulus", "modulus-boot")]
    libraries = {f"lib{name}.a": of_compiler(f"lib{name}.a") for name in [*all_, "c", "gcc"]}
    libraries["libkmod.a"] = archive(build / "libkmod.a", "kmod", kmod)
    libraries["libcurl.a"] = archive(build / "libcurl.a", "curl", re.sub("^curl-", "", curl.resolve().name))
    ours = {"modulus": list(libraries), "modulus-boot": [f"lib{name}.a" for name in [*boot, "c", "gcc", "kmod", "curl"]]}
    relations = [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": one["SPDXID"]}
                 for one in programs]
    relations += [{"spdxElementId": one["SPDXID"], "relationshipType": "STATIC_LINK",
                   "relatedSpdxElement": libraries[name]["SPDXID"]} for one in programs for name in ours[one["name"]]]
    return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"modulus-{version}",
            "documentNamespace": f"https://spdx.org/spdxdocs/modulus-{version}-{sha256(build / 'modulus')[:32]}",
            "creationInfo": {"created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch)), "creators": ["Tool: modulus-sbom"]},
            "packages": [*programs, *libraries.values()], "relationships": relations}


def main() -> None:
    version, epoch, cc, kmod, curl, boot, all_, build = sys.argv[1:]
    names = [[word.removeprefix("-l") for word in words.split()] for words in (boot, all_)]
    made = document(version, int(epoch), cc, kmod, pathlib.Path(curl).parent, *names, pathlib.Path(build))
    json.dump(made, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
