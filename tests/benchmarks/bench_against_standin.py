"""The simulator against the stand-in cloud: the same requests, once computed and once really asked.

An endpoint of real processes is scaled by target tracking on a clock of 60 times the pace: a minute of metrics, alarms,
cool-downs and starts takes a second, and the requests of that minute are asked in it. They take real time, so a service
time of 0.08 s is 4.8 s to that clock and to the simulator. Instances sleep it, one request after the other, since two
cores cannot compute for five machines. The simulator is told the arrivals, that service time, the delay of metrics, and
two things measured before: how long one more instance takes to start, and what a request takes beside its service time
when all is idle (added to what is simulated). Compared are the instances at each minute and the 95th centile.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import boto3
import numpy as np
import pytest
import standin
from botocore.config import Config
from rehearse import serving

from dogbreed.capacity.compare import parse
from dogbreed.capacity.policy import Semantics
from dogbreed.capacity.simulate import Instance, simulate
from dogbreed.capacity.traffic import Trace
from dogbreed.rehearse.state import Server, StandIn

SPEED = 60.0
SERVICE_S, DELAY_S, START_S, SEED = 0.08, 30, 60, 1
# One request after the other, first come, first served: each is told when its turn is over.
ONE_AT_A_TIME = b"""
import os, signal, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

turn, free = threading.Lock(), 0.0

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.say()

    def do_POST(self):
        global free
        self.rfile.read(int(self.headers["Content-Length"]))
        with turn:
            free = max(time.monotonic(), free) + float(os.environ["SERVICE_S"])
            until = free
        time.sleep(max(0.0, until - time.monotonic()))
        self.say()

    def say(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *words):
        pass

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
where = os.environ["DOGBREED_SERVE_HOST"], int(os.environ["DOGBREED_SERVE_PORT"])
ThreadingHTTPServer(where, Handler).serve_forever()
"""
# Of what one instance can do, minute by minute: each rise asks for one instance more at a target of half of that.
LOAD = [0.3] * 2 + [0.8] * 7 + [1.3] * 7 + [1.8] * 6 + [0.25] * 17


@pytest.fixture(scope="module")
def fast(own_world: None) -> Iterator[Server]:
    variables = {"REHEARSE_SPEED": str(SPEED), "REHEARSE_METRIC_DELAY_S": str(DELAY_S)}
    with StandIn(**standin.QUICK, **variables, REHEARSE_ENDPOINT_START_S=str(START_S)) as server:
        yield server


@pytest.mark.slow
def test_instances_and_latencies_are_as_simulated(fast: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    standin.emptied(fast, monkeypatch)
    endpoint()
    added_s = added(fast)
    overhead_s = statistics.median(ask(time.monotonic()) for _ in range(9)) - SERVICE_S
    per_minute = 60 / SPEED / SERVICE_S
    trace = Trace(np.array([round(share * per_minute) for share in LOAD], np.int64), 60)
    policy = parse(f"1-5@{per_minute * 0.5:.2f}/min")
    scaled(policy.target, policy.largest)
    latencies, counted = replay(fast, trace)

    semantics = Semantics(delay_s={"invocations": DELAY_S, "concurrency": 10}, start_s=round(added_s))
    result = simulate(trace, Instance((SERVICE_S * SPEED,)), policy, semantics, arrivals="poisson", seed=SEED)
    simulated = result.latencies.centile(0.95) / SPEED + overhead_s
    measured = float(np.quantile(latencies, 0.95))
    told = f"{counted} in the stand-in, {result.in_service} simulated; p95 {measured:.3f} s and {simulated:.3f} s"
    print(told)  # with pytest -s: the figures
    assert max(counted) > 2 and counted[-1] < max(counted), told
    assert all(abs(one - other) <= 1 for one, other in zip(counted, result.in_service, strict=True)), told
    assert abs(measured - simulated) <= 0.25 * simulated, told
    assert [one["Description"][-2] for one in reversed(activities())][:3] == ["2", "3", "4"]


def endpoint() -> None:
    picture = serving.image("one", {"dogbreed/__init__.py": b"", "dogbreed/__main__.py": ONE_AT_A_TIME})
    container = {"Image": picture, "Environment": {"SERVICE_S": str(SERVICE_S)}}
    boto3.client("sagemaker").create_model(ModelName="one", PrimaryContainer=container, ExecutionRoleArn=standin.role())
    told = serving.create("scaled", serving.config("one", serving.variant("one")))
    assert told["EndpointStatus"] == "InService", told


def added(server: Server) -> float:
    """Seconds of the clock until one more instance answers; it is taken away again."""
    begun = server.ask("time")
    took = 0.0
    for number in (2, 1):
        wanted = [{"VariantName": "main", "DesiredInstanceCount": number}]
        boto3.client("sagemaker").update_endpoint_weights_and_capacities(
            EndpointName="scaled", DesiredWeightsAndCapacities=wanted
        )
        serving.settled("scaled")
        took = took or server.ask("time") - begun
    return took


def scaled(target: float, largest: int) -> None:
    client = boto3.client("application-autoscaling")
    what = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/scaled/variant/main",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    client.register_scalable_target(**what, MinCapacity=1, MaxCapacity=largest)
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    client.put_scaling_policy(
        **what,
        PolicyName="target",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={"TargetValue": target, "PredefinedMetricSpecification": metric},
    )


def activities() -> list[dict[str, Any]]:
    client = boto3.client("application-autoscaling")
    found = client.describe_scaling_activities(ServiceNamespace="sagemaker")["ScalingActivities"]
    return [one for one in found if one["StatusCode"] == "Successful"]


def ask(due: float) -> float:
    """Seconds from when a request was due to its answer."""
    client().invoke_endpoint(EndpointName="scaled", Body=b"x")
    return time.monotonic() - due


_kept: list[Any] = []


def client() -> Any:
    if not _kept:
        config = Config(retries={"total_max_attempts": 1}, max_pool_connections=64, read_timeout=60)
        _kept.append(boto3.client("sagemaker-runtime", config=config))
    return _kept[0]


def replay(server: Server, trace: Trace) -> tuple[list[float], list[int]]:
    """Latencies of the trace's requests, asked when they are due, and the instances at the end of each minute."""
    # The trace begins with a minute of the clock, as the simulator's does.
    begin = time.monotonic() + (60 - server.ask("time") % 60) / SPEED
    counted: list[int] = []
    counting = threading.Thread(target=count, args=[begin, len(trace.counts), counted])
    counting.start()
    answers: list[Future[float]] = []
    with ThreadPoolExecutor(64) as pool:
        for _, times in trace.arrivals("poisson", SEED):
            for at in times.tolist():
                due = begin + at / SPEED
                time.sleep(max(0.0, due - time.monotonic()))
                answers.append(pool.submit(ask, due))
    counting.join()
    return [one.result() for one in answers], counted


def count(begin: float, minutes: int, counted: list[int]) -> None:
    sagemaker = boto3.client("sagemaker")
    for minute in range(1, minutes + 1):
        time.sleep(max(0.0, begin + minute * 60 / SPEED - time.monotonic()))
        counted.append(
            sagemaker.describe_endpoint(EndpointName="scaled")["ProductionVariants"][0]["CurrentInstanceCount"]
        )
