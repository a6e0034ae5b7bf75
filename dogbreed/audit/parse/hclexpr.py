"""Terraform's expressions worked out over python-hcl2's syntax tree; what only an apply knows stays unknown.

Objects and lists remember the file, line and column of each member.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from dogbreed.audit.finding import Location
from dogbreed.audit.model import HOLE, UNKNOWN
from dogbreed.audit.parse import hclfunctions
from dogbreed.audit.parse.hclfunctions import known, text_of
from dogbreed.audit.parse.placed import Arr, Obj

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_ORDER = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, ">": 4, "<=": 4, ">=": 4, "+": 5, "-": 5, "*": 6, "/": 6, "%": 6}
# A for expression over more is not worked out.
MOST_ITEMS = 2000


class Scope(Protocol):
    """Where names get their values: a module, with the names of a `for` or a `dynamic` block before it."""

    file: str

    def look_up(self, name: str) -> Any:
        """The value of a first name (`var`, `local`, `each`, a resource type)."""
        ...

    def folder(self) -> str:
        """The module's folder, for files that it reads."""
        ...


class Inner:
    """A scope with a few more names."""

    def __init__(self, outer: Scope, names: dict[str, Any]) -> None:
        self.file = outer.file
        self._outer = outer
        self._names = names

    def look_up(self, name: str) -> Any:
        """The value of a first name."""
        return self._names[name] if name in self._names else self._outer.look_up(name)

    def folder(self) -> str:
        """The module's folder."""
        return self._outer.folder()


def evaluate(tree: Any, scope: Scope) -> Any:
    """The value of an expression."""
    return _WORK.get(str(tree.data), _unknown)(tree, scope)


def place(tree: Any, scope: Scope) -> Location:
    """Where an expression stands."""
    return Location(scope.file, getattr(tree.meta, "line", 0), getattr(tree.meta, "column", 0))


def parts(tree: Any) -> list[Any]:
    """The members of a node that mean something: no newlines, no absent ones."""
    return [one for one in tree.children if one is not None and getattr(one, "data", "") != "new_line_or_comment"]


def trees(tree: Any) -> list[Any]:
    """The members of a node that are nodes themselves."""
    return [one for one in parts(tree) if hasattr(one, "data")]


def name_in(tree: Any) -> str:
    """The text of an identifier, or of a string without interpolations."""
    return "".join(str(token) for token in tree.scan_values(lambda _: True))


def attribute_of(value: Any, name: str) -> Any:
    """`value.name`; an attribute that an object lacks is null."""
    if hasattr(value, "attribute"):
        return value.attribute(name)
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list) and name.isdigit():
        return index_of(value, int(name))
    return HOLE if isinstance(value, str) and HOLE in value else UNKNOWN


def index_of(value: Any, key: Any) -> Any:
    """`value[key]`."""
    if hasattr(value, "index") and hasattr(value, "attribute"):
        return value.index(key)
    if isinstance(value, list) and isinstance(key, int | float) and int(key) < len(value):
        return value[int(key)]
    if isinstance(value, dict) and isinstance(key, str) and HOLE not in key:
        return value.get(key, UNKNOWN)
    return UNKNOWN


def _unknown(tree: Any, scope: Scope) -> Any:
    return UNKNOWN


def _term(tree: Any, scope: Scope) -> Any:
    inner = trees(tree)
    return evaluate(inner[0], scope) if inner else UNKNOWN


def _identifier(tree: Any, scope: Scope) -> Any:
    name = str(tree.children[0])
    constants = {"true": True, "false": False, "null": None}
    return constants[name] if name in constants else scope.look_up(name)


def _number(tree: Any, scope: Scope) -> Any:
    text = "".join(str(token) for token in tree.children)
    try:
        return int(text)
    except ValueError:
        return float(text)


