"""Requests of every protocol are understood, checked against the service models and answered as AWS does."""

from __future__ import annotations

import gzip
import io
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
import standin
from botocore.exceptions import ClientError
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.state import Server
from dogbreed.rehearse.validate import check_params, compile_java

pytestmark = pytest.mark.usefixtures("account")

SERVICES = """
accessanalyzer apigatewayv2 application-autoscaling autoscaling budgets ce cloudtrail cloudwatch ec2 ecr elbv2 events
iam kms lambda logs s3 sagemaker sagemaker-runtime scheduler service-quotas sns ssm sts
"""


def refused(service: str, operation: str, **params: Any) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as caught:
        getattr(boto3.client(service), operation)(**params)
    told = caught.value.response
    return told["Error"]["Code"], told["Error"]["Message"], told["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize(
    ("service", "operation", "params", "code", "words"),
    [
        ("sagemaker", "describe_training_job", {"TrainingJobName": "no!"}, "ValidationException", "'trainingJobName'"),
        (
            "application-autoscaling",
            "put_scaling_policy",
            {
                "PolicyName": "x",
                "ServiceNamespace": "sagemaker",
                "ResourceId": "r",
                "ScalableDimension": "sagemaker:variant:Nope",
                "PolicyType": "TargetTrackingScaling",
            },
            "ValidationException",
            "Value 'sagemaker:variant:Nope' at 'scalableDimension'",
        ),
        (
            "lambda",
            "create_function",
            {"FunctionName": "f", "Role": "notarn", "Code": {}, "Runtime": "python3.99", "Timeout": 9000},
            "ValidationException",
            "3 validation errors detected",
        ),
        (
            "ec2",
            "run_instances",
            {"MinCount": 1, "MaxCount": 1, "InstanceType": "g5.huge", "ImageId": "ami-1"},
            "InvalidParameterValue",
            "Invalid value 'g5.huge' for InstanceType.",
        ),
        (
            "iam",
            "create_role",
            {"RoleName": "two words", "AssumeRolePolicyDocument": "{}"},
            "ValidationError",
            "Value 'two words' at 'roleName'",
        ),
        (
            "s3",
            "put_object",
            {"Bucket": "photos", "Key": "k", "StorageClass": "CHEAP"},
            "InvalidArgument",
            "at 'storageClass'",
        ),
    ],
)
def test_each_protocol_refuses_in_its_own_form(
    service: str, operation: str, params: dict[str, Any], code: str, words: str
) -> None:
    given_code, message, status = refused(service, operation, **params)
    assert (given_code, status) == (code, 400)
    assert words in message


@pytest.mark.parametrize(
    ("service", "headers", "body", "words"),
    [
        ("sagemaker", {"X-Amz-Target": "SageMaker.ListTags"}, b"{", b"SerializationException"),
        ("sagemaker", {"X-Amz-Target": "SageMaker.ListTags"}, b"[1]", b"SerializationException"),
        ("sagemaker", {"X-Amz-Target": "SageMaker.ListTags"}, b'{"ResourceArn": {}}', b"SerializationException"),
        ("s3", {}, b"<Tagging><", b"MalformedXML"),
    ],
)
def test_a_body_that_is_none_is_refused_as_such(
    cloud: Server, service: str, headers: dict[str, str], body: bytes, words: bytes
) -> None:
    scope = f"{cloud.key}/20260101/eu-west-1/{service}/aws4_request"
    headers |= {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}", "Content-Type": "application/x-amz-json-1.1"}
    method, path = ("PUT", "/photos?tagging") if service == "s3" else ("POST", "/")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(cloud.url + path, body, headers, method=method))
    assert caught.value.code == 400
    assert words in caught.value.read()


def test_every_pattern_of_the_models_can_be_said_in_python() -> None:
    patterns = {
        shape["pattern"]
        for service in SERVICES.split()
        for shape in Session().get_service_model(service)._service_description["shapes"].values()
        if "pattern" in shape
    }
    assert len(patterns) > 500
    assert [pattern for pattern in patterns if compile_java(pattern) is None] == []


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", "Zürich 7 - nein", "a#b"),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", "a \U0001f436", "a\n"),
        (r"[\w-_]*", "a-b_c", "a b"),
        (r"^[^:\\]+$", "a b", "a\\b"),
        (r"\p{ASCII}*", "ascii", "ü"),
        (r"\A\S[\p{Print}]*\z", "a b", " a"),
    ],
)
def test_patterns_of_java_mean_the_same(pattern: str, yes: str, no: str) -> None:
    compiled = compile_java(pattern)
    assert compiled is not None
    assert compiled.fullmatch(yes)
    assert not compiled.fullmatch(no)


