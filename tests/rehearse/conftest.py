from __future__ import annotations

from standin import account, cloud

__all__ = ["account", "cloud"]
