"""SageMaker Studio, of which the stand-in has none: no domain, no application."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    cloud.handle("sagemaker", "ListApps", lambda call: {"Apps": []})
