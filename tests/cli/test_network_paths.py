# SPDX-License-Identifier: Apache-2.0
"""The way to a server: redirects between hosts, TLS, proxies, names that nobody knows, no network at all."""
import itertools
import json
import shutil
import socket
import subprocess
import threading

import pytest

from badserver import Authority, BadServer, good, redirect, saying
from netmachine import GOOD, PEAK_KIB, NetMachine, plain_environment
from program import DONE, NETWORK

SECRET = "Basic dXNlcjpwYXNz"  # user:pass


def refused(machine: NetMachine, says: str = "", seconds: float = 8, **more) -> None:
    done = machine.run(**more)
    assert done.code == NETWORK and done.reason == "network", done
    assert says in done.lines[-1], done.lines
    assert len(done.lines) == 1 and done.seconds < seconds and done.peak_kib <= PEAK_KIB, done
    assert machine.in_cache == []


# --- redirects -----------------------------------------------------------------------------------------

def test_five_redirects_are_followed_and_six_are_not(tmp_path):
    with BadServer() as server:
        for number in range(6):
            server.serve(f"/{number}", redirect(f"/{number + 1}" if number < 5 else server.url("/6")))
        server.serve("/6", good(GOOD))
        assert NetMachine(tmp_path / "five", server.url("/1")).run().code == DONE
        refused(NetMachine(tmp_path / "six", server.url("/0")), "redirects")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_each_kind_of_redirect(tmp_path, code):
    with BadServer() as server:
        server.serve("/to", good(GOOD))
        machine = NetMachine(tmp_path, server.serve("/from", redirect("/to", code)))
        assert machine.run().code == DONE and machine.in_cache == [GOOD]


def test_a_password_goes_to_its_own_host_only(tmp_path):
    """The second server is another port of another name of this machine."""
    with BadServer() as first, BadServer(host="127.0.0.2") as second:
        second.serve("/to", good(GOOD))
        first.serve("/from", redirect("/again"))
        first.serve("/again", redirect(second.url("/to")))
        url = first.url("/from").replace("//", "//user:pass@")
        assert NetMachine(tmp_path, url).run().code == DONE
        assert [request.headers.get("authorization") for request in first.requests] == [SECRET, SECRET]
        assert [request.headers.get("authorization") for request in second.requests] == [None]
        assert b"dXNlcjpwYXNz" not in second.requests[0].raw


def test_a_password_goes_to_its_own_port_only(tmp_path):
    with BadServer() as first, BadServer() as second:
        first.serve("/from", redirect(second.url("/to")))
        second.serve("/to", good(GOOD))
        assert NetMachine(tmp_path, first.url("/from").replace("//", "//user:pass@")).run().code == DONE
        assert "authorization" not in second.requests[0].headers


def test_a_password_is_in_no_line_and_no_report(tmp_path):
    with BadServer() as server:
        machine = NetMachine(tmp_path, server.url("/nothing").replace("//", "//user:pass@"))
        for command in ("boot", "fetch"):
            done = machine.run(command)
            assert done.code != DONE and not [line for line in done.lines if "pass@" in line], done
        assert "pass@" not in machine.status_file.read_text()


# --- TLS -----------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue("right")


def trusting(machine: NetMachine, authority: Authority, path: str = "etc/modulus/ca.pem") -> NetMachine:
    machine.write_root(path, authority.certificate.read_bytes())
    return machine


def test_a_private_authority_in_its_place(tmp_path, authority, certificate):
    with BadServer(tls=certificate) as server:
        machine = trusting(NetMachine(tmp_path, server.serve("/x", good(GOOD))), authority)
        done = machine.run()
        assert done.code == DONE and machine.in_cache == [GOOD] and done.peak_kib <= PEAK_KIB


def test_a_private_authority_that_the_configuration_names(tmp_path, authority, certificate, tmp_path_factory):
    stranger = Authority(tmp_path_factory.mktemp("other"))
    with BadServer(tls=certificate) as server:
        machine = NetMachine(tmp_path, server.serve("/x", good(GOOD)), network="CA=/etc/pki/own.pem")
        trusting(machine, stranger)  # CA= comes before /etc/modulus/ca.pem
        trusting(machine, authority, "etc/pki/own.pem")
        assert machine.run().code == DONE


def test_the_names_of_a_certificate_may_be_addresses_or_names(tmp_path, authority, certificate):
    with BadServer(tls=certificate) as server:
        server.serve("/x", good(GOOD))
        assert trusting(NetMachine(tmp_path, server.url("/x", "localhost")), authority).run().code == DONE


