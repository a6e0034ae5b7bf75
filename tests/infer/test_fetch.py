"""Photos from addresses: real servers on this machine, and a resolver that lies."""

from __future__ import annotations

import http.server
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dogbreed.errors import PhotoError
from dogbreed.infer import fetch as module
from dogbreed.infer.fetch import fetch, is_public

PUBLIC = "93.184.216.34"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, dict[str, str]]]

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        name, _, rest = self.path[1:].partition("/")
        getattr(self, f"go_{name.split('?')[0]}")(rest)
        self.close_connection = True

    def start(self, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()

    def go_photo(self, _: str) -> None:
        self.start(Content_Length="5")
        self.wfile.write(b"photo")

    def go_chunked(self, _: str) -> None:
        self.start(Transfer_Encoding="chunked")
        self.wfile.write(b"5\r\nphoto\r\n0\r\n\r\n")

    def go_bare(self, _: str) -> None:
        self.start()
        self.wfile.write(b"photo")

    def go_to(self, where: str) -> None:
        self.start(302, Location=where, Content_Length="0")

    def go_loop(self, _: str) -> None:
        self.start(301, Location="/loop", Content_Length="0")

    def go_missing(self, _: str) -> None:
        self.start(404, Content_Length="0")

    def go_liar(self, _: str) -> None:
        self.start(Content_Length="500")
        self.wfile.write(b"photo")

    def go_huge(self, _: str) -> None:
        self.start(Content_Length=str(2**40))

    def go_gzip(self, _: str) -> None:
        self.start(Content_Length="5", Content_Encoding="gzip")
        self.wfile.write(b"photo")

    def go_endless(self, _: str) -> None:
        self.start()
        try:
            while True:
                self.wfile.write(b"x" * 65536)
        except OSError:
            pass

    def go_drip(self, _: str) -> None:
        self.start()
        self._drip(b"x")

    def go_loris(self, _: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        self._drip(b"x")

    def go_continue(self, _: str) -> None:
        self._drip(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _drip(self, drop: bytes) -> None:
        try:
            for _ in range(200):
                self.wfile.write(drop)
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        pass


def serving(certificate: Path | None = None) -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.seen = []  # type: ignore[attr-defined]
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    yield from serving()


@pytest.fixture
def base(server: http.server.ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def problem(address: str, *, allow_private: bool = True) -> PhotoError:
    with pytest.raises(PhotoError) as caught:
        fetch(address, allow_private=allow_private)
    assert caught.value.kind in ("address", "too-large")
    return caught.value


@pytest.mark.parametrize("path", ["photo", "chunked", "bare", "to//photo", "to//to//to//photo", "photo?a=b c"])
def test_a_photo_comes(base: str, path: str) -> None:
    assert fetch(f"{base}/{path}", allow_private=True) == b"photo"


def test_the_request_tells_little(base: str, server: http.server.ThreadingHTTPServer) -> None:
    fetch(f"{base}/photo", allow_private=True)
    ((_, headers),) = server.seen  # type: ignore[attr-defined]
    assert set(headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding"}
    assert headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("path", "words"),
    [("missing", "404"), ("loop", "redirects"), ("liar", "ended before"), ("huge", "limit"), ("gzip", "compressed")],
)
def test_what_servers_do_wrong_is_said(base: str, path: str, words: str) -> None:
    assert words in problem(f"{base}/{path}").message


def test_an_endless_body_is_cut_off(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10**6)
    assert problem(f"{base}/endless").kind == "too-large"


def is_late(error: PhotoError) -> bool:
    """Whether the time was over: on a slow machine that may be before the host was even looked up."""
    return "did not answer within" in error.message or "could not be looked up in time" in error.message


@pytest.mark.parametrize("path", ["drip", "loris", "continue"])
def test_the_time_limit_is_for_everything_together(base: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT_S", 0.4)
    assert is_late(problem(f"{base}/{path}"))


def test_a_resolver_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    monkeypatch.setattr(module, "LIMIT_S", 0.2)
    monkeypatch.setattr(module, "_look_up", lambda host, port: answers.wait(300) and [])
    assert "in time" in problem("http://example.org/a.jpg").message
    answers.set()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ftp://example.org/a.jpg", "only https and http"),
        ("file:///etc/passwd", "only https and http"),
        ("gopher://127.0.0.1:6379/x", "only https and http"),
        ("http://user:secret@example.org/a.jpg", "name or password"),
        ("http://example.org\\@127.0.0.1/", "name or password"),
        ("http:///a.jpg", "no host"),
        ("http://exa mple.org/", "no host"),
        ("http://[::1/", "no address"),
        ("http://example.org:99999/", "no address"),
        ("http://" + "a" * 70 + ".org/", "no address"),
    ],
)
def test_addresses_of_a_wrong_form(address: str, words: str) -> None:
    assert words in problem(address).message


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0.0.0.0",
        "localhost",
        "localhost.",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
    ],
)
def test_private_places_are_refused_however_they_are_written(host: str) -> None:
    assert "not on the public internet" in problem(f"http://{host}:9/a.jpg", allow_private=False).message


@pytest.mark.parametrize(
    ("ip", "public"),
    [
        (PUBLIC, True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("64:ff9b::5db8:d822", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", False),
        ("::ffff:10.0.0.1", False),
        ("::127.0.0.1", False),
        ("fec0::1", False),
        ("4000::1", False),
        ("ff02::1", False),
        ("240.0.0.1", False),
        ("198.18.0.1", False),
    ],
)
def test_which_addresses_are_public(ip: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(ip)) is public


def names(table: dict[str, list[str]]) -> Callable[[str, int], list[module.Ip]]:
    return lambda host, port: [ipaddress.ip_address(ip) for ip in table[host]]


@pytest.fixture
def led_home(monkeypatch: pytest.MonkeyPatch, server: http.server.ThreadingHTTPServer) -> list[tuple[str, int]]:
    """Connections to the public address end at the server on this machine."""
    real, asked = socket.create_connection, []

    def connect(where: tuple[str, int], timeout: float) -> socket.socket:
        asked.append(where)
        assert where[0] == PUBLIC
        return real(("127.0.0.1", server.server_port), timeout)

    monkeypatch.setattr(socket, "create_connection", connect)
    return asked


def test_the_connection_goes_to_the_very_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch, led_home: list[tuple[str, int]], server: http.server.ThreadingHTTPServer
) -> None:
    calls = []

    def rebinding(host: str, port: int) -> list[module.Ip]:
        calls.append(host)
        return [ipaddress.ip_address(PUBLIC if len(calls) == 1 else "127.0.0.1")]

    monkeypatch.setattr(module, "_look_up", rebinding)
    assert fetch("http://photos.example/photo") == b"photo"
    assert (calls, led_home) == (["photos.example"], [(PUBLIC, 80)])
    assert server.seen[0][1]["Host"] == "photos.example"  # type: ignore[attr-defined]


def test_one_private_address_among_many_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_look_up", names({"mixed.example": [PUBLIC, "10.0.0.1"]}))
    assert "mixed.example is 10.0.0.1" in problem("http://mixed.example/a.jpg", allow_private=False).message


@pytest.mark.parametrize("target", ["http://inside.example/photo", "http://127.0.0.1/photo", "//127.0.0.1/photo"])
def test_a_redirect_into_a_private_network_is_refused(
    monkeypatch: pytest.MonkeyPatch, led_home: list[tuple[str, int]], target: str
) -> None:
    table = {"photos.example": [PUBLIC], "inside.example": ["10.0.0.1"], "127.0.0.1": ["127.0.0.1"]}
    monkeypatch.setattr(module, "_look_up", names(table))
    error = problem(f"http://photos.example/to/{target}", allow_private=False)
    assert "not on the public internet" in error.message
    assert len(led_home) == 1


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://a.example/x", "http://a:b@photos.example/photo"])
def test_a_redirect_is_checked_like_an_address(base: str, target: str) -> None:
    assert problem(f"{base}/to/{target}").kind == "address"


def test_proxies_of_the_environment_are_not_used(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetch(f"{base}/photo", allow_private=True) == b"photo"


def test_nobody_listening_is_said() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        # Taken, so that nobody else can listen there meanwhile.
        assert "refused" in problem(f"http://127.0.0.1:{probe.getsockname()[1]}/a.jpg").message


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("openssl is not installed, so there is no certificate to test with")
    both = tmp_path / "both.pem"
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return both


def test_certificates_are_checked(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for server in serving(certificate):
        address = f"https://localhost:{server.server_port}"
        monkeypatch.setattr(module, "_look_up", lambda host, port: [ipaddress.ip_address("127.0.0.1")])
        assert "certificate of localhost is not valid" in problem(f"{address}/photo").message
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_name("cert.pem")))
        assert fetch(f"{address}/photo", allow_private=True) == b"photo"
        assert "from https to http" in problem(f"{address}/to/http://localhost/photo").message
        other = address.replace("localhost", "other.example")
        assert "certificate of other.example is not valid" in problem(f"{other}/photo").message
        monkeypatch.setattr(module, "LIMIT_S", 0.4)
        assert is_late(problem(f"{address}/drip"))


def test_a_server_that_is_silent_in_the_handshake_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT_S", 0.4)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert is_late(problem(f"https://127.0.0.1:{silent.getsockname()[1]}/a.jpg"))
