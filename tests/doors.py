"""The same photos through every door: here, `dogbreed serve`, and all that `dogbreed deploy` makes in an account."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from program import dogbreed

from dogbreed.cli.loadtest_target import service
from dogbreed.cloud.serving.client import OfFunction
from dogbreed.cloud.serving.deployment import door
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.infer.answering import Answer, Answering
from dogbreed.infer.door import Door
from dogbreed.infer.predictor import Predictor
from dogbreed.run import STARTER, Run

DEPLOYED = ("endpoint", "serverless", "lambda", "ec2")


def opened(folder: Path, doors: Sequence[str], stack: ExitStack) -> Iterator[tuple[str, Answering]]:
    """Each door with its name, deployed when it is asked for; `stack` ends what runs on this machine."""
    yield "local", Predictor.open(Run.open(STARTER))
    yield "serve", Door(stack.enter_context(service("starter")))
    aws = Aws(AwsSettings())
    for to in doors:
        made = dogbreed("deploy", "--to", to, "--run", "starter", "--yes", cwd=folder, timeout=600)
        assert made.returncode == 0, made.stderr
        yield to, door(to).client(aws)
        if to in ("endpoint", "serverless"):
            yield f"{to}, front", OfFunction(aws, f"{aws.name(to)}-front")


def answers(photos: Sequence[bytes], doors: Sequence[str], folder: Path) -> dict[str, list[Answer]]:
    """What each door says of each photo, five breeds of it."""
    with ExitStack() as stack:
        return {name: [asked.predict(photo) for photo in photos] for name, asked in opened(folder, doors, stack)}


def furthest(one: Sequence[Answer], other: Sequence[Answer]) -> tuple[int, float]:
    """How many photos another breed is named for, and the largest difference of a probability."""
    others = sum(a.breed != b.breed for a, b in zip(one, other, strict=True))
    apart = 0.0
    for a, b in zip(one, other, strict=True):
        shares = dict(b.top)
        apart = max([apart, *(abs(share - shares.get(breed, 0.0)) for breed, share in a.top[:-1])])
    return others, apart