@pytest.mark.parametrize("how", ["another name", "another authority", "no authority", "expired", "not yet valid", "itself"])
def test_a_certificate_that_is_not_right(tmp_path, authority, certificate, how):
    """The clock of the machine that tests is after this program's time, so dates count."""
    options = {"another name": {"names": "DNS:example.org"}, "expired": {"begins": "20010101000000Z", "ends": "20020101000000Z"},
               "not yet valid": {"begins": "20900101000000Z"}}.get(how)
    pair = authority.issue(how.replace(" ", "-"), **options) if options else certificate
    says = {"expired": "expired", "not yet valid": "not yet valid", "no authority": "no CA certificates",
            "another name": "subject name"}.get(how, "certificate")
    with BadServer(tls=pair) as server:
        machine = NetMachine(tmp_path, server.serve("/x", good(GOOD)))
        if how == "another authority":
            trusting(machine, Authority(tmp_path / "stranger"))
        elif how == "itself":  # a leaf among the authorities is not what signed
            machine.write_root("etc/modulus/ca.pem", authority.issue("leaf")[0].read_bytes())
        elif how != "no authority":
            trusting(machine, authority)
        refused(machine, says, seconds=2)
        assert server.requests == []
    # another mirror with a good name for itself
    with BadServer(tls=pair) as bad, BadServer(tls=certificate) as right:
        machine = trusting(NetMachine(tmp_path / "two", bad.url("/x"), right.serve("/x", good(GOOD))), authority)
        if options:
            assert machine.run().code == DONE and bad.requests == []


def test_the_systems_authorities_are_the_last_resort(tmp_path, authority, certificate):
    with BadServer(tls=certificate) as server:
        machine = NetMachine(tmp_path, server.serve("/x", good(GOOD)))
        assert trusting(machine, authority, "etc/ssl/certs/ca-certificates.crt").run().code == DONE


@pytest.mark.parametrize("content,says", [(b"", "ca.pem"), (b"no certificate", "ca.pem")], ids=["empty", "rubbish"])
def test_an_authority_file_that_is_none(tmp_path, certificate, content, says):
    with BadServer(tls=certificate) as server:
        machine = NetMachine(tmp_path, server.serve("/x", good(GOOD)))
        machine.write_root("etc/modulus/ca.pem", content)
        refused(machine, seconds=8)
        assert server.requests == []


def test_a_named_authority_file_that_is_not_there_is_no_reason_to_take_another(tmp_path, authority, certificate):
    with BadServer(tls=certificate) as server:
        machine = trusting(NetMachine(tmp_path, server.serve("/x", good(GOOD)), network="CA=/etc/pki/missing.pem"), authority)
        refused(machine, "/etc/pki/missing.pem", seconds=2)


def test_tls_is_not_left(tmp_path, authority, certificate):
    with BadServer(tls=certificate) as secure, BadServer() as plain:
        plain.serve("/x", good(GOOD))
        machine = trusting(NetMachine(tmp_path, secure.serve("/x", redirect(plain.url("/x")))), authority)
        refused(machine, seconds=2)
        assert len(secure.requests) == 1 and plain.requests == []


def test_a_server_that_leaves_tls_is_passed_over_for_the_next_one(tmp_path, authority, certificate):
    with BadServer(tls=certificate) as secure, BadServer() as plain, BadServer() as second:
        plain.serve("/x", good(GOOD))
        machine = trusting(NetMachine(tmp_path, secure.serve("/x", redirect(plain.url("/x"))), second.serve("/y", good(GOOD))), authority)
        run = machine.run()
        assert run.code == DONE and machine.in_cache == [GOOD], run
        assert len(secure.requests) == 1 and plain.requests == [] and len(second.requests) > 0


def test_plain_http_may_become_tls(tmp_path, authority, certificate):
    with BadServer(tls=certificate) as secure, BadServer() as plain:
        secure.serve("/x", good(GOOD))
        machine = trusting(NetMachine(tmp_path, plain.serve("/x", redirect(secure.url("/x")))), authority)
        assert machine.run().code == DONE


def test_plain_http_that_becomes_tls_is_held_to_it(tmp_path, authority, tmp_path_factory):
    wrong = Authority(tmp_path_factory.mktemp("third")).issue("third")
    with BadServer(tls=wrong) as secure, BadServer() as plain:
        secure.serve("/x", good(GOOD))
        refused(trusting(NetMachine(tmp_path, plain.serve("/x", redirect(secure.url("/x")))), authority), "certificate", seconds=2)


def test_a_server_without_tls_behind_https(tmp_path, authority):
    with BadServer() as server:
        server.serve("*", good(GOOD))
        refused(trusting(NetMachine(tmp_path, server.url("/x").replace("http:", "https:")), authority))


