"""Action and NotAction: do the services and actions exist, and is one covered by the others."""

from __future__ import annotations

import difflib
from functools import cache, lru_cache

from dogbreed.audit import facts, pattern
from dogbreed.audit.answer import YES
from dogbreed.audit.finding import Severity
from dogbreed.audit.source import Path
from dogbreed.audit.validity.look import Look, Part
from dogbreed.audit.validity.services import KNOWN

_NOTHING: frozenset[str] = frozenset()


def look_at_actions(look: Look, part: Part) -> None:
    """All of a statement's actions."""
    for element in ("Action", "NotAction"):
        named = [(path, text) for path, text in part.texts(element) if "${" not in text]
        known = [(path, text) for path, text in named if _look_at_one(look, path, text)]
        if isinstance(part.values.get(element), list):
            _look_for_redundant(look, known)


def services_of(part: Part) -> frozenset[str]:
    """The prefixes in a statement's actions, without wildcards; empty where all are meant."""
    named = [text for _, text in part.texts("Action")]
    prefixes = {text.partition(":")[0].lower() for text in named}
    return _NOTHING if any("*" in prefix for prefix in prefixes) else frozenset(prefixes)


@lru_cache(1 << 16)
def expand(action: str) -> frozenset[str]:
    """The actions, in small letters, that a pattern names; raises MissingFacts for a service without data."""
    service, _, verb = action.lower().partition(":")
    if verb == "*":
        return _all(service)
    if "*" not in verb and "?" not in verb:
        return frozenset([f"{service}:{verb}"]) if verb in facts.actions(service) else _NOTHING
    return frozenset(f"{service}:{name}" for name in facts.actions(service) if pattern.matches(verb, name) is YES)


@cache
def _all(service: str) -> frozenset[str]:
    return frozenset(f"{service}:{name}" for name in facts.actions(service))


def _look_at_one(look: Look, path: Path, action: str) -> bool:
    """Whether the action exists, or may exist."""
    service, colon, verb = action.lower().partition(":")
    if action == "*" or (service == "*" and verb.strip("*") == ""):
        return True
    if not colon:
        look.say(
            "INVALID_ACTION", path, f"{action!r} is no action: it lacks the service and a colon", severity=Severity.HIGH
        )
        return False
    if service not in facts.services():
        if service in KNOWN:
            look.cannot_say("INVALID_ACTION", path, str(facts.MissingFacts(f"the service {service!r}")))
            return False
        meant = near(service, tuple(sorted(facts.services())))
        fix = f"write {meant}:{action.partition(':')[2]}" if meant else ""
        look.say("INVALID_SERVICE_IN_ACTION", path, f"there is no service {service!r}{_mean(meant)}", fix)
        return False
    if expand(action):
        return True
    names = facts.actions(service)
    meant = names.get(near(verb, tuple(names)), "")
    what = "no action of the service matches" if "*" in verb or "?" in verb else "there is no action"
    fix = f"write {service}:{meant}" if meant else ""
    look.say("INVALID_ACTION", path, f"{what} {action}{_mean(f'{service}:{meant}' if meant else '')}", fix)
    return False


def _look_for_redundant(look: Look, actions: list[tuple[Path, str]]) -> None:
    """An action all of whose meaning the others have too; of two equal ones the later one."""
    meant = [(path, text, _meaning(text)) for path, text in actions]
    patterns: dict[str, list[str]] = {}
    for _, text, _ in meant:
        if "*" in text or "?" in text:
            patterns.setdefault(text.lower().partition(":")[0], []).append(text.lower())
    first: dict[str, int] = {}
    for at, (path, text, meaning) in enumerate(meant):
        lower = text.lower()
        if first.setdefault(lower, at) != at:
            look.say("REDUNDANT_ACTION", path, f"{text} stands here twice")
        elif patterns and lower != "*":
            near_by = (*patterns.get("*", ()), *patterns.get(lower.partition(":")[0], ()))
            wider = next((one for one in near_by if one != lower and _covers(one, lower, meaning)), None)
            if wider:
                look.say("REDUNDANT_ACTION", path, f"{text} is covered by {wider}")


def _covers(wide: str, narrow: str, meaning: frozenset[str]) -> bool:
    """Whether a pattern covers an action; of two that mean the same the shorter one counts."""
    if wide == "*":
        return True
    if wide.partition(":")[0] != narrow.partition(":")[0]:
        return False
    whole = _meaning(wide)
    return meaning < whole or (meaning == whole and ("*" not in narrow or (len(wide), wide) < (len(narrow), narrow)))


def _meaning(action: str) -> frozenset[str]:
    return frozenset([action.lower()]) if action.startswith("*") else expand(action)


@lru_cache(1 << 10)
def near(name: str, known: tuple[str, ...]) -> str:
    """The known name that was probably meant; "" when none is near."""
    return next(iter(difflib.get_close_matches(name.replace("*", ""), known, n=1, cutoff=0.75)), "")


def _mean(meant: str) -> str:
    return f": did you mean {meant}?" if meant else ""
