"""Policy variables, `${aws:username, 'nobody'}`: whether they are written right, and where they may stand."""

from __future__ import annotations

import re

from dogbreed.audit.source import Path
from dogbreed.audit.validity.look import Look, Part, texts

_OPEN = re.compile(r"\$\{([^}]*)(\}?)")
_NAME = re.compile(r"[\w:/.+=@-]*", re.ASCII)
# A tag's key may hold spaces.
_TAG = re.compile(r"[\w.:-]+tag/.+", re.ASCII | re.IGNORECASE)


def has_variable(text: str) -> bool:
    """Whether a text has a variable; `${*}`, `${?}` and `${$}` are plain characters."""
    return "${" in text and any(match[1] not in ("*", "?", "$") for match in _OPEN.finditer(text))


def without_variables(text: str) -> str:
    """The text with every variable as a wildcard, and without the escaped characters."""
    return _OPEN.sub(lambda match: "" if match[1] in ("*", "?", "$") else "*", text) if "${" in text else text


def look_at_text(look: Look, path: Path, text: str, version: object) -> None:
    """A text in Resource or Condition, where variables may stand."""
    if "${" not in text:
        return
    for match in _OPEN.finditer(text):
        inside, closed = match[1], match[2]
        if inside in ("*", "?", "$"):
            continue
        name, comma, default = inside.partition(",")
        default = default.strip()
        if not closed:
            look.say("MISSING_BRACE_IN_VARIABLE", path, f"the variable in {text!r} is not closed")
        elif not inside.strip():
            look.say("EMPTY_VARIABLE", path, f"{text!r} has a variable without a name")
        elif " " in name.strip() and not _TAG.fullmatch(name.strip()):
            look.say("UNSUPPORTED_SPACE_IN_VARIABLE", path, f"the variable ${{{inside}}} has a space in its name")
        elif not _NAME.fullmatch(name.strip()) and not _TAG.fullmatch(name.strip()):
            look.say("UNSUPPORTED_SYMBOL_IN_VARIABLE", path, f"the variable ${{{inside}}} has a symbol in its name")
        elif comma and not (len(default) > 1 and default[0] == default[-1] == "'"):
            look.say("MISSING_QUOTE_IN_VARIABLE", path, f"the default value in ${{{inside}}} lacks a quote")
        elif version != "2012-10-17":
            look.say(
                "VARIABLE_UNSUPPORTED_IN_VERSION",
                path,
                f"${{{inside}}} is plain text, since the policy's Version is not 2012-10-17",
            )


def look_elsewhere(look: Look, part: Part) -> None:
    """Variables where none may stand."""
    for name in ("Action", "NotAction", "Effect", "Principal", "NotPrincipal"):
        value = part.values.get(name)
        found = texts(value, part.at(name))
        if isinstance(value, dict):
            found = [one for key, many in value.items() for one in texts(many, part.at(name, key))]
        for path, text in found:
            if has_variable(text):
                look.say("VARIABLE_UNSUPPORTED_IN_ELEMENT", path, f"{name} cannot hold the variable in {text!r}")
