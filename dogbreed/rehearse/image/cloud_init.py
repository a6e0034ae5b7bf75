"""User data as cloud-init reads it: scripts, compressed or not, one or several in a MIME message."""

from __future__ import annotations

import email
import gzip
import zlib
from dataclasses import dataclass

# What cloud-init calls the start of a text that it runs.
_SCRIPT, _HOOK = b"#!", b"#cloud-boothook"
_KNOWN = {b"#cloud-config": "cloud-config", b"#include": "include", b"## template:": "jinja template"}


@dataclass(frozen=True)
class Part:
    """A script to run, or where `refused` says so, what a machine of the stand-in does not do."""

    text: bytes
    early: bool = False
    refused: str = ""


def parts(user_data: bytes) -> list[Part]:
    """The scripts of user data in the order in which they run."""
    text = _unpacked(user_data)
    if not text.strip():
        return []
    if text[:64].lower().startswith((b"content-type: multipart", b"mime-version:")):
        message = email.message_from_bytes(text)
        found = [_part(_unpacked(_payload(part))) for part in message.walk() if not part.is_multipart()]
    else:
        found = [_part(text)]
    return sorted(found, key=lambda part: not part.early)


def _payload(part: email.message.Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _unpacked(data: bytes) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return data


def _part(text: bytes) -> Part:
    if text.startswith(_SCRIPT):
        return Part(text)
    if text.startswith(_HOOK):
        return Part(text.partition(b"\n")[2], early=True)
    kind = next((name for start, name in _KNOWN.items() if text.startswith(start)), "")
    if kind:
        return Part(b"", refused=f"{kind} is not run by the stand-in; use a script")
    first = text[:24].decode(errors="replace")
    return Part(b"", refused=f"Unhandled non-multipart (text/x-not-multipart) userdata: {first!r}...")
