"""Every error of AWS in two lines: what happened, and the command or page that mends it.

`translate` is the one table, used where a command ends (`dogbreed.cli.guard`); code that can go on after an error asks
for its `code`.
"""

from __future__ import annotations

import re

from botocore import exceptions as sdk

from dogbreed.errors import AccessError, DogbreedError, UsageError

# AWS's sentence when IAM says no; the words of S3 and of services with a model of their own are shorter.
_DENIED = re.compile(
    r"(?:User: (?P<who>\S+) )?is not authorized to perform: (?P<action>[\w-]+:\w+)(?: on resource: (?P<resource>\S+))?"
)
_LOGIN = "log in again: aws sso login (or aws login), then repeat the command"
_CREDENTIALS = 'aws configure sso, or set AWS_PROFILE; without an account: eval "$(dogbreed rehearse up)"'
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired", "InvalidClientTokenId"}
_UNKNOWN_KEY = {"UnrecognizedClientException", "InvalidAccessKeyId", "AuthFailure", "SignatureDoesNotMatch"}
_REFUSED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedAccess", "Forbidden", "403"}
_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "SlowDown",
    "RequestThrottled",
}
_QUOTA = {
    "ResourceLimitExceeded",
    "LimitExceeded",
    "LimitExceededException",
    "ServiceQuotaExceededException",
    "VcpuLimitExceeded",
    "MaxSpotInstanceCountExceeded",
    "InstanceLimitExceeded",
    "TooManyBuckets",
}
_CAPACITY = {"InsufficientInstanceCapacity", "CapacityError", "UnfulfillableCapacity", "InsufficientHostCapacity"}
_MISSING = ("NotFound", "NoSuch", "DoesNotExist", "404")
_INVALID = {"ValidationException", "ValidationError", "InvalidParameterValue", "InvalidParameterException"}


def code(error: BaseException) -> str:
    """AWS's code of an error answer, such as `NoSuchBucket`; "" for any other error."""
    if isinstance(error, sdk.ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def is_missing(error: BaseException) -> bool:
    """Whether the answer says that the thing asked for is not there (each service has its own word)."""
    if any(word in code(error) for word in _MISSING):
        return True
    # SageMaker and some others say it in a sentence.
    return code(error) in _INVALID and re.search(r"(?i)could not find|does not exist|not found", str(error)) is not None


def is_capacity(error: BaseException) -> bool:
    """Whether AWS has no such machines left, there and now."""
    return code(error) in _CAPACITY


def translate(error: BaseException) -> DogbreedError | None:
    """`error` in words for people; None when it does not come from the AWS SDK."""
    if isinstance(error, sdk.ClientError):
        return _answered(error)
    if isinstance(error, sdk.NoCredentialsError | sdk.PartialCredentialsError):
        return AccessError("no AWS credentials were found", _CREDENTIALS)
    if isinstance(error, sdk.NoRegionError):
        return UsageError("no AWS region is set", 'add --region, or [aws] region = "eu-west-1" to dogbreed.toml')
    if isinstance(error, sdk.ProfileNotFound):
        return UsageError(str(error), "see: aws configure list-profiles")
    if isinstance(error, sdk.SSOError | sdk.TokenRetrievalError | sdk.CredentialRetrievalError):
        return AccessError(f"the AWS login has expired or failed: {error}", _LOGIN)
    if isinstance(error, sdk.ParamValidationError):
        return DogbreedError(
            f"a request was not sent: {_one_line(str(error))}", "a setting has a value AWS cannot take"
        )
    if isinstance(error, sdk.EndpointConnectionError | sdk.ConnectionClosedError | sdk.ConnectTimeoutError):
        return DogbreedError(
            f"AWS does not answer: {error}",
            "check the network and --region; if it is the stand-in: dogbreed rehearse status",
        )
    if isinstance(error, sdk.WaiterError):
        return DogbreedError(_one_line(str(error)), "see: dogbreed status")
    if isinstance(error, sdk.BotoCoreError | sdk.HTTPClientError):
        return DogbreedError(f"the AWS SDK failed: {_one_line(str(error))}", "repeat the command; --verbose shows more")
    return None


def _answered(error: sdk.ClientError) -> DogbreedError:
    said, name = str(error.response.get("Error", {}).get("Message", "")), code(error)
    call = error.operation_name
    if name in _EXPIRED:
        return AccessError("the AWS credentials have expired", _LOGIN)
    if name in _UNKNOWN_KEY:
        return AccessError("AWS does not know these credentials", _CREDENTIALS)
    if name in _REFUSED:
        return _denied(said, call)
    if name in _THROTTLED:
        return DogbreedError(f"AWS asks for fewer calls ({call}: {name})", "wait a minute and repeat; nothing is lost")
    if name in _QUOTA:
        hint = "ask for more in the Service Quotas console, or use fewer --instances or another --instance-type"
        return DogbreedError(f"a quota of the account is reached: {_one_line(said)}", hint)
    if name in _CAPACITY:
        hint = "try another --instance-type or region, or --on-demand-fallback for spot"
        return DogbreedError(f"AWS has no such machines free now: {_one_line(said)}", hint)
    if is_missing(error):
        return DogbreedError(f"{call}: {_one_line(said) or 'it does not exist'}", "see: dogbreed status")
    if name in _INVALID:
        return DogbreedError(f"AWS refused {call}: {_one_line(said)}", "a setting has a value AWS cannot take")
    return DogbreedError(f"{call} failed: {name}: {_one_line(said)}", "repeat the command; --verbose shows more")


def _denied(said: str, call: str) -> AccessError:
    """Which action, on what, for whom."""
    match = _DENIED.search(said)
    if not match:
        return AccessError(f"not allowed: {call} ({_one_line(said) or 'access denied'})", _policy_hint())
    on = f" on {match['resource']}" if match["resource"] else ""
    who = f" for {match['who']}" if match["who"] else ""
    return AccessError(f"not allowed: {match['action']}{on}{who}", _policy_hint())


def _policy_hint() -> str:
    return "the policy that dogbreed needs: dogbreed iam policy --for train-sagemaker (train-ec2, deploy, audit)"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:400]
