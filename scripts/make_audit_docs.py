"""Write the table of rules in docs/audit.md from the rules themselves.

    python scripts/make_audit_docs.py

Run it after a rule was added or changed; tests/audit/test_docs.py fails until it was.
"""

from __future__ import annotations

from pathlib import Path

from dogbreed.audit.engine import load_rules
from dogbreed.audit.finding import RULES

TARGET = Path(__file__).parent.parent / "docs" / "audit.md"
BEGIN = "<!-- rules: made by scripts/make_audit_docs.py; a test fails when they are stale -->\n"
END = "<!-- end of rules -->"


def cell(text: str) -> str:
    """A text that does not end its cell."""
    return text.replace("|", r"\|")


def table() -> str:
    """The rules in the order of their names."""
    load_rules()
    rows = [
        f"| {rule.id} | {rule.severity} | {rule.category} | {cell(rule.title)} |"
        for rule in sorted(RULES.values(), key=lambda one: one.id)
    ]
    return "\n".join(["| rule | severity | category | finds |", "| --- | --- | --- | --- |", *rows]) + "\n"


def page() -> str:
    """The page as it should be."""
    before, rest = TARGET.read_text(encoding="utf-8").split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
