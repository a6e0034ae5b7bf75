"""Rules about settings as a table: a rule, the types it looks at, and a test that says what is wrong and where.

A test yields `Wrong` for each fault and `Unsure` where a value that decides is not known. Nothing means passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from dogbreed.audit.finding import Category, Finding, Rule, Severity, Undecided, check
from dogbreed.audit.model import HOLE, UNKNOWN, Corpus, Resource
from dogbreed.audit.source import Path


class Wrong(NamedTuple):
    """What is wrong, as a clause without a full stop, and the path of the property."""

    path: Path
    what: str
    # How to mend this one, where the rule's own words are too general; and how bad, where it differs.
    fix: str = ""
    severity: Severity | None = None


class Unsure(NamedTuple):
    """Why it cannot be decided, and the path of the property."""

    path: Path
    reason: str


# "Disabled" is at times written as a switch.
_SWITCH = {"true": "enabled", "false": "disabled"}

Test = Callable[[Resource, Corpus], Iterable[Wrong | Unsure]]


def rule(
    id: str, category: Category, severity: str, title: str, why: str, fix: str, references: str = "", *, types: str
) -> Callable[[Test], Test]:
    """Register a test for the types `types` (`"SageMaker::Model Lambda::Function"`); references are comma-separated."""
    made = Rule(id, category, Severity(severity), title, why, fix, tuple(filter(None, references.split(", "))))

    def register(test: Test) -> Test:
        def run(resource: Resource, corpus: Corpus) -> Iterator[Finding | Undecided]:
            return _results(made, test(resource, corpus), resource)

        check(made, over=Resource, types=[f"AWS::{type}" for type in types.split()])(run)
        return test

    return register


def _results(made: Rule, verdicts: Iterable[Wrong | Unsure], resource: Resource) -> Iterator[Finding | Undecided]:
    for verdict in verdicts:
        place = resource.at(*verdict.path)
        if isinstance(verdict, Unsure):
            yield Undecided(made.id, subject(resource), place, verdict.reason)
        else:
            yield Finding(
                made.id,
                made.category,
                verdict.severity or made.severity,
                subject(resource),
                place,
                f"{made.title}: {verdict.what}. {made.why}",
                verdict.fix or made.fix,
            )


def subject(resource: Resource) -> str:
    """How a resource is called in a report."""
    return f"{resource.type} {resource.id}"


def partial(resource: Resource, *path: str | int) -> bool:
    """Whether nothing is known of a property, since only another part of the resource was read."""
    return resource.get("__partial__") is True and resource.get(*path) is None


def known(value: Any) -> bool:
    """Whether a value is known to the last character."""
    return value is not UNKNOWN and not (isinstance(value, str) and HOLE in value)


def truth(value: Any) -> bool | None:
    """A switch in any of its spellings (true, "true", "Enabled", 1); None when it is not known or absent."""
    if value is None or not known(value):
        return None
    return str(value).lower() in ("true", "enabled", "yes", "1", "on")


def is_unknown(resource: Resource, path: Path) -> Iterator[Unsure]:
    """`Unsure` when the value at a path is not known."""
    if not known(resource.get(*path)):
        yield Unsure(path, f"{dotted(path)} is not known before it is deployed")


def dotted(path: Path) -> str:
    """A path as people write it: `NetworkConfig.EnableNetworkIsolation`, `Containers[0].Image`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def switched(path: Path, *, on: bool, default: bool) -> Test:
    """A test that a switch is `on`; an absent one has AWS's default."""

    def test(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
        if partial(resource, *path):
            return
        value = resource.get(*path)
        if value is None:
            if default != on:
                yield Wrong(path, f"{dotted(path)} is not set, and is {'on' if default else 'off'} by default")
        elif (switch := truth(value)) is None:
            yield from is_unknown(resource, path)
        elif switch != on:
            yield Wrong(path, f"{dotted(path)} is {shown(value)}")

    return test


def given(*paths: Path) -> Test:
    """A test that one of some properties is set; a text that is not known yet is set."""

    def test(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
        values = [resource.get(*path) for path in paths]
        if partial(resource, *paths[0]) or any(has_content(value) for value in values):
            return
        for path, value in zip(paths, values, strict=True):
            if value is UNKNOWN:
                yield Unsure(path, f"{dotted(path)} is not known before it is deployed")
                return
        yield Wrong(paths[0], f"{dotted(paths[0])} is not set")

    return test


def customer_key(*paths: Path) -> Test:
    """A test that a key is set and is none that AWS manages (alias/aws/...)."""
    is_given = given(*paths)

    def test(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
        yield from is_given(resource, corpus)
        for path in paths:
            if "alias/aws/" in str(resource.get(*path)):
                yield Wrong(path, f"{dotted(path)} is {shown(resource.get(*path))}, a key that AWS manages")

    return test


def one_of(path: Path, good: Iterable[str], default: str | None = None) -> Test:
    """A test that a text is one of some; an absent one has AWS's default, None means that absence passes."""
    accepted = {word.lower() for word in good}

    def test(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
        if partial(resource, *path):
            return
        value = resource.get(*path)
        if value is None or value == "":
            if default is not None and default.lower() not in accepted:
                yield Wrong(path, f"{dotted(path)} is not set, and the default is {default}")
        elif not known(value):
            yield from is_unknown(resource, path)
        elif str(value).lower() not in accepted and _SWITCH.get(str(value).lower()) not in accepted:
            yield Wrong(path, f"{dotted(path)} is {shown(value)}")

    return test


def has_content(value: Any) -> bool:
    """Whether a property is set to something: text, also one that is not known yet, or anything in a list or object."""
    if value is UNKNOWN or value is None or value is False:
        return False
    if isinstance(value, dict):
        return any(has_content(member) for member in value.values())
    if isinstance(value, list):
        return any(has_content(member) or member is UNKNOWN for member in value)
    return bool(value != "")


def items(resource: Resource, *path: str | int) -> Iterator[tuple[int, Any]]:
    """The members of a list with their indexes; a single object counts as a list of it; unknown ones are UNKNOWN."""
    value = resource.get(*path)
    if value is None or value is UNKNOWN:
        return
    yield from enumerate(value if isinstance(value, list) else [value])


def member(value: Any, *path: str | int) -> Any:
    """A member deep in a value, None when absent, UNKNOWN where something on the way is."""
    for step in path:
        if value is UNKNOWN:
            return UNKNOWN
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def shown(value: Any) -> str:
    """A value in a sentence, cut where it is long."""
    text = {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    text = text.replace(HOLE, "...")
    return text if len(text) <= 80 else f"{text[:77]}..."
