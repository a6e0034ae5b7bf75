"""`dogbreed iam`: the exact policies that dogbreed needs."""

from __future__ import annotations

import typer


def add(app: typer.Typer) -> None:
    """Register the commands."""
