"""From settings to a Plan of everything that a door takes, and the one real prediction that proves it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dogbreed import plan as planning
from dogbreed import priced
from dogbreed.cloud.serving import deployment, ending
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.config import AwsSettings, DeploySettings
from dogbreed.data.sample import draw_sample
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.infer.answering import Answer
from dogbreed.infer.predictor import Predictor
from dogbreed.plan import Plan, Resource, Step
from dogbreed.priced import Price

# The bundled runtime on another processor differs in the last digits only; this is what people could notice.
CLOSE = 1e-3
_TOP = 5


@dataclass(frozen=True)
class Trial:
    """The same photo asked here and through the door; `seconds` until the door's answer."""

    here: Answer
    there: Answer
    seconds: float

    @property
    def same(self) -> bool:
        """Whether the door names the same breed, and every probability is within 0.001 of the one here."""
        shares = dict(self.here.top)
        close = all(abs(shares.get(breed, -1.0) - share) <= CLOSE for breed, share in self.there.top)
        return self.here.breed == self.there.breed and bool(self.there.top) and close

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        there, here = self.there.to_json(), self.here.to_json()
        return {"same": self.same, "seconds": round(self.seconds, 3), "there": there, "here": here}


def check(own: DeploySettings, aws: AwsSettings, *, shadow: bool) -> None:
    """UsageError for settings that cannot be together, before anything is asked of AWS."""
    door = deployment.door(own.to)
    if own.ttl:
        ending.seconds(own.ttl)
    functions = own.to == "lambda" or (own.to in ("endpoint", "serverless") and own.front)
    if own.function_url != "none" and not functions:
        raise UsageError("--function-url: there is no function that it could lead to", "leave out --no-front")
    if own.reserved_concurrency and not functions:
        raise UsageError("--reserved-concurrency is for a function, and there is none", "leave out --no-front")
    if 0 < own.reserved_concurrency < own.provisioned_concurrency and own.to != "serverless":
        raise UsageError(
            f"--provisioned-concurrency {own.provisioned_concurrency} is more than "
            f"--reserved-concurrency {own.reserved_concurrency} lets run",
            "give a larger --reserved-concurrency",
        )
    if shadow and own.to != "endpoint":
        raise UsageError(f"--shadow is for --to endpoint, not for {own.to}", "a serverless endpoint has one variant")
    if own.component and own.to != "endpoint":
        raise UsageError(f"--component is for --to endpoint, not for {own.to}", "leave out --component")
    if shadow and own.component:
        raise UsageError("an inference component has no shadow", "leave out --shadow, or --component")
    if check_of := getattr(door, "check", None):
        check_of(own, aws)


def plan(wanted: Deployment) -> Plan:
    """What makes the account as wanted; what an earlier deployment left over goes last."""
    door = deployment.door(wanted.settings.to)
    surplus = getattr(door, "surplus", None)
    return joined(door.resources(wanted), surplus(wanted) if surplus else ())


def joined(resources: Sequence[Resource], surplus: Sequence[Resource]) -> Plan:
    """What makes `resources` as wanted and then removes `surplus`, each loss with the option that is left out."""
    made = planning.make(resources)
    gone = planning.teardown(surplus).steps
    steps = (*made.steps, *(step for step in gone if step.sign == "-"))
    return Plan(tuple(_with_reason(step) for step in steps))


def _with_reason(step: Step) -> Step:
    """The same, saying which option of an earlier deployment this one leaves out, where it takes something away."""
    unasked = getattr(step.resource, "unasked", None)
    if step.sign not in "~-" or step.found is None or unasked is None:
        return step
    option = unasked(step.found)
    words = [step.why, f"not asked for any more: {option}" if option else ""]
    return replace(step, why="; ".join(filter(None, words)))


def price(made: Plan) -> Price:
    """Of all that is there when the plan is done, as `dogbreed status` shows it afterwards."""
    return priced.total(priced.of(step.resource) for step in made.steps if step.sign != "-")


def a_photo() -> bytes:
    """A JPEG of the drawn sample set, always the same."""
    with TemporaryDirectory() as folder:
        drawn = draw_sample(Path(folder) / "photos", breeds=2, photos=2, seed=0)
        return min(drawn.rglob("*.jpg")).read_bytes()


def trial(wanted: Deployment) -> Trial:
    """Ask what was deployed, and the Predictor here. DogbreedError where the door has no answer."""
    photo = a_photo()
    here = Predictor.open(wanted.run).predict(photo, top_k=_TOP)
    began = time.monotonic()
    try:
        there = deployment.door(wanted.settings.to).client(wanted.aws).predict(photo, top_k=_TOP)
    except DogbreedError as error:
        raise DogbreedError(
            f"{wanted.name} is there, but does not answer: {error.message}", error.hint or "dogbreed status"
        ) from error
    return Trial(here, there, time.monotonic() - began)
