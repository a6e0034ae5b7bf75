"""The service keeps what its OpenAPI page promises, whatever is sent: never a 500, never another form of refusal."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from service import Service, jpeg, post


@pytest.mark.parametrize(("method", "path"), [("POST", "/predict"), ("POST", "/invocations"), ("GET", "/ping")])
def test_every_answer_is_one_that_was_promised(service: Service, method: str, path: str) -> None:
    operation = schemathesis.openapi.from_url(service.url + "/openapi.json")[path][method]

    @given(case=operation.as_strategy())
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    def promised(case: schemathesis.Case) -> None:
        # Statuses, types and bodies as the page says. Random bytes are no photo, so that a right form is refused is
        # right, too.
        case.validate_response(case.call(timeout=60), excluded_checks=[positive_data_acceptance])

    promised()


def damaged(count: int, seed: int) -> Iterator[bytes]:
    """Photos with bytes changed, cut out, doubled or swapped."""
    rng = random.Random(seed)
    originals = [jpeg(1), jpeg(2, (64, 48)), _as("PNG"), _as("WEBP"), _as("GIF"), _as("BMP"), _as("TIFF")]
    for _ in range(count):
        data = bytearray(rng.choice(originals))
        for _ in range(rng.randint(1, 12)):
            at = rng.randrange(min(len(data), rng.choice([64, len(data)])) or 1)
            match rng.randrange(4):
                case 0:
                    data[at : at + 1] = bytes([rng.randrange(256)])
                case 1:
                    del data[at : at + rng.randint(1, 64)]
                case 2:
                    data[at:at] = data[: rng.randint(1, 64)]
                case 3:
                    data = data[: max(1, at)]
        yield bytes(data)


def _as(kind: str) -> bytes:
    from photos import picture

    buffer = io.BytesIO()
    picture(3, (80, 60)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.slow
def test_damaged_photos_get_an_answer_or_a_refusal(service: Service) -> None:
    statuses: dict[int, int] = {}
    with httpx.Client(base_url=service.url, timeout=60) as client:
        for data in damaged(1_000, seed=7):
            answer = client.post("/predict", content=data, headers={"Content-Type": "image/jpeg"})
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
            if answer.status_code >= 400:
                assert set(answer.json()["error"]) == {"code", "message", "hint", "request_id"}
    # Both kinds of answer were reached, and nothing else.
    assert set(statuses) <= {200, 400, 413, 415, 422} and {200, 422} <= set(statuses), statuses
    assert post(service, jpeg()).status_code == 200
