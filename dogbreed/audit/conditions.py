"""Conditions: does one hold, for a request whose keys are known, partly known, or chosen by an attacker.

What a key holds is a `Value`. The answer is YES when the condition holds whatever the key may hold, NO when it never
does, else UNKNOWN. So an Allow is possible unless its conditions say NO, and a Deny is sure only when they say YES.
Rules after the IAM User Guide, "Condition operators" and "Multivalued context keys".
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise
from math import isfinite
from typing import NamedTuple

from dogbreed.audit import pattern
from dogbreed.audit.answer import NO, UNKNOWN, YES, Answer, all_of, among, any_of
from dogbreed.audit.model import HOLE, Condition, Statement

_VARIABLE = re.compile(r"\$\{\s*([^{},]+?)\s*(?:,\s*'([^']*)'\s*)?\}")
_MARKED = {"*": pattern.LITERAL, "?": pattern.ANY_ONE, "$": "$"}
# The version of the policy language that has variables; in the older one `${...}` is plain text.
VARIABLES_SINCE = "2012-10-17"


class Value(NamedTuple):
    """What a condition key holds: these values, or (None) any; `missing`: it may also be absent.

    With `patterns` the key holds one value, which some of the patterns in `values` match.
    """

    values: tuple[str, ...] | None
    missing: bool = False
    patterns: bool = False


# Of this letter are texts that no policy names.
_OTHER = "\ue005"
# What operators compare, by their beginning.
_KINDS = {
    "string": "text",
    "arn": "text",
    "numeric": "number",
    "date": "number",
    "bool": "truth",
    "ipaddress": "address",
    "notipaddress": "address",
    "null": "null",
}
ABSENT = Value((), missing=True)
ANY = Value(None, missing=True)
# What each key holds; keys in lower case.
Facts = Callable[[str], Value]


def known(*values: str) -> Value:
    """A key that surely holds these values."""
    return Value(values)


def all_hold(statement: Statement, facts: Facts) -> Answer:
    """Whether every condition of a statement holds; NO also where no value of a key meets all conditions on it."""
    version, conditions = statement.policy.version, statement.conditions
    answer = all_of(holds(condition, facts, version) for condition in conditions)
    if answer is not UNKNOWN or len(conditions) < 2:
        return answer
    by_key: dict[str, list[Condition]] = {}
    for condition in conditions:
        by_key.setdefault(condition.key.lower(), []).append(condition)
    return NO if any(_contradict(key, same, facts, version) for key, same in by_key.items()) else UNKNOWN


def _contradict(key: str, conditions: list[Condition], facts: Facts, version: str) -> bool:
    """Whether conditions on one key, which may hold anything, exclude each other: no candidate meets them all."""
    free = facts(key)
    kinds = {_kind(condition.operator) for condition in conditions} - {"null"}
    if len(conditions) < 2 or free.values is not None or len(kinds) > 1 or None in kinds:
        return False

    def meets_all(value: Value) -> bool:
        given: Facts = lambda asked: value if asked == key else facts(asked)  # noqa: E731
        return all(holds(condition, given, version).possible for condition in conditions)

    wanted = [
        one if _by_glob(each.operator) else pattern.literal(one)
        for each in conditions
        for text in each.values
        if (one := substitute(text, facts, version)) is not None
    ]
    candidates = _candidates(next(iter(kinds), "text") or "", wanted)
    return not (free.missing and meets_all(ABSENT)) and not any(map(meets_all, candidates))


def _kind(operator: str) -> str | None:
    """What an operator compares; None where several values are judged together, or it is not known."""
    operator = operator.lower().removesuffix("ifexists")
    for beginning, kind in _KINDS.items():
        if operator.startswith(beginning):
            return f"{kind} in any case" if operator.endswith("ignorecase") else kind
    return None


def _by_glob(operator: str) -> bool:
    """Whether the wildcards of an operator's values are wildcards."""
    operator = operator.lower().removesuffix("ifexists")
    return operator.startswith("arn") or operator.endswith("like")


