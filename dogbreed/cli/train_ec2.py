"""`dogbreed train-ec2`: the same training on EC2 machines that end themselves."""

from __future__ import annotations

import typer


def add(app: typer.Typer) -> None:
    """Register the commands."""
