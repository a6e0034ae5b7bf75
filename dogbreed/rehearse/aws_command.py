"""The `aws` command of a machine: what scripts use of AWS CLI 2, on botocore.

`aws s3 cp|sync|ls|rm|mb` is in aws_command_s3.py; `aws SERVICE OPERATION` takes parameters by the service models, from
words, JSON, `Key=Value,...`, file:// and fileb://. Exit codes are those of AWS CLI 2: 252 usage, 253 no credentials or
region, 254 the service refused, 255 anything else.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    DataNotFoundError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
)
from botocore.utils import METADATA_BASE_URL, InstanceMetadataRegionFetcher

USAGE, NOT_SET_UP, REFUSED, FAILED = 252, 253, 254, 255
# Options of the command itself, which take a word, and those that do not.
_WITH_WORD: tuple[str, ...] = (
    "region",
    "output",
    "query",
    "profile",
    "endpoint-url",
    "cli-input-json",
    "max-items",
    "page-size",
    "color",
)
_WITH_WORD += ("cli-read-timeout", "cli-connect-timeout", "ca-bundle")
_ALONE = ("no-paginate", "no-cli-pager", "debug", "no-verify-ssl", "no-sign-request", "no-cli-auto-prompt")


class MisuseError(Exception):
    """A command that makes no sense."""


def say(text: str | bytes, stream: int = 1) -> None:
    """Write all of it to standard output or error."""
    data = text.encode() if isinstance(text, str) else text
    while data:
        data = data[os.write(stream, data) :]


def main(words: list[str] | None = None) -> int:
    """Run a command; its exit code."""
    rest, told = _global(sys.argv[1:] if words is None else words)
    try:
        if told.get("version") or rest[:1] == ["--version"]:
            say(f"aws-cli/2.31.0 (stand-in) Python/{sys.version.split()[0]}\n")
            return 0
        if len(rest) < 2:
            raise MisuseError("usage: aws [options] <command> <subcommand> [parameters]")
        if rest[0] == "s3":
            from dogbreed.rehearse import aws_command_s3

            return aws_command_s3.run(rest[1:], client("s3", told))
        _call(rest[0], rest[1:], told)
    except (MisuseError, BotoCoreError, ClientError, OSError) as error:
        code, told_why = _explained(error)
        say(f"\n{told_why}\n", 2)
        return code
    return 0


def _explained(error: Exception) -> tuple[int, str]:
    """Exit code and words for an error."""
    for kind, code, words in (
        (MisuseError, USAGE, "{0}"),
        (ParamValidationError, USAGE, "{0}"),
        (
            NoCredentialsError,
            NOT_SET_UP,
            'Unable to locate credentials. You can configure credentials by running "aws login".',
        ),
        (
            NoRegionError,
            NOT_SET_UP,
            'You must specify a region. You can also configure your region by running "aws configure".',
        ),
        (ClientError, REFUSED, "aws: [ERROR]: {0}"),
    ):
        if isinstance(error, kind):
            return code, words.format(error)
    return FAILED, f"aws: [ERROR]: {error}"


def client(service: str, told: dict[str, str]) -> Any:
    """A botocore client as the options and the environment say; the region may come from the machine's metadata."""
    session = _session(told)
    region = told.get("region") or os.environ.get("AWS_REGION") or session.get_config_variable("region")
    config = Config(user_agent_extra="aws-cli/2", retries={"mode": os.environ.get("AWS_RETRY_MODE", "standard")})
    if not region and os.environ.get("AWS_EC2_METADATA_DISABLED") != "true":
        with suppress(BotoCoreError, OSError):
            endpoint = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", METADATA_BASE_URL)
            region = InstanceMetadataRegionFetcher(timeout=5, num_attempts=2, base_url=endpoint).retrieve_region()
    return session.create_client(service, region_name=region, endpoint_url=told.get("endpoint-url"), config=config)


def _session(told: dict[str, str]) -> botocore.session.Session:
    return botocore.session.Session(profile=told.get("profile"))