def _candidates(kind: str, wanted: list[str]) -> Iterator[Value]:
    """One value for each part into which some values of a policy divide what a key can hold."""
    if kind == "number":
        limits = sorted({limit for one in wanted if (limit := seconds(one)) is not None and isfinite(limit)}) or [0.0]
        between = [(low + high) / 2 for low, high in pairwise(limits)]
        yield from (known(repr(one)) for one in (limits[0] - 1, *limits, *between, limits[-1] + 1))
    elif kind == "truth":
        yield from (known("true"), known("false"))
    elif kind == "address":
        yield from (known("0.0.0.0"), known("::"))
        for network in [found for one in wanted if (found := _network(one))]:
            yield known(str(network.network_address))
            if int(network.broadcast_address) + 1 < 1 << network.max_prefixlen:
                yield known(str(network.broadcast_address + 1))
    else:
        yield from (Value((one,), patterns=True) for one in wanted)
        # Of what no value names, only the length can matter.
        lengths = {length for one in wanted for length in (one.count("?"), one.count("?") + 1)}
        yield from (known(_OTHER * length) for length in sorted({0, 1} | lengths))


def holds(condition: Condition, facts: Facts, version: str = VARIABLES_SINCE) -> Answer:
    """Whether a condition holds for what its key may hold."""
    if HOLE in condition.operator or HOLE in condition.key:
        return UNKNOWN
    operator = condition.operator.lower()
    quantifier, _, operator = operator.rpartition(":")
    if_exists = operator.endswith("ifexists")
    operator = operator.removesuffix("ifexists")
    value = facts(condition.key.lower())
    if operator == "null":
        return _null(condition, value)
    if operator not in _OPERATORS or quantifier not in ("", "foranyvalue", "forallvalues"):
        return NO
    compare, negated = _OPERATORS[operator]
    wanted = [one for text in condition.values if (one := substitute(text, facts, version)) is not None]
    absent = YES if if_exists or quantifier == "forallvalues" or (negated and not quantifier) else NO
    outcomes = [absent] if value.missing or value.values == () else []
    if value.values is None:
        outcomes.append(_of_any(operator, wanted, negated))
    elif value.patterns:
        outcomes += [_of_pattern(operator, one, wanted, negated) for one in value.values]
    elif value.values:
        each = [_of_text(compare, one, wanted, negated) for one in value.values]
        if len(each) > 1 and not quantifier:
            # Several values under an operator for one: AWS does not match.
            outcomes.append(NO)
        else:
            outcomes.append(all_of(each) if quantifier == "forallvalues" else any_of(each))
    return among(outcomes)


def substitute(text: str, facts: Facts, version: str) -> str | None:
    """The pattern after replacing `${...}`; None when a variable has no value and no default."""
    if "${" not in text or version != VARIABLES_SINCE:
        return text
    lost = False

    def value_of(match: re.Match[str]) -> str:
        nonlocal lost
        key, default = match[1], match[2]
        if key in _MARKED:
            return _MARKED[key]
        value = facts(key.lower())
        if value.values == () and default is not None:
            return pattern.literal(default)
        if value.values is not None and not value.missing and not value.patterns and len(value.values) == 1:
            return pattern.literal(value.values[0])
        lost = lost or value.values == () or (value.values is not None and len(value.values) > 1)
        return HOLE

    result = _VARIABLE.sub(value_of, text)
    return None if lost else result


def _null(condition: Condition, value: Value) -> Answer:
    """`Null: {key: "true"}` holds when the key is absent."""
    answers = []
    for wanted in condition.values:
        if HOLE in wanted:
            answers.append(UNKNOWN)
            continue
        is_absent = YES if value.values == () else UNKNOWN if value.missing else NO
        answers.append({"true": is_absent, "false": ~is_absent}.get(wanted.lower(), NO))
    return any_of(answers)


def _of_text(compare: Comparing, text: str, wanted: Iterable[str], negated: bool) -> Answer:
    """One value of the request against all values of the policy."""
    answers = [compare(one, text) for one in wanted]
    judged = [answer for answer in answers if answer is not None]
    if answers and not judged:
        return NO
    return ~any_of(judged) if negated else any_of(judged)


def _of_any(operator: str, wanted: list[str], negated: bool) -> Answer:
    """A value that can be anything: sure only when the policy's values match everything or nothing."""
    if operator.startswith("arn") or operator.endswith("like"):
        everything = "*" in wanted
    elif "ipaddress" in operator:
        everything = any(network.prefixlen == 0 for one in wanted if (network := _network(one)))
    elif operator == "bool":
        everything = {"true", "false"} <= {one.lower() for one in wanted}
    else:
        everything = False
    if "ipaddress" in operator:
        wanted = [one for one in wanted if not _is_nowhere(one)]
    found = YES if everything else UNKNOWN if wanted else NO
    return ~found if negated else found


