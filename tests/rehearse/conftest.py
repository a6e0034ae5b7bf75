from __future__ import annotations

from collections.abc import Iterator

import handlers
import pytest
import standin
from standin import account, cloud

from dogbreed.rehearse.state import Server, StandIn

__all__ = ["account", "cloud"]


@pytest.fixture(scope="session")
def plain_cloud(own_world: None) -> Iterator[Server]:
    """A stand-in whose hosts are plain processes, as where namespaces are not to be had."""
    with StandIn(**standin.QUICK, REHEARSE_PLAIN="1") as server:
        yield server


@pytest.fixture(params=["isolated", "plain"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Server:
    """An empty account, once with isolated hosts (where this machine can) and once with plain ones."""
    server: Server = request.getfixturevalue("cloud" if request.param == "isolated" else "plain_cloud")
    standin.emptied(server, monkeypatch)
    told = server.ask("status")["hosts"]
    if request.param == "isolated" and told != "isolated":
        pytest.skip(told)
    return server


@pytest.fixture
def brisk(account: Server) -> Iterator[None]:
    """The clock is so fast that changes of a function are soon over, and so slow that minutes do not pass unseen."""
    with handlers.faster(account, 5):
        yield


@pytest.fixture
def isolated(account: Server) -> Server:
    """An account whose hosts are isolated; skips where this machine cannot."""
    if (told := account.ask("status")["hosts"]) != "isolated":
        pytest.skip(told)
    return account
