"""Back to the model before.

Each endpoint configuration is tagged with the last one that had another model; of a function, the last version with
another model is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from dogbreed import plan as planning
from dogbreed.cloud.errors import is_refused
from dogbreed.cloud.serving import alarms, hosting, rescaling, serverless, update
from dogbreed.cloud.serving.component import Component
from dogbreed.cloud.serving.function_alias import Alias, Earlier
from dogbreed.cloud.serving.function_resources import Function
from dogbreed.cloud.serving.hosted import (
    Configuration,
    Model,
    endpoint_seen,
    models_in,
    previous,
    seen_or_none,
    variants,
)
from dogbreed.cloud.serving.hosted_endpoint import Change, Endpoint
from dogbreed.cloud.session import Aws
from dogbreed.config import DeploySettings
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.plan import Plan, Resource

_LONGEST_S = 3600.0
# What deploying says of a serverless variant; AWS shows more.
_OF_VARIANT = ("VariantName", "ModelName", "ServerlessConfig")


def plan(aws: Aws, to: str, tell: Callable[[str], None]) -> Plan:
    """What lets the door `to` answer with the model before; "": the only door that something is deployed to.

    DogbreedError where nothing is deployed, nothing was before it, or a part of what was before is gone; UsageError
    where several doors leave a choice, and for machines.
    """
    to = to or _only(aws)
    if to == "ec2":
        again = "deploy the older run again: dogbreed deploy --to ec2 --run OLD"
        raise UsageError("machines keep no model before", again)
    return _of_function(aws) if to == "lambda" else _of_endpoint(aws, to, tell)


def _of_endpoint(aws: Aws, to: str, tell: Callable[[str], None]) -> Plan:
    """UpdateEndpoint with the configuration before, all at once and watched by no alarm: one may be ringing now."""
    there = endpoint_seen(aws, aws.name(to))
    if not there:
        raise _nothing(aws, to)
    if to == "endpoint" and (copies := Component(aws).seen()):
        return _of_component(aws, copies, tell)
    before = previous(aws, to, str(there["EndpointConfigName"]))
    if not before:
        raise _one_only(aws, to)
    configuration = _known(aws, to, before)
    made: list[Resource] = []
    if to == "serverless":
        variant = {key: variants(configuration.content)[0][key] for key in _OF_VARIANT}
        made = [configuration := serverless.as_scaled(aws, variant)]
    pause, resume = rescaling.around(aws, to, configuration)
    counted = to == "endpoint"
    change = Change(lambda instances, watching: update.at_once() if counted else {}, counted, _LONGEST_S)
    model = str(variants(configuration.content)[0]["ModelName"])
    _say(aws, to, model, tell)
    watch = _watch(aws, model) if counted else []
    return planning.make([*made, *pause, Endpoint(aws, to, configuration, change=change, tell=tell), *resume, *watch])


def _of_component(aws: Aws, seen: Mapping[str, Any], tell: Callable[[str], None]) -> Plan:
    """UpdateInferenceComponent with the model before, as many copies as there are, watched by no alarm."""
    found = Component(aws).find()
    before = str(found.content["replaces"]) if found else ""
    if not found or not before:
        raise _one_only(aws, "endpoint")
    _check_models(aws, [before])
    _say(aws, "endpoint", before, tell)
    own = DeploySettings(component=True, instances=found.content["copies"], strategy="all-at-once", bake_minutes=0.0)
    needed = seen["Specification"]["ComputeResourceRequirements"]
    return planning.make([Component(aws, before, needed, own, tell=tell), *_watch(aws, before)])


def _say(aws: Aws, to: str, model: str, tell: Callable[[str], None]) -> None:
    found = Model.known(aws, to, model).find()
    if found and "run" in found.content:
        tell(f"what is to answer again: run {found.content['run']}")


def _watch(aws: Aws, model: str) -> list[Resource]:
    """The alarm on unsure photos, for the model that answers again."""
    told = Model.known(aws, "endpoint", model).describe()["PrimaryContainer"].get("Environment", {})
    return [*alarms.moved(aws, "endpoint", told.get(hosting.FIGURES, aws.name("endpoint")))]


def _of_function(aws: Aws) -> Plan:
    """The alias that callers use, moved to the version before."""
    function = Function(aws, aws.name("lambda"))
    found = Alias(function).find()
    if found is None:
        raise _nothing(aws, "lambda")
    if not (before := Alias(function).before(found)):
        raise _one_only(aws, "lambda")
    return planning.make([Earlier(function, before)])


def _only(aws: Aws) -> str:
    """The door that something is deployed to; what these credentials may not look at counts as not there."""
    function, group = Function(aws, aws.name("lambda")), {"AutoScalingGroupNames": [aws.name("ec2")]}
    looks: dict[str, Callable[[], Any]] = {
        "endpoint": lambda: endpoint_seen(aws, aws.name("endpoint")),
        "serverless": lambda: endpoint_seen(aws, aws.name("serverless")),
        "lambda": function.find,
        "ec2": lambda: aws.client("autoscaling").describe_auto_scaling_groups(**group)["AutoScalingGroups"],
    }
    found = [to for to, look in looks.items() if _seen(look)]
    if len(found) > 1:
        raise UsageError(f"{' and '.join(found)} are deployed", f"name one: dogbreed rollback --to {found[0]}")
    if not found:
        raise _nothing(aws)
    return found[0]


def _seen(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except ClientError as error:
        if is_refused(error):
            return None
        raise


def _nothing(aws: Aws, to: str = "") -> DogbreedError:
    what = f"nothing is deployed{f' to {to}' if to else ''} by project {aws.settings.project} in {aws.region}"
    return DogbreedError(what, f"see dogbreed status, or: dogbreed deploy --to {to or 'endpoint'}")


def _one_only(aws: Aws, to: str) -> DogbreedError:
    hint = f"deploy another run: dogbreed deploy --to {to} --run RUN"
    return DogbreedError(f"{aws.name(to)} has had one model only", hint)


def _known(aws: Aws, to: str, name: str) -> Configuration:
    configuration = Configuration.known(aws, to, name)
    content: dict[str, Any] | None = seen_or_none(configuration.describe)
    if content is None:
        raise _gone([name])
    _check_models(aws, models_in(content), to)
    configuration.content = content
    return configuration


def _check_models(aws: Aws, names: Iterable[str], to: str = "endpoint") -> None:
    if missing := [one for one in names if not Model.known(aws, to, one).find()]:
        raise _gone(missing)


def _gone(missing: list[str]) -> DogbreedError:
    return DogbreedError(f"what answered before is gone: {', '.join(missing)}", "deploy that run again")
