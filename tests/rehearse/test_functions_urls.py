"""Function URLs of the stand-in: who is let through, and what becomes of requests and answers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import boto3
import handlers
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from dogbreed.rehearse.state import Server

pytestmark = pytest.mark.usefixtures("brisk")

TELLING = """
import base64, json

def handler(event, context):
    if event["rawPath"] == "/bytes":
        body = base64.b64decode(event["body"]) if event["isBase64Encoded"] else event["body"].encode()
        answer = {"statusCode": 201, "headers": {"Content-Type": "image/jpeg", "X-Dog": "rex"}, "isBase64Encoded": True}
        return answer | {"body": base64.b64encode(body[::-1]).decode(), "cookies": ["a=1", "b=2"]}
    if event["rawPath"] == "/raise":
        raise ValueError("no dog")
    if event["rawPath"] == "/odd":
        return {"statusCode": "odd"}
    return event
"""


def ask(url: str, body: bytes | None = None, *, sign: str = "", **headers: str) -> tuple[int, Any, bytes]:
    """Status, headers and body; `sign` is the name of a service to sign for, as the person."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if sign:
        request = AWSRequest("POST" if body else "GET", url, headers=headers, data=body)
        credentials = boto3.session.Session().get_credentials()
        assert credentials
        SigV4Auth(credentials, sign, "eu-west-1").add_auth(request)
        headers = dict(request.headers.items())
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=300) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def opened(auth: str) -> tuple[Any, str]:
    """The function with a URL, without any permission."""
    found = handlers.made(TELLING)
    return found, found.create_function_url_config(FunctionName="f", AuthType=auth)["FunctionUrl"]


def let_everybody(found: Any) -> None:
    for number, (action, more) in enumerate(
        (
            ("lambda:InvokeFunctionUrl", {"FunctionUrlAuthType": "NONE"}),
            ("lambda:InvokeFunction", {"InvokedViaFunctionUrl": True}),
        )
    ):
        found.add_permission(FunctionName="f", StatementId=f"all{number}", Action=action, Principal="*", **more)


