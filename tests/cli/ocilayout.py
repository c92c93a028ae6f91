# SPDX-License-Identifier: Apache-2.0
"""An OCI image layout with bundles in it (opencontainers/image-spec, image-layout.md), and a registry made of one."""
import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from badserver import BadServer, status

BUNDLE = "application/vnd.modulus.bundle.v1.tar+zstd"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Image:
    """Blobs by digest, and the descriptor of the manifest or index that is the image."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    top: dict = field(default_factory=dict)

    def add(self, media_type: str, data: bytes, **more) -> dict:
        self.blobs[digest(data)] = data
        return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}

    def manifest(self, *layers: tuple[str, bytes]) -> dict:
        document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": self.add(EMPTY, b"{}"),
                    "layers": [self.add(media_type, data) for media_type, data in layers]}
        return self.add(MANIFEST, json.dumps(document).encode())

    @classmethod
    def of(cls, *layers: tuple[str, bytes]) -> "Image":
        image = cls()
        image.top = image.manifest(*layers)
        return image

    @classmethod
    def for_platforms(cls, bundles: dict[str, bytes]) -> "Image":
        """An index: architecture in Go's words -> bundle."""
        image = cls()
        manifests = [{**image.manifest((BUNDLE, data)), "platform": {"architecture": arch, "os": "linux"}}
                     for arch, data in bundles.items()]
        image.top = image.add(INDEX, json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode())
        return image

    def write(self, folder: Path, tag: str) -> Path:
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        for name, data in self.blobs.items():
            (blobs / name.removeprefix("sha256:")).write_bytes(data)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        named = {**self.top, "annotations": {"org.opencontainers.image.ref.name": tag}}
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
        return folder

    def serve(self, server: BadServer, repository: str, tag: str) -> str:
        """As a registry would; returns host/repository."""
        types = {self.top["digest"]: self.top["mediaType"]}
        for name, data in self.blobs.items():
            server.serve(f"/v2/{repository}/blobs/{name}", status("200 OK", data))
            server.serve(f"/v2/{repository}/manifests/{name}", status("200 OK", data, Content_Type=types.get(name, MANIFEST)))
        server.serve(f"/v2/{repository}/manifests/{tag}", status("200 OK", self.blobs[self.top["digest"]],
                                                                 Content_Type=self.top["mediaType"]))
        return f"{server.host}:{server.port}/{repository}"


def auth_file(host: str, user: str = "user", password: str = "pass") -> str:
    """What `skopeo login` and `docker login` write."""
    return json.dumps({"auths": {host: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}}})