TAGS = Session().get_service_model("sagemaker").operation_model("AddTags").input_shape
ARN = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/x"


@given(st.text(max_size=140))
def test_a_tag_is_taken_exactly_where_the_model_says_so(key: str) -> None:
    import unicodedata

    fits = 1 <= len(key) <= 128 and all(unicodedata.category(sign)[0] in "LZN" or sign in "_.:/=+-@" for sign in key)
    try:
        check_params("sagemaker", "json", TAGS, {"ResourceArn": ARN, "Tags": [{"Key": key, "Value": ""}]})
    except AwsError as error:
        assert not fits, error.message
        assert "'tags.1.member.key'" in error.message
    else:
        assert fits


def test_objects_of_all_kinds_arrive_whole() -> None:
    s3 = boto3.client("s3")
    standin.bucket()
    squeezed = gzip.compress(b"photo")
    s3.put_object(Bucket="photos", Key="a b/ü+%.gz", Body=squeezed, ContentEncoding="gzip")
    assert s3.get_object(Bucket="photos", Key="a b/ü+%.gz")["Body"].read() == squeezed
    large = bytes(range(256)) * 40_000
    s3.upload_fileobj(io.BytesIO(large), "photos", "large")
    target = io.BytesIO()
    s3.download_fileobj("photos", "large", target)
    assert target.getvalue() == large
    s3.put_object(Bucket="photos", Key="summed", Body=b"x", ChecksumAlgorithm="SHA256")
    put = s3.generate_presigned_url("put_object", Params={"Bucket": "photos", "Key": "signed"})
    urllib.request.urlopen(urllib.request.Request(put, b"content", method="PUT"))
    get = s3.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "signed"})
    assert urllib.request.urlopen(get).read() == b"content"
    assert s3.list_objects_v2(Bucket="photos")["KeyCount"] == 4


def test_a_body_in_chunks_with_a_checksum_at_its_end(cloud: Server) -> None:
    # As the aws command line sends it; boto3 needs an extra for this checksum.
    standin.bucket()
    body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc64nvme:M3eFcAZSQlc=\r\n\r\n"
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={cloud.key}/20260101/eu-west-1/s3/aws4_request",
        "Content-Encoding": "aws-chunked",
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": "5",
        "x-amz-sdk-checksum-algorithm": "CRC64NVME",
        "x-amz-trailer": "x-amz-checksum-crc64nvme",
    }
    urllib.request.urlopen(urllib.request.Request(f"{cloud.url}/photos/k", body, headers, method="PUT"))
    told = boto3.client("s3").get_object(Bucket="photos", Key="k", ChecksumMode="ENABLED")
    assert (told["Body"].read(), told["ChecksumCRC64NVME"]) == (b"hello", "M3eFcAZSQlc=")


def test_many_clients_at_once_and_long_lists_that_are_compressed() -> None:
    s3 = boto3.client("s3")
    standin.bucket()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: s3.put_object(Bucket="photos", Key=str(number), Body=b"x"), range(200)))
    assert s3.list_objects_v2(Bucket="photos")["KeyCount"] == 200
    many = [{"MetricName": f"metric-{number}" + "x" * 200, "Value": 1.0} for number in range(300)]
    boto3.client("cloudwatch").put_metric_data(Namespace="dogs", MetricData=many)
    assert len(boto3.client("cloudwatch").list_metrics(Namespace="dogs")["Metrics"]) == 300


def test_the_person_and_the_roles_that_are_assumed() -> None:
    sts = boto3.client("sts")
    assert sts.get_caller_identity()["Arn"] == "arn:aws:iam::123456789012:user/rehearsal"
    arn = standin.role()
    given = sts.assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    assumed = boto3.client(
        "sts",
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
    assert assumed.get_caller_identity()["Arn"] == "arn:aws:sts::123456789012:assumed-role/training/me"
    told = boto3.client("iam").simulate_principal_policy(PolicySourceArn=arn, ActionNames=["s3:GetObject"])
    assert [one["EvalDecision"] for one in told["EvaluationResults"]] == ["allowed"]


def test_the_same_answers_come_from_the_unix_socket(cloud: Server) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as there:
        there.connect(str(cloud.folder / "server.sock"))
        there.sendall(b"POST /_rehearse/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n")
        there.sendall(f"X-Rehearse-Key: {cloud.key}\r\nContent-Length: 0\r\n\r\n".encode())
        answer = b"".join(iter(lambda: there.recv(65536), b""))
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["training jobs"] == []
