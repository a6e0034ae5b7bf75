"""`dogbreed predict` through a function, its address and an endpoint: the same words as here, and clear ones if not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from photos import save
from program import dogbreed

from dogbreed import plan
from dogbreed.cloud.serving import front, function
from dogbreed.cloud.serving.client import OfFunction, OfUrl
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.cloud.serving.function_alias import Url
from dogbreed.cloud.serving.function_resources import Function
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings, DeploySettings
from dogbreed.errors import AccessError, DogbreedError, PhotoError, UsageError
from dogbreed.infer.door import Door, is_signed
from dogbreed.infer.predictor import Predictor
from dogbreed.plan import Resource
from dogbreed.rehearse.state import Server
from dogbreed.run import STARTER, Run

RUN = Run.open(STARTER)
AT_AWS = "https://abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-west-1.on.aws/"


@pytest.fixture
def deploy(account: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Aws]]:
    monkeypatch.setattr(plan, "_READY_EVERY_S", 0.05)
    account.ask("speed", speed=100)

    def make(resources: Callable[[Deployment], list[Resource]], settings: DeploySettings) -> Aws:
        aws = Aws(AwsSettings())
        for _ in plan.make(resources(Deployment(aws, settings, RUN))).apply():
            pass
        return aws

    yield make
    account.ask("speed", speed=1)


@pytest.mark.slow
def test_a_function_answers_as_the_command_does(account: Server, deploy: Callable[..., Aws], tmp_path: Path) -> None:
    """By its name and by its address; what is no photo has the same words."""
    aws = deploy(function.resources, DeploySettings(to="lambda", function_url="iam"))
    address = Url(Function(aws, "dogbreed-lambda")).address()
    for number in range(2):
        save(tmp_path / "photos" / f"{number}.jpg", number)
    (tmp_path / "photos" / "broken.jpg").write_bytes((tmp_path / "photos" / "0.jpg").read_bytes()[:200])
    words = ("predict", "photos", "--json", "--quiet", "--top-k", 3)
    here = dogbreed(*words, "--run", "starter", cwd=tmp_path)
    for way in (("--function", "dogbreed-lambda"), ("--url", address)):
        there = dogbreed(*words, *way, cwd=tmp_path)
        assert (there.stdout, there.stderr, there.returncode) == (here.stdout, here.stderr, here.returncode)
    # Name and version, as AWS writes them.
    data = (tmp_path / "photos" / "0.jpg").read_bytes()
    for name in ("dogbreed-lambda:1", Function(aws, "dogbreed-lambda").arn, "dogbreed-lambda:live"):
        assert OfFunction(aws, name).predict(data).breed == Predictor.open(RUN).predict(data).breed
    # Lambda's limit is 6 MiB with the base64 around the photo.
    for door in (OfFunction(aws, "dogbreed-lambda"), OfUrl(aws, address)):
        with pytest.raises(PhotoError, match=r"5\.0 MiB, more than"):
            door.predict(bytes(5 * 2**20))
    # The SDK waits and repeats where AWS asks for fewer calls.
    account.ask("fault", kind="throttle", target="lambda:InvokeFunction", count=2)
    assert OfFunction(aws, "dogbreed-lambda").predict(data).breed
    unknown = dogbreed("predict", "photos/0.jpg", "--function", "dogbreed-lambada", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "there is no function dogbreed-lambada" in unknown.stderr and "dogbreed-lambda" in unknown.stderr
    # Without a signature, as without any rights.
    with pytest.raises(DogbreedError, match="403"):
        Door(address).predict(data)


def test_a_front_whose_endpoint_is_gone_says_so(deploy: Callable[..., Aws], tmp_path: Path) -> None:
    deploy(front.resources, DeploySettings())
    save(tmp_path / "a.jpg", 1)
    result = dogbreed("predict", "a.jpg", "--function", "dogbreed-endpoint-front", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert "the endpoint is not there, or not ready (status 503)" in result.stderr


def test_an_endpoint_that_is_not_there(account: Server, tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", 1)
    result = dogbreed("predict", "a.jpg", "--endpoint", "dogbreed-endpoint", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-2:] == [
        "error: there is no endpoint dogbreed-endpoint",
        "hint: this project has none; dogbreed deploy --to endpoint makes one",
    ]


def test_who_may_not_ask_is_told_which_action_that_takes(account: Server, tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", 1)
    account.ask("fault", kind="deny", target="sagemaker:InvokeEndpoint")
    result = dogbreed("predict", "a.jpg", "--endpoint", "dogbreed-endpoint", cwd=tmp_path)
    assert result.returncode == 4
    assert "sagemaker:InvokeEndpoint" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--endpoint", "a", "--function", "b"), "--endpoint and --function exclude each other"),
        (("--url", "http://127.0.0.1:9", "--endpoint", "a"), "--url and --endpoint exclude each other"),
        (("--function", "a", "--run", "starter"), "what --function names has a run of its own"),
        (("--endpoint",), "--endpoint"),
        (("--url", "foo"), "foo is no address of a service"),
        (("--url", "http://127.0.0.1:99999"), "is no address of a service"),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    result = dogbreed("predict", "a.jpg", *words, cwd=tmp_path)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_an_address_that_is_not_amazons_needs_no_sdk(tmp_path: Path) -> None:
    code = """
