"""Who may ask the stand-in: whoever has a key of this account, and no page that a browser shows.

It runs commands for those who may ask, so neither a web page nor another user of this machine must get through. The
person's key is random and new for each stand-in; it stands in the state file, which only that person can read.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING

from dogbreed.rehearse.calls import PERSON, AwsError

if TYPE_CHECKING:
    from werkzeug.wrappers import Request

    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

# By which environment variable the server learns the person's key, and in which header its controls want it.
VARIABLE = "REHEARSE_KEY"
HEADER = "X-Rehearse-Key"
_SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
# What browsers add to requests and SDKs do not.
_OF_BROWSERS = ("Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode")
_WITHOUT_KEY = {
    ("s3", "GetObject"),
    ("s3", "HeadObject"),
    ("sts", "AssumeRoleWithWebIdentity"),
    ("sts", "AssumeRoleWithSAML"),
}
_TOKEN = "The security token included in the request is invalid."
_REFUSALS = {
    "s3": ("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", 403),
    "ec2": ("AuthFailure", "AWS was not able to validate the provided access credentials", 401),
    "query": ("InvalidClientTokenId", _TOKEN, 403),
    "json": ("UnrecognizedClientException", _TOKEN, 400),
    "rest-json": ("UnrecognizedClientException", _TOKEN, 403),
}


def new_key() -> str:
    """A random access key id, of the form that AWS gives."""
    return "AKIA" + "".join(secrets.choice(_SIGNS) for _ in range(16))


def from_browser(request: Request) -> bool:
    """Whether a web page may be behind a request: by its headers, or by a name of this server that is not its own."""
    if any(name in request.headers for name in _OF_BROWSERS):
        return True
    # A page of evil.example that has its name point to 127.0.0.1 comes with that name.
    host = request.host.rsplit(":", 1)[0].strip("[]").lower()
    own = host.replace(".", "").isdigit() or ":" in host or not host
    return not (own or host.split(".")[-1] == "localhost" or host.endswith((".127.0.0.1", ".amazonaws.com")))


def may_control(cloud: Cloud, request: Request) -> bool:
    """Whether whoever asks has the person's key."""
    return hmac.compare_digest(request.headers.get(HEADER, "").encode(), cloud.key.encode())


def principal(cloud: Cloud, key: str) -> str:
    """The ARN of whoever an access key belongs to; empty for a key that the account does not know."""
    if key == cloud.key:
        return PERSON
    if cloud.is_platform(key) and key.startswith("AKIA"):
        return f"arn:aws:iam::{cloud.account}:root"
    arn: str = cloud.moto("sts").get_caller_identity(key, cloud.region)[1]
    return "" if arn.endswith(":user/moto") else arn


def check(call: Call) -> None:
    """Raise AwsError for a call with an unknown key, or without one where one is needed."""
    if call.who or (not call.key and (call.service, call.operation) in _WITHOUT_KEY):
        return
    if not call.key and call.service == "s3":
        raise AwsError("AccessDenied", "Access Denied", 403)
    raise AwsError(*_REFUSALS.get(call.service) or _REFUSALS.get(call.protocol, _REFUSALS["json"]))
