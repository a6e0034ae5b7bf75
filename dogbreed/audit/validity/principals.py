"""Principal and NotPrincipal, and what trust policies ask of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dogbreed.audit.model import Kind
from dogbreed.audit.source import Path
from dogbreed.audit.validity.look import IDENTITY, RESOURCE, Look, Part, texts, unknown
from dogbreed.audit.validity.variables import has_variable

_TYPES = {"aws": "AWS", "service": "Service", "federated": "Federated", "canonicaluser": "CanonicalUser"}
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.(amazonaws\.com(\.cn)?|amazon\.com|aws\.internal|aws)")
_ARN = re.compile(
    r"arn:[^:]+:(iam|sts)::(\d{12}|aws|cloudfront):(root|(user|role|assumed-role|federated-user|group)/.+)"
)
_UNIQUE_ID = re.compile(r"(AROA|AIDA)[A-Z0-9]{12,}")
_DOMAINS = ("accounts.google.com", "cognito-identity.amazonaws.com", "graph.facebook.com", "www.amazon.com")
_PROVIDER = re.compile(r"arn:[^:]+:iam::(\d{12}|\*):(saml-provider|oidc-provider)/.+")
# Services that act on a resource for whoever asked them, and say for whom.
_CONFUSABLE = re.compile(
    r"(cloudtrail|config|logging\.s3|s3|sns|sqs|events|delivery\.logs|logs|serverlessrepo|cloudwatch|budgets|costalerts"
    r"|inspector2?|guardduty|ses|backup|lambda|apigateway|iot|scheduler|pipes)\.amazonaws\.com"
)
_SOURCES = {"aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths", "aws:principalorgid"}
_SOURCES |= {"aws:sourceowner", "kms:calleraccount", "kms:viaservice", "s3:resourceaccount", "aws:principalaccount"}


def look_at_principals(look: Look, part: Part) -> None:
    """Whether the statement names principals where its policy needs or forbids them."""
    for element in ("Principal", "NotPrincipal"):
        if part.has(element):
            if look.kind in IDENTITY:
                look.say("UNSUPPORTED_PRINCIPAL", part.at(element), f"an identity policy cannot have {element}")
            elif look.kind is Kind.SCP:
                look.say("SCP_SYNTAX_ERROR_PRINCIPAL", part.at(element), f"an SCP cannot have {element}")
            elif look.kind is Kind.RCP:
                if element == "NotPrincipal" or part.values[element] not in ("*", {"AWS": "*"}):
                    look.say(
                        "RCP_SYNTAX_ERROR_PRINCIPAL", part.at(element), 'an RCP has the Principal "*" and no other'
                    )
            else:
                _look_at_element(look, part, element)
    needed = look.kind in RESOURCE or look.kind in (Kind.TRUST, Kind.RCP)
    if needed and not part.has("Principal") and not part.has("NotPrincipal"):
        look.say("MISSING_PRINCIPAL", part.path, "the statement does not say for whom it is")
    if part.allows and part.has("NotPrincipal") and not unknown(part.values["NotPrincipal"]):
        code = "ROLE_TRUST_POLICY_SYNTAX_ERROR_NOTPRINCIPAL" if look.kind is Kind.TRUST else "ALLOW_WITH_NOT_PRINCIPAL"
        if look.kind in RESOURCE or look.kind is Kind.TRUST:
            look.say(code, part.at("NotPrincipal"), "everyone whom NotPrincipal does not name is allowed")


def _look_at_element(look: Look, part: Part, element: str) -> None:
    value, path = part.values[element], part.at(element)
    if unknown(value) or value == "*":
        return
    if not isinstance(value, Mapping):
        look.say("INVALID_PRINCIPAL_FORMAT", path, f"{element} is not written as an object of types and names")
        return
    if not value:
        look.say("EMPTY_OBJECT_PRINCIPAL", path, f"{element} names nobody")
    for key, names in value.items():
        here = (*path, key)
        kind = _TYPES.get(str(key).lower())
        if kind is None:
            look.say("INVALID_PRINCIPAL_KEY", here, f"there is no type of principal {key!r}")
        elif isinstance(names, list) and not names:
            look.say("EMPTY_ARRAY_PRINCIPAL", here, f"{element} names no {key}")
        elif not isinstance(names, str | list) and not unknown(names):
            look.say("DATA_TYPE_MISMATCH", here, f"{key} holds neither a name nor a list of names")
        else:
            for place, name in texts(names, here):
                if not has_variable(name):
                    _look_at_name(look, place, kind, name)
    if look.kind in RESOURCE and part.allows:
        _look_for_source(look, part, value, path)


def _look_at_name(look: Look, path: Path, kind: str, name: str) -> None:
    if kind == "AWS":
        _look_at_aws(look, path, name)
    elif kind == "Service":
        if "*" in name or "?" in name:
            look.say("UNSUPPORTED_WILDCARD_IN_PRINCIPAL", path, f"the service {name!r} cannot hold a wildcard")
        elif not _SERVICE.fullmatch(name):
            look.say("INVALID_SERVICE_PRINCIPAL_FORMAT", path, f"{name!r} is not written service.amazonaws.com")
    elif kind == "Federated":
        if look.kind is not Kind.TRUST:
            look.say("FEDERATED_PRINCIPAL_NOT_SUPPORTED", path, "only trust policies may name federated principals")
        elif name != "*" and not _PROVIDER.fullmatch(name) and name.lower() not in _DOMAINS:
            code = "INVALID_FEDERATED_PRINCIPAL_SYNTAX_IN_ROLE_TRUST_POLICY"
            look.say(code, path, f"{name!r} is no ARN of an identity provider")


def _look_at_aws(look: Look, path: Path, name: str) -> None:
    if name == "*" or _ARN.fullmatch(name) or re.fullmatch(r"\d{12}", name):
        if "*" in name[1:] or "?" in name:
            _say_wildcard(look, path, name)
    elif match := _UNIQUE_ID.fullmatch(name):
        role = match[1] == "AROA"
        look.say(f"INVALID_{'ROLE' if role else 'USER'}_REFERENCE", path, f"{name} is an id, which dies with its owner")
    elif "*" in name or "?" in name:
        _say_wildcard(look, path, name)


def _say_wildcard(look: Look, path: Path, name: str) -> None:
    trust = look.kind is Kind.TRUST
    code = "ROLE_TRUST_POLICY_UNSUPPORTED_WILDCARD_IN_PRINCIPAL" if trust else "UNSUPPORTED_WILDCARD_IN_PRINCIPAL"
    look.say(code, path, f"{name!r} has a wildcard: a principal is one account, role or user, or * alone")


def _look_for_source(look: Look, part: Part, value: Mapping[str, Any], path: Path) -> None:
    """A service that acts for its customers, without a word about which of them."""
    conditions = part.values.get("Condition")
    blocks = conditions.values() if isinstance(conditions, Mapping) else ()
    named = {str(key).lower() for block in blocks if isinstance(block, Mapping) for key in block}
    if named & _SOURCES or unknown(conditions):
        return
    for key, names in value.items():
        if str(key).lower() == "service":
            for place, name in texts(names, (*path, key)):
                if _CONFUSABLE.fullmatch(name):
                    look.say("RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL", place, f"{name} may act here for any customer")
