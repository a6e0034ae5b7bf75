"""Conditions: operators, keys and their types."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from dogbreed.audit import facts
from dogbreed.audit.model import HOLE, UNKNOWN
from dogbreed.audit.source import Path
from dogbreed.audit.validity import keys
from dogbreed.audit.validity.actions import services_of
from dogbreed.audit.validity.look import Look, Part, texts, unknown
from dogbreed.audit.validity.services import KNOWN
from dogbreed.audit.validity.values import look_at_values, look_for_one_that_decides
from dogbreed.audit.validity.variables import has_variable, look_at_text

_FAMILIES = {
    "string": ("equals", "notequals", "equalsignorecase", "notequalsignorecase", "like", "notlike"),
    "numeric": ("equals", "notequals", "lessthan", "lessthanequals", "greaterthan", "greaterthanequals"),
    "date": ("equals", "notequals", "lessthan", "lessthanequals", "greaterthan", "greaterthanequals"),
    "arn": ("equals", "notequals", "like", "notlike"),
}
_OPERATORS = {family + word: family for family, words in _FAMILIES.items() for word in words} | {
    "bool": "bool",
    "binaryequals": "binary",
    "ipaddress": "ip",
    "notipaddress": "ip",
    "null": "null",
}
_SPELLED = (
    [
        f"{family.capitalize()}{word}"
        for family in ("String", "Arn")
        for word in ("Equals", "NotEquals", "Like", "NotLike")
    ]
    + [f"{family}{word}" for family in ("Numeric", "Date") for word in ("Equals", "LessThan", "GreaterThan")]
    + [
        "StringEqualsIgnoreCase",
        "StringNotEqualsIgnoreCase",
        "Bool",
        "BinaryEquals",
        "IpAddress",
        "NotIpAddress",
        "Null",
    ]
)
# The family of operators that each type of key goes with.
_FAMILY_OF = {"String": "string", "ARN": "arn", "Bool": "bool", "Numeric": "numeric", "Date": "date", "IPAddress": "ip"}
# What else AWS accepts: ARNs as texts, texts as ARNs (keys that hold either), dates as seconds.
_ALSO = {("ARN", "string"), ("String", "arn"), ("Date", "numeric"), ("String", "binary"), ("Binary", "binary")}
_KEY = re.compile(r"[^:\s]+:\S.*")
# Ids of KMS keys stand in these as ARNs.
_KMS_KEYS = ("s3:x-amz-server-side-encryption-aws-kms-key-id",)


class Operator(NamedTuple):
    """A condition operator, taken apart."""

    name: str
    family: str
    qualifier: str
    if_exists: bool

    @property
    def negated(self) -> bool:
        """Whether it is a Not-form."""
        return "not" in self.name

    @property
    def like(self) -> bool:
        """Whether `*` and `?` are wildcards for it."""
        return self.family == "arn" or self.name.endswith("like")


def parse_operator(written: str) -> Operator | None:
    """The parts of an operator; None when there is none of that name."""
    qualifier, colon, name = written.lower().rpartition(":")
    if colon and qualifier not in ("forallvalues", "foranyvalue"):
        return None
    if_exists = name.endswith("ifexists")
    name = name.removesuffix("ifexists")
    family = _OPERATORS.get(name)
    return Operator(name, family, qualifier, if_exists) if family else None


def look_at_conditions(look: Look, part: Part) -> None:
    """The Condition of a statement."""
    block = part.values.get("Condition")
    if block is None or unknown(block):
        return
    path = part.at("Condition")
    if not isinstance(block, Mapping):
        look.say("DATA_TYPE_MISMATCH", path, "Condition is no object")
        return
    if not block:
        look.say("EMPTY_OBJECT_CONDITION", path, "the Condition is empty")
    services = services_of(part)
    for written, pairs in block.items():
        here = (*path, written)
        operator = parse_operator(str(written))
        if operator is None:
            if HOLE not in str(written):
                near = next(iter(difflib.get_close_matches(str(written), _SPELLED, n=1)), "")
                mean = f": did you mean {near}?" if near else ""
                look.say("INVALID_CONDITION_OPERATOR", here, f"there is no operator {written!r}{mean}")
            continue
        if not isinstance(pairs, Mapping):
            if not unknown(pairs):
                look.say("DATA_TYPE_MISMATCH", here, f"{written} holds no object of keys and values")
            continue
        _look_at_block(look, part, operator, here, pairs, services)
    _look_for_pairs(look, part, block)
    _look_for_tags(look, part, block)


def _look_at_block(
    look: Look, part: Part, operator: Operator, path: Path, pairs: Mapping[str, Any], services: frozenset[str]
) -> None:
    written = str(path[-1])
    if operator.family == "null":
        if operator.if_exists:
            look.say("NULL_WITH_IF_EXISTS", path, "Null asks whether the key is there: IfExists cannot be added")
        if operator.qualifier:
            answer = "true" if operator.qualifier == "forallvalues" else "false"
            look.say("NULL_WITH_QUALIFIER", path, f"{written} is always {answer}")
    seen: dict[str, str] = {}
    for key, value in pairs.items():
        here = (*path, key)
        if seen.setdefault(key.lower(), key) != key:
            look.say("DUPLICATE_KEYS_WITH_DIFFERENT_CASE", here, f"{key} and {seen[key.lower()]} are the same key")
        if HOLE in key:
            continue
        kind = _type_of(look, here, key, services)
        _look_at_key(look, part, operator, here, kind)
        _look_at_value(look, operator, here, value)


def _type_of(look: Look, path: Path, key: str, services: frozenset[str]) -> str | None:
    """The type of a key that exists; says what is wrong with one that does not."""
    lower = key.lower()
    prefix = lower.partition(":")[0]
    if lower in keys.SUCCESSORS:
        look.say("UNSUPPORTED_GLOBAL_CONDITION_KEY", path, f"use {keys.SUCCESSORS[lower]} instead of {key}")
        return None
    if not _KEY.fullmatch(key):
        look.say("INVALID_CONDITION_KEY_FORMAT", path, f"{key!r} is not written service:key")
        return None
    if lower.rstrip("/") in keys.TAGS or lower.endswith(("resourcetag", "requesttag", "resourcetag/", "requesttag/")):
        look.say("MISSING_TAG_KEY_IN_CONDITION", path, f"{key} names no tag: write {key.rstrip('/')}/NAME")
        return None
    try:
        return keys.type_of(key, services)
    except keys.NoSuchKey:
        if prefix == "aws":
            near = next(iter(difflib.get_close_matches(lower, list(keys.GLOBAL), n=1)), "")
            mean = f": did you mean {near}?" if near else ""
            look.say("INVALID_GLOBAL_CONDITION_KEY", path, f"there is no global condition key {key}{mean}")
        else:
            near = next(iter(difflib.get_close_matches(lower, list(facts.condition_keys(prefix)), n=1)), "")
            mean = f": did you mean {near}?" if near else ""
            look.say("INVALID_SERVICE_CONDITION_KEY", path, f"{prefix} has no condition key {key}{mean}")
    except facts.MissingFacts as missing:
        if prefix in KNOWN:
            look.cannot_say("INVALID_SERVICE_CONDITION_KEY", path, str(missing))
        else:
            look.say("INVALID_SERVICE", path, f"there is no service {prefix!r}, in the condition key {key}")
    return None


def _look_at_key(look: Look, part: Part, operator: Operator, path: Path, kind: str | None) -> None:
    """Whether the operator goes with the type of the key."""
    if kind is None:
        return
    key, written = path[-1], path[-2]
    many = kind.startswith("ArrayOf")
    single = kind.removeprefix("ArrayOf")
    if operator.family == "null":
        return
    if many and not operator.qualifier:
        look.say("MISSING_QUALIFIER", path, f"{key} may have many values: {written} needs ForAllValues or ForAnyValue")
    elif not many and operator.qualifier == "forallvalues" and part.allows:
        look.say(
            "FORALLVALUES_WITH_SINGLE_VALUED_KEY",
            path,
            f"{key} has one value, and {written} is true where it is missing",
        )
    if operator.name in ("stringlike", "stringnotlike") and single == "ARN":
        right = "ArnNotLike" if operator.negated else "ArnLike"
        look.say("STRING_LIKE_OPERATOR_WITH_ARN_CONDITION_KEYS", path, f"{key} is an ARN: use {right}")
    wanted = _FAMILY_OF.get(single)
    if wanted and operator.family != wanted and (single, operator.family) not in _ALSO:
        look.say("TYPE_MISMATCH", path, f"{key} is of the type {single}, and {written} is no operator for it")


def _look_at_value(look: Look, operator: Operator, path: Path, value: Any) -> None:
    key, written = str(path[-1]), str(path[-2])
    if value is UNKNOWN:
        return
    if isinstance(value, list) and not value:
        suffix = "_IFEXISTS" if operator.if_exists else f"_{operator.qualifier.upper()}" if operator.qualifier else ""
        look.say(f"EMPTY_ARRAY_CONDITION{suffix}", path, f"{written} has no value for {key}")
        return
    many = value if isinstance(value, list) else [value]
    if any(isinstance(one, dict | list) or one is None for one in many):
        look.say("DATA_TYPE_MISMATCH", path, f"the value of {key} is neither text nor a list of texts")
        return
    if len({type(one) for one in many if one is not UNKNOWN}) > 1:
        look.say("INVALID_CONDITION_DATA_TYPE", path, f"the values of {key} are of several JSON types")
    written_out = [one if isinstance(one, str) or one is UNKNOWN else json.dumps(one) for one in many]
    values = texts(written_out if isinstance(value, list) else written_out[0], path)
    for place, text in values:
        look_at_text(look, place, text, look.policy.version)
    look_at_values(look, operator.family, operator.negated, key.lower(), values)
    if operator.family in ("numeric", "date"):
        look_for_one_that_decides(look, operator.name, key, values)
    if operator.family in ("string", "arn"):
        _look_for_wildcards(look, operator, key, values)
    if key.lower() in _KMS_KEYS and operator.name in ("stringequals", "stringnotequals", "arnequals", "arnnotequals"):
        for place, text in values:
            if not text.startswith("arn:") and not has_variable(text):
                look.say("INVALID_KMS_KEY_VALUE", place, f"{text!r} is no ARN of a KMS key")


def _look_for_wildcards(look: Look, operator: Operator, key: str, values: list[tuple[Path, str]]) -> None:
    for path, text in values:
        if operator.like and text == "*" and not operator.if_exists and operator.qualifier != "forallvalues":
            only = "true" if operator.negated else "false"
            code = "EQUIVALENT_TO_NULL_TRUE" if operator.negated else "EQUIVALENT_TO_NULL_FALSE"
            look.say(code, path, f'this asks only whether {key} is there: "Null": {{"{key}": "{only}"}} says so')
        elif not operator.like and operator.family == "string" and _has_wildcard(text):
            look.say("WILDCARD_WITHOUT_LIKE_OPERATOR", path, f"the wildcard in {text!r} is a plain character here")


def _has_wildcard(text: str) -> bool:
    plain = text.replace("${*}", "").replace("${?}", "")
    return "*" in plain or "?" in plain


def _look_for_pairs(look: Look, part: Part, block: Mapping[str, Any]) -> None:
    """aws:VpcSourceIp means something only together with the VPC."""
    named = {key.lower(): (op, key) for op, pairs in block.items() if isinstance(pairs, Mapping) for key in pairs}
    if "aws:vpcsourceip" in named and not {"aws:sourcevpc", "aws:sourcevpce", "aws:sourcevpcarn"} & set(named):
        path = part.at("Condition", *named["aws:vpcsourceip"])
        look.say("MISSING_PAIRED_CONDITION_KEYS", path, "many VPCs have the same addresses as this aws:VpcSourceIp")


def _look_for_tags(look: Look, part: Part, block: Mapping[str, Any]) -> None:
    """aws:ResourceTag on services whose requests do not carry it."""
    named = [
        part.at("Condition", op, key)
        for op, pairs in block.items()
        if isinstance(pairs, Mapping)
        and (operator := parse_operator(str(op)))
        and operator.family != "null"
        and not operator.if_exists
        and not operator.negated
        for key in pairs
        if key.lower().startswith("aws:resourcetag/")
    ]
    if not named or not (part.allows or part.denies):
        return
    effect = "ALLOW" if part.allows else "DENY"
    if part.has("NotAction"):
        code = f"{effect}_NOTACTION_WITH_UNSUPPORTED_TAG_CONDITION_KEY_FOR_SERVICE"
        look.say(code, named[0], "NotAction also means services whose requests carry no aws:ResourceTag")
        return
    without = sorted(
        service
        for service in services_of(part)
        if service in facts.services() and service in KNOWN and not keys.supports_resource_tags(service)
    )
    if without:
        look.say(
            f"{effect}_WITH_UNSUPPORTED_TAG_CONDITION_KEY_FOR_SERVICE",
            named[0],
            f"requests to {', '.join(without)} carry no aws:ResourceTag",
        )
