"""Every error of AWS in two lines: what happened, and the command or page that mends it.

`translate` is the one table, used where a command ends (`dogbreed.cli.guard`); code that can go on after an error asks
for its `code`.
"""

from __future__ import annotations

import re

from boto3.exceptions import Boto3Error
from botocore import exceptions as sdk

from dogbreed.errors import AccessError, DogbreedError, UsageError

# AWS's sentence when IAM says no; the words of S3 and of services with a model of their own are shorter.
_DENIED = re.compile(
    r"(?:User: (?P<who>\S+) )?is not authorized to perform: (?P<action>[\w-]+:\w+)"
    r"(?: on resource: \"?(?P<resource>[^\s\"]+))?"
)
_FORBIDDEN = re.compile(r"with an explicit deny in (?:a|an) ([\w -]+?)(?:[.,:]|$)")
_ENCODED = re.compile(r"\s*Encoded authorization failure message: \S+")

_LOGIN = "log in again: aws sso login (or aws login), then repeat the command"
_CREDENTIALS = 'aws configure sso, or set AWS_PROFILE; without an account: eval "$(dogbreed rehearse up)"'
_REGION = 'add --region, or [aws] region = "eu-west-1" to dogbreed.toml'
_AGAIN = "repeat the command; --verbose shows more"
_NETWORK = "check the network and --region; if it is the stand-in: dogbreed rehearse status"
_QUOTA_HINT = "ask for more in the Service Quotas console, or use fewer --instances or another --instance-type"
_MAKES_ROLES = ("iam:CreateRole", "iam:PutRolePolicy", "iam:CreateInstanceProfile", "iam:AddRoleToInstanceProfile")
_POLICY = "the policy that dogbreed needs: dogbreed iam policy --for train-sagemaker (or another command)"
_VALUE = "a setting has a value AWS cannot take"

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_UNKNOWN_KEY = {
    *("UnrecognizedClientException", "InvalidAccessKeyId", "AuthFailure", "SignatureDoesNotMatch"),
    *("InvalidClientTokenId", "InvalidToken", "IncompleteSignature", "NotSignedUp"),
}
_REFUSED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedAccess", "Forbidden", "403"}
_THROTTLED = {
    *("Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "TooManyRequestsException"),
    *("SlowDown", "RequestThrottled", "RequestThrottledException", "PriorRequestNotComplete", "BandwidthLimitExceeded"),
    *("EC2ThrottledException", "ProvisionedThroughputExceededException"),
}
_QUOTA = {
    *("ResourceLimitExceeded", "LimitExceeded", "LimitExceededException", "ServiceQuotaExceededException"),
    *("VcpuLimitExceeded", "MaxSpotInstanceCountExceeded", "InstanceLimitExceeded", "TooManyBuckets"),
    *("VolumeLimitExceeded", "SecurityGroupLimitExceeded", "AddressLimitExceeded"),
}
_CAPACITY = {"InsufficientInstanceCapacity", "CapacityError", "UnfulfillableCapacity", "InsufficientHostCapacity"}
_MISSING = ("NotFound", "NoSuch", "DoesNotExist", "404")
_INVALID = {
    *("ValidationException", "ValidationError", "InvalidParameterValue", "InvalidParameterException"),
    *("InvalidParameterValueException", "InvalidParameterCombination", "InvalidArgument", "MissingParameter"),
}
_BROKEN = {"InternalError", "InternalFailure", "InternalServerError", "ServiceUnavailable", "Unavailable", "500", "503"}
_IN_USE = {"DependencyViolation", "DeleteConflict", "ResourceInUse", "ResourceInUseException", "InvalidGroup.InUse"}
_CLOCK = {"RequestTimeTooSkewed", "InvalidSignatureException"}
_NOT_OPEN = {"OptInRequired", "SubscriptionRequiredException", "PendingVerification", "UnauthorizedRegion"}


def code(error: BaseException) -> str:
    """AWS's code of an error answer, such as `NoSuchBucket`; "" for any other error."""
    if isinstance(error, sdk.ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def is_refused(error: BaseException) -> bool:
    """Whether the answer says that these credentials may not do this."""
    return code(error) in _REFUSED


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
    if isinstance(error, Boto3Error):
        # A transfer tells what happened in a text of its own, after what did.
        cause = error.__cause__ or error.__context__
        told = translate(cause) if isinstance(cause, Exception) else None
        return told or DogbreedError(f"the AWS SDK failed: {_one_line(str(error))}", _AGAIN)
    if not isinstance(error, sdk.BotoCoreError | sdk.HTTPClientError):
        return None
    words = _one_line(str(error))
    if isinstance(error, _CONFIGURATION):
        return UsageError(words, "see: aws configure list, and the files ~/.aws/config and ~/.aws/credentials")
    if isinstance(error, _LOGINS):
        return AccessError(f"the AWS login has expired or failed: {words}", _LOGIN)
    if isinstance(error, _UNREACHED):
        return DogbreedError(f"AWS does not answer: {words}", _NETWORK)
    for kind, told in _OTHERS.items():
        if isinstance(error, kind):
            return type(told)(told.message.format(words), told.hint)
    return DogbreedError(f"the AWS SDK failed: {words}", _AGAIN)


_LOGINS = (sdk.SSOError, sdk.LoginError, sdk.TokenRetrievalError, sdk.CredentialRetrievalError, sdk.NoAuthTokenError)
_CONFIGURATION = (
    *(sdk.ProfileNotFound, sdk.ConfigParseError, sdk.ConfigNotFound, sdk.InvalidConfigError),
    *(sdk.UnknownCredentialError, sdk.UnknownTokenProviderError, sdk.InvalidRetryConfigurationError),
)
_UNREACHED = (
    *(sdk.EndpointConnectionError, sdk.ConnectionClosedError, sdk.ConnectTimeoutError, sdk.ReadTimeoutError),
    sdk.ProxyConnectionError,
)
# A subclass stands before its class; {} is what the SDK says.
_OTHERS: dict[type[Exception], DogbreedError] = {
    sdk.NoCredentialsError: AccessError("no AWS credentials were found", _CREDENTIALS),
    sdk.PartialCredentialsError: AccessError("the AWS credentials are incomplete: {}", _CREDENTIALS),
    sdk.NoRegionError: UsageError("no AWS region is set", _REGION),
    sdk.InvalidRegionError: UsageError("{}", _REGION),
    sdk.UnknownRegionError: UsageError("{}", _REGION),
    sdk.ParamValidationError: DogbreedError("a request was not sent: {}", _VALUE),
    sdk.MissingDependencyException: DogbreedError("{}", "pip install 'botocore[crt]'"),
    sdk.SSLError: DogbreedError(
        "the connection to AWS is not trusted: {}",
        "behind a proxy that opens TLS, set AWS_CA_BUNDLE to its certificate",
    ),
    sdk.UnknownServiceError: DogbreedError("{}", "pip install --upgrade boto3"),
    sdk.DataNotFoundError: DogbreedError("{}", "pip install --upgrade boto3"),
    sdk.WaiterError: DogbreedError("{}", "see: dogbreed status"),
    sdk.HTTPClientError: DogbreedError("AWS does not answer: {}", _NETWORK),
    sdk.ConnectionError: DogbreedError("AWS does not answer: {}", _NETWORK),
}


def _answered(error: sdk.ClientError) -> DogbreedError:
    said = _one_line(_ENCODED.sub("", str(error.response.get("Error", {}).get("Message", ""))))
    name, call = _one_line(code(error)), error.operation_name
    if name in _REFUSED:
        return _denied(said, call)
    for names, told in _ANSWERS:
        if name in names:
            return type(told)(told.message.format(call=call, said=said, name=name), told.hint)
    if is_missing(error):
        return DogbreedError(f"{call}: {said or 'it does not exist'}", "see: dogbreed status")
    if name in _INVALID:
        return DogbreedError(f"AWS refused {call}: {said}", _VALUE)
    return DogbreedError(f"{call} failed: {name}: {said}", _AGAIN)


_ANSWERS: tuple[tuple[set[str], DogbreedError], ...] = (
    (_EXPIRED, AccessError("the AWS credentials have expired", _LOGIN)),
    (_UNKNOWN_KEY, AccessError("AWS does not know these credentials ({name})", _CREDENTIALS)),
    (_CLOCK, AccessError("AWS does not accept the signature: {said}", "set this machine's clock, and check the keys")),
    (_NOT_OPEN, AccessError("{call}: {said}", "the account must first enable this service or region in the console")),
    (
        _THROTTLED,
        DogbreedError("AWS asks for fewer calls ({call}: {name})", "wait a minute and repeat"),
    ),
    (
        {"NoSuchBucket"},
        DogbreedError(
            "{call}: {said}", "see: dogbreed runs; what dogbreed destroy --data has removed does not come back"
        ),
    ),
    (_QUOTA, DogbreedError("a quota of the account is reached: {said}", _QUOTA_HINT)),
    (
        _CAPACITY,
        DogbreedError(
            "AWS has no such machines free now: {said}",
            "try another --instance-type or region, or --on-demand-fallback for spot",
        ),
    ),
    (_BROKEN, DogbreedError("AWS failed at {call}, also when asked again: {name}: {said}", _AGAIN)),
    (_IN_USE, DogbreedError("{call}: it is still in use: {said}", "repeat the command in a minute")),
)


def _denied(said: str, call: str) -> AccessError:
    """Which action, on what, for whom, and whose policy it is that forbids it."""
    match = _DENIED.search(said)
    by = _FORBIDDEN.search(said)
    hint = _POLICY
    if by:
        hint = f"an explicit deny in a {by[1]} forbids it, which no policy of yours can undo: ask who set it"
    if not match:
        return AccessError(f"not allowed: {call} ({said or 'access denied'})", hint)
    if not by and match["action"] in _MAKES_ROLES:
        hint = "an administrator makes the roles, once: dogbreed iam setup"
    on = f" on {match['resource']}" if match["resource"] else ""
    who = f" for {match['who']}" if match["who"] else ""
    return AccessError(f"not allowed: {match['action']}{on}{who}", hint)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:400]
