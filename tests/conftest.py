"""What all tests share: no network, no AWS account, no settings of the person who runs them, no cache of theirs."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

_TESTS = Path(__file__).parent
_NOWHERE = os.fspath(_TESTS / "no" / "such" / "file")
# Modules that tests share, such as photos.py.
sys.path.insert(0, os.fspath(_TESTS))
# The guard is here, and in every Python that a test starts.
sys.path.insert(0, os.fspath(_TESTS / "guard"))
sys.modules.pop("sitecustomize", None)
import sitecustomize  # noqa: E402, F401

# Where tests run in the background, programs that they start would be deaf to the Ctrl-C that is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is slow, not wrong; and a failure comes back when the tests are run again. What nobody has tried yet is
# looked for by `pytest --hypothesis-profile=search`.
_PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", derandomize=True, **_PATIENT)
settings.register_profile("search", max_examples=1000, **_PATIENT)
settings.load_profile("same")

_OF_OTHERS = ("AWS_", "DOGBREED_", "BOTO_")
# What makes programs think that they are in a terminal, or in none.
_LOOK = ("CI", "GITHUB_ACTIONS", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "COLUMNS", "LINES", "CLICOLOR_FORCE")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--live", action="store_true", help="also run what needs a real AWS account and costs money")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--live"):
        for item in items:
            if item.get_closest_marker("live"):
                item.add_marker(pytest.mark.skip(reason="costs money; only with --live"))
    # With -n, each worker takes a whole file, in this order: what takes minutes comes first, so that no worker is left
    # alone with it at the end.
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session", autouse=True)
def own_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An environment in which nothing of the outside is left; one cache folder, since features are expensive."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(_OF_OTHERS) or name in _LOOK:
            del os.environ[name]
    path = os.pathsep.join([os.fspath(_TESTS / "guard"), *filter(None, [before.get("PYTHONPATH")])])
    os.environ |= {
        "AWS_CONFIG_FILE": _NOWHERE,
        "AWS_SHARED_CREDENTIALS_FILE": _NOWHERE,
        "AWS_EC2_METADATA_DISABLED": "true",
        "DOGBREED_CACHE_DIR": os.fspath(tmp_path_factory.mktemp("cache")),
        "PYTHONPATH": path,
    }
    yield
    os.environ.clear()
    os.environ.update(before)
