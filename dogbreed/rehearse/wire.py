"""HTTP to calls and back, for every protocol of AWS, driven by the service models.

Moto's parsers and serialisers do the work. Bodies that are streamed (the content of an object) are never read here.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import uuid
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore import parsers
from botocore.exceptions import UnknownServiceError
from moto.core.parse import PROTOCOL_PARSERS, RequestParserError
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.serialize import SerializationContext, get_serializer_class
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from dogbreed.rehearse import access, actions
from dogbreed.rehearse.calls import ACCOUNT, AwsError, Call

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud

# The name that a request is signed for -> the services that sign with it, where it is not the service's own name.
_SIGNED_AS = {
    "monitoring": ("cloudwatch",),
    "sagemaker": ("sagemaker", "sagemaker-runtime", "sagemaker-metrics"),
    "s3": ("s3", "s3control"),
    "elasticloadbalancing": ("elbv2", "elb"),
    "states": ("stepfunctions",),
    "servicequotas": ("service-quotas",),
    "apigateway": ("apigatewayv2", "apigateway"),
    "access-analyzer": ("accessanalyzer",),
    "tagging": ("resourcegroupstaggingapi",),
    "email": ("ses", "sesv2"),
    "eventbridge": ("events",),
}
_CODE = re.compile(r'<Code>(\w[\w.]*)</Code>|"__type": ?"(?:[^"#]*#)?(\w+)"')
_LOOKED_AT = 2000  # bytes of a refusal
_UNSIGNED = {"AssumeRoleWithWebIdentity": "sts", "AssumeRoleWithSAML": "sts"}


def read(cloud: Cloud, request: Request) -> Call | None:
    """The call that a request is; None for what is none of AWS's operations (moto's own pages, a wrong path)."""
    key, region, signed_as = credential(request)
    if signed_as != "s3":
        _keep_body(request)
    if not signed_as:
        form = request.form if request.mimetype == "application/x-www-form-urlencoded" else {}
        # What is not signed is a public object, unless its action says otherwise.
        signed_as = _UNSIGNED.get(form.get("Action", ""), "s3")
    for service in _SIGNED_AS.get(signed_as, (signed_as,)):
        try:
            model, labels = get_service_router(service).match(request)
        except (NotFound, NotImplementedError, UnknownServiceError):
            continue
        protocol = determine_request_protocol(model.service_model, request.content_type)
        try:
            params, malformed = _params(request, model, labels, protocol), False
        except (RequestParserError, LookupError, TypeError, ValueError):
            params, malformed = {}, True
        operation = model.name
        return Call(
            service=service,
            operation=operation,
            region=region or cloud.region,
            key=key,
            who=access.principal(cloud, key),
            params=params,
            model=model,
            request=request,
            protocol=protocol,
            action=actions.action(service, operation),
            resources=actions.resources(service, params, region or cloud.region, ACCOUNT),
            passes=tuple(actions.passed_roles(service, operation, params)),
            malformed=malformed,
        )
    return None


def write(call: Call, result: dict[str, Any] | AwsError) -> Response:
    """The response that tells a result, or a refusal, in the call's protocol."""
    number = str(uuid.uuid4())
    serializer = get_serializer_class(call.service, call.protocol)(call.model, SerializationContext(number))
    told = serializer.serialize(result)
    status = result.status if isinstance(result, AwsError) else _own_status(call.model, result)
    status = status or told["status_code"]
    response = Response(told["body"], status)
    for name, value in told["headers"].items():
        response.headers[name] = str(value)
    response.headers["x-amzn-requestid"] = number
    response.headers["x-amz-request-id"] = number
    return response


def understand(call: Call, response: Response) -> dict[str, Any]:
    """What moto answered, as boto3 would show it."""
    told = {"body": response.get_data(), "headers": dict(response.headers), "status_code": response.status_code}
    parser = parsers.create_parser(call.protocol)
    answer: dict[str, Any] = parser.parse(told, call.model.output_shape)
    answer.pop("ResponseMetadata", None)
    return answer


def error_code(response: Response) -> str:
    """The code of a refusal, in whichever protocol it is; empty where it says none."""
    if code := response.headers.get("x-amzn-errortype"):
        return code.split(":", 1)[0].rsplit("#", 1)[-1]
    body = response.get_data()[:_LOOKED_AT].decode("utf-8", "replace")
    found = _CODE.search(body)
    return next(filter(None, found.groups())) if found else ""


def credential(request: Request) -> tuple[str, str, str]:
    """Access key, region and signing name; empty where there are none."""
    scope = request.args.get("X-Amz-Credential", "")
    if "Credential=" in (header := request.headers.get("Authorization", "")):
        scope = header.split("Credential=", 1)[1].split(",", 1)[0].strip()
    parts = scope.split("/")
    return (
        (parts[0], parts[-3], parts[-2].lower())
        if len(parts) >= 5
        else (request.args.get("AWSAccessKeyId", ""), "", "")
    )


def _keep_body(request: Request) -> bytes:
    """The body, which can be read again by moto's own request object."""
    if isinstance(kept := request.environ["wsgi.input"], io.BytesIO):
        return kept.getvalue()
    data = request.get_data()
    if request.headers.get("Content-Encoding") == "gzip":  # boto3 does so with long lists of metrics
        data = gzip.decompress(data)
    request.environ |= {"wsgi.input": io.BytesIO(data), "CONTENT_LENGTH": str(len(data))}
    for name in ("HTTP_CONTENT_ENCODING", "HTTP_TRANSFER_ENCODING"):
        request.environ.pop(name, None)
    return data


def _params(request: Request, model: Any, labels: dict[str, Any], protocol: str) -> dict[str, Any]:
    if model.input_shape is None:
        return {}
    streamed = _streams(model)
    if streamed and request.mimetype == "application/x-www-form-urlencoded":
        # What urllib says of every body; moto would take the content for a form.
        request.environ["CONTENT_TYPE"] = "binary/octet-stream"
    told: Any = {
        "method": request.method,
        "values": request.args if streamed else request.values,
        "headers": request.headers,
        "body": b"" if streamed else _keep_body(request),
        "url_path": request.path,
        "url_params": labels,
    }
    # Moto's parser takes what is no JSON for an empty object.
    if protocol in ("json", "rest-json") and told["body"] and not isinstance(json.loads(told["body"]), dict):
        raise ValueError("the body is no JSON object")
    params: dict[str, Any] = PROTOCOL_PARSERS[protocol](model).parse(told)
    return params


def _own_status(model: Any, result: dict[str, Any]) -> int:
    """The status that an answer says of itself, as that of Lambda's Invoke does; else 0."""
    members = model.output_shape.members if model.output_shape else {}
    found = (result.get(name) for name, one in members.items() if one.serialization.get("location") == "statusCode")
    return next(filter(None, found), 0)


@cache
def _payload(model: Any) -> Any:
    return model.input_shape.members[name] if (name := model.input_shape.serialization.get("payload")) else None


def _streams(model: Any) -> bool:
    """Whether the body is content rather than parameters."""
    payload = _payload(model)
    return payload is not None and payload.type_name == "blob"
