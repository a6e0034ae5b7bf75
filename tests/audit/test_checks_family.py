"""The settings that the family of course projects shared, written anew: the audit names each of their defects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dogbreed.audit import engine
from dogbreed.audit.parse import read

FAMILY = Path(__file__).parent / "fixtures" / "family"
# A line of 0: where exactly is left to the rule.
GOLDEN: dict[str, list[tuple[str, int]]] = json.loads((FAMILY / "golden.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", GOLDEN)
def test_every_defect_is_named_at_its_line(name: str) -> None:
    report = engine.audit(read([FAMILY / name]))
    assert not report.errors
    found = {(one.rule, one.location.line) for one in report.findings}
    rules = {rule for rule, _ in found}
    missing = [(rule, line) for rule, line in GOLDEN[name] if (rule, line) not in found and (line or rule not in rules)]
    assert not missing, sorted(found)


def test_every_file_has_its_findings() -> None:
    assert {path.name for path in FAMILY.iterdir()} == {*GOLDEN, "golden.json"}
