"""`dogbreed config` and `dogbreed doctor`."""

from __future__ import annotations

import typer


def add(app: typer.Typer) -> None:
    """Register the commands."""
