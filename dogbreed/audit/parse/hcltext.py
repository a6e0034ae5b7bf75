"""The syntax tree of Terraform's language, also of texts that python-hcl2's grammar is too strict for.

Inside round brackets a line break means nothing. The grammar knows that in some places only, so what it refuses is
tried again with these breaks as blanks; places are then set right by their offsets, which have not moved.
"""

from __future__ import annotations

import re
from typing import Any

from dogbreed.audit.finding import BrokenInput, Location
from dogbreed.audit.jsontext import Lines

_TOKEN = re.compile(
    r"""(?P<heredoc><<-?(?P<word>[A-Za-z][\w.-]*)\n(?:.*\n)*?[ \t]*(?P=word)(?=\n|$))
    |(?P<comment>\#[^\n]*|//[^\n]*|/\*(?:.|\n)*?\*/)
    |(?P<string>"(?:[^"\\$\n]|\\.|\$(?!\{))*(?P<open>\$\{)?"?)
    |(?P<opening>[(\[{])|(?P<closing>[)\]}])|(?P<newline>\n)""",
    re.VERBOSE,
)
_REST = re.compile(r'(?:[^"\\$\n]|\\.|\$(?!\{))*(?P<open>\$\{)?"?')


def parse(text: str, shown: str) -> Any:
    """The tree of a text; raises BrokenInput."""
    from hcl2.parser import parser
    from lark.exceptions import UnexpectedInput

    text = text.replace("\r\n", "\n") + "\n"
    try:
        return parser().parse(text)
    except UnexpectedInput as error:
        flat = without_breaks(text)
        if flat != text:
            try:
                return _placed(parser().parse(flat), text)
            except UnexpectedInput:
                pass
        token = str(getattr(error, "token", "") or "").strip()
        said = f"unexpected {token[:30]!r}" if token else "something is missing or in the wrong place"
        place = Location(shown, max(error.line, 1), max(error.column, 1))
        raise BrokenInput(place, f"is not valid Terraform: {said}") from None


def _placed(tree: Any, text: str) -> Any:
    """A tree with the lines and columns that its offsets have in a text."""
    lines = Lines(text)
    for node in tree.iter_subtrees():
        if not node.meta.empty:
            _, node.meta.line, node.meta.column = lines.place("", node.meta.start_pos)
    return tree


def without_breaks(text: str) -> str:
    """A text as long as before, with blanks for the line breaks and comments that stand directly in round brackets."""
    made: list[str] = []
    stack: list[str] = []
    at = 0
    while at < len(text):
        # After the end of an interpolation the string goes on.
        match = _REST.match(text, at) if stack and stack[-1] == '"' else _TOKEN.search(text, at)
        if match is None:
            break
        made.append(text[at : match.start()])
        piece, at = match[0], match.end()
        groups = match.groupdict()
        round_ = bool(stack) and stack[-1] == "("
        if stack and stack[-1] == '"':
            stack.pop()
            stack += ['"', "{"] if groups["open"] else []
        elif groups["string"] and groups["open"]:
            stack += ['"', "{"]
        elif groups["opening"]:
            stack.append(piece)
        elif groups["closing"]:
            del stack[-1:]
        elif round_ and (groups["newline"] or groups["comment"]):
            piece = " " * len(piece)
        made.append(piece)
        if not match[0]:
            break
    return "".join(made) + text[at:]