import sys
from dogbreed.cli.answers import predict
from dogbreed.errors import DogbreedError
try:
    predict([sys.argv[1]], elsewhere={"url": "http://127.0.0.1:9"})
except DogbreedError as error:
    assert "does not answer" in error.message
print(sorted({"boto3", "botocore", "torch", "onnxruntime"} & sys.modules.keys()))
"""
    save(tmp_path / "a.jpg", 1)
    command = [sys.executable, "-c", code, str(tmp_path / "a.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_credentials_it_says_how_to_get_some(tmp_path: Path) -> None:
    for words in (("--endpoint", "a"), ("--function", "a"), ("--url", AT_AWS)):
        result = dogbreed("predict", "a.jpg", *words, "--region", "eu-west-1", cwd=tmp_path)
        assert result.returncode == 4
        assert "no AWS credentials were found" in result.stderr


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        (AT_AWS, True),
        (AT_AWS.removeprefix("https://"), True),
        ("https://x.lambda-url.cn-north-1.on.amazonwebservices.com.cn", True),
        ("https://x.lambda-url.eu-west-1.on.aws.evil.example/", False),
        ("https://evil.example/x.lambda-url.eu-west-1.on.aws", False),
        ("https://x.lambda-url.eu-west-1.on.aws@evil.example/", False),
        ("https://evil.example#x.lambda-url.eu-west-1.on.aws", False),
        ("http://127.0.0.1:8080", False),
        ("http://[", False),
    ],
)
def test_credentials_sign_for_aws_alone(url: str, signed: bool) -> None:
    assert is_signed(url) is signed


def test_on_this_machine_they_sign_for_the_stand_in_alone(account: Server) -> None:
    assert is_signed("http://127.0.0.1:8080")
    assert not is_signed("http://192.168.0.7:8080")
    with pytest.raises(UsageError):
        OfUrl(Aws(AwsSettings()), "http://192.168.0.7:8080")


def test_at_aws_a_signature_leaves_encrypted_only(account: Server) -> None:
    aws = Aws(AwsSettings())
    for url in (AT_AWS, AT_AWS.replace("https", "http"), AT_AWS.removeprefix("https://")):
        door = OfUrl(aws, url)
        assert door.url == AT_AWS.rstrip("/")
        said = door.headers("/predict?top_k=3", b"photo")
        assert "/eu-west-1/lambda/aws4_request" in said["Authorization"]


def test_an_address_that_refuses_is_an_error_of_access(account: Server, deploy: Callable[..., Aws]) -> None:
    aws = deploy(front.resources, DeploySettings(function_url="iam"))
    account.ask("fault", kind="deny", target="lambda:InvokeFunctionUrl")
    with pytest.raises(AccessError, match="lambda:InvokeFunctionUrl"):
        OfUrl(aws, Url(Function(aws, "dogbreed-endpoint-front")).address()).predict(b"photo")
