# SPDX-License-Identifier: Apache-2.0
"""Bundles from registries: Debian's docker-registry filled by skopeo, nginx for TLS, and one made by hand for what those
do not do."""
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

import elf
from badserver import Authority, BadServer, good, redirect, status
from bundlemaker import modules
from netmachine import GOOD, PEAK_KIB, NetMachine, noisy, plain_environment
from ocilayout import BUNDLE, INDEX, Image, auth_file, digest
from program import CONFIG, DONE, NETWORK, NO_BUNDLE, UNTRUSTED

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(elf.machine(), elf.machine())
OTHER_ARCH = "arm64" if ARCH != "arm64" else "amd64"
OTHER_FILE = b"\x1f\x8b not a bundle"
TAR = "application/vnd.oci.image.layer.v1.tar+gzip"


def fetched(machine: NetMachine, bundle: bytes = GOOD) -> None:
    done = machine.run()
    assert done.code == DONE and machine.in_cache == [bundle] and done.peak_kib <= PEAK_KIB, done


def failed(machine: NetMachine, code: int, says: str, seconds: float = 8):
    done = machine.run()
    assert done.code == code and says in done.lines[-1] and len(done.lines) == 1, done
    assert machine.in_cache == [] and done.seconds < seconds and done.peak_kib <= PEAK_KIB, done
    return done


# --- a real one -----------------------------------------------------------------------------------------

def need(*tools: str) -> None:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin"
    missing = [tool for tool in tools if not shutil.which(tool, path=path)]
    if missing:
        pytest.skip(f"not installed: {' '.join(missing)} (make deps)")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(port: int, program: subprocess.Popen) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert program.poll() is None, "the server ended"
            time.sleep(0.1)
    raise AssertionError("the server does not listen")


class Registry:
    """Debian's docker-registry on loopback; with a password when there is one."""

    def __init__(self, folder: Path, password: str | None = None):
        folder.mkdir()
        self.host, self.folder, self.password = f"127.0.0.1:{free_port()}", folder, password
        config = {"version": 0.1, "log": {"level": "error"}, "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
                  "http": {"addr": self.host, "secret": "of this test"}}
        if password:
            hashed = subprocess.run(["htpasswd", "-nbB", "user", password], capture_output=True, text=True, check=True).stdout
            (folder / "htpasswd").write_text(hashed.strip() + "\n")
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
        (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        self.log = open(folder / "log", "wb")
        self.program = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=self.log, stderr=self.log,
                                        env=plain_environment())
        wait_for(int(self.host.rpartition(":")[2]), self.program)

    def push(self, image: Image, repository: str, tag: str, *more: str) -> None:
        layout = image.write(self.folder / f"{repository}-{tag}".replace("/", "-"), tag)
        self.push_layout(layout, repository, tag, *more)

    def push_layout(self, layout: Path, repository: str, tag: str, *more: str) -> None:
        login = ["--dest-creds", f"user:{self.password}"] if self.password else []
        done = subprocess.run(["skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", *login, *more, f"oci:{layout}:{tag}",
                               f"docker://{self.host}/{repository}:{tag}"], capture_output=True, text=True, env=plain_environment())
        assert done.returncode == 0, done.stderr

    def close(self) -> None:
        self.program.terminate()
        self.program.wait()
        self.log.close()


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    need("docker-registry", "skopeo")
    one = Registry(tmp_path_factory.mktemp("registry") / "open")
    one.push(Image.of((BUNDLE, GOOD)), "fleet/gpu", "1.0-6.1.0-99-test")
    one.push(Image.for_platforms({OTHER_ARCH: modules(fields={"serial": 9}).build(), ARCH: GOOD}), "fleet/gpu", "both", "--all")
    one.push(Image.of((TAR, OTHER_FILE)), "fleet/gpu", "system")
    yield one
    one.close()


