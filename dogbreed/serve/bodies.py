"""The body of a request as it arrives: nothing is read beyond the limits."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from dogbreed.serve import asked
from dogbreed.serve.asked import Asked, Limits
from dogbreed.serve.problems import Problem


async def read(request: Request, limits: Limits) -> Asked:
    """What is asked; Problem 400, 408, 413, 415 or 422 where that cannot be known."""
    kind = request.headers.get("content-type", "")
    asked.check_type(kind)
    return asked.read(kind, await _whole(request, limits), limits)


async def _whole(request: Request, limits: Limits) -> bytes:
    said = request.headers.get("content-length", "0")
    if said.isdigit() and int(said[:18]) > limits.max_bytes:
        raise asked.too_large(limits)
    pieces, size = [], 0
    try:
        async with asyncio.timeout(limits.body_s):
            async for piece in request.stream():
                size += len(piece)
                if size > limits.max_bytes:
                    raise asked.too_large(limits)
                pieces.append(piece)
    except TimeoutError:
        raise Problem(408, "slow", f"the body did not arrive within {limits.body_s:g} s", "send it faster") from None
    except ClientDisconnect:
        raise Problem(400, "gone", "the sender left before the end of the body") from None
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
