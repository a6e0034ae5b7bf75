"""`dogbreed audit-iam`: find what is wrong with policies, roles and settings, without an account."""

from __future__ import annotations

import typer


def add(app: typer.Typer) -> None:
    """Register the commands."""