def _global(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """The words without the options of the command itself, and these."""
    rest: list[str] = []
    told: dict[str, str] = {}
    queue = list(words)
    while queue:
        word = queue.pop(0)
        name, has_value, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and name in _WITH_WORD and (has_value or queue):
            told[name] = value if has_value else queue.pop(0)
        elif word.startswith("--") and name in _ALONE:
            told[name] = "yes"
        else:
            rest.append(word)
    return rest, told


# -- one operation of a service


def _call(service: str, words: list[str], told: dict[str, str]) -> None:
    service = {"s3api": "s3", "deploy": "codedeploy", "configservice": "config"}.get(service, service)
    if (service, words) == ("ecr", ["get-login-password"]):
        given = client("ecr", told).get_authorization_token()["authorizationData"][0]["authorizationToken"]
        say(f"{base64.b64decode(given).decode().partition(':')[2]}\n")
        return
    try:
        model = _session(told).get_service_model(service)
    except DataNotFoundError:
        raise MisuseError(f"aws: [ERROR]: argument command: Found invalid choice '{service}'") from None
    waits = words[0] == "wait"
    made = client(service, told)
    if waits:
        waiter = made.get_waiter(words[1].replace("-", "_"))
        operation = model.operation_model(waiter.config.operation)
        waiter.wait(**_parameters(operation, words[2:], told)[0])
        return
    names = {xform_name(name, "-"): name for name in model.operation_names}
    if words[0] not in names:
        raise MisuseError(f"aws: [ERROR]: argument operation: Found invalid choice '{words[0]}'")
    operation = model.operation_model(names[words[0]])
    parameters, files = _parameters(operation, words[1:], told)
    method = xform_name(operation.name)
    if made.can_paginate(method) and "no-paginate" not in told:
        limits = {"MaxItems": told.get("max-items"), "PageSize": told.get("page-size")}
        answer = made.get_paginator(method).paginate(**parameters, PaginationConfig=limits).build_full_result()
    else:
        answer = getattr(made, method)(**parameters)
    answer.pop("ResponseMetadata", None)
    if files and operation.has_streaming_output:
        body = answer.pop(operation.output_shape.serialization["payload"])
        with open(files[0], "wb") as file:
            file.writelines(body.iter_chunks(1 << 20))
    _show(answer, told)


def _parameters(operation: Any, words: list[str], told: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Parameters of an operation from words, and the words that are none (where to put a streamed answer)."""
    parameters: dict[str, Any] = json.loads(_text(told["cli-input-json"])) if "cli-input-json" in told else {}
    members = operation.input_shape.members if operation.input_shape else {}
    shapes = {xform_name(name, "-"): (name, shape) for name, shape in members.items()}
    plain: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("--"):
            plain.append(word)
            continue
        option, has_value, value = word.removeprefix("--").partition("=")
        if option.startswith("no-") and option.removeprefix("no-") in shapes:
            parameters[shapes[option.removeprefix("no-")][0]] = False
            continue
        if option not in shapes:
            raise MisuseError(f"aws: [ERROR]: Unknown options: {word}")
        name, shape = shapes[option]
        values = [value] if has_value else []
        while not has_value and queue and not queue[0].startswith("--"):
            values.append(queue.pop(0))
            if shape.type_name not in ("list", "map", "structure"):
                break
        if not values and shape.type_name != "boolean":
            raise MisuseError(f"aws: [ERROR]: argument --{option}: expected at least one argument")
        parameters[name] = _value(shape, values)
    return parameters, plain


def _value(shape: Any, words: list[str]) -> Any:
    """What words mean for a member of that shape."""
    kind = shape.type_name
    if kind == "boolean":
        return not words or words[0].lower() == "true"
    if (
        kind in ("list", "map", "structure")
        and len(words) == 1
        and (text := _text(words[0]).strip()).startswith(("[", "{"))
    ):
        found = json.loads(text)
        return [found] if kind == "list" and isinstance(found, dict) else found
    if kind == "list":
        flat = shape.member.type_name not in ("structure", "map", "list")
        parts = [part for word in words for part in (word.split(",") if flat else [word])]
        return [_value(shape.member, [part]) for part in parts]
    if kind in ("structure", "map"):
        return _shorthand(shape, words)
    return _scalar(kind, words[0])


def _shorthand(shape: Any, words: list[str]) -> dict[str, Any]:
    """Key=Value,Key=Value; a value without a key belongs to the list of the key before."""
    found: dict[str, Any] = {}
    last = ""
    for part in (part for word in words for part in word.split(",")):
        key, is_pair, value = part.partition("=")
        if not is_pair and last and isinstance(found[last], list):
            found[last].append(part)
            continue
        if not is_pair:
            raise MisuseError(f"aws: [ERROR]: Expected: '=', received: '{part}'")
        inner = shape.value if shape.type_name == "map" else shape.members.get(key)
        if inner is None:
            raise MisuseError(
                f"aws: [ERROR]: Unknown parameter in input: '{key}', must be one of: {', '.join(shape.members)}"
            )
        found[key], last = _value(inner, [value]), key
    return found


def _scalar(kind: str, word: str) -> Any:
    if kind == "blob":
        return Path(word[8:]).read_bytes() if word.startswith("fileb://") else _text(word).encode()
    if kind in ("integer", "long"):
        return int(word)
    if kind in ("float", "double"):
        return float(word)
    return _text(word)


def _text(word: str) -> str:
    return Path(word[7:]).read_text(encoding="utf-8") if word.startswith("file://") else word


# -- answers


def _show(answer: Any, told: dict[str, str]) -> None:
    if "query" in told:
        from botocore.paginate import jmespath  # a dependency of botocore's, not of ours

        answer = jmespath.search(told["query"], answer)
    elif not answer:
        return
    if told.get("output", os.environ.get("AWS_DEFAULT_OUTPUT", "json")) == "text":
        say("".join(f"{line}\n" for line in _lines(answer)))
    else:
        say(f"{json.dumps(answer, indent=4, default=_plain, ensure_ascii=False)}\n")


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _lines(value: Any, label: str = "") -> Iterator[str]:
    """An answer as text: tab-separated scalars, then what is nested, each with its name in capitals."""
    if isinstance(value, dict):
        flat = [_word(value[key]) for key in sorted(value) if not isinstance(value[key], dict | list)]
        if flat:
            yield "\t".join([label] * bool(label) + flat)
        for key in sorted(value):
            if isinstance(value[key], dict | list):
                yield from _lines(value[key], key.upper())
    elif isinstance(value, list):
        if value and not any(isinstance(item, dict | list) for item in value):
            if label:
                yield from (f"{label}\t{_word(item)}" for item in value)
            else:
                yield "\t".join(map(_word, value))
        else:
            for item in value:
                yield from _lines(item, label)
    else:
        yield _word(value)


def _word(value: Any) -> str:
    return (
        value
        if isinstance(value, str)
        else "None"
        if value is None
        else str(value)
        if isinstance(value, bool | int | float)
        else _plain(value)
    )
