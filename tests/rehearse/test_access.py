"""Who may ask the stand-in, which runs commands: not a web page, nor anybody without the person's key."""

from __future__ import annotations

import json
import stat
import urllib.error
import urllib.request

import boto3
import pytest
import standin
from botocore.exceptions import ClientError

from dogbreed.rehearse.state import Server


@pytest.mark.parametrize(
    ("service", "operation", "code", "status"),
    [
        ("s3", "list_buckets", "InvalidAccessKeyId", 403),
        ("ec2", "describe_vpcs", "AuthFailure", 401),
        ("iam", "list_roles", "InvalidClientTokenId", 403),
        ("sagemaker", "list_training_jobs", "UnrecognizedClientException", 400),
        ("lambda", "list_functions", "UnrecognizedClientException", 403),
    ],
)
def test_a_key_that_the_account_does_not_know_is_refused(
    account: Server, monkeypatch: pytest.MonkeyPatch, service: str, operation: str, code: str, status: int
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    with pytest.raises(ClientError) as caught:
        getattr(boto3.client(service), operation)()
    told = caught.value.response
    assert (told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    assert [one["who"] for one in account.ask("calls") if not one["platform"]] == ["anonymous"]


def status_of(server: Server, path: str, body: bytes | None, **headers: str) -> int:
    request = urllib.request.Request(
        server.url + path, body, {name.replace("_", "-"): headers[name] for name in headers}
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_pages_in_a_browser_get_nothing(account: Server) -> None:
    body = json.dumps({}).encode()
    call = {"X_Amz_Target": "SageMaker.ListTrainingJobs", "Content_Type": "application/x-amz-json-1.1"}
    signed = call | {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={account.key}/20260101/eu-west-1/sagemaker/aws4_request"
    }
    assert status_of(account, "/", body, **signed) == 200
    assert status_of(account, "/", body, **signed, Origin="https://evil.example") == 403
    assert status_of(account, "/", body, **signed, Host="evil.example:80") == 403
    assert status_of(account, "/", body, **call) == 403


def test_only_the_person_asks_for_faults_and_the_like(account: Server) -> None:
    assert status_of(account, "/_rehearse/status", b"{}") == 403
    assert status_of(account, "/_rehearse/status", b"{}", X_Rehearse_Key=account.key) == 200
    assert status_of(account, "/v2/credentials/guessed", None) == 400
    assert status_of(account, "/moto-api/data.json", None) == 403


def test_a_public_object_needs_no_key_and_a_private_one_does(account: Server) -> None:
    standin.bucket()
    s3 = boto3.client("s3")
    s3.put_object(Bucket="photos", Key="open", Body=b"x", ACL="public-read")
    s3.put_object(Bucket="photos", Key="shut", Body=b"x")
    assert status_of(account, "/photos/open", None) == 200
    assert status_of(account, "/photos/shut", None) == 403
    request = urllib.request.Request(f"{account.url}/photos/new", b"x", method="PUT")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)


def test_the_folder_and_the_key_in_it_are_the_persons_alone(cloud: Server) -> None:
    assert stat.S_IMODE(cloud.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((cloud.folder / "state.json").stat().st_mode) == 0o600
    assert cloud.key not in repr(cloud)
