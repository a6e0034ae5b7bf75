"""Resource and NotResource: are the ARNs written right, and does the service have such resources."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import NamedTuple

from dogbreed.audit import facts
from dogbreed.audit.answer import YES
from dogbreed.audit.model import OWN_REGION
from dogbreed.audit.pattern import contains, literal, matches, overlaps
from dogbreed.audit.source import Path
from dogbreed.audit.validity.look import Look, Part
from dogbreed.audit.validity.services import ARN_OWNERS, KNOWN
from dogbreed.audit.validity.variables import without_variables

PARTITIONS = ("aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc")
REGION = re.compile(r"(?:af|ap|ca|cn|eu|eusc|il|me|mx|sa|us|us-gov|us-iso[a-z]?|eu-iso[a-z]?)-[a-z]+-\d\d?")
# Where a resource of a global service is put in place of a Region.
_OTHER_REGIONS = ("global", "cn-global", OWN_REGION)
_ACCOUNT = re.compile(r"\d{12}")
# Accounts in ARNs of what AWS itself owns, such as arn:aws:iam::aws:policy/...
_AWS_ACCOUNTS = ("aws", "aws-marketplace", "amazon", "cloudfront", "third-party", "aws-managed")
# Services with resources of AWS's own, whose ARNs have no account, though the documented forms have one.
_PUBLIC = ("imagebuilder", "resource-explorer-2", "ssm")
_VARIABLE = re.compile(r"\$\{[^}]*\}")
_FIELDS = 6


class Form(NamedTuple):
    """One way in which a service writes its ARNs: the resource as a pattern, Region and account ("" for none)."""

    region: str
    account: str
    resource: str


class Fault(NamedTuple):
    """What is wrong with an ARN."""

    code: str
    message: str


def look_at_resources(look: Look, part: Part) -> None:
    """All of a statement's resources."""
    for element in ("Resource", "NotResource"):
        named = part.texts(element)
        for path, text in named:
            fault = find_fault(text)
            if fault and fault.code == "":
                look.cannot_say("INVALID_ARN_RESOURCE", path, fault.message)
            elif fault:
                look.say(fault.code, path, fault.message)
        if isinstance(part.values.get(element), list) and len(named) > 1:
            _look_for_redundant(look, named)


def _look_for_redundant(look: Look, named: list[tuple[Path, str]]) -> None:
    wide = [text for _, text in named if "*" in text or "?" in text]
    seen: set[str] = set()
    for path, text in named:
        if text in seen:
            look.say("REDUNDANT_RESOURCE", path, f"{text} stands here twice")
        seen.add(text)
        # As a whole, since a wildcard in the account runs on into the resource.
        cover = next((one for one in wide if one != text and _holds(one, text)), None)
        if cover and not (_holds(text, cover) and len(text) <= len(cover)):
            look.say("REDUNDANT_RESOURCE", path, f"{text} is covered by {cover}")


def _holds(outer: str, inner: str) -> bool:
    """Whether a pattern holds another; without `?`, the wildcards of the inner one are letters like others."""
    if "?" in outer:
        return contains(outer, inner) is YES
    return matches(outer, literal(inner)) is YES


@lru_cache(1 << 15)
def find_fault(arn: str) -> Fault | None:
    """The first thing that is wrong with an ARN pattern; a code of "" means that it cannot be decided."""
    if arn == "*":
        return None
    if not arn.startswith("arn:"):
        if arn.startswith("${") or (arn[:1] in ("*", "?") and without_variables(arn).strip("*") == ""):
            return None
        return Fault("INVALID_ARN_PREFIX", f"{arn!r} does not begin with arn:")
    fields = without_variables(arn).split(":", _FIELDS - 1)
    if len(fields) < _FIELDS:
        if fields[-1].endswith("*"):  # the wildcard stands for the other parts
            return None
        return Fault("MISSING_ARN_FIELD", f"{arn!r} has {len(fields)} of the six parts of an ARN")
    _, partition, service, region, account, resource = fields
    return (
        _partition(arn, partition)
        or _service(arn, service)
        or _region(arn, region)
        or _account(arn, account)
        or (None if "*" in service or "?" in service else _form(arn, service, region, account, resource))
    )


def _wild(text: str) -> bool:
    return "*" in text or "?" in text


def _partition(arn: str, partition: str) -> Fault | None:
    if _wild(partition) or partition in PARTITIONS:
        return None
    return Fault("INVALID_PARTITION", f"there is no partition {partition!r} in {arn!r}")


def _service(arn: str, service: str) -> Fault | None:
    if _wild(service):
        if service == "*":
            return None
        return Fault("WILDCARD_IN_SERVICE_NAME", f"the wildcard in {service!r} covers every service with such a name")
    if service in KNOWN or service in ARN_OWNERS or service in facts.services():
        return None
    if service.lower() in KNOWN or service.lower() in ARN_OWNERS:
        return Fault("INVALID_ARN_SERVICE_CASE", f"{service!r} is written {service.lower()!r} in an ARN")
    return Fault("INVALID_SERVICE", f"there is no service {service!r}, in {arn!r}")


def _region(arn: str, region: str) -> Fault | None:
    if not region or _wild(region) or region in _OTHER_REGIONS or REGION.fullmatch(region):
        return None
    return Fault("INVALID_ARN_REGION", f"there is no Region {region!r}, in {arn!r}")


def _account(arn: str, account: str) -> Fault | None:
    if not account or _wild(account) or account in _AWS_ACCOUNTS or _ACCOUNT.fullmatch(account):
        return None
    return Fault("INVALID_ARN_ACCOUNT", f"{account!r} is no account of 12 digits, in {arn!r}")


def _form(arn: str, service: str, region: str, account: str, resource: str) -> Fault | None:
    """Whether the service writes ARNs in this way."""
    try:
        known = forms(service)
    except facts.MissingFacts as missing:
        return Fault("", str(missing))
    if not known:
        return None
    # Compared as a whole: a wildcard in the account runs on into the resource.
    tail = f"{region}:{account}:{resource}"
    fitting = [form for form in known if overlaps(form.resource, resource).possible]
    if not fitting and any(overlaps(f"*:*:{form.resource}", tail).possible for form in known):
        return None
    if not fitting:
        return Fault("INVALID_ARN_RESOURCE", f"{service} has no resource like {resource!r}")
    tests = (
        (
            region not in ("", "*") and not any(form.region for form in fitting),
            "ARN_REGION_NOT_ALLOWED",
            "has no Region",
        ),
        (
            account not in ("", "*") and not any(form.account for form in fitting),
            "ARN_ACCOUNT_NOT_ALLOWED",
            "has no account",
        ),
        (not region and all(form.region for form in fitting), "MISSING_ARN_REGION", "needs a Region"),
        (
            not account and resource[:1] != "*" and service not in _PUBLIC and all(form.account for form in fitting),
            "MISSING_ARN_ACCOUNT",
            "needs an account",
        ),
    )
    return next((Fault(code, f"an ARN like {arn!r} {words}") for wrong, code, words in tests if wrong), None)


@cache
def forms(service: str) -> tuple[Form, ...]:
    """The forms of the ARNs of a service; empty when it has none that are documented. Raises MissingFacts."""
    found = []
    for owner in ARN_OWNERS.get(service, (service,)):
        for details in facts.resource_types(owner).values():
            fields = str(details["arn"]).split(":", _FIELDS - 1)
            if len(fields) == _FIELDS and fields[2] in (service, "*"):
                region, account, resource = (_VARIABLE.sub("*", field) for field in fields[3:])
                found.append(Form(region, account, resource))
    return tuple(dict.fromkeys(found))
