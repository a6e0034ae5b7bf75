"""Fetch a photo from an http or https address without being led into private networks.

The name is resolved once, every address it has is checked, and the connection goes to one of these very addresses, so
a name server cannot give one answer to the check and another to the connection. Redirects are followed by hand with
the same checks. Proxies named in the environment are not used: a proxy resolves names itself, and the check would
mean nothing. Credentials are neither read nor sent.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from dogbreed import __version__
from dogbreed.errors import PhotoError
from dogbreed.infer.photo import MAX_BYTES

LIMIT_S = 20.0  # for everything together: name, redirects and body
MAX_REDIRECTS = 5
_CONNECT_S = 8.0  # for one of several addresses of a name
_PIECE = 2**16
_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # all that has been given out; the rest of IPv6 is special
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_URL_SIGNS = "/%:=&?~+!$,;'@()*[]-._"

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def fetch(address: str, *, allow_private: bool = False) -> bytes:
    """The bytes at `address`, at most `MAX_BYTES`, within `LIMIT_S` seconds.

    Raises PhotoError of kind "address" for what is refused or fails on the way, "too-large" for too much.
    `allow_private` permits private, loopback and link-local networks and nothing else.
    """
    deadline = time.monotonic() + LIMIT_S
    place = _parse(address)
    for _ in range(MAX_REDIRECTS + 1):
        ips = _resolve(place, deadline)
        if not allow_private:
            _refuse_private(place, ips)
        answer = _get(place, ips, deadline)
        if isinstance(answer, bytes):
            return answer
        following = _parse(urljoin(place.url, answer.to))
        if place.scheme == "https" and following.scheme == "http":
            raise _error("it redirects from https to http", f"give the address itself: {following.url}")
        place = following
    raise _error(f"more than {MAX_REDIRECTS} redirects")


def is_public(ip: Ip) -> bool:
    """Whether `ip` is on the public internet, as are the addresses that it may stand for behind a gateway."""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return is_public(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if ip.ipv4_mapped:
            return is_public(ip.ipv4_mapped)
        tunnels = (ip.sixtofour, *(ip.teredo or ()))
        if ip not in _GLOBAL_UNICAST or not all(is_public(end) for end in tunnels if end):
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


@dataclass(frozen=True)
class _Place:
    """An address taken apart and found harmless in form."""

    scheme: str
    host: str
    port: int
    target: str  # path and query
    url: str


@dataclass(frozen=True)
class _Redirect:
    to: str


def _parse(address: str) -> _Place:
    try:
        parts = urlsplit(address)
        port = parts.port or _PORTS.get(parts.scheme, 0)
        host = (parts.hostname or "").strip(".")
        host = host if ":" in host else host.encode("idna").decode("ascii")
    except ValueError as error:  # UnicodeError is one
        raise _error(f"this is no address ({error})") from error
    if parts.scheme not in _PORTS:
        raise _error(f"{parts.scheme or 'no scheme'}: only https and http addresses are read")
    if "@" in parts.netloc:
        raise _error("addresses with a name or password are refused", "give the address without what stands before @")
    if not host or not all(sign.isalnum() or sign in "-._:" for sign in host):
        raise _error("the address names no host")
    target = quote(parts.path or "/", safe=_URL_SIGNS)
    target += f"?{quote(parts.query, safe=_URL_SIGNS)}" if parts.query else ""
    shown = f"[{host}]" if ":" in host else host
    url = f"{parts.scheme}://{shown}{'' if port == _PORTS[parts.scheme] else f':{port}'}{target}"
    return _Place(parts.scheme, host, port, target, url)


def _resolve(place: _Place, deadline: float) -> list[Ip]:
    """All addresses of the host; in a thread, since the system's resolver knows no deadline."""
    found: list[Ip] = []
    problem: list[Exception] = []

    def look_up() -> None:
        try:
            found.extend(_look_up(place.host, place.port))
        except (OSError, ValueError) as error:
            problem.append(error)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    if problem:
        raise _error(f"the host {place.host} is not known", "check the address and the network") from problem[0]
    if thread.is_alive() or not found:
        raise _error(f"the host {place.host} could not be looked up in time", "check the network")
    return found


