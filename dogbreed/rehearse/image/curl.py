"""A small curl for machines of a computer that has none: enough for metadata and plain downloads."""

from __future__ import annotations

import argparse
import os
import urllib.error
import urllib.request
from pathlib import Path


def run(words: list[str]) -> int:
    """Fetch what the words say; the exit code as curl's."""
    parser = argparse.ArgumentParser(prog="curl", add_help=False)
    for letter, name in (("X", "request"), ("o", "output"), ("d", "data"), ("m", "max-time"), ("w", "write-out")):
        parser.add_argument(f"-{letter}", f"--{name}")
    for name in ("connect-timeout", "retry", "retry-delay"):
        parser.add_argument(f"--{name}")
    for letter, name in (("f", "fail"), ("s", "silent"), ("S", "show-error"), ("L", "location"), ("k", "insecure")):
        parser.add_argument(f"-{letter}", f"--{name}", action="store_true")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("url")
    told, _ = parser.parse_known_args(words)
    headers = {name.strip(): value.strip() for name, _, value in (header.partition(":") for header in told.header)}
    url = told.url if "://" in told.url else f"http://{told.url}"
    request = urllib.request.Request(url, told.data and told.data.encode(), headers, method=told.request)
    code, why = 0, ""
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=float(told.max_time or 60)) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        body = b"" if told.fail else error.read()
        code, why = (22, f"(22) The requested URL returned error: {error.code}") if told.fail else (0, "")
    except OSError as error:
        code, why, body = 7, f"(7) {error}", b""
    if why and (not told.silent or told.show_error):
        os.write(2, f"curl: {why}\n".encode())
    if told.output:
        Path(told.output).write_bytes(body)
    else:
        os.write(1, body)
    return code
