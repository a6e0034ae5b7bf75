"""Search expressions of SageMaker, over training jobs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dogbreed.rehearse.sagemaker_job import Job


def fits(expression: dict[str, Any], job: Job) -> bool:
    """Whether a job fits a SearchExpression: filters and expressions within it, joined by And or Or."""
    results = [_fits(one, job) for one in expression.get("Filters", [])]
    results += [fits(one, job) for one in expression.get("SubExpressions", [])]
    if not results:
        return True
    return any(results) if expression.get("Operator") == "Or" else all(results)


def _fits(wanted: dict[str, Any], job: Job) -> bool:
    value, given = _value(job, wanted["Name"]), wanted.get("Value")
    operator = wanted.get("Operator", "Equals")
    if operator in ("Exists", "NotExists"):
        return bool((value is not None) == (operator == "Exists"))
    if value is None:
        return bool(operator == "NotEquals")
    if isinstance(value, datetime) and given:
        given = datetime.fromisoformat(given.replace("Z", "+00:00"))
    elif isinstance(value, int | float) and given:
        value, given = float(value), float(given)
    else:
        value = str(value)
    return bool(_TESTS[operator](value, given))


_TESTS: dict[str, Any] = {
    "Equals": lambda value, given: value == given,
    "NotEquals": lambda value, given: value != given,
    "Contains": lambda value, given: str(given) in str(value),
    "In": lambda value, given: value in str(given).split(","),
    "GreaterThan": lambda value, given: value > given,
    "GreaterThanOrEqualTo": lambda value, given: value >= given,
    "LessThan": lambda value, given: value < given,
    "LessThanOrEqualTo": lambda value, given: value <= given,
}


def _value(job: Job, name: str) -> Any:
    """The property of a job that a filter names: `Tags.key`, `HyperParameters.name`, `ResourceConfig.InstanceType`."""
    if name.startswith("Tags."):
        return job.tags.get(name[5:])
    value: Any = job.describe()
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
