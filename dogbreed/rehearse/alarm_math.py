"""Metric math: the arithmetic, comparisons and functions of CloudWatch that alarms of a service are made with.

A value is a number or the points of a series, {time: value}. Numbers go with every point; of two series only the times
that both have come out, and a division by zero leaves no point, as CloudWatch has it. What is not known here raises
MathError with its name: the stand-in says so rather than guess.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

from dogbreed.rehearse.alarm_metrics import Points

Value = float | Points

_LONGEST = 2048
_BINARY: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.Gt: lambda one, other: float(one > other),
    ast.GtE: lambda one, other: float(one >= other),
    ast.Lt: lambda one, other: float(one < other),
    ast.LtE: lambda one, other: float(one <= other),
    ast.Eq: lambda one, other: float(one == other),
    ast.NotEq: lambda one, other: float(one != other),
    ast.And: lambda one, other: float(bool(one) and bool(other)),
    ast.Or: lambda one, other: float(bool(one) or bool(other)),
}
_EACH: dict[str, Callable[[float], float]] = {"ABS": abs, "CEIL": math.ceil, "FLOOR": math.floor}
_OVER: dict[str, Callable[[Sequence[float]], float]] = {
    "SUM": math.fsum,
    "AVG": lambda values: math.fsum(values) / len(values),
    "MIN": min,
    "MAX": max,
}


class MathError(ValueError):
    """An expression that the stand-in cannot compute."""


def compute(expression: str, known: Mapping[str, Value], timeline: Sequence[int]) -> Value:
    """The value of an expression over `known` ids; `timeline` has every period's time, which FILL needs."""
    text = re.sub(r"\|\|", " or ", re.sub(r"&&", " and ", expression.replace("^", "**"))).strip()
    text = re.sub(r"\b(AND|OR)\b", lambda match: match[0].lower(), text)
    if len(text) > _LONGEST:
        raise MathError("an expression of more than 2048 characters")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, RecursionError) as error:
        raise MathError(expression) from error
    return _Math(known, timeline).value(tree)


def identifiers(expression: str) -> set[str]:
    """The ids that an expression names, in their own spelling: they begin with a small letter."""
    bare = re.sub(r"\"[^\"]*\"|'[^']*'", "", expression)
    return set(re.findall(r"\b[a-z][A-Za-z0-9_]*\b", bare)) - {"and", "or"}


class _Math:
    def __init__(self, known: Mapping[str, Value], timeline: Sequence[int]) -> None:
        self._known, self._timeline = known, timeline

    def value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name() if node.id in self._known:
                return self._known[node.id]
            case ast.Call(func=ast.Name(id=str() as name), keywords=[]):
                return self._call(name, node.args)
        return self._operation(node)

    def _operation(self, node: ast.expr) -> Value:
        kind: type[ast.AST]
        match node:
            case ast.UnaryOp(op=ast.USub()):
                kind, values = ast.Mult, [-1.0, self.value(node.operand)]
            case ast.BinOp():
                kind, values = type(node.op), [self.value(node.left), self.value(node.right)]
            case ast.Compare(ops=[one]):
                kind, values = type(one), [self.value(node.left), self.value(node.comparators[0])]
            case ast.BoolOp():
                kind, values = type(node.op), [self.value(one) for one in node.values]
            case _:
                raise MathError(ast.unparse(node))
        if kind not in _BINARY:
            raise MathError(ast.unparse(node))
        return reduce(lambda one, other: _joined(_BINARY[kind], one, other), values)

    def _call(self, name: str, arguments: Sequence[ast.expr]) -> Value:
        if name == "IF" and len(arguments) in (2, 3):
            return _choice(*(self.value(one) for one in arguments))
        if name == "FILL" and len(arguments) == 2:
            return self._fill(self.value(arguments[0]), arguments[1])
        if len(arguments) != 1:
            raise MathError(name)
        if name in _EACH:
            return _each(_EACH[name], self.value(arguments[0]))
        if name in _OVER:
            many = self._many(arguments[0])
            return _over(_OVER[name], many) if many is not None else _along(_OVER[name], self.value(arguments[0]))
        raise MathError(name)

    def _many(self, node: ast.expr) -> list[Value] | None:
        """The series of `[a, b]` or METRICS("begin"); None where there is one value only."""
        match node:
            case ast.List():
                return [self.value(one) for one in node.elts]
            case ast.Call(func=ast.Name(id="METRICS"), args=[]):
                return list(self._known.values())
            case ast.Call(func=ast.Name(id="METRICS"), args=[ast.Constant(value=str() as begin)]):
                return [value for name, value in self._known.items() if name.startswith(begin)]
        return None

    def _fill(self, value: Value, how: ast.expr) -> Value:
        if not isinstance(value, dict):
            return value
        if isinstance(how, ast.Name) and how.id == "REPEAT":
            filled: Points = {}
            for at in self._timeline:
                if at in value:
                    filled[at] = value[at]
                elif filled:
                    filled[at] = filled[max(filled)]
            return filled
        if isinstance(how, ast.Name) and how.id not in self._known:
            raise MathError(f"FILL with {how.id}")
        other = self.value(how)
        wanted = other if isinstance(other, dict) else dict.fromkeys(self._timeline, other)
        return {at: value.get(at, wanted.get(at, math.nan)) for at in sorted({*value, *wanted})}


def _joined(function: Callable[[float, float], float], one: Value, other: Value) -> Value:
    def safe(left: float, right: float) -> float | None:
        try:
            result = function(left, right)
        except (ZeroDivisionError, OverflowError, ValueError):
            return None
        # A negative number to a broken power is complex.
        return float(result) if isinstance(result, int | float) and math.isfinite(result) else None

    if not isinstance(one, dict) and not isinstance(other, dict):
        result = safe(one, other)
        if result is None:
            raise MathError("a division by zero")
        return result
    series = [value.keys() for value in (one, other) if isinstance(value, dict)]
    times = sorted(set(series[0]).intersection(*series))
    told = {at: safe(_at(one, at), _at(other, at)) for at in times}
    return {at: value for at, value in told.items() if value is not None}


def _choice(condition: Value, yes: Value, no: Value | None = None) -> Value:
    if not isinstance(condition, dict):
        chosen = yes if condition else no
        return {} if chosen is None else chosen
    told: Points = {}
    for at, holds in condition.items():
        chosen = yes if holds else no
        if chosen is not None and (not isinstance(chosen, dict) or at in chosen):
            told[at] = _at(chosen, at)
    return told


def _each(function: Callable[[float], float], value: Value) -> Value:
    if isinstance(value, dict):
        return {at: float(function(one)) for at, one in value.items()}
    return float(function(value))


def _along(function: Callable[[Sequence[float]], float], value: Value) -> Value:
    """Of one series: a number over all its points."""
    if not isinstance(value, dict):
        return value
    return float(function(list(value.values()))) if value else {}


def _over(function: Callable[[Sequence[float]], float], many: Sequence[Value]) -> Value:
    """Of several series: at each time that any of them has."""
    series = [one for one in many if isinstance(one, dict)]
    if not series:
        numbers: list[Any] = list(many)
        return float(function(numbers))
    told: Points = {}
    for at in sorted({at for one in series for at in one}):
        told[at] = float(function([_at(one, at) for one in many if not isinstance(one, dict) or at in one]))
    return told


def _at(value: Value, at: int) -> float:
    return value[at] if isinstance(value, dict) else value