def _of_pattern(operator: str, possible: str, wanted: Iterable[str], negated: bool) -> Answer:
    """A value that some text of the pattern `possible` can be."""
    arn = operator.startswith("arn")
    if not arn and not operator.startswith("string"):
        return UNKNOWN
    # The parts of an ARN hold no colons, whatever the operator.
    parts = arn or possible.startswith("arn:")
    overlaps, contains = (pattern.arn_overlaps, pattern.arn_contains) if parts else (pattern.overlaps, pattern.contains)
    globs = list(wanted) if arn or operator.endswith("like") else [pattern.literal(one) for one in wanted]
    if operator.endswith("ignorecase"):
        globs, possible = [glob.lower() for glob in globs], possible.lower()
    found = any_of(YES if contains(glob, possible) is YES else min(overlaps(glob, possible), UNKNOWN) for glob in globs)
    return ~found if negated else found


# Compares a value of the policy (a pattern) with one of the request; None when one of them makes no sense there.
Comparing = Callable[[str, str], Answer | None]


def _equals(wanted: str, text: str) -> Answer:
    return pattern.matches(pattern.literal(wanted), text)


def _equals_ignoring_case(wanted: str, text: str) -> Answer:
    return pattern.matches(pattern.literal(wanted).lower(), text.lower())


def _arn_like(wanted: str, text: str) -> Answer:
    return pattern.arn_matches(wanted, text)


def _binary(wanted: str, text: str) -> Answer | None:
    try:
        return _truth(base64.b64decode(wanted, validate=True) == base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return None


def _bool(wanted: str, text: str) -> Answer:
    if HOLE in wanted + text:
        return UNKNOWN
    return _truth(wanted.lower() == text.lower())


def _address(wanted: str, text: str) -> Answer | None:
    if HOLE in wanted + text:
        return UNKNOWN
    network, address = _network(wanted), _network(text)
    if network is None or address is None:
        return None
    if network.version != address.version:
        return NO
    return _truth(address.network_address in network)


def _is_nowhere(text: str) -> bool:
    """Whether no request comes from any of these addresses: the machine itself, its own link, none."""
    network = _network(text)
    return network is not None and (network.is_loopback or network.is_link_local or network.is_unspecified)


@lru_cache(1 << 12)
def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        return None


def _ordered(parse: Callable[[str], float | None], test: Callable[[float, float], bool]) -> Comparing:
    """A comparison of two numbers or dates, the request's first."""

    def compare(wanted: str, text: str) -> Answer | None:
        if HOLE in wanted + text:
            return UNKNOWN
        limit, value = parse(wanted), parse(text)
        return None if limit is None or value is None else _truth(test(value, limit))

    return compare


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@lru_cache(1 << 12)
def seconds(text: str) -> float | None:
    """A date in ISO 8601, or seconds since 1970, as seconds since 1970."""
    text = text.strip()
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _truth(value: bool) -> Answer:
    return YES if value else NO


_TESTS: dict[str, Callable[[float, float], bool]] = {
    "equals": lambda value, limit: value == limit,
    "notequals": lambda value, limit: value == limit,
    "lessthan": lambda value, limit: value < limit,
    "lessthanequals": lambda value, limit: value <= limit,
    "greaterthan": lambda value, limit: value > limit,
    "greaterthanequals": lambda value, limit: value >= limit,
}
# {operator: (comparison, whether it is negated)}
_OPERATORS: dict[str, tuple[Comparing, bool]] = {
    "stringequals": (_equals, False),
    "stringnotequals": (_equals, True),
    "stringequalsignorecase": (_equals_ignoring_case, False),
    "stringnotequalsignorecase": (_equals_ignoring_case, True),
    "stringlike": (pattern.matches, False),
    "stringnotlike": (pattern.matches, True),
    "arnequals": (_arn_like, False),
    "arnlike": (_arn_like, False),
    "arnnotequals": (_arn_like, True),
    "arnnotlike": (_arn_like, True),
    "bool": (_bool, False),
    "binaryequals": (_binary, False),
    "ipaddress": (_address, False),
    "notipaddress": (_address, True),
    **{f"numeric{name}": (_ordered(_number, test), name == "notequals") for name, test in _TESTS.items()},
    **{f"date{name}": (_ordered(seconds, test), name == "notequals") for name, test in _TESTS.items()},
}
OPERATORS = frozenset(_OPERATORS) | {"null"}
