"""The guard of conftest.py: neither a test nor a program that it starts leaves this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest


def test_nothing_beyond_this_machine_is_reached() -> None:
    with socket.socket() as outside, pytest.raises(OSError, match=r"may not reach 192\.0\.2\.1:80"):
        outside.connect(("192.0.2.1", 80))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside, pytest.raises(OSError, match="may not reach"):
        outside.sendto(b"?", ("192.0.2.1", 53))
    with pytest.raises(OSError, match=r"may not look up 'example\.org'"):
        urllib.request.urlopen("https://example.org/")


def test_this_machine_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as inside:
        assert inside.getpeername() == server.getsockname()


def test_programs_that_tests_start_are_kept_here_too() -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80), 5)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "tests may not reach 192.0.2.1:80" in result.stderr


def test_no_account_is_left() -> None:
    assert {name for name in os.environ if name.startswith("AWS_")} == {
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_EC2_METADATA_DISABLED",
    }
    assert not Path(os.environ["AWS_CONFIG_FILE"]).exists()


def test_the_guard_costs_no_import() -> None:
    code = "import sys; print(*sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"socket", "ipaddress", "ssl"} & set(result.stdout.split())
