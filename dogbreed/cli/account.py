"""`dogbreed status` and `destroy`: what this project has in the account, what it costs, and how it goes."""

from __future__ import annotations

import typer


def add(app: typer.Typer) -> None:
    """Register the commands."""
