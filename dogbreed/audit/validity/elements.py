"""The grammar of policies: elements, their types, Sids, sizes."""

from __future__ import annotations

import json
import re
from typing import Any

from dogbreed.audit.model import HOLE, UNKNOWN, Kind, Policy
from dogbreed.audit.source import Path
from dogbreed.audit.validity.look import IDENTITY, RESOURCE, Look, Part, unknown

_TOP = {"version": "Version", "id": "Id", "statement": "Statement"}
_VERSIONS = ("2012-10-17", "2008-10-17")
_SID = re.compile(r"[A-Za-z0-9]*")
_PAIRS = (("Action", "NotAction"), ("Resource", "NotResource"), ("Principal", "NotPrincipal"))
# Characters without white space. Sources: AWS, "IAM and AWS STS quotas", "Quotas for AWS Organizations".
_MANAGED, _IDENTITY, _TRUST, _RESOURCE, _SCP = 6_144, 10_240, 2_048, 20_480, 5_120


def look_at_top(look: Look) -> list[tuple[Path, Any]]:
    """The top of the document; gives its statements with their paths."""
    document = look.policy.document
    spelled: dict[str, str] = {}
    for key in document:
        name = _TOP.get(str(key).lower())
        if name is None:
            look.say("INVALID_POLICY_ELEMENT", (key,), f"a policy has no element {key!r}")
        else:
            spelled[name] = key
    version = document.get(spelled.get("Version", ""), None)
    if "Version" not in spelled:
        look.say("MISSING_VERSION", (), "the policy has no Version")
    elif not unknown(version) and version not in _VERSIONS:
        look.say("INVALID_VERSION", (spelled["Version"],), f"there is no Version {version!r}")
    if "Statement" not in spelled or document[spelled["Statement"]] == []:
        look.say("MISSING_STATEMENT", (), "the policy has no statement")
        return []
    statements, path = document[spelled["Statement"]], (spelled["Statement"],)
    if isinstance(statements, list):
        return [((*path, at), one) for at, one in enumerate(statements)]
    return [(path, statements)]


def look_at_elements(look: Look, part: Part) -> None:
    """The elements of a statement: there, of the right type, and not beside what excludes them."""
    for key in part.strange:
        look.say("INVALID_POLICY_ELEMENT", (*part.path, key), f"a statement has no element {key!r}")
    for one, other in _PAIRS:
        if part.has(one) and part.has(other):
            look.say("UNSUPPORTED_ELEMENT_COMBINATION", part.at(other), f"{one} and {other} exclude each other")
    _look_at_effect(look, part)
    if not part.has("Action") and not part.has("NotAction"):
        look.say("MISSING_ACTION", part.path, "the statement names no actions")
    needs_resource = look.kind in IDENTITY or look.kind in (Kind.SCP, Kind.RCP)
    if needs_resource and not part.has("Resource") and not part.has("NotResource"):
        look.say("MISSING_RESOURCE", part.path, "the statement names no resources")
    for name, word in (
        ("Action", "ACTION"),
        ("NotAction", "ACTION"),
        ("Resource", "RESOURCE"),
        ("NotResource", "RESOURCE"),
    ):
        _look_at_list(look, part, name, word)


def _look_at_effect(look: Look, part: Part) -> None:
    effect = part.values.get("Effect")
    if not part.has("Effect"):
        look.say("MISSING_EFFECT", part.path, "the statement neither allows nor denies")
    elif not unknown(effect) and not isinstance(effect, str):
        look.say("DATA_TYPE_MISMATCH", part.at("Effect"), "Effect is no text")
    elif not unknown(effect) and effect not in ("Allow", "Deny"):
        look.say("INVALID_EFFECT", part.at("Effect"), f"Effect is {effect!r}")


def _look_at_list(look: Look, part: Part, name: str, word: str) -> None:
    if not part.has(name):
        return
    value = part.values[name]
    if value == []:
        look.say(f"EMPTY_ARRAY_{word}", part.at(name), f"{name} is empty")
    for at, one in enumerate(value if isinstance(value, list) else [value]):
        if not isinstance(one, str) and one is not UNKNOWN:
            path = part.at(name, at) if isinstance(value, list) else part.at(name)
            look.say("DATA_TYPE_MISMATCH", path, f"{name} holds something that is no text")


def look_at_sids(look: Look, parts: list[Part]) -> None:
    """Sids: text, of the right characters, each once."""
    strict = look.kind in IDENTITY or look.kind in (Kind.TRUST, Kind.SCP, Kind.RCP)
    seen: set[str] = set()
    for part in parts:
        sid = part.values.get("Sid")
        if not part.has("Sid") or unknown(sid):
            continue
        path = part.at("Sid")
        if not isinstance(sid, str):
            look.say("DATA_TYPE_MISMATCH", path, "Sid is no text")
        elif not sid:
            look.say("EMPTY_SID_VALUE", path, "the Sid is empty")
        elif strict and not _SID.fullmatch(sid):
            look.say("UNSUPPORTED_SID", path, f"the Sid {sid!r} has other characters than letters and digits")
        elif sid in seen:
            look.say(
                "UNIQUE_SIDS_REQUIRED" if strict else "UNIQUE_SIDS_RECOMMENDED", path, f"the Sid {sid!r} stands twice"
            )
        if isinstance(sid, str):
            seen.add(sid)


def look_for_twins(look: Look, parts: list[Part]) -> None:
    """Statements that say the same."""
    seen: dict[str, Part] = {}
    for part in parts:
        said = {name: _sorted(value) for name, value in part.values.items() if name != "Sid"}
        text = json.dumps(said, sort_keys=True, default=repr)
        if HOLE in text or "UNKNOWN" in text or r"\ue000" in text:
            continue
        if text in seen:
            look.say("REDUNDANT_STATEMENT", part.path, "another statement says the same")
        seen[text] = part


def _sorted(value: Any) -> Any:
    if isinstance(value, list):
        return sorted(value, key=repr) if len(value) != 1 else value[0]
    return value


def look_at_size(look: Look) -> None:
    """Limits of length, where nothing in the document is unknown."""
    kind, policy = look.kind, look.policy
    size = size_of(policy)
    if size is None:
        return
    if kind is Kind.TRUST and size > _TRUST:
        look.say(
            "POLICY_SIZE_EXCEEDS_ROLE_TRUST_POLICY_QUOTA", (), f"longer than the {_TRUST} characters that AWS takes"
        )
    elif kind in (Kind.SCP, Kind.RCP) and size > _SCP:
        look.say(f"POLICY_SIZE_EXCEEDS_{kind.name}_QUOTA", (), f"longer than the {_SCP} characters that AWS takes")
    elif kind in RESOURCE and size > _RESOURCE:
        look.say(
            "POLICY_SIZE_EXCEEDS_RESOURCE_POLICY_QUOTA", (), f"longer than the {_RESOURCE} characters that AWS takes"
        )
    elif kind in IDENTITY:
        own = policy.arn and ":aws:policy/" not in policy.arn
        most = _MANAGED if own else _IDENTITY
        if size > most:
            look.say(
                "POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA", (), f"longer than the {most} characters that AWS takes"
            )


def size_of(policy: Policy) -> int | None:
    """The characters of a policy without white space between its values; None when something in it is unknown."""
    try:
        text = json.dumps(policy.document, separators=(",", ":"), ensure_ascii=False)
    except TypeError:  # holds UNKNOWN
        return None
    return None if HOLE in text else len(text)
