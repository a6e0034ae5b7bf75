"""Terraform's templates: heredocs and files with `${...}` in them, and the JSON that they often hold."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from dogbreed.audit import jsontext
from dogbreed.audit.finding import BrokenInput, Location
from dogbreed.audit.model import HOLE
from dogbreed.audit.parse import files, hclfunctions
from dogbreed.audit.parse.hclexpr import Inner, Scope, evaluate, trees
from dogbreed.audit.parse.hclfunctions import text_of
from dogbreed.audit.parse.placed import Arr, Obj

_INTERPOLATION = re.compile(r"\$\$\{|\$\{|%\{")
_BARE_HOLE = re.compile(rf"(?<=[:,\[])(\s*){HOLE}(?=\s*[,}}\]\n])")


def heredoc(raw: str, line: int, scope: Scope) -> Any:
    """The text of a heredoc that begins in `line`; a JSON object in it as an object whose members know their lines."""
    first, _, rest = raw.partition("\n")
    lines = rest.split("\n")[:-2]
    indent = 0
    if first.startswith("<<-"):
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    text = render("\n".join(line[indent:] for line in lines) + "\n", scope)
    start = Location(scope.file, line + 1, 1 + indent)
    return as_json(text, start)


def as_json(text: str, start: Location) -> Any:
    """A text, or the JSON object in it, whose members then stand where their lines are after `start`."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        value, source = jsontext.parse(_BARE_HOLE.sub(rf'\1"{HOLE}"', text), start.file)
    except BrokenInput:
        return text

    def moved(member: Any, path: tuple[str | int, ...]) -> Any:
        made: Any = Obj() if isinstance(member, dict) else Arr()
        for key, one in member.items() if isinstance(member, dict) else enumerate(member):
            at = source.locate((*path, key))
            where = Location(start.file, at.line + start.line - 1, at.column + start.column - 1)
            inner = moved(one, (*path, key)) if isinstance(one, dict | list) else one
            made.put(key, inner, where) if isinstance(member, dict) else made.put(inner, where)
        return made

    return moved(value, ())


def render(text: str, scope: Scope) -> str:
    """A template with its interpolations worked out; HOLE for the whole where it has directives."""
    made, at = "", 0
    while match := _INTERPOLATION.search(text, at):
        made += text[at : match.start()]
        if match[0] == "%{":
            return HOLE
        if match[0] == "$${":
            made, at = f"{made}${{", match.end()
            continue
        end = _closing(text, match.end())
        made += text_of(parse_and_evaluate(text[match.end() : end], scope))
        at = end + 1
    return made + text[at:]


def _closing(text: str, at: int) -> int:
    """The place of the bracket that closes an interpolation."""
    depth, quoted = 1, False
    while at < len(text):
        char = text[at]
        if char == "\\" and quoted:
            at += 1
        elif char == '"':
            quoted = not quoted
        elif not quoted and char in "{}":
            depth += 1 if char == "{" else -1
            if not depth:
                return at
        at += 1
    return len(text)


def parse_and_evaluate(expression: str, scope: Scope) -> Any:
    """The value of an expression in a text, HOLE when it is none."""
    from hcl2.parser import parser
    from lark.exceptions import LarkError

    try:
        tree = parser().parse(f"x = {expression.strip()}\n")
    except LarkError:
        return HOLE
    attribute = next(tree.find_data("attribute"))
    return evaluate(trees(attribute)[1], scope)


def from_file(name: str, given: list[Any], scope: Scope) -> Any:
    """`file`, `filebase64` (its text) and `templatefile`, which is rendered with names of its own."""
    text = hclfunctions.call("file", given[:1], scope.folder())
    if not isinstance(text, str) or text == HOLE:
        return HOLE
    if name == "templatefile":
        names = given[1] if len(given) == 2 and isinstance(given[1], dict) else {}
        text = render(text, Inner(scope, dict(names)))
    path = Path(os.path.normpath(Path(scope.folder()) / given[0]))
    return as_json(text, Location(files.shown(path), 1, 1))