def test_a_url_for_everybody_needs_both_permissions(account: Server) -> None:
    found, url = opened("NONE")
    assert ask(url)[0] == 403
    let_everybody(found)
    assert ask(url)[0] == 200
    for statement in ("all0", "all1"):
        found.remove_permission(FunctionName="f", StatementId=statement)
        status, headers, body = ask(url)
        assert (status, headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
        assert json.loads(body)["Message"].startswith("Forbidden")
        found.add_permission(
            FunctionName="f",
            StatementId=statement,
            Action="lambda:InvokeFunctionUrl" if statement == "all0" else "lambda:InvokeFunction",
            Principal="*",
        )
        assert ask(url)[0] == 200


def test_a_request_becomes_an_event_and_an_answer_a_response(account: Server) -> None:
    found, url = opened("NONE")
    let_everybody(found)
    sent = b'{"dog": 1}'
    status, headers, body = ask(f"{url}a/b?x=1&x=2&y=", sent, Content_Type="application/json", Cookie="c=3; d=4")
    told = json.loads(body)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert (told["version"], told["rawPath"], told["rawQueryString"]) == ("2.0", "/a/b", "x=1&x=2&y=")
    assert told["queryStringParameters"] == {"x": "1,2", "y": ""}
    assert (told["cookies"], told["body"], told["isBase64Encoded"]) == (["c=3", "d=4"], sent.decode(), False)
    assert told["requestContext"]["http"]["method"] == "POST"
    assert told["requestContext"]["accountId"] == "anonymous"
    assert told["headers"]["content-type"] == "application/json"
    photo = bytes(range(256)) * 40
    status, headers, body = ask(f"{url}bytes", photo, Content_Type="image/jpeg")
    assert (status, headers["Content-Type"], headers["X-Dog"], body) == (201, "image/jpeg", "rex", photo[::-1])
    assert headers.get_all("Set-Cookie") == ["a=1", "b=2"]


def test_what_goes_wrong_has_a_status(account: Server) -> None:
    found, url = opened("NONE")
    let_everybody(found)
    assert ask(f"{url}raise")[0] == ask(f"{url}odd")[0] == 502
    assert b"no dog" not in ask(f"{url}raise")[2]
    assert ask(url, b"x" * (5 << 20), Content_Type="image/jpeg")[0] == 413
    found.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
    assert ask(url)[0] == 429
    found.delete_function_url_config(FunctionName="f")
    with pytest.raises(urllib.error.URLError):
        ask(url)


def test_only_who_signs_for_lambda_is_let_through_iam(account: Server) -> None:
    found, url = opened("AWS_IAM")
    let_everybody(found)
    assert ask(url)[0] == ask(url, sign="execute-api")[0] == 403
    status, _, body = ask(url, sign="lambda")
    told = json.loads(body)
    assert (status, told["requestContext"]["accountId"]) == (200, "123456789012")
    assert told["requestContext"]["authorizer"]["iam"]["userArn"] == "arn:aws:iam::123456789012:user/rehearsal"
    assert ask(url, b"\xff\xd8photo", sign="lambda", Content_Type="image/jpeg")[0] == 200
    needed = [call["action"] for call in account.ask("calls") if call["operation"] == "InvokeFunctionUrl"]
    assert set(needed) == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    account.ask("fault", kind="deny", target="lambda:InvokeFunctionUrl")
    assert ask(url, sign="lambda")[0] == 403
    account.ask("clear")
    found.update_function_url_config(FunctionName="f", AuthType="NONE")
    assert ask(url)[0] == 200


def test_a_url_of_an_alias_calls_its_version(account: Server) -> None:
    found = handlers.made("def handler(event, context):\n    return context.function_version\n")
    found.publish_version(FunctionName="f")
    with pytest.raises(found.exceptions.ClientError, match="regular expression"):
        found.create_function_url_config(FunctionName="f", Qualifier="1", AuthType="AWS_IAM")
    found.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    made = found.create_function_url_config(FunctionName="f", Qualifier="live", AuthType="AWS_IAM")
    assert made["FunctionArn"].endswith(":function:f:live")
    assert ask(made["FunctionUrl"], sign="lambda")[2] == b"1"
    with pytest.raises(found.exceptions.ResourceConflictException):
        found.create_function_url_config(FunctionName="f", Qualifier="live", AuthType="NONE")
    with pytest.raises(found.exceptions.ResourceNotFoundException):
        found.get_function_url_config(FunctionName="f")
    told = found.get_function_url_config(FunctionName="f", Qualifier="live")
    assert (told["FunctionUrl"], told["AuthType"]) == (made["FunctionUrl"], "AWS_IAM")
    [listed] = found.list_function_url_configs(FunctionName="f")["FunctionUrlConfigs"]
    assert listed["FunctionUrl"] == made["FunctionUrl"]


def test_pages_of_a_named_origin_may_read_the_answer(account: Server) -> None:
    found = handlers.made(TELLING)
    cors = {"AllowOrigins": ["https://dogs.example"], "AllowMethods": ["POST"], "MaxAge": 60}
    url = found.create_function_url_config(FunctionName="f", AuthType="NONE", Cors=cors)["FunctionUrl"]
    let_everybody(found)
    _, headers, _ = ask(url, Origin="https://dogs.example")
    assert headers["Access-Control-Allow-Origin"] == "https://dogs.example"
    assert ask(url, Origin="https://cats.example")[1]["Access-Control-Allow-Origin"] is None


def test_a_photo_of_four_megabytes_gets_through(account: Server) -> None:
    """It grows by a third in base64, and must stay below six."""
    found, url = opened("NONE")
    let_everybody(found)
    photo = b"\xff" * (4 << 20)
    status, _, body = ask(f"{url}bytes", photo, Content_Type="image/jpeg")
    assert (status, len(body)) == (201, len(photo))