@pytest.fixture(scope="module")
def closed_registry(tmp_path_factory):
    need("docker-registry", "skopeo", "htpasswd")
    one = Registry(tmp_path_factory.mktemp("registry") / "closed", password="pass")
    one.push(Image.of((BUNDLE, GOOD)), "fleet/gpu", "1.0")
    yield one
    one.close()


def test_by_tag(tmp_path, registry):
    fetched(NetMachine(tmp_path, f"oci://{registry.host}/fleet/gpu:{{version}}-{{kernel}}"))


def test_by_digest(tmp_path, registry):
    top = Image.of((BUNDLE, GOOD)).top["digest"]
    fetched(NetMachine(tmp_path, f"oci://{registry.host}/fleet/{{name}}@{top}"))


def put(url: str, data: bytes, content_type: str, method: str = "PUT") -> str:
    """Returns Location."""
    request = urllib.request.Request(url, data, {"Content-Type": content_type}, method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        return answer.headers.get("Location", "")


def test_what_oras_pushes(tmp_path, registry):
    """oras is not in Debian. The artifact is as its push makes it, field by field (oras.land, "Pushing artifacts"; image-spec
    1.1, "Guidelines for artifact usage"): the empty config with its data inside, a title for the layer, a date."""
    place = f"http://{registry.host}/v2/oras/gpu"
    for blob in (b"{}", GOOD):
        upload = put(f"{place}/blobs/uploads/", b"", "application/octet-stream", "POST")
        put(f"{upload}{'&' if '?' in upload else '?'}digest={digest(blob)}", blob, "application/octet-stream")
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.modulus.bundle.v1",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(b"{}"), "size": 2, "data": "e30="},
        "layers": [{"mediaType": BUNDLE, "digest": digest(GOOD), "size": len(GOOD),
                    "annotations": {"org.opencontainers.image.title": "gpu.tar.zst"}}],
        "annotations": {"org.opencontainers.image.created": "2026-11-23T09:00:00Z"}}
    put(f"{place}/manifests/1.0", json.dumps(manifest).encode(), manifest["mediaType"])
    fetched(NetMachine(tmp_path, f"oci://{registry.host}/oras/gpu:{{version}}"))


def test_an_index_of_two_platforms(tmp_path, registry):
    fetched(NetMachine(tmp_path, f"oci://{registry.host}/fleet/gpu:both"))


@pytest.mark.parametrize("reference,says", [("fleet/gpu:none", "no bundle of gpu"), ("none:1.0", "no bundle of gpu"),
                                            ("fleet/gpu:system", "no bundle of gpu"), (f"fleet/gpu@sha256:{'0' * 64}", "no bundle of gpu")])
def test_what_is_not_there(tmp_path, registry, reference, says):
    failed(NetMachine(tmp_path, f"oci://{registry.host}/{reference}"), NO_BUNDLE, says, seconds=2)


def test_boot_says_which_image(tmp_path, registry):
    machine = NetMachine(tmp_path, f"oci://{registry.host}/fleet/gpu:both")
    assert machine.run("boot").code == DONE
    driver = json.loads(machine.status_file.read_text())["drivers"][0]
    assert (driver["reason"], driver["source"], driver["origin"]) == ("loaded", "oci", f"oci://{registry.host}/fleet/gpu:both")


def test_a_password_in_its_place(tmp_path, closed_registry):
    machine = NetMachine(tmp_path, f"oci://{closed_registry.host}/fleet/gpu:1.0")
    machine.write_root("etc/modulus/auth.json", auth_file(closed_registry.host))
    fetched(machine)


def test_a_password_in_a_file_that_the_configuration_names(tmp_path, closed_registry):
    machine = NetMachine(tmp_path, f"oci://{closed_registry.host}/fleet/gpu:1.0", network="Credentials=/etc/own.json")
    machine.write_root("etc/modulus/auth.json", auth_file(closed_registry.host, password="wrong"))
    machine.write_root("etc/own.json", auth_file(closed_registry.host))
    fetched(machine)


