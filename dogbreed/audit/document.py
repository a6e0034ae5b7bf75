"""Policy documents: a plain value to a Policy with every element as a list of strings, and finding policies in values.

What AWS would reject is read as far as it means something and noted in `Statement.malformed`, never dropped in silence.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from dogbreed.audit import jsontext
from dogbreed.audit.finding import BrokenInput
from dogbreed.audit.model import HOLE, UNKNOWN, Condition, Kind, Policy, Statement
from dogbreed.audit.source import Fixed, Path, Source

_SPELLED = (
    "Version",
    "Id",
    "Statement",
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
)
_ELEMENTS = {name.lower(): name for name in (*_SPELLED, "NotResource", "Condition")}
_VERSIONS = ("2008-10-17", "2012-10-17")
_TRUST_ACTIONS = ("sts:assume", "sts:tagsession", "sts:setsourceidentity", "sts:setcontext", "sts:*")
# Keys under which documents stand in API answers and templates, and what they are there.
_KIND_OF_KEY = {
    "assumerolepolicydocument": Kind.TRUST,
    "assumerolepolicy": Kind.TRUST,
    "trust": Kind.TRUST,
    "trustpolicy": Kind.TRUST,
    "identity": Kind.IDENTITY,
    "identitypolicy": Kind.IDENTITY,
    "identitypolicies": Kind.IDENTITY,
    "resourcepolicy": Kind.RESOURCE,
    "resourcepolicies": Kind.RESOURCE,
    "keypolicy": Kind.RESOURCE,
    "bucketpolicy": Kind.RESOURCE,
    "repositorypolicytext": Kind.RESOURCE,
    "boundary": Kind.BOUNDARY,
    "permissionsboundary": Kind.BOUNDARY,
    "permissionsboundaries": Kind.BOUNDARY,
    "permissionboundaries": Kind.BOUNDARY,
    "scp": Kind.SCP,
    "scps": Kind.SCP,
    "servicecontrolpolicy": Kind.SCP,
    "servicecontrolpolicies": Kind.SCP,
    "rcp": Kind.RCP,
    "rcps": Kind.RCP,
    "resourcecontrolpolicy": Kind.RCP,
    "resourcecontrolpolicies": Kind.RCP,
    "sessionpolicy": Kind.SESSION,
    "sessionpolicies": Kind.SESSION,
    "vpcendpointpolicy": Kind.VPC_ENDPOINT,
    "vpcendpointpolicies": Kind.VPC_ENDPOINT,
    "inlinepolicy": Kind.PERMISSION_SET,
}
# What `aws organizations describe-policy` calls the policy in its Content.
_KIND_OF_TYPE = {"SERVICE_CONTROL_POLICY": Kind.SCP, "RESOURCE_CONTROL_POLICY": Kind.RCP}
_DEEPEST = 12


def make_policy(
    document: Any,
    kind: Kind | None,
    name: str,
    source: Source,
    path: Path = (),
    *,
    attached_to: str = "",
    arn: str = "",
) -> Policy:
    """A policy from its document; `kind` None means that it is guessed from the statements.

    The document may also be text: JSON, or JSON in percent-encoding as IAM's API gives it. Raises BrokenInput when it
    is no policy at all.
    """
    if isinstance(document, str) and document != HOLE:
        document, source, path = _inner(document, source, path)
    if document == HOLE:
        document = UNKNOWN
    if document is not UNKNOWN and not isinstance(document, dict):
        raise BrokenInput(source.locate(path), f"a policy is an object, not {_type(document)}")
    policy = Policy(kind or Kind.IDENTITY, name, document, source, path, attached_to=attached_to, arn=arn)
    if not isinstance(document, dict):
        policy.statements = (Statement(HOLE, 0, policy),)
    else:
        elements = _elements(document)
        policy.version = _text(elements.get("Version", ""))
        statements = elements.get("Statement", [])
        many = statements if isinstance(statements, list) else [statements]
        policy.statements = tuple(_statement(one, index, policy) for index, one in enumerate(many))
    if kind is None:
        policy.kind = guess_kind(policy)
    return policy


def find_policies(value: Any, source: Source, name: str, kind: Kind | None = None, path: Path = ()) -> list[Policy]:
    """Every policy in a plain JSON value: a document, a list of them, or documents inside other objects."""
    return list(_walk(value, source, name, kind, path))


def read_policies(text: str, file: str, kind: Kind | None = None) -> tuple[list[Policy], list[BrokenInput]]:
    """The policies of a JSON text, which may hold several documents, and what is broken in it."""
    documents, errors = jsontext.parse_many(text, file)
    found: list[Policy] = []
    for value, source in documents:
        try:
            found += find_policies(value, source, file, kind)
        except BrokenInput as error:
            errors.append(error)
    return found, errors


def is_policy(value: Any) -> bool:
    """Whether a plain value looks like a policy document: its Statement holds only objects, one with an Effect.

    Beside a Version of IAM's it may hold anything, and be misspelled: a broken policy must not go by unseen.
    """
    if not isinstance(value, Mapping):
        return False
    elements = _elements(value)
    dated = elements.get("Version") in _VERSIONS
    statement = elements.get("Statement")
    if dated and statement is not None and statement is not UNKNOWN:
        return True
    if dated and statement is None:
        return bool(difflib.get_close_matches("statement", [plain_key(key).lower() for key in value], cutoff=0.8))
    if isinstance(statement, Mapping):
        statement = [statement]
    if not isinstance(statement, list):
        return False
    if not all(one is UNKNOWN or isinstance(one, Mapping) for one in statement):
        return False
    named = [_elements(one) for one in statement if isinstance(one, Mapping)]
    return not named or any("Effect" in one for one in named)


def plain_key(key: Any) -> str:
    """A key without the differences of spelling: small letters, no underscores or hyphens."""
    return str(key).lower().replace("_", "").replace("-", "")


def kind_of_key(key: Any) -> Kind | None:
    """What kind of policy stands under a key, None when the key does not say."""
    return _KIND_OF_KEY.get(plain_key(key))


def guess_kind(policy: Policy) -> Kind:
    """Trust or resource when a statement names principals, identity otherwise (an SCP looks the same)."""
    if not any(one.principals is not None or one.not_principals is not None for one in policy.statements):
        return Kind.IDENTITY
    actions = [action.lower() for one in policy.statements for action in one.actions or ()]
    trust = actions and all(action.startswith(_TRUST_ACTIONS) for action in actions)
    return Kind.TRUST if trust and not any(one.resources for one in policy.statements) else Kind.RESOURCE


def _walk(value: Any, source: Source, name: str, kind: Kind | None, path: Path) -> Iterator[Policy]:
    if is_policy(value):
        yield make_policy(value, kind, name, source, path)
    elif isinstance(value, str) and '"Statement"' in (unquote(value) if value.startswith("%7B") else value):
        inner, inner_source, inner_path = _inner(value, source, path)
        if is_policy(inner):
            yield make_policy(inner, kind, name, inner_source, inner_path)
    elif len(path) < _DEEPEST:
        members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        if isinstance(value, dict) and isinstance(summary := value.get("PolicySummary"), dict):
            kind = _KIND_OF_TYPE.get(str(summary.get("Type")), kind)
        for key, member in members:
            known = kind_of_key(key) or kind
            called = f"{name}#{key}" if isinstance(key, str) and isinstance(member, dict | str) else name
            yield from _walk(member, source, called if is_policy(member) else name, known, (*path, key))


def _inner(text: str, source: Source, path: Path) -> tuple[Any, Source, Path]:
    """The document inside a string; all of it stands where the string stands."""
    plain = text.lstrip()
    if plain[:3].lower() == "%7b":
        plain = unquote(plain)
    place = source.locate(path)
    try:
        value, _ = jsontext.parse(plain, place.file)
    except BrokenInput as error:
        raise BrokenInput(place, f"the policy inside this string {error.message}") from None
    return value, Fixed(place), ()


def _statement(value: Any, index: int, policy: Policy) -> Statement:
    if value is UNKNOWN or value == HOLE:
        return Statement(HOLE, index, policy)
    if not isinstance(value, Mapping):
        return Statement("", index, policy, malformed=(f"a statement is an object, not {_type(value)}",))
    wrong: list[str] = []
    elements = _elements(value)
    effect = _text(elements.get("Effect", ""))
    if effect not in ("Allow", "Deny", HOLE):
        wrong.append(f"Effect is {effect!r}, not Allow or Deny")
        effect = effect.strip().capitalize()
    lists = {name: _strings(elements, name, wrong) for name in ("Action", "NotAction", "Resource", "NotResource")}
    return Statement(
        effect,
        index,
        policy,
        sid=_text(elements.get("Sid", "")),
        actions=lists["Action"],
        not_actions=lists["NotAction"],
        resources=lists["Resource"],
        not_resources=lists["NotResource"],
        principals=_principals(elements, "Principal", wrong),
        not_principals=_principals(elements, "NotPrincipal", wrong),
        conditions=_conditions(elements.get("Condition", {}), wrong),
        malformed=tuple(wrong),
    )


def _elements(value: Mapping[str, Any]) -> dict[str, Any]:
    """The members by the right spelling of their names."""
    return {_ELEMENTS.get(str(key).lower(), str(key)): member for key, member in value.items()}


def _strings(elements: Mapping[str, Any], name: str, wrong: list[str]) -> tuple[str, ...] | None:
    if name not in elements:
        return None
    return _values(elements[name], name, wrong)


def _values(value: Any, name: str, wrong: list[str]) -> tuple[str, ...]:
    found = []
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str):
            found.append(one)
        elif one is UNKNOWN:
            found.append(HOLE)
        else:
            wrong.append(f"{name} holds {_type(one)} instead of text")
    return tuple(found)


def _principals(elements: Mapping[str, Any], name: str, wrong: list[str]) -> tuple[tuple[str, str], ...] | None:
    if name not in elements:
        return None
    value = elements[name]
    if isinstance(value, Mapping):
        return tuple((str(kind), text) for kind, many in value.items() for text in _values(many, name, wrong))
    return tuple((text if text in ("*", HOLE) else "AWS", text) for text in _values(value, name, wrong))


def _conditions(value: Any, wrong: list[str]) -> tuple[Condition, ...]:
    if value is UNKNOWN or value == HOLE:
        return (Condition(HOLE, HOLE, (HOLE,)),)
    if not isinstance(value, Mapping):
        wrong.append(f"Condition is {_type(value)}, not an object")
        return (Condition(HOLE, HOLE, (HOLE,)),)
    found = []
    for operator, keys in value.items():
        if keys is UNKNOWN:
            found.append(Condition(str(operator), HOLE, (HOLE,)))
        elif not isinstance(keys, Mapping):
            wrong.append(f"the condition {operator} holds {_type(keys)}, not an object")
            found.append(Condition(str(operator), HOLE, (HOLE,)))
        else:
            found += [Condition(str(operator), str(key), _scalars(many, wrong)) for key, many in keys.items()]
    return tuple(found)


def _scalars(value: Any, wrong: list[str]) -> tuple[str, ...]:
    found = []
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, bool):
            found.append("true" if one else "false")
        elif isinstance(one, int | float):
            found.append(json.dumps(one))
        else:
            found += _values([one], "a condition", wrong)
    return tuple(found)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else HOLE if value is UNKNOWN else str(value)


def _type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
