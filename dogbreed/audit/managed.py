"""The texts of AWS-managed policies by ARN, from a dated data file that is read when the first one is asked for.

A policy that the file does not have is unknown, never empty. `scripts/make_managed_policies.py` makes the file.
"""

from __future__ import annotations

import gzip
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parent / "data" / "managed_policies.json.gz"
_ARN = re.compile(r"arn:[^:]*:iam::aws:policy/(.+)")


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(gzip.decompress(_FILE.read_bytes()))
    return data


def date() -> str:
    """The day of the newest change in the file, as 2026-09-30."""
    return str(_data()["date"])


def is_managed(arn: str) -> bool:
    """Whether an ARN names a policy of AWS's own, known here or not."""
    return bool(_ARN.fullmatch(arn))


@cache
def document(arn: str) -> dict[str, Any] | None:
    """The text of an AWS-managed policy; None when the file does not have it."""
    match = _ARN.fullmatch(arn)
    text = _data()["policies"].get(match[1]) if match else None
    return json.loads(text) if text else None