def test_no_password(tmp_path, closed_registry):
    failed(NetMachine(tmp_path, f"oci://{closed_registry.host}/fleet/gpu:1.0"), NETWORK, "there are no credentials", seconds=2)


def test_a_wrong_password(tmp_path, closed_registry):
    machine = NetMachine(tmp_path, f"oci://{closed_registry.host}/fleet/gpu:1.0")
    machine.write_root("etc/modulus/auth.json", auth_file(closed_registry.host, password="wrong"))
    failed(machine, NETWORK, "refuses the credentials", seconds=3)


def test_a_password_for_another_host_stays_there(tmp_path, closed_registry):
    machine = NetMachine(tmp_path, f"oci://{closed_registry.host}/fleet/gpu:1.0")
    machine.write_root("etc/modulus/auth.json", auth_file("registry.example.org"))
    failed(machine, NETWORK, "there are no credentials", seconds=2)


# --- TLS, by nginx ----------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def nginx(tmp_path_factory, registry):
    """HTTPS on 127.0.0.1 with a private CA: files below /files/, and the registry behind it."""
    need("nginx")
    folder = tmp_path_factory.mktemp("nginx")
    authority = Authority(folder)
    certificate, key = authority.issue("nginx", "DNS:localhost.localdomain,IP:127.0.0.1")
    (folder / "files").mkdir()
    (folder / "files" / "gpu.zst").write_bytes(GOOD)
    folder.chmod(0o755)
    for parent in folder.parents[:2]:
        parent.chmod(parent.stat().st_mode | 0o011)
    port = free_port()
    (folder / "conf").write_text(f"""
daemon off; pid {folder}/pid; error_log {folder}/error.log; user root;
events {{ }}
http {{
    access_log off; default_type application/octet-stream; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    gzip on; gzip_types *; gzip_min_length 1;
    server {{
        listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};
        location /files/ {{ alias {folder}/files/; }}
        location /v2/ {{ proxy_pass http://{registry.host}; proxy_set_header Host $http_host; }}
    }}
}}
""")
    program = subprocess.Popen([shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-c", folder / "conf", "-e", folder / "error.log"],
                               stderr=subprocess.DEVNULL, env=plain_environment())
    wait_for(port, program)
    yield f"127.0.0.1:{port}", authority
    program.terminate()
    program.wait()


def test_a_file_from_nginx(tmp_path, nginx):
    host, authority = nginx
    machine = NetMachine(tmp_path, f"https://{host}/files/{{name}}.zst", network="CA=/etc/pki/fleet.pem")
    machine.write_root("etc/pki/fleet.pem", authority.certificate.read_bytes())
    fetched(machine)


def test_a_file_that_nginx_has_not(tmp_path, nginx):
    host, authority = nginx
    machine = NetMachine(tmp_path, f"https://{host}/files/none.zst", f"https://{host}/files/gpu.zst")
    machine.write_root("etc/modulus/ca.pem", authority.certificate.read_bytes())
    fetched(machine)


def test_an_authority_that_is_not_known(tmp_path, nginx):
    host, _ = nginx
    machine = NetMachine(tmp_path, f"https://{host}/files/gpu.zst")
    machine.write_root("etc/modulus/ca.pem", Authority(tmp_path / "x").certificate.read_bytes())
    failed(machine, NETWORK, "certificate", seconds=2)


# a registry that is not on this machine is spoken to with TLS: a name of ours that does not look local
@pytest.fixture
def other_name(tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost.localdomain\n")
    words = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh"]
    if subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("namespaces are not allowed here")
    return words


def test_a_registry_elsewhere_is_spoken_to_with_tls(tmp_path, nginx, other_name):
    host, authority = nginx
    machine = NetMachine(tmp_path / "m", f"oci://{host.replace('127.0.0.1', 'localhost.localdomain')}/fleet/gpu:both")
    machine.write_root("etc/modulus/ca.pem", authority.certificate.read_bytes())
    done = machine.run("fetch", *other_name)
    assert done.code == DONE and machine.in_cache == [GOOD], done


def test_a_registry_elsewhere_without_tls_is_not_spoken_to(tmp_path, registry, other_name):
    machine = NetMachine(tmp_path / "m", f"oci://{registry.host.replace('127.0.0.1', 'localhost.localdomain')}/fleet/gpu:both")
    machine.write_root("etc/modulus/ca.pem", Authority(tmp_path / "x").certificate.read_bytes())
    assert machine.run("fetch", *other_name).code == NETWORK


# --- what real ones do not do -------------------------------------------------------------------------------

def test_a_manifest_that_was_changed_on_the_way(tmp_path):
    image = Image.of((BUNDLE, GOOD))
    name = image.top["digest"]
    with BadServer() as server:
        place = image.serve(server, "gpu", "1")
        server.serve(f"/v2/gpu/manifests/{name}", status("200 OK", image.blobs[name] + b" "))
        failed(NetMachine(tmp_path, f"oci://{place}@{name}"), UNTRUSTED, "does not have its digest", seconds=2)


def test_a_platform_of_an_index_that_was_changed_on_the_way(tmp_path):
    image = Image.for_platforms({ARCH: GOOD})
    inner = json.loads(image.blobs[image.top["digest"]])["manifests"][0]["digest"]
    with BadServer() as server:
        place = image.serve(server, "gpu", "1")
        server.serve(f"/v2/gpu/manifests/{inner}", status("200 OK", Image.of((BUNDLE, noisy(500))).blobs[digest(b"{}")]))
        failed(NetMachine(tmp_path, f"oci://{place}:1"), UNTRUSTED, "does not have its digest", seconds=2)


def test_a_layer_that_was_exchanged_for_another_good_bundle(tmp_path):
    """Signed too, but not what the image names."""
    image = Image.of((BUNDLE, GOOD))
    with BadServer() as server:
        place = image.serve(server, "gpu", "1")
        server.serve(f"/v2/gpu/blobs/{digest(GOOD)}", good(modules("alpha", "beta", fields={"serial": 7}).build()))
        server.serve("/good", good(GOOD))
        failed(NetMachine(tmp_path / "alone", f"oci://{place}:1"), UNTRUSTED, "the layer does not have its digest", seconds=2)
        fetched(NetMachine(tmp_path / "two", f"oci://{place}:1", server.url("/good")))


@pytest.mark.parametrize("layers", [(), ((TAR, OTHER_FILE),), ((BUNDLE, GOOD), (BUNDLE, noisy(500)))], ids=["none", "another", "two"])
def test_an_image_without_exactly_one_bundle(tmp_path, layers):
    with BadServer() as server:
        place = Image.of(*layers).serve(server, "gpu", "1")
        failed(NetMachine(tmp_path, f"oci://{place}:1"), NO_BUNDLE, "no bundle of gpu", seconds=2)


def test_a_bundle_beside_other_layers(tmp_path):
    with BadServer() as server:
        fetched(NetMachine(tmp_path, f"oci://{Image.of((TAR, OTHER_FILE), (BUNDLE, GOOD)).serve(server, 'gpu', '1')}:1"))


def test_an_index_without_our_machine(tmp_path):
    with BadServer() as server:
        place = Image.for_platforms({OTHER_ARCH: GOOD, "s390x": noisy(500)}).serve(server, "gpu", "1")
        failed(NetMachine(tmp_path, f"oci://{place}:1"), NO_BUNDLE, "no bundle of gpu", seconds=2)


def test_an_index_in_an_index_is_not_followed(tmp_path):
    image = Image.for_platforms({ARCH: GOOD})
    image.top = image.add(INDEX, json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [image.top]}).encode())
    with BadServer() as server:
        place = image.serve(server, "gpu", "1")
        failed(NetMachine(tmp_path, f"oci://{place}:1"), NO_BUNDLE, "no bundle of gpu", seconds=2)


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"null", b'"x"', b'{"layers":7}', b'{"layers":[7,{"mediaType":7}]}',
                                      b'{"manifests":[{"digest":"sha256:../../x"}]}', b"[" * 100_000, b'{"manifests":[]}',
                                      b'{"layers":[{"mediaType":"' + BUNDLE.encode() + b'","digest":"sha512:00"}]}'])
