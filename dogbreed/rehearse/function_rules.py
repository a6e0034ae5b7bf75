"""What Lambda refuses when a function is made or changed.

Limits: "Lambda quotas" of AWS's developer guide; words as AWS says them where that is known from public reports.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.function_records import invalid
from dogbreed.rehearse.trust import trusted

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud

CONCURRENCY = 1000  # of an account in a region
UNRESERVED = 100  # of which this many have to stay for functions without a reservation
ZIPPED, UNZIPPED, STORED = 52_428_800, 262_144_000, 80_530_636_800
SYNCHRONOUS, ASYNCHRONOUS = 6_291_456, 1_048_576
ANSWERED = 6_291_556

RUNTIMES = tuple(f"python3.{minor}" for minor in range(9, 16))
_MEMORY, _TIMEOUT = 10_240, 900
_ENVIRONMENT = 4096
# What Lambda sets by itself, and does not let anyone set.
_RESERVED = frozenset(
    (
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
    )
)


def check(cloud: Cloud, config: dict[str, Any]) -> None:
    """Raise AwsError for a configuration (names as in CreateFunction) that Lambda does not take."""
    for name, most in (("MemorySize", _MEMORY), ("Timeout", _TIMEOUT)):
        if config[name] > most:
            small = name[0].lower() + name[1:]
            why = f"Member must have value less than or equal to {most}"
            words = (
                f"1 validation error detected: Value '{config[name]}' at '{small}' failed to satisfy constraint: {why}"
            )
            raise AwsError("ValidationException", words, 400)
    if config["PackageType"] == "Image":
        if config.get("Runtime") or config.get("Handler"):
            raise invalid("Runtime and Handler are not supported for functions created with container images.")
    elif not config.get("Runtime") or not config.get("Handler"):
        raise invalid("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
    elif (runtime := config["Runtime"]) not in RUNTIMES:
        raise invalid(f"The stand-in runs functions of {RUNTIMES[0]} and later, not of {runtime}.")
    _check_environment(config.get("Environment", {}).get("Variables", {}))
    if not trusted(cloud, config["Role"], "lambda.amazonaws.com"):
        raise invalid("The role defined for the function cannot be assumed by Lambda.")


def check_reservation(function: str, wanted: int, others: int) -> None:
    """Raise AwsError where `wanted` beside what `others` reserve leaves too little of the account's concurrency."""
    if wanted + others > CONCURRENCY - UNRESERVED:
        raise invalid(
            f"Specified ReservedConcurrentExecutions for function {function} decreases account's "
            f"UnreservedConcurrentExecution below its minimum value of [{UNRESERVED}]."
        )


def _check_environment(variables: dict[str, str]) -> None:
    unable = "Lambda was unable to configure your environment variables because the environment variables you have"
    if taken := sorted(set(variables) & _RESERVED):
        words = "provided contains reserved keys that are currently not supported for modification."
        raise invalid(f"{unable} {words} Reserved keys used in this request: {', '.join(taken)}")
    measured = json.dumps(variables, separators=(",", ":"))
    if variables and len(measured.encode()) > _ENVIRONMENT:
        raise invalid(f"{unable} provided exceeded the 4KB limit. String measured: {measured}")
