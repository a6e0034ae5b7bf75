"""The stand-in account for these tests, and the door to it."""

from __future__ import annotations

import pytest
from standin import account, cloud  # noqa: F401

from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.rehearse.state import Server


@pytest.fixture
def aws(account: Server) -> Aws:  # noqa: F811
    return Aws(AwsSettings())
