"""Grants of iam:PassRole and iam:CreateServiceLinkedRole that are wider than they need to be."""

from __future__ import annotations

from collections.abc import Mapping

from dogbreed.audit.answer import YES
from dogbreed.audit.pattern import matches, overlaps
from dogbreed.audit.validity.conditions import parse_operator
from dogbreed.audit.validity.look import IDENTITY, Look, Part, texts, unknown

_WATCHED = (
    ("iam:passrole", "PASS_ROLE", "iam:passedtoservice", "arn:aws:iam::123456789012:role/*"),
    (
        "iam:createservicelinkedrole",
        "CREATE_SLR",
        "iam:awsservicename",
        "arn:aws:iam::123456789012:role/aws-service-role/*",
    ),
)


def look_at_grants(look: Look, part: Part) -> None:
    """Allow statements of identity policies."""
    if look.kind not in IDENTITY or not part.allows:
        return
    keys = _confined_by(part)
    for action, prefix, confining, whole in _WATCHED:
        how = _granted(part, action)
        if not how or confining in keys:
            continue
        if part.has("NotResource"):
            where, element = "NOT_RESOURCE", "NotResource"
        elif any(_is_everything(text, whole) for _, text in part.texts("Resource")):
            where, element = "STAR_IN_RESOURCE", "Resource"
        else:
            continue
        code = f"{prefix}_WITH_{_CODES[how, where]}"
        name = "iam:PassRole" if prefix == "PASS_ROLE" else "iam:CreateServiceLinkedRole"
        look.say(code, part.at(element), f"the statement allows {name} on {_WHAT[where]}")


def _confined_by(part: Part) -> set[str]:
    """The keys whose conditions hold for named values only: no Not-form, no wildcard in front."""
    block = part.values.get("Condition")
    found = set()
    for written, pairs in block.items() if isinstance(block, Mapping) else ():
        operator = parse_operator(str(written))
        if operator and not operator.negated and operator.family in ("string", "arn"):
            for key, value in pairs.items() if isinstance(pairs, Mapping) else ():
                if unknown(value) or not any(text.startswith("*") for _, text in texts(value, ())):
                    found.add(str(key).lower())
    return found


_CODES = {
    ("named", "NOT_RESOURCE"): "NOT_RESOURCE",
    ("star", "NOT_RESOURCE"): "STAR_IN_ACTION_AND_NOT_RESOURCE",
    ("not", "NOT_RESOURCE"): "NOT_ACTION_AND_NOT_RESOURCE",
    ("named", "STAR_IN_RESOURCE"): "STAR_IN_RESOURCE",
    ("star", "STAR_IN_RESOURCE"): "STAR_IN_ACTION_AND_RESOURCE",
    ("not", "STAR_IN_RESOURCE"): "STAR_IN_RESOURCE_AND_NOT_ACTION",
}
_WHAT = {"NOT_RESOURCE": "everything but a few roles", "STAR_IN_RESOURCE": "every role"}


def _granted(part: Part, action: str) -> str:
    """How a statement names an action: named, star, not, or "" when it does not."""
    if part.has("NotAction"):
        return "" if any(matches(text.lower(), action) is YES for _, text in part.texts("NotAction")) else "not"
    named = [text.lower() for _, text in part.texts("Action") if matches(text.lower(), action).possible]
    if action in named:
        return "named"
    return "star" if named else ""


def _is_everything(resource: str, whole: str) -> bool:
    """Whether a resource covers every role: its own name says nothing about which."""
    return resource == "*" or (
        "*" in resource and resource.rpartition("/")[2].strip("*") == "" and overlaps(resource, whole).possible
    )
