"""Launch templates below the parameters of a launch: moto reads few of their members, here all of them apply."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.core.exceptions import ServiceException

from dogbreed.rehearse.calls import AwsError

Params = dict[str, Any]


@contextmanager
def moto_speaks() -> Iterator[None]:
    """What moto refuses in its own exceptions, refused in ours."""
    try:
        yield
    except ServiceException as error:
        raise AwsError(error.code, error.message) from error


def merged(backend: Any, params: Params) -> Params:
    """Parameters with those of the launch template that they name below them."""
    wanted = params.get("LaunchTemplate")
    if not wanted:
        return dict(params)
    return over(content(backend, wanted), params)


def content(backend: Any, wanted: Params) -> Params:
    """What the version of a launch template that a specification names holds."""
    found: Params = dict(template(backend, wanted).data)
    if "UserData" in found:
        found["UserData"] = str(found["UserData"])  # moto keeps it in a class of its own
    return found


def template(backend: Any, wanted: Params) -> Any:
    """The version of a launch template that a specification names; AwsError where there is none."""
    with moto_speaks():
        return backend._get_template_from_args({"Version": "$Default"} | {k: v for k, v in wanted.items() if v})


def over(below: Params, above: Params) -> Params:
    """Parameters in `above` win: whole lists, but disks by device, tags by kind and key, and structures by member."""
    found = dict(below)
    for name, value in above.items():
        if name == "BlockDeviceMappings":
            disks = {disk["DeviceName"]: disk for disk in below.get(name) or []}
            for disk in value:
                disks[disk["DeviceName"]] = over(disks.get(disk["DeviceName"], {}), disk)
            found[name] = list(disks.values())
        elif name == "TagSpecifications":
            found[name] = _tags_over(below.get(name) or [], value)
        elif isinstance(value, dict) and isinstance(below.get(name), dict):
            found[name] = over(below[name], value)
        elif value is not None:
            found[name] = value
    return found


def _tags_over(below: list[Params], above: list[Params]) -> list[Params]:
    kinds: dict[str, dict[str, str]] = {}
    for spec in [*below, *above]:
        kinds.setdefault(spec["ResourceType"], {}).update(
            {tag["Key"]: tag.get("Value", "") for tag in spec.get("Tags", [])}
        )
    return [
        {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        for kind, tags in kinds.items()
    ]