def _look_up(host: str, port: int) -> list[Ip]:
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # "fe80::1%eth0": the part after % only names the interface.
    return list(dict.fromkeys(ipaddress.ip_address(str(info[4][0]).split("%")[0]) for info in infos))


def _refuse_private(place: _Place, ips: list[Ip]) -> None:
    for ip in ips:
        if not is_public(ip):
            where = place.host if place.host == str(ip) else f"{place.host} is {ip}, which"
            raise _error(f"{where} is not on the public internet", "if you trust this address, add --allow-private")


def _get(place: _Place, ips: list[Ip], deadline: float) -> bytes | _Redirect:
    """One request; its body, or where it redirects to."""
    connection = _Connection(place, ips, deadline)
    # Closing at the deadline from outside also ends a server that sends one byte now and then.
    watch = threading.Timer(max(0.0, deadline - time.monotonic()), connection.cut)
    watch.daemon = True
    watch.start()
    try:
        headers = {"User-Agent": f"dogbreed/{__version__}", "Accept": "image/*", "Accept-Encoding": "identity"}
        connection.request("GET", place.target, headers=headers)
        answer = _read(connection.getresponse())
    except ssl.SSLCertVerificationError as error:
        raise _error(f"the certificate of {place.host} is not valid: {error.verify_message}") from error
    except (PhotoError, OSError, http.client.HTTPException, ValueError) as error:
        if connection.late or isinstance(error, TimeoutError):
            raise _late(place) from error
        if isinstance(error, PhotoError):
            raise
        words = " ".join(str(error).split())[:120] or type(error).__name__
        raise _error(f"{place.host} cannot be read: {words}") from error
    finally:
        watch.cancel()
        connection.close()
    if connection.late:  # cut off, which looks like the end of a body whose length was not told
        raise _late(place)
    return answer


def _read(response: http.client.HTTPResponse) -> bytes | _Redirect:
    location = response.getheader("Location")
    if response.status in _REDIRECTS and location:
        return _Redirect(location)
    if response.status != 200:
        raise _error(f"HTTP {response.status} {http.client.responses.get(response.status, '')}".rstrip())
    if response.getheader("Content-Encoding", "identity").lower() != "identity":
        raise _error("the photo is sent compressed, which was not asked for")
    body = bytearray()
    promised = response.length or 0
    while max(promised, len(body)) <= MAX_BYTES and (piece := response.read(_PIECE)):
        body += piece
    if max(promised, len(body)) > MAX_BYTES:
        raise PhotoError("too-large", f"more than the {MAX_BYTES // 2**20} MiB limit")
    if response.length:
        raise _error("the connection ended before the photo did", "try again")
    return bytes(body)


class _Connection(http.client.HTTPConnection):
    """To one of `ips`, while the host's name stays in the request and in the check of the certificate."""

    def __init__(self, place: _Place, ips: list[Ip], deadline: float) -> None:
        super().__init__(place.host, place.port)
        self.default_port = _PORTS[place.scheme]
        self.late = False
        self._place, self._ips, self._deadline = place, ips, deadline

    def connect(self) -> None:
        """Connect, and for https verify the certificate."""
        self.sock = self._open()
        if self._place.scheme == "https":
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self._place.host, do_handshake_on_connect=False)
            self.sock.do_handshake()

    def cut(self) -> None:
        """End whatever waits on this connection."""
        self.late = True
        if self.sock:
            with suppress(OSError):
                # Not SSLSocket's own shutdown, which would pull the rug from under the thread that reads.
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def _open(self) -> socket.socket:
        problem: OSError = TimeoutError()
        for ip in self._ips:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            try:
                sock = socket.create_connection((str(ip), self._place.port), min(left, _CONNECT_S))
            except OSError as error:
                problem = error
                continue
            sock.settimeout(max(0.1, self._deadline - time.monotonic()))
            return sock
        raise problem


def _late(place: _Place) -> PhotoError:
    return _error(f"{place.host} did not answer within {LIMIT_S:.0f} s", "try again, or save the photo to a file")


def _error(message: str, hint: str = "") -> PhotoError:
    return PhotoError("address", message, hint)
