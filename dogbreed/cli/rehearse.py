"""`dogbreed rehearse`: a stand-in for AWS on this machine, to try everything before it costs money."""

from __future__ import annotations

import typer


def add(app: typer.Typer) -> None:
    """Register the commands."""
