"""The metadata service: tokens, listings, what is not there, and botocore's own reader of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email.message import Message

import pytest
from botocore.utils import InstanceMetadataFetcher, InstanceMetadataRegionFetcher
from hypothesis import given, settings
from hypothesis import strategies as st

from dogbreed.rehearse.imds import Imds

KEYS = {"AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": "s", "Token": "t", "Expiration": "2036-01-01T00:00:00Z"}
TABLE: dict[str, str | bytes] = {
    "meta-data/instance-id": "i-1",
    "meta-data/placement/availability-zone": "eu-west-1b",
    "meta-data/placement/region": "eu-west-1",
    "meta-data/iam/security-credentials/training": json.dumps(KEYS | {"Code": "Success", "Type": "AWS-HMAC"}),
    "meta-data/network/interfaces/macs/02:00/subnet-id": "subnet-1",
    "user-data": b"\x1f\x8b\x00binary",
}


@pytest.fixture
def options() -> dict[str, str]:
    return {"HttpTokens": "required"}


@pytest.fixture
def imds(options: dict[str, str]) -> Iterator[Imds]:
    served = Imds(None, lambda: TABLE, lambda: options)
    yield served
    served.close()


def headers(**given: str) -> Message:
    message = Message()
    for name, value in given.items():
        message[name.replace("_", "-")] = value
    return message


def secret(imds: Imds) -> str:
    """What is before every path, since this service is on a port of the whole computer."""
    return "/" + imds.url.rpartition("/")[2]


def token(imds: Imds, seconds: object = 60) -> str:
    status, body, _ = imds.answer(
        "PUT", f"{secret(imds)}/latest/api/token", headers(X_aws_ec2_metadata_token_ttl_seconds=str(seconds))
    )
    assert status == 200
    return body.decode()


def get(imds: Imds, path: str, **given: str) -> tuple[int, bytes]:
    return imds.answer("GET", secret(imds) + path, headers(**given))[:2]


def test_who_does_not_know_the_secret_is_told_nothing(imds: Imds, options: dict[str, str]) -> None:
    options["HttpTokens"] = "optional"
    for path in ("/latest/meta-data/instance-id", "/x/latest/meta-data/instance-id", "/latest/user-data"):
        assert imds.answer("GET", path, headers())[0] == 404


def test_without_a_token_nothing_is_told(imds: Imds) -> None:
    assert get(imds, "/latest/meta-data/instance-id") == (401, b"")
    assert get(imds, "/latest/meta-data/instance-id", X_aws_ec2_metadata_token="made-up")[0] == 401
    given = token(imds)
    assert get(imds, "/latest/meta-data/instance-id", X_AWS_EC2_METADATA_TOKEN=given) == (200, b"i-1")


def test_version_1_works_where_tokens_are_optional(imds: Imds, options: dict[str, str]) -> None:
    options["HttpTokens"] = "optional"
    assert get(imds, "/latest/meta-data/instance-id") == (200, b"i-1")
    assert get(imds, "/latest/meta-data/instance-id", X_aws_ec2_metadata_token="made-up")[0] == 401


def test_a_service_that_is_off_refuses_all(imds: Imds, options: dict[str, str]) -> None:
    options["HttpEndpoint"] = "disabled"
    assert get(imds, "/latest/meta-data/")[0] == 403


@pytest.mark.parametrize("seconds", ["", "0", "21601", "-1", "1.5", "ten"])
def test_a_token_lives_1_to_21600_seconds(imds: Imds, seconds: str) -> None:
    told = headers(X_aws_ec2_metadata_token_ttl_seconds=seconds)
    assert imds.answer("PUT", f"{secret(imds)}/latest/api/token", told)[0] == 400


def test_a_token_is_not_for_those_behind_a_proxy(imds: Imds) -> None:
    told = headers(X_aws_ec2_metadata_token_ttl_seconds="60", X_Forwarded_For="10.0.0.1")
    assert imds.answer("PUT", f"{secret(imds)}/latest/api/token", told)[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/latest/meta-data/spot/instance-action",
        "/latest/meta-data/inst",
        "/newest/meta-data/",
        "/latest/meta-data/iam/i",
    ],
)
def test_what_is_not_there_is_404(imds: Imds, path: str) -> None:
    assert get(imds, path, X_aws_ec2_metadata_token=token(imds))[0] == 404


segments = st.text("abcxyz-:.0", min_size=1, max_size=6)
paths = st.lists(segments, min_size=1, max_size=4).map("/".join)


@settings(max_examples=30, deadline=None)
@given(st.sets(paths, min_size=1, max_size=12))
def test_listings_lead_to_every_leaf_and_to_nothing_else(leaves: set[str]) -> None:
    """A path that is a leaf and a folder at once does not occur in EC2's tree."""
    leaves = {leaf for leaf in leaves if not any(other.startswith(f"{leaf}/") for other in leaves)}
    served = Imds(None, lambda: dict.fromkeys(leaves, "x"), dict)
    found: set[str] = set()
    try:
        folders = [""]
        while folders:
            folder = folders.pop()
            status, body = get(served, f"/latest/{folder}")
            assert status == 200
            for name in body.decode().split("\n"):
                if name.endswith("/"):
                    folders.append(folder + name)
                else:
                    found.add(folder + name)
        assert found == leaves
    finally:
        served.close()


def test_botocore_reads_credentials_and_region(imds: Imds) -> None:
    told = InstanceMetadataFetcher(base_url=imds.url, timeout=60, env={}).retrieve_iam_role_credentials()
    assert (told["role_name"], told["access_key"], told["token"]) == ("training", "AKIAEXAMPLE", "t")
    assert InstanceMetadataRegionFetcher(base_url=imds.url, timeout=60, env={}).retrieve_region() == "eu-west-1"


def test_user_data_comes_as_it_is(imds: Imds) -> None:
    assert get(imds, "/latest/user-data", X_aws_ec2_metadata_token=token(imds)) == (200, TABLE["user-data"])
