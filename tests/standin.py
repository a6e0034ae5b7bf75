"""The stand-in cloud for tests: one server for a session, empty at the start of each test.

    from standin import cloud, account     # in a conftest.py: two fixtures

`account` is an empty account whose environment is set, so that boto3, the SDKs and `dogbreed` reach it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dogbreed.rehearse.state import Server, StandIn


@pytest.fixture(scope="session")
def cloud() -> Iterator[Server]:
    with StandIn() as server:
        yield server


@pytest.fixture
def account(cloud: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    cloud.ask("reset")
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    return cloud
