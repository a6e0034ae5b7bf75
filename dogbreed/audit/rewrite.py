"""Write the tight statements into the files they stand in, and leave the rest of each file as it is.

Only JSON that stands in a file of its own can be edited so; for templates and HCL the findings say what to write.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dogbreed.audit import jsontext
from dogbreed.audit.finding import Location
from dogbreed.audit.jsontext import JsonSource
from dogbreed.audit.least import Tight

Edit = tuple[int, int, str]
_WIDTH = 100


def rewrite(tights: Iterable[Tight]) -> tuple[dict[str, tuple[str, str]], list[Tight]]:
    """{file: its text before and after}, and what stands where it cannot be edited.

    A policy of which nothing would be left cannot be edited either: it is to be removed as a whole.
    """
    by_policy: dict[int, list[Tight]] = {}
    for tight in tights:
        by_policy.setdefault(id(tight.statement.policy), []).append(tight)
    by_file: dict[str, list[list[Tight]]] = {}
    elsewhere: list[Tight] = []
    for group in by_policy.values():
        policy = group[0].statement.policy
        unused = sum(1 for tight in group if not tight.parts)
        if isinstance(policy.source, JsonSource) and unused < len(policy.statements):
            by_file.setdefault(policy.source.file, []).append(group)
        else:
            elsewhere += group
    changed = {}
    for file, groups in sorted(by_file.items()):
        before = jsontext.read_text(Path(file), file)
        after = _apply(before, [edit for group in groups for edit in _edits(before, group)])
        if after != before:
            changed[file] = (before, after)
    return changed, elsewhere


def diff(file: str, before: str, after: str) -> str:
    """A unified diff that `git apply` takes."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{file}", f"b/{file}"
    )
    text = ""
    for line in lines:
        text += line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
    return text


def _edits(text: str, group: list[Tight]) -> list[Edit]:
    """The edits of one policy."""
    statements = group[0].statement.policy.statements
    spans = [_span(text, one.at()) for one in statements]
    removed = {tight.statement.index for tight in group if not tight.parts}
    edits: list[Edit] = []
    for at in sorted(removed):
        # With the comma before it, or after it where nothing is left before.
        kept_before = any(index not in removed for index in range(at))
        edits.append((spans[at - 1][1], spans[at][1], "") if kept_before else (spans[at][0], spans[at + 1][0], ""))
    for tight in group:
        if tight.parts:
            edits += _narrowed(text, tight, *spans[tight.statement.index])
    return edits


def _narrowed(text: str, tight: Tight, start: int, end: int) -> list[Edit]:
    statement, first = tight.statement, tight.parts[0]
    raw = _raw(statement.policy.document, statement.index)
    names = {str(key).lower(): str(key) for key in raw}
    edits: list[Edit] = []
    for element, wanted, had in (
        ("action", first["actions"], statement.actions),
        ("resource", first["resources"], statement.resources),
    ):
        if list(had or ()) != wanted:
            at, behind = _span(text, statement.at(names[element]))
            edits.append((at, behind, _written(text, at, wanted)))
    edits += [(end, end, _second(text, start, part, raw)) for part in tight.parts[1:]]
    return edits


def _raw(document: Any, index: int) -> dict[str, Any]:
    """The statement as it was written."""
    statements = next(value for key, value in document.items() if str(key).lower() == "statement")
    found: dict[str, Any] = statements[index] if isinstance(statements, list) else statements
    return found


def _span(text: str, place: Location) -> tuple[int, int]:
    """Where a value begins and ends."""
    start = 0
    for _ in range(place.line - 1):
        start = text.index("\n", start) + 1
    start += place.column - 1
    return start, json.JSONDecoder().raw_decode(text, start)[1]


def _second(text: str, start: int, part: dict[str, Any], raw: dict[str, Any]) -> str:
    """One more statement, for the actions that know no resources."""
    value = {key: member for key, member in raw.items() if str(key).lower() not in ("sid", "action", "resource")}
    value = {"Effect": "Allow", "Action": part["actions"], "Resource": _single(part["resources"])} | {
        key: member for key, member in value.items() if str(key).lower() != "effect"
    }
    indent = _indent(text, start)
    step = _step(text)
    return ",\n" + indent + json.dumps(value, indent=step, ensure_ascii=False).replace("\n", "\n" + indent)


def _written(text: str, at: int, values: list[str]) -> str:
    """A list of texts as the one before was written: on one line, or one to a line."""
    old = text[at : json.JSONDecoder().raw_decode(text, at)[1]]
    if len(values) == 1 and not old.startswith("["):
        return json.dumps(values[0], ensure_ascii=False)
    flat = json.dumps(values, ensure_ascii=False)
    indent = _indent(text, at)
    if "\n" not in old and len(indent) + len(flat) <= _WIDTH:
        return flat
    step = " " * _step(text)
    rows = ",\n".join(f"{indent}{step}{json.dumps(value, ensure_ascii=False)}" for value in values)
    return f"[\n{rows}\n{indent}]"


def _single(values: list[str]) -> Any:
    return values[0] if len(values) == 1 else values


def _indent(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip())]


def _step(text: str) -> int:
    """How far the file indents: the first indented line says it."""
    return next((len(line) - len(line.lstrip()) for line in text.splitlines() if line[:1] == " " and line.strip()), 2)


def _apply(text: str, edits: list[Edit]) -> str:
    """From the end to the start, so that places stay right; edits do not overlap."""
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text