def test_a_manifest_that_is_none(tmp_path, document):
    with BadServer() as server:
        server.serve("/v2/gpu/manifests/1", status("200 OK", document))
        done = NetMachine(tmp_path, f"oci://{server.host}:{server.port}/gpu:1").run()
    assert done.code in (NETWORK, NO_BUNDLE, UNTRUSTED) and done.seconds < 2 and done.peak_kib <= PEAK_KIB, done


@pytest.mark.parametrize("document", [b'{"layers":[' + b"{}," * 1_300_000 + b"{}]}", b"[" + b"[]," * 1_300_000 + b"[]]",
                                      b" " * (5 << 20)], ids=["objects", "lists", "blanks"])
def test_a_manifest_that_is_large_costs_no_memory(tmp_path, document):
    with BadServer() as server:
        server.serve("/v2/gpu/manifests/1", status("200 OK", document))
        failed(NetMachine(tmp_path, f"oci://{server.host}:{server.port}/gpu:1"), NETWORK, "bytes", seconds=4)


@pytest.mark.parametrize("reference", ["gpu", "host/", "/gpu:1", "host/GPU:1", "host/gpu:", "host/gpu:-x", "host/gpu@sha256:12", "ho st/gpu:1",
                                       "host/gpu@md5:00", "host/gpu:a/b", "host/../x:1?", "host/gpu:" + "a" * 129])
