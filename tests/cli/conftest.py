"""The stand-in account for commands that work in one."""

from __future__ import annotations

from standin import account, cloud

__all__ = ["account", "cloud"]
