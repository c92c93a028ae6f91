# SPDX-License-Identifier: Apache-2.0
"""`modulus fetch --refresh`: is there something newer in the network? What has not changed costs one small answer."""
import json

import pytest

from badserver import BadServer, Conversation, status
from cachemachine import CacheMachine, place_of, recipe
from ocilayout import BUNDLE, Image
from program import DONE, NETWORK
from test_network_oci import Registry, need


class Files:
    """A web server that knows ETags, as real ones do."""

    def __init__(self, data: bytes, etag: str | None = '"one"'):
        self.data, self.etag = data, etag

    def __call__(self, to: Conversation) -> None:
        tag = {"ETag": self.etag} if self.etag else {}
        if self.etag and to.request.headers.get("if-none-match") == self.etag:
            to.head("304 Not Modified", **tag)
            return
        to.head(Content_Length=len(self.data), **tag)
        to.send(self.data)


@pytest.fixture
def server():
    with BadServer() as server:
        yield server


def machine(folder, *sources: str, **sections: str) -> CacheMachine:
    return CacheMachine(folder, Source="From=cache:\n" + "".join(f" {s}\n" for s in sources), **sections)


def refresh(host: CacheMachine, code: int = DONE) -> str:
    done = host.command("fetch", "--refresh")
    assert done.returncode == code, done.stderr
    return done.stderr


OLD, NEW = recipe(serial=1).build(), recipe(serial=2).build()


def test_what_has_not_changed_costs_one_small_answer(tmp_path, server):
    host = machine(tmp_path, server.serve("/x", Files(OLD)))
    refresh(host)
    assert len(server.requests) == 1 and list(host.good()) == [place_of(OLD)]
    said = refresh(host)
    assert "has not changed" in said and len(server.requests) == 2
    assert server.requests[1].headers["if-none-match"] == '"one"' and server.requests[1].sent < 200


def test_without_refresh_the_network_is_not_asked(tmp_path, server):
    host = machine(tmp_path, server.serve("/x", Files(OLD)))
    for _ in range(2):
        assert host.command("fetch").returncode == DONE
    assert len(server.requests) == 1


def test_a_newer_serial_is_fetched_and_the_old_one_stays(tmp_path, server):
    files = Files(OLD)
    host = machine(tmp_path, server.serve("/x", files))
    refresh(host)
    files.data, files.etag = NEW, '"two"'
    refresh(host)
    assert set(host.good()) == {place_of(OLD), place_of(NEW)}
    assert "has not changed" in refresh(host)


def test_an_older_serial_is_not_fetched(tmp_path, server):
    host = machine(tmp_path, server.serve("/x", Files(OLD)))
    host.keep(NEW)
    assert "not newer" in refresh(host) and list(host.good()) == [place_of(NEW)]


def test_without_an_etag_it_is_asked_for_and_known_by_its_header(tmp_path, server):
    host = machine(tmp_path, server.serve("/x", Files(OLD, None)))
    refresh(host)
    said = refresh(host)
    assert "still has what is here" in said and "if-none-match" not in server.requests[1].headers


@pytest.mark.parametrize("lose", ["gone", "damaged", "state", "rubbish"])
def test_what_is_remembered_is_never_taken_for_what_is_here(tmp_path, server, lose):
    """A tag of a bundle that is not here any more, or not whole, must not end the request."""
    host = machine(tmp_path, server.serve("/x", Files(OLD)))
    refresh(host)
    (asked,) = (host.root / "var/lib/modulus/asked").iterdir()
    assert json.loads(asked.read_text())["tag"] == '"one"'
    path = host.folder / place_of(OLD)
    if lose == "gone":
        path.unlink()
    elif lose == "damaged":
        path.write_bytes(OLD[:-20] + b"x" * 20)
    elif lose == "state":
        asked.unlink()
    else:
        asked.write_text('{"tag": 7}')
    refresh(host)
    assert list(host.good()) == [place_of(OLD)]


@pytest.mark.parametrize("lose", ["gone", "damaged"])
def test_what_is_lost_is_fetched_again_although_it_has_not_changed_there(tmp_path, server, lose):
    """An older one is still here, so that something is asked about; or its header is, which is all that was looked at then."""
    host = machine(tmp_path, server.serve("/x", Files(NEW)))
    host.keep(OLD)
    refresh(host)
    path = host.folder / place_of(NEW)
    if lose == "gone":
        path.unlink()
    else:
        path.write_bytes(NEW[:-20] + b"x" * 20)
    refresh(host)
    assert set(host.good()) == {place_of(OLD), place_of(NEW)}


def test_a_server_that_says_unchanged_of_what_is_not_asked_about_is_not_believed(tmp_path, server):
    host = machine(tmp_path, server.serve("/x", status("304 Not Modified", b"")))
    assert "status 304" in refresh(host, NETWORK)


def test_no_source_has_it_any_more_and_it_stays(tmp_path, server):
    host = machine(tmp_path, server.serve("/x", status("404 Not Found")))
    host.keep(OLD)
    refresh(host)
    assert list(host.good()) == [place_of(OLD)]


def test_a_server_that_does_not_answer_is_a_failure_and_what_is_here_is_verified(tmp_path, server):
    host = machine(tmp_path, server.serve("/x", status("403 Forbidden")))
    host.keep(OLD)
    assert "is in the cache and verified" in refresh(host, NETWORK)


def test_addresses_are_remembered_without_their_secrets(tmp_path, server):
    url = server.serve("/x", Files(OLD)).replace("http://", "http://user:secret@")
    host = machine(tmp_path, url)
    refresh(host)
    assert "secret" not in "".join(path.read_text() for path in (host.root / "var/lib/modulus/asked").iterdir())
    assert "has not changed" in refresh(host)


def test_a_layer_of_a_registry_that_has_not_changed_is_not_asked_for(tmp_path):
    need("docker-registry", "skopeo")
    registry = Registry(tmp_path / "registry")
    try:
        registry.push(Image.of((BUNDLE, OLD)), "fleet/gpu", "1.0")
        host = machine(tmp_path / "m", f"oci://{registry.host}/fleet/gpu:1.0")
        refresh(host)
        said = refresh(host)
        assert "has not changed" in said and list(host.good()) == [place_of(OLD)]
        registry.push_layout(Image.of((BUNDLE, NEW)).write(tmp_path / "second", "1.0"), "fleet/gpu", "1.0")
        refresh(host)
        assert set(host.good()) == {place_of(OLD), place_of(NEW)}
    finally:
        registry.close()
