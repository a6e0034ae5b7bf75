"""Back to the model before: each endpoint configuration is tagged with the one that it took the place of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dogbreed import plan as planning
from dogbreed.cloud.serving import rescaling, update
from dogbreed.cloud.serving.hosted import Configuration, Model, endpoint_seen, models_in, previous, seen_or_none
from dogbreed.cloud.serving.hosted_endpoint import Change, Endpoint
from dogbreed.cloud.session import Aws
from dogbreed.config import DeploySettings
from dogbreed.errors import DogbreedError
from dogbreed.plan import Plan

_DOORS = ("endpoint", "serverless")
_LONGEST_S = 3600.0


def plan(aws: Aws, own: DeploySettings, tell: Callable[[str], None]) -> Plan:
    """UpdateEndpoint with the configuration before, all at once and watched by no alarm: one may be ringing now.

    DogbreedError where there is no endpoint, nothing before it, or a part of what was before is gone.
    """
    for to in sorted(_DOORS, key=lambda one: one != own.to):
        if there := endpoint_seen(aws, aws.name(to)):
            break
    else:
        raise DogbreedError(
            f"project {aws.settings.project} has no endpoint here, which could go back",
            "a function or machines go back by deploying the run before: dogbreed deploy --run RUN",
        )
    before = previous(aws, to, str(there["EndpointConfigName"]))
    if not before:
        raise DogbreedError(f"{aws.name(to)} has had one model only", "deploy another run: dogbreed deploy --run RUN")
    configuration = _known(aws, to, before)
    pause, resume = rescaling.around(aws, to, configuration)
    counted = to == "endpoint"
    change = Change(lambda instances, watching: update.at_once() if counted else {}, counted, _LONGEST_S)
    return planning.make([*pause, Endpoint(aws, to, configuration, change=change, tell=tell), *resume])


def _known(aws: Aws, to: str, name: str) -> Configuration:
    configuration = Configuration.known(aws, to, name)
    content: dict[str, Any] | None = seen_or_none(configuration.describe)
    missing = [name] if content is None else []
    missing += [one for one in models_in(content or {}) if not Model.known(aws, to, one).find()]
    if missing:
        raise DogbreedError(f"what answered before is gone: {', '.join(missing)}", "deploy that run again")
    configuration.content = content or {}
    return configuration
