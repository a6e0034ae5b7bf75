"""`dogbreed train-sagemaker`: the same training as a SageMaker job, on one machine or many."""

from __future__ import annotations

import typer


def add(app: typer.Typer) -> None:
    """Register the commands."""