def test_references_that_are_none(tmp_path, reference):
    machine = NetMachine(tmp_path, f"oci://{reference}" if " " not in reference else "oci:host/gpu:1")
    failed(machine, CONFIG, "not ", seconds=2)


# --- tokens (distribution/distribution, spec/auth/token.md) ----------------------------------------------------

class TokenRegistry(BadServer):
    """Wants a bearer token, which its own /token gives."""

    def __init__(self, answer: bytes = b'{"token":"t0ken","expires_in":60}', wants_password: bool = False, realm: str | None = None):
        super().__init__()
        self.wants_password = wants_password
        self.realm = realm or self.url("/token?from=test")
        self.place = Image.of((BUNDLE, GOOD)).serve(self, "fleet/gpu", "1")
        for path, (inner,) in list(self._answers.items()):
            self.serve(path, self._guarded(inner))
        for path in ("/token?from=test&service=the%20registry&scope=repository%3Afleet%2Fgpu%3Apull",):
            self.serve(path, self._give(answer))

    def _guarded(self, inner):
        def answer(to) -> None:
            if to.request.headers.get("authorization") == "Bearer t0ken":
                return inner(to)
            return status("401 Unauthorized", WWW_Authenticate=f'Bearer realm="{self.realm}",service="the registry",'
                          'scope="repository:fleet/gpu:pull"')(to)
        return answer

    def _give(self, text: bytes):
        def answer(to) -> None:
            if self.wants_password and to.request.headers.get("authorization") != "Basic dXNlcjpwYXNz":
                return status("401 Unauthorized", WWW_Authenticate="Basic")(to)
            return status("200 OK", text)(to)
        return answer


@pytest.mark.parametrize("answer", [b'{"token":"t0ken"}', b'{"access_token":"t0ken"}', b'{"token":"t0ken","access_token":"other"}'])
def test_a_token_for_everybody(tmp_path, answer):
    with TokenRegistry(answer) as registry:
        fetched(NetMachine(tmp_path, f"oci://{registry.place}:1"))
        assert [request.headers.get("authorization") for request in registry.requests] == [None, None, "Bearer t0ken", "Bearer t0ken"]


