"""What /docs says about each route: bodies, answers, refusals."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Guess(BaseModel):
    """A breed and its calibrated probability."""

    model_config = ConfigDict(extra="forbid")

    breed: str = Field(examples=["golden_retriever"])
    probability: float = Field(ge=0, le=1)


class Prediction(BaseModel):
    """What `dogbreed predict --json` says of a photo; where `error` is not null, it could not be used."""

    model_config = ConfigDict(extra="forbid")

    file: str
    breed: str | None
    confidence: float | None = Field(ge=0, le=1)
    unsure: bool | None
    top: list[Guess]
    error: str | None


class Said(BaseModel):
    """What stands inside `error`."""

    model_config = ConfigDict(extra="forbid")

    code: str = Field(examples=["not-an-image"])
    message: str
    hint: str
    request_id: str


class Refusal(BaseModel):
    """The body of every answer with a status of 400 or more."""

    model_config = ConfigDict(extra="forbid")

    error: Said


_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_BASE64 = {"type": "string", "format": "byte", "minLength": 1}
_NAMED = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "data": _BASE64},
    "required": ["data"],
    "additionalProperties": False,
}
_TOP_K = {"type": "integer", "minimum": 1, "maximum": 1000}
_ONE = {
    "type": "object",
    "properties": {"image": {"anyOf": [_BASE64, _NAMED]}, "top_k": _TOP_K, "name": {"type": "string"}},
    "required": ["image"],
    "additionalProperties": False,
}
_SEVERAL = {
    "type": "object",
    "properties": {"images": {"type": "array", "minItems": 1, "items": {"anyOf": [_BASE64, _NAMED]}}, "top_k": _TOP_K},
    "required": ["images"],
    "additionalProperties": False,
}
_FORM = {
    "type": "object",
    "properties": {"photo": {"type": "string", "format": "binary"}, "top_k": _TOP_K},
    "required": ["photo"],
}
_BODY = {
    "required": True,
    "content": {
        "image/jpeg": _IMAGE,
        "image/png": _IMAGE,
        "image/webp": _IMAGE,
        "application/octet-stream": _IMAGE,
        "multipart/form-data": {"schema": _FORM},
        "application/json": {"schema": {"anyOf": [_ONE, _SEVERAL]}},
    },
}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "Empty, or not what its type says."},
    408: {"model": Refusal, "description": "The body did not arrive in time."},
    413: {"model": Refusal, "description": "Too many bytes, pixels or photos."},
    415: {"model": Refusal, "description": "Not a photo, or a type of body that is not read."},
    422: {"model": Refusal, "description": "A damaged photo, or fields that are not understood."},
    429: {"model": Refusal, "description": "Too many requests of one client at the same time."},
    503: {"model": Refusal, "description": "Too much to do; see Retry-After."},
}
_ATTRIBUTES = {
    "name": "X-Amzn-SageMaker-Custom-Attributes",
    "in": "header",
    "description": "top_k=3",
    "schema": {"type": "string", "maxLength": 1024},
}
_QUERY = {"name": "top_k", "in": "query", "description": "How many breeds to name.", "schema": _TOP_K}

PING: dict[str, Any] = {"responses": {503: {"description": "It is about to end."}}}
METRICS: dict[str, Any] = {"responses": {200: {"description": "Prometheus text.", "content": {"text/plain": {}}}}}


def predicting(route: str) -> dict[str, Any]:
    """The description of /predict or /invocations."""
    parameter = _QUERY if route == "predict" else _ATTRIBUTES
    return {
        "responses": {200: {"model": list[Prediction], "description": "One for each photo."}, **_REFUSALS},
        "openapi_extra": {"requestBody": _BODY, "parameters": [parameter]},
    }
