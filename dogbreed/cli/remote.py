"""`dogbreed logs`, `stop` and `pull`: follow, end and bring home a run that trains elsewhere."""

from __future__ import annotations

import typer


def add(app: typer.Typer) -> None:
    """Register the commands."""