def test_a_token_for_a_password(tmp_path):
    with TokenRegistry(wants_password=True) as registry:
        machine = NetMachine(tmp_path, f"oci://{registry.place}:1")
        failed(machine, NETWORK, "status 401", seconds=2)
        machine.write_root("etc/modulus/auth.json", auth_file(f"{registry.host}:{registry.port}"))
        fetched(machine)
        # the password goes to the token server, the token to the registry
        assert [request.target for request in registry.requests if "Basic" in request.headers.get("authorization", "")] == [
            request.target for request in registry.requests[-3:] if request.target.startswith("/token")]


@pytest.mark.parametrize("answer", [b"", b"{}", b"[]", b'{"token":7}', b'{"token":"wrong"}', b'{"token":"a\\r\\nX-Evil: 1"}'])
def test_a_token_that_is_none(tmp_path, answer):
    with TokenRegistry(answer) as registry:
        failed(NetMachine(tmp_path, f"oci://{registry.place}:1"), NETWORK, "", seconds=3)
        assert not any("x-evil" in request.headers for request in registry.requests)
        assert len(registry.requests) <= 4


@pytest.mark.parametrize("realm", ["http://token.example.org/", "ftp://127.0.0.1/", "file:///etc/passwd", "http://127.0.0.1.example.org/",
                                   "http://localhost.example.org/", "http://127.0.0.1@example.org/", "http://127.0.0.1:80@example.org/",
                                   "http://[::1]@example.org/", "http://[::1", "http://127.1/"])
def test_a_token_server_without_tls_is_not_asked(tmp_path, realm):
    with TokenRegistry(realm=realm) as registry:
        failed(NetMachine(tmp_path, f"oci://{registry.place}:1"), NETWORK, "which is not https", seconds=2)


def test_a_blob_elsewhere_gets_no_token_and_no_password(tmp_path):
    """Registries send readers to a store of objects, with an address that is the permission."""
    with TokenRegistry() as registry, BadServer(host="127.0.0.2") as store:
        store.serve("/blob?signature=x", good(GOOD))
        registry.serve(f"/v2/fleet/gpu/blobs/{digest(GOOD)}", registry._guarded(redirect(store.url("/blob?signature=x"), 307)))
        fetched(NetMachine(tmp_path, f"oci://{registry.place}:1"))
        assert "authorization" not in store.requests[0].headers


@pytest.mark.parametrize("text", ["", "{", "[]", '{"auths":{"HOST":{"auth":"!!!"}}}', '{"auths":{"HOST":{"auth":"bm9jb2xvbg=="}}}'],
                         ids=["empty", "half", "list", "no base64", "no colon"])
def test_a_credentials_file_that_is_none(tmp_path, text):
    with BadServer() as server:
        place = Image.of((BUNDLE, GOOD)).serve(server, "gpu", "1")
        machine = NetMachine(tmp_path, f"oci://{place}:1")
        machine.write_root("etc/modulus/auth.json", text.replace("HOST", f"{server.host}:{server.port}"))
        done = machine.run()
    if text == "[]":
        assert done.code in (DONE, CONFIG)
    else:
        assert done.code == CONFIG and "auth.json" in done.lines[-1], done


# --- modulus build --oci-layout ---------------------------------------------------------------------------------