def _string(tree: Any, scope: Scope) -> Any:
    inner = trees(tree)
    if len(inner) == 1 and (only := trees(inner[0])):
        # "${x}" is x itself, whatever type it has.
        return evaluate(trees(only[0])[0], scope)
    made = ""
    for part in inner:
        for one in part.children:
            if hasattr(one, "data"):
                made += text_of(evaluate(trees(one)[0], scope))
            elif str(one).startswith("$${"):
                made += str(one)[1:]
            else:
                made += _ESCAPE.sub(_unescaped, str(one))
    return HOLE if "%{" in made else made


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPES.get(code, match[0])


def _tuple(tree: Any, scope: Scope) -> Arr:
    made = Arr()
    for one in trees(tree):
        made.put(evaluate(one, scope), place(one, scope))
    return made


def _object(tree: Any, scope: Scope) -> Obj:
    made = Obj()
    for element in trees(tree):
        if element.data != "object_elem":
            continue
        key, value = trees(element)
        made.put(_key(key, scope), evaluate(value, scope), place(value, scope))
    return made


def _key(tree: Any, scope: Scope) -> str:
    inner = trees(tree)
    if not inner:
        return name_in(tree)
    if inner[0].data == "identifier":
        return str(inner[0].children[0])
    if inner[0].data == "object_elem_key_expression":
        return text_of(evaluate(trees(inner[0])[0], scope))
    return text_of(evaluate(inner[0], scope)) if inner[0].data in ("string", "int_lit") else name_in(inner[0])


def _call(tree: Any, scope: Scope) -> Any:
    inner = trees(tree)
    name = str(inner[0].children[0])
    given: list[Any] = []
    for arguments in inner[1:]:
        members = parts(arguments)
        for at, one in enumerate(members):
            if hasattr(one, "data"):
                value = evaluate(one, scope)
                spread = at + 1 < len(members) and str(members[at + 1]) == "..."
                given += value if spread and isinstance(value, list) else [value]
    if name in ("file", "filebase64", "templatefile"):
        from dogbreed.audit.parse import hcltemplate

        return hcltemplate.from_file(name, given, scope)
    return hclfunctions.call(name, given, scope.folder())


def _get_attribute(tree: Any, scope: Scope) -> Any:
    value, accessor = trees(tree)
    return attribute_of(evaluate(value, scope), name_in(trees(accessor)[0]))


def _index(tree: Any, scope: Scope) -> Any:
    value, accessor = trees(tree)
    inner = trees(accessor)
    key = (
        evaluate(inner[0], scope)
        if inner
        else int("".join(str(one) for one in accessor.children if str(one).isdigit()))
    )
    return index_of(evaluate(value, scope), key)


def _splat(tree: Any, scope: Scope) -> Any:
    value, accessor = trees(tree)
    whole = evaluate(value, scope)
    if not known(whole) and not hasattr(whole, "attribute"):
        return UNKNOWN
    items = whole if isinstance(whole, list) else [] if whole is None else [whole]
    made = Arr()
    for item in items:
        one = item
        for step in trees(accessor):
            if step.data == "get_attr":
                one = attribute_of(one, name_in(trees(step)[0]))
            else:
                inner = trees(step)
                one = index_of(one, evaluate(inner[0], scope) if inner else 0)
        made.append(one)
    return made


def _conditional(tree: Any, scope: Scope) -> Any:
    condition, yes, no = trees(tree)
    return _chosen(evaluate(condition, scope), yes, no, scope)


def _chosen(answer: Any, yes: Any, no: Any, scope: Scope) -> Any:
    """The branch that a condition takes; where it is not known, what both branches agree on."""
    if isinstance(answer, bool):
        return evaluate(yes if answer else no, scope)
    first, second = evaluate(yes, scope), evaluate(no, scope)
    if known(first) and known(second) and first == second:
        return first
    return HOLE if isinstance(first, str) and isinstance(second, str) else UNKNOWN


def _unary(tree: Any, scope: Scope) -> Any:
    value = evaluate(trees(tree)[0], scope)
    sign = str(parts(tree)[0])
    if sign == "!":
        return not value if isinstance(value, bool) else UNKNOWN
    return -value if isinstance(value, int | float) else UNKNOWN


