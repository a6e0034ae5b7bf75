"""docs/audit.md names every rule and option as they are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import typer.main

from dogbreed.cli import main

ROOT = Path(__file__).parent.parent.parent


def test_the_table_of_rules_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    sys.modules.pop("make_audit_docs", None)
    import make_audit_docs

    assert make_audit_docs.TARGET.read_text() == make_audit_docs.page(), "run: python scripts/make_audit_docs.py"


def test_the_page_names_the_options_that_there_are() -> None:
    import re

    main.load([])
    command = typer.main.get_command(main.app).commands["audit-iam"]  # type: ignore[attr-defined]
    real = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
    page = (ROOT / "docs" / "audit.md").read_text().split("## Rules")[0]
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page))
    assert named <= real, named - real
    assert real - named <= {"--quiet", "--verbose", "--no-color", "--rules", "--region", "--profile"}