@pytest.fixture
def input_of_build(tmp_path):
    """What `modulus build` needs: modules, a kernel directory, a key."""
    import elf
    from bundlemaker import RELEASE
    from fakehost import BUILD_ID
    for path in ("modules", "kernel"):
        (tmp_path / path).mkdir()
    (tmp_path / "modules" / "alpha.ko").write_bytes(elf.module("alpha", RELEASE, signed=True))
    run_modulus("keygen", "--secret", tmp_path / "key", "--public", tmp_path / "key.pub")

    def build(*more: object, **env: str) -> subprocess.CompletedProcess:
        return run_modulus("build", "--name", "gpu", "--version", "1.0", "--kernel", RELEASE, "--kernel-dir", tmp_path / "kernel",
                           "--modules", tmp_path / "modules", "--build-id", BUILD_ID, "--serial", "1", "--key", tmp_path / "key",
                           *more, env=plain_environment(SOURCE_DATE_EPOCH="1", **env))
    return build


def run_modulus(*words: object, env=None) -> subprocess.CompletedProcess:
    from program import MODULUS
    return subprocess.run([str(word) for word in (MODULUS, *words)], capture_output=True, text=True, env=env or plain_environment())


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_layout_is_what_the_specification_says_and_the_same_each_time(tmp_path, input_of_build):
    for name in ("one", "two"):
        done = input_of_build("--oci-layout", tmp_path / name)
        assert done.returncode == DONE, done.stderr
    files = tree(tmp_path / "one")
    assert files == tree(tmp_path / "two")
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (image,) = json.loads(files["index.json"])["manifests"]
    assert image["annotations"] == {"org.opencontainers.image.ref.name": "1.0-6.1.0-99-test"}
    for path, data in files.items():
        if path.startswith("blobs/"):
            assert digest(data) == "sha256:" + path.removeprefix("blobs/sha256/")
    manifest = json.loads(files["blobs/sha256/" + image["digest"].removeprefix("sha256:")])
    (layer,) = manifest["layers"]
    assert layer["mediaType"] == BUNDLE and manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert layer["annotations"] == {"org.opencontainers.image.title": "gpu.tar.zst"}
    assert len(files) == 5 and all(len(files["blobs/sha256/" + one["digest"][7:]]) == one["size"]
                                   for one in (layer, manifest["config"], image))


def test_a_layout_and_a_file_hold_the_same_bundle(tmp_path, input_of_build):
    assert input_of_build("--oci-layout", tmp_path / "layout", "--output", tmp_path / "gpu.tar.zst").returncode == DONE
    bundle = (tmp_path / "gpu.tar.zst").read_bytes()
    assert (tmp_path / "layout/blobs/sha256" / digest(bundle)[7:]).read_bytes() == bundle


def test_a_flavour_is_in_the_tag_and_what_no_tag_may_hold_is_not(tmp_path, input_of_build):
    assert input_of_build("--oci-layout", tmp_path / "layout", "--version", "1.0+x", "--flavor", "open").returncode == DONE
    (image,) = json.loads((tmp_path / "layout/index.json").read_text())["manifests"]
    assert image["annotations"]["org.opencontainers.image.ref.name"] == "1.0_x-6.1.0-99-test-open"


def test_a_directory_with_something_in_it_is_left_alone(tmp_path, input_of_build):
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout/index.json").write_text("mine")
    done = input_of_build("--oci-layout", tmp_path / "layout")
    assert done.returncode == 1 and "is not empty" in done.stderr and tree(tmp_path / "layout") == {"index.json": b"mine"}


def test_neither_layout_nor_file_is_a_usage_error(input_of_build):
    assert input_of_build().returncode == 2


def test_a_layout_goes_through_skopeo_and_a_registry_to_a_machine(tmp_path, input_of_build, registry):
    assert input_of_build("--oci-layout", tmp_path / "layout").returncode == DONE
    registry.push_layout(tmp_path / "layout", "fleet/built", "1.0-6.1.0-99-test")
    machine = NetMachine(tmp_path / "m", f"oci://{registry.host}/fleet/built:{{version}}-{{kernel}}")
    machine.write_root("etc/modulus/keys/own.pub", (tmp_path / "key.pub").read_text())
    done = machine.run()
    assert done.code == DONE and len(machine.in_cache) == 1, done
