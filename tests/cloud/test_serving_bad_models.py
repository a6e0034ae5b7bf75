"""A bad new model, really served: alarms take it back by themselves, and no request is lost but the canary's share."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
from deployed import deploy, pushed, real, wanted
from onnx import TensorProto, helper, numpy_helper
from standin import until

from dogbreed.cloud.serving.deploying import a_photo
from dogbreed.cloud.serving.deployment import door
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.errors import DogbreedError
from dogbreed.rehearse.state import Server
from dogbreed.run import MODEL, ONNX, STARTER, Run, sealed

pytestmark = pytest.mark.slow
# Minutes of the stand-in in a minute here: a period of an alarm is four seconds.
_SPEED = 15


def changed(folder: Path, change: Callable[[bytes], bytes]) -> Run:
    """The starter with another network, which its model.json describes rightly."""
    shutil.copytree(STARTER, folder)
    network = change((folder / ONNX).read_bytes())
    (folder / ONNX).write_bytes(network)
    info = json.loads((folder / MODEL).read_text())
    info["files"][ONNX] = hashlib.sha256(network).hexdigest()
    (folder / MODEL).write_text(json.dumps(sealed(info)))
    return Run.open(folder)


def without_numbers(network: bytes) -> bytes:
    """NaN in place of the weights."""
    model = onnx.load_from_string(network)
    for one in model.graph.initializer:
        if one.data_type == TensorProto.FLOAT:
            values = np.full_like(numpy_helper.to_array(one), np.nan)
            one.CopyFrom(numpy_helper.from_array(values, one.name))
    return model.SerializeToString()


def slow(network: bytes) -> bytes:
    """The same answers, after some seconds of work that nobody needs."""
    model = onnx.load_from_string(network)
    graph, entry = model.graph, model.graph.input[0].name
    answers = graph.output[0].name
    for node in graph.node:
        node.output[:] = [f"{name}_before" if name == answers else name for name in node.output]
    side, turns = np.array([2000, 2000]), 40
    graph.initializer.append(numpy_helper.from_array(side, "side"))
    graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "nothing"))
    made = [
        helper.make_node("ReduceMean", [entry], ["mean"], keepdims=0),
        helper.make_node("Expand", ["mean", "side"], ["work_0"]),
    ]
    for turn in range(turns):
        made += [
            helper.make_node("MatMul", [f"work_{turn}", "work_0"], [f"product_{turn}"]),
            helper.make_node("Tanh", [f"product_{turn}"], [f"work_{turn + 1}"]),
        ]
    made += [
        helper.make_node("ReduceMean", [f"work_{turns}"], ["result"], keepdims=0),
        helper.make_node("Mul", ["result", "nothing"], ["zero"]),
        helper.make_node("Add", [f"{answers}_before", "zero"], [answers]),
    ]
    graph.node.extend(made)
    return model.SerializeToString()


def no_network(network: bytes) -> bytes:
    return b"this is no network"


@pytest.fixture
def service(account: Server) -> Iterator[tuple[Aws, str]]:
    """The real service on two instances, answering with the starter."""
    account.ask("speed", speed=_SPEED)
    aws = Aws(AwsSettings())
    image = pushed(aws, real())
    deploy(wanted(aws, Run.open(STARTER), image, instances=2))
    yield aws, image
    account.ask("speed", speed=1)


@contextmanager
def asked_all_the_time(aws: Aws) -> Iterator[list[str]]:
    """Somebody asks one photo after the other; what came of each: "" or the words of the error."""
    over, came = threading.Event(), list[str]()
    photo, answering = a_photo(), door("endpoint").client(aws)

    def ask() -> None:
        while not over.is_set():
            try:
                answering.predict(photo)
                came.append("")
            except DogbreedError as error:
                came.append(error.message)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for one in asking:
        one.start()
    try:
        until(lambda: len(came) > 4)
        yield came
    finally:
        over.set()
        for one in asking:
            one.join()


def test_bad_models_are_taken_back_by_themselves(service: tuple[Aws, str], tmp_path: Path) -> None:
    aws, image = service

    def tried(change: Callable[[bytes], bytes], why: str, **settings: float) -> list[str]:
        """Deploy the starter with this change, while people ask; the errors that they saw.

        It is watched for as long as a slow machine may need until an alarm rings, which ends the watch.
        """
        run = changed(tmp_path / change.__name__, change)
        with asked_all_the_time(aws) as came:
            with pytest.raises(DogbreedError, match=why):
                deploy(wanted(aws, run, image, instances=2, bake_minutes=30.0, **settings))
            until(lambda: not any(came[-8:]))
        failed = [words for words in came if words]
        # One of two instances was the canary, so it had half of the requests for a while, and no more.
        assert len(failed) < len(came) * 0.6
        return failed

    failed = tried(without_numbers, r"taken back.*1 % of the requests")
    assert failed
    assert all("no finite numbers" in words for words in failed), set(failed)
    # A slow answer is an answer, and a container that does not start is never asked.
    assert tried(slow, r"taken back.*2500 ms", alarm_p99_ms=2500.0) == []
    assert tried(no_network, r"taken back") == []
    assert deploy(wanted(aws, Run.open(STARTER), image, instances=2))[-1].startswith("-")