@pytest.mark.parametrize("version,works", [("TLSv1_3", True), ("TLSv1_2", True), ("TLSv1_1", False)])
def test_versions_of_tls(tmp_path, authority, certificate, version, works):
    import ssl
    import warnings
    with BadServer(tls=certificate) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server.context.set_ciphers("ALL:@SECLEVEL=0")
        server.context.minimum_version = server.context.maximum_version = ssl.TLSVersion[version]
        machine = trusting(NetMachine(tmp_path, server.serve("/x", good(GOOD))), authority)
        if works:
            assert machine.run().code == DONE
        else:
            refused(machine)


# --- proxies -------------------------------------------------------------------------------------------

class Proxy(BadServer):
    """Answers for every address; with CONNECT, a tunnel to a server of ours."""

    def __init__(self, target: BadServer | None = None):
        super().__init__()
        self.serve("*", self._tunnel if target else good(GOOD))
        self.target = target

    def _tunnel(self, to) -> None:
        assert to.request.method == "CONNECT"
        with socket.create_connection((self.target.host, self.target.port)) as other:
            to.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            for source, sink in ((to.connection, other), (other, to.connection)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()
            to.server.done.wait(20)

    done = threading.Event()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.mark.parametrize("how", ["configuration", "environment", "both", "capitals"])
def test_a_proxy(tmp_path, how):
    with Proxy() as proxy, BadServer() as wrong:
        network = f"Proxy={proxy.url('')}" if how in ("configuration", "both") else ""
        env = {"environment": {"http_proxy": proxy.url("")}, "both": {"http_proxy": wrong.url("")},
               "capitals": {"HTTP_PROXY": wrong.url("")}}.get(how, {})
        machine = NetMachine(tmp_path, "http://bundles.invalid/x", network=network)
        if how == "capitals":  # curl's rule, since CGI programs get HTTP_PROXY from anybody
            refused(machine, env=plain_environment(**env))
            assert wrong.requests == []
            return
        assert machine.run(env=plain_environment(**env)).code == DONE
        assert [request.target for request in proxy.requests] == ["http://bundles.invalid/x"] and wrong.requests == []


def test_no_proxy_for_this_host(tmp_path):
    with Proxy() as proxy, BadServer() as server:
        machine = NetMachine(tmp_path, server.serve("/x", good(GOOD)))
        env = plain_environment(http_proxy=proxy.url(""), no_proxy="127.0.0.1")
        assert machine.run(env=env).code == DONE and proxy.requests == []


def test_tls_through_a_proxy_is_between_us_and_the_server(tmp_path, authority, certificate):
    with BadServer(tls=certificate) as server, Proxy(server) as proxy:
        server.serve("/x", good(GOOD))
        machine = trusting(NetMachine(tmp_path, server.url("/x"), network=f"Proxy={proxy.url('')}"), authority)
        assert machine.run().code == DONE
        assert [request.method for request in proxy.requests] == ["CONNECT"] and len(server.requests) == 1


def test_a_proxy_that_is_not_there(tmp_path):
    refused(NetMachine(tmp_path, "http://bundles.invalid/x", network="Proxy=http://127.0.0.1:1"))


def test_a_proxy_that_says_no(tmp_path):
    with BadServer() as proxy:
        proxy.serve("*", saying(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"))
        refused(NetMachine(tmp_path, "http://bundles.invalid/x", network=f"Proxy={proxy.url('')}"), "status 407", seconds=2)


# --- nobody there ---------------------------------------------------------------------------------------

def test_nobody_listens(tmp_path):
    with BadServer() as server:
        server.serve("/good", good(GOOD))
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
            refused(NetMachine(tmp_path / "alone", url), "onnect")
            machine = NetMachine(tmp_path / "two", url, server.url("/good"))
            assert machine.run().code == DONE and machine.in_cache == [GOOD]


def test_nobody_takes_the_connection(tmp_path):
    """A listener whose queue is full drops what comes, as a firewall does."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        done = NetMachine(tmp_path, f"http://127.0.0.1:{full.getsockname()[1]}/x", budget="2s").run("boot")
        for one in waiting:
            one.close()
    assert done.code == NETWORK and done.reason == "network" and done.seconds < 4, done
    assert "no connection in 2 s; no time left (Budget=)" in done.lines[-1], done


def unshare(*flags: str) -> list[str]:
    """Words in front of a program that give it namespaces of its own."""
    words = ["/usr/bin/unshare", *flags]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("namespaces are not allowed here")
    return words


@pytest.mark.parametrize("url", ["http://192.0.2.1/x", "http://[2001:db8::1]/x", "http://bundles.invalid/x"])
def test_no_network_at_all(tmp_path, url):
    """A network namespace with nothing in it: no route, and no name server to reach."""
    done = NetMachine(tmp_path, url).run("fetch", *unshare("--net"))
    assert done.code == NETWORK and done.seconds < 30, done


_addresses = itertools.count(1)  # a thread that still reads keeps the address of an earlier test


@pytest.fixture
def name_server(tmp_path):
    """The words that make a program ask this UDP socket for names, in its own view of /etc."""
    resolv, nsswitch = tmp_path / "resolv.conf", tmp_path / "nsswitch.conf"
    address = f"127.53.53.{next(_addresses)}"
    resolv.write_text(f"nameserver {address}\n")
    # what a static program must not follow: libraries of the system, for another C library perhaps
    nsswitch.write_text("hosts: files mymachines resolve [!UNAVAIL=return] dns\n")
    words = unshare("--mount") + ["/bin/sh", "-c", f'mount --bind {resolv} /etc/resolv.conf && '
                                  f'{{ test ! -e /etc/nsswitch.conf || mount --bind {nsswitch} /etc/nsswitch.conf; }} && exec "$@"', "sh"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        try:
            listener.bind((address, 53))
        except OSError as why:
            pytest.skip(f"no name server can be played here: {why}")
        yield listener, words


def test_a_name_server_that_is_silent_does_not_outlast_the_budget(tmp_path, name_server):
    listener, words = name_server
    done = NetMachine(tmp_path / "m", "http://bundles.invalid/x", budget="2s").run("boot", *words)
    assert done.code == NETWORK and done.seconds < 4, done
    assert "no address for the name in 2 s; no time left (Budget=)" in done.lines[-1]
    assert listener.recv(512)  # it was asked


def answer_names(listener: socket.socket, codes: list[int]) -> list[bytes]:
    """Plays a name server that gives one code to each question in turn; 0 is 127.0.0.1, or nothing for AAAA."""
    asked: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                query, peer = listener.recvfrom(512)
            except OSError:
                return
            end = query.index(b"\0", 12) + 5
            code = codes.pop(0) if len(codes) > 1 else codes[0]
            has_address = code == 0 and query[end - 4:end - 2] == b"\0\1"
            record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1" if has_address else b""
            asked.append(query)
            listener.sendto(query[:2] + bytes([0x81, 0x80 | code, 0, 1, 0, int(has_address), 0, 0, 0, 0]) + query[12:end] + record, peer)

    threading.Thread(target=serve, daemon=True).start()
    return asked


def test_a_name_is_looked_up_anew_for_each_attempt(tmp_path, name_server):
    listener, words = name_server
    asked = answer_names(listener, [2, 2, 2, 2, 0])  # SERVFAIL at first; two questions (A, AAAA) in each lookup
    with BadServer() as server:
        machine = NetMachine(tmp_path / "m", server.serve("/x", good(GOOD)).replace("127.0.0.1", "bundles.invalid"))
        done = machine.run("fetch", *words)
    assert done.code == DONE and machine.in_cache == [GOOD], done
    assert len(asked) >= 6


def test_a_name_that_does_not_exist(tmp_path, name_server):
    listener, words = name_server
    answer_names(listener, [3])
    with BadServer() as server:
        machine = NetMachine(tmp_path / "m", "http://bundles.invalid/x", server.serve("/good", good(GOOD)))
        done = machine.run("fetch", *words)
    assert done.code == DONE and done.seconds < 8, done
    alone = NetMachine(tmp_path / "alone", "http://bundles.invalid/x").run("fetch", *words)
    assert alone.code == NETWORK and "bundles.invalid" in alone.lines[0]


@pytest.mark.skipif(subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode != 0,
                    reason="mounts are not allowed here")
def test_a_stateless_machine_streams_into_memory_and_goes_on(tmp_path):
    """No writable disk at all: the root is read-only and nobody may change that; /run and memory are all there is."""
    with BadServer() as server:
        machine = NetMachine(tmp_path / "m", server.serve("/x", good(GOOD)))
        frozen = (f"mount --bind {machine.root} {machine.root}; mount -o remount,bind,ro {machine.root}\n"
                  'exec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$@"')
        done = machine.run("boot", "unshare", "-m", "sh", "-euc", frozen, "sh")
    status = json.loads(machine.status_file.read_text())["drivers"][0]
    assert done.code == DONE and status["reason"] == "loaded" and status["source"] == "http"
    assert status["cached"] is None and machine.in_cache == []
    assert [warning.split(":")[0] for warning in status["warnings"]] == ["not cached", "attempt not recorded"]
