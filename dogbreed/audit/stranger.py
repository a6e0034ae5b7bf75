"""Can somebody from anywhere meet a statement's conditions? What the condition keys of a stranger's request can hold.

The stranger has an AWS account, principals and networks of its own and shapes its requests; it is in no organisation,
network or account that a policy names. How wide a range of addresses has to be to be no limit is S3's own measure
("The meaning of public" in the S3 User Guide: /8 for IPv4, /32 for IPv6).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_network

from dogbreed.audit.answer import NO, UNKNOWN, YES, Answer, all_of
from dogbreed.audit.conditions import ABSENT, ANY, Value, holds, known
from dogbreed.audit.model import HOLE, Condition, Statement

# A value that no policy names, for an account, an organisation, a network; found only by wildcards.
OTHER = "\ue004"
_WIDE = {4: 8, 6: 32}


def _is(shape: str) -> Value:
    return Value((shape,), patterns=True)


# {key: what a stranger can make it}. Keys that only AWS services send may be absent, or be about the stranger.
_FIXED = {
    "aws:principalarn": Value((f"arn:aws:iam::{OTHER}:*", f"arn:aws:sts::{OTHER}:*"), patterns=True),
    "aws:principalaccount": known(OTHER),
    # An account need not be in an organisation.
    "aws:principalorgid": Value((f"o-{OTHER}",), missing=True),
    "aws:principalorgpaths": Value((f"o-{OTHER}/r-{OTHER}/ou-{OTHER}/",), missing=True),
    "aws:userid": _is(f"{OTHER}*"),
    "aws:sourcevpc": Value((f"vpc-{OTHER}",), missing=True),
    "aws:sourcevpcarn": Value((f"arn:aws:ec2:*:{OTHER}:vpc/*",), missing=True, patterns=True),
    "aws:sourcevpce": Value((f"vpce-{OTHER}",), missing=True),
    "aws:sourceaccount": Value((OTHER,), missing=True),
    "aws:sourceowner": Value((OTHER,), missing=True),
    "aws:sourceorgid": Value((f"o-{OTHER}",), missing=True),
    "aws:sourceorgpaths": Value((f"o-{OTHER}/r-{OTHER}/",), missing=True),
    "aws:sourcearn": Value((f"arn:aws:*:*:{OTHER}:*", f"arn:aws:s3:::{OTHER}*"), missing=True, patterns=True),
    "aws:vpcearn": ABSENT,
    "aws:ec2instancesourcevpc": Value((f"vpc-{OTHER}",), missing=True),
    "ec2:sourceinstancearn": Value((f"arn:aws:ec2:*:{OTHER}:instance/*",), missing=True, patterns=True),
    "lambda:sourcefunctionarn": Value((f"arn:aws:lambda:*:{OTHER}:function:*",), missing=True, patterns=True),
    "kms:calleraccount": known(OTHER),
    "s3:dataaccesspointaccount": Value((OTHER,), missing=True),
    "s3:dataaccesspointarn": Value((f"arn:aws:s3:*:{OTHER}:accesspoint/*",), missing=True, patterns=True),
    "lambda:eventsourcetoken": Value((OTHER,), missing=True),
    "sts:externalid": Value((OTHER,), missing=True),
    "aws:securetransport": known("true"),
    "aws:principalisawsservice": known("false"),
    "aws:federatedprovider": Value((OTHER,), missing=True),
    "aws:principalservicename": ABSENT,
    "aws:principalservicenameslist": ABSENT,
}


@cache
def _now() -> dict[str, Value]:
    now = datetime.now(UTC)
    return {
        "aws:currenttime": known(now.isoformat(timespec="seconds")),
        "aws:epochtime": known(str(int(now.timestamp()))),
    }


def keys(key: str) -> Value:
    """What a stranger's request can hold under a key: its own things where somebody's are named, else anything."""
    return _FIXED.get(key) or _now().get(key) or ANY


def can_meet(statement: Statement, given: dict[str, Value] | None = None) -> Answer:
    """Whether a stranger can meet all conditions: YES surely, NO never, UNKNOWN when a value is not known.

    `given` replaces what some keys hold, for requests that a service makes.
    """
    facts = {**_FIXED, **_now(), **(given or {})}
    return all_of(_one(condition, facts, statement.policy.version) for condition in statement.conditions)


def must_meet(statement: Statement) -> bool:
    """Whether all conditions of a statement hold for every stranger, so that a Deny keeps them all out."""
    facts = {**_FIXED, **_now()}
    version = statement.policy.version
    for condition in statement.conditions:
        if "ipaddress" in condition.operator.lower():
            answer = _address(condition) if "not" in condition.operator.lower() else NO
        else:
            answer = holds(condition, lambda name: facts.get(name, ANY), version)
        if answer is not YES:
            return False
    return True


def restricts(condition: Condition, version: str = "2012-10-17") -> bool:
    """Whether a condition keeps strangers out."""
    return _one(condition, {**_FIXED, **_now()}, version) is NO


def _one(condition: Condition, facts: dict[str, Value], version: str) -> Answer:
    key = condition.key.lower()
    if "ipaddress" in condition.operator.lower():
        return _address(condition)
    answer = holds(condition, lambda name: facts.get(name, ANY), version)
    if answer is not UNKNOWN:
        return answer
    unknown = HOLE in condition.key or any(HOLE in value for value in condition.values)
    if unknown and (key in facts or HOLE in key):
        return UNKNOWN
    # What the stranger chooses, it chooses so that the condition holds.
    return YES


def _address(condition: Condition) -> Answer:
    """Ranges of addresses: the stranger is somewhere on the internet, or asks through a service, without an address."""
    operator = condition.operator.lower()
    if any(HOLE in value for value in condition.values):
        return UNKNOWN
    if "ifexists" in operator:
        return YES
    wide = [_is_wide(value) for value in condition.values]
    if operator.rpartition(":")[2].startswith("not"):
        return NO if any(value.strip().endswith("/0") for value in condition.values) else YES
    return YES if any(wide) else NO


def _is_wide(text: str) -> bool:
    try:
        network = ip_network(text.strip(), strict=False)
    except ValueError:
        return False
    return network.prefixlen < _WIDE[network.version] and not network.is_private