def _binary(tree: Any, scope: Scope) -> Any:
    """A chain of operators, which the grammar gives without their order: `a == b ? c : d` as a == (b ? c : d)."""
    values, operators = [], []
    node, branches = tree, None
    while node.data == "binary_op" or (node.data == "conditional" and branches is None):
        if node.data == "conditional":
            node, *branches = trees(node)
            continue
        left, term = trees(node)
        operator, node = trees(term)
        values.append(evaluate(left, scope))
        operators.append(name_in(operator))
    values.append(evaluate(node, scope))
    for level in (6, 5, 4, 3, 2, 1):
        at = 0
        while at < len(operators):
            if _ORDER.get(operators[at]) == level:
                values[at : at + 2] = [_operate(operators.pop(at), values[at], values[at + 1])]
            else:
                at += 1
    return values[0] if branches is None else _chosen(values[0], branches[0], branches[1], scope)


def _operate(operator: str, left: Any, right: Any) -> Any:
    if operator in ("&&", "||"):
        strong = operator == "||"
        sides = [one for one in (left, right) if isinstance(one, bool)]
        return strong if strong in sides else not strong if len(sides) == 2 else UNKNOWN
    if not known(left) or not known(right):
        return UNKNOWN
    if operator in ("==", "!="):
        return (left == right) == (operator == "==")
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if not numbers or (operator in ("/", "%") and right == 0):
        return UNKNOWN
    work: dict[str, Callable[[Any, Any], Any]] = {
        "<": lambda a, b: a < b,
        ">": lambda a, b: a > b,
        "<=": lambda a, b: a <= b,
        ">=": lambda a, b: a >= b,
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "/": lambda a, b: a / b,
        "%": lambda a, b: a % b,
    }
    return work[operator](left, right)


def _members(tree: Any, scope: Scope) -> Iterator[Scope] | None:
    """A scope for every member that a `for` goes through; None when they are not known."""
    intro = next(one for one in trees(tree) if one.data == "for_intro")
    *names, source = trees(intro)
    called = [str(one.children[0]) for one in names]
    value = evaluate(source, scope)
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    else:
        return None
    if len(pairs) > MOST_ITEMS:
        return None
    if len(called) == 1:
        return (Inner(scope, {called[0]: member}) for _, member in pairs)
    return (Inner(scope, {called[0]: key, called[1]: member}) for key, member in pairs)


def _for(tree: Any, scope: Scope) -> Any:
    members = _members(tree, scope)
    if members is None:
        return UNKNOWN
    body = [one for one in trees(tree) if one.data not in ("for_intro", "for_cond")]
    condition = next((trees(one)[0] for one in trees(tree) if one.data == "for_cond"), None)
    listed, named = Arr(), Obj()
    for inner in members:
        if condition is not None and (wanted := evaluate(condition, inner)) is not True:
            if wanted is False:
                continue
            return UNKNOWN
        value = evaluate(body[-1], inner)
        if len(body) == 1:
            listed.put(value, place(body[0], scope))
        else:
            named.put(text_of(evaluate(body[0], inner)), value, place(body[1], scope))
    return listed if len(body) == 1 else named


def _heredoc(tree: Any, scope: Scope) -> Any:
    from dogbreed.audit.parse import hcltemplate

    return hcltemplate.heredoc(str(tree.children[0]), tree.meta.line, scope)


_WORK: dict[str, Callable[[Any, Scope], Any]] = {
    "expr_term": _term,
    "identifier": _identifier,
    "int_lit": _number,
    "float_lit": _number,
    "string": _string,
    "tuple": _tuple,
    "object": _object,
    "function_call": _call,
    "get_attr_expr_term": _get_attribute,
    "index_expr_term": _index,
    "attr_splat_expr_term": _splat,
    "full_splat_expr_term": _splat,
    "conditional": _conditional,
    "unary_op": _unary,
    "binary_op": _binary,
    "for_tuple_expr": _for,
    "for_object_expr": _for,
    "heredoc_template": _heredoc,
    "heredoc_template_trim": _heredoc,
}
