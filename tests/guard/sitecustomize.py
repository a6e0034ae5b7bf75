"""Keeps tests, and every Python that they start, off the network: only this machine may be reached.

Python imports a module of this name by itself, from PYTHONPATH. An audit hook sees every connection and cannot be
undone; it imports nothing until it has something to look at, so that the tests of what is imported are not disturbed.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_HERE = (None, "", "localhost", os.uname().nodename)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if isinstance(address, tuple) and not _is_here(address[0]):
            raise ConnectionRefusedError(f"tests may not reach {address[0]}:{address[1]}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and not _is_here(arguments[0], lookup=True):
        raise ConnectionRefusedError(f"tests may not look up {arguments[0]!r}")


def _is_here(host: object, *, lookup: bool = False) -> bool:
    """Whether `host` is this machine; to look up a number goes nowhere, whatever the number."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in _HERE:
        return True
    import ipaddress
    import re

    try:
        address = ipaddress.ip_address(str(name).split("%", maxsplit=1)[0])
    except ValueError:
        # Numbers as the C library reads them: 127.1, 0x7f.0.0.1, 2130706433.
        return lookup and bool(re.fullmatch(r"(0x[0-9a-f]+|\d+)(\.(0x[0-9a-f]+|\d+)){0,3}", str(name)))
    return lookup or address.is_loopback or address.is_unspecified


sys.addaudithook(_hook)
