"""The agent on EC2 machines: they train together, stop together, go on after an interruption, and always end."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import ec2_bench
import pytest
from ec2_bench import STEPS, Bench

pytestmark = pytest.mark.slow


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ec2_bench.bench(tmp_path) as made:
        yield made


def test_two_machines_train_and_end(bench: Bench) -> None:
    for machine in bench.start([0, 1]):
        machine.wait()
    assert [bench.told(rank)["state"] for rank in (0, 1)] == ["done", "done"]
    assert (bench.run / "output" / "model.safetensors").read_text() == str(STEPS)
    assert bench.steps(0) == bench.steps(1) == list(range(STEPS))
    log = next(bench.cloud.glob("log r1_node-0_i-0")).read_text()
    assert '"event": "trained"' in log
    metrics = [entry for line in (bench.cloud / "metrics").read_text().splitlines() for entry in json.loads(line)]
    assert {entry["MetricName"] for entry in metrics} == {"train_loss", "images_per_second"}
    assert {entry["Dimensions"][0]["Value"] for entry in metrics} == {"r1"}


def follow(bench: Bench) -> None:
    (bench.run / "machines").mkdir(parents=True, exist_ok=True)
    (bench.run / "machines" / "follower.json").write_text('{"beat": 1}')


@pytest.mark.parametrize("taken", [0, 1])
def test_a_replacement_goes_on_from_the_last_step(bench: Bench, taken: int) -> None:
    at = random.randint(1, STEPS - 8)
    bench.hold(at)
    machines = bench.start([0, 1])
    follow(bench)
    bench.until(lambda: len(bench.steps()) == at)
    machines[taken].notice("2026-11-25T12:00:00Z")
    machines[taken].wait()
    assert "takes machine" in bench.told(taken)["why"]
    (replacement,) = bench.start([taken], attempt=2)
    machines[1 - taken].wait()
    replacement.wait()
    assert bench.told(0, 2)["state"] == bench.told(1, 2)["state"] == "done"
    assert bench.steps(0) == bench.steps(1) == list(range(STEPS))


def test_a_machine_that_is_gone_without_a_word_is_replaced(bench: Bench) -> None:
    bench.hold(STEPS - 8)
    machines = bench.start([0, 1])
    follow(bench)
    bench.until(bench.checkpoint.exists)
    machines[1].kill()
    (replacement,) = bench.start([1], attempt=2)
    bench.until(lambda: bench.told(1, 2))
    bench.cut()
    machines[0].wait()
    replacement.wait()
    assert bench.told(0, 2)["state"] == bench.told(1, 2)["state"] == "done"
    assert (bench.run / "output" / "model.safetensors").read_text() == str(STEPS)
    # From the last checkpoint on, steps are done again: nobody could write another.
    assert sorted(set(bench.steps())) == list(range(STEPS))


def test_without_a_follower_all_end_after_an_interruption_and_a_later_attempt_goes_on(bench: Bench) -> None:
    bench.hold(3)
    machines = bench.start([0, 1])
    bench.until(lambda: len(bench.steps()) == 3)
    machines[1].notice("soon")
    for machine in machines:
        machine.wait()
    assert bench.told(0)["state"] == "interrupted"
    for machine in bench.start([0, 1], attempt=2):
        machine.wait()
    assert bench.told(0, 2)["state"] == "done"
    assert bench.steps(0) == list(range(STEPS))


def test_the_time_limit_ends_them_with_a_checkpoint(bench: Bench) -> None:
    (bench.cloud / "slow").touch()
    # A fifth of the limit is kept for the end: after 13 s they stop, and have 80 s and more for that.
    for machine in bench.start([0, 1], limit_s=100, passed=67):
        machine.wait()
    assert {bench.told(rank)["state"] for rank in (0, 1)} == {"limit"}
    reached = int(bench.checkpoint.read_text())
    assert bench.steps(0) == list(range(reached))


def test_a_machine_whose_agent_hangs_is_switched_off_at_the_limit(bench: Bench) -> None:
    (bench.cloud / "hangs").touch()
    (machine,) = bench.start([0], limit_s=2)
    machine.wait()
    assert not bench.told(0)


def test_a_person_stops_them(bench: Bench) -> None:
    bench.hold(3)
    machines = bench.start([0, 1], launch="1")
    bench.until(lambda: len(bench.steps()) == 3)
    (bench.run / "machines" / "stop.json").write_text('{"launch": "1"}')
    for machine in machines:
        machine.wait()
    assert {bench.told(rank)["state"] for rank in (0, 1)} == {"stopped"}
    assert bench.checkpoint.exists()


def test_a_failure_ends_all_and_says_why(bench: Bench) -> None:
    (bench.cloud / "crash-1").write_text("4")
    for machine in bench.start([0, 1]):
        machine.wait()
    assert bench.told(1)["state"] == "failed"
    assert "ValueError: the cause" in bench.told(1)["why"]
    assert bench.told(0)["state"] == "failed"
    assert "ValueError: the cause" in (bench.run / "machines" / "1" / "log-1.txt").read_text()


def test_a_crash_is_tried_again_from_the_last_checkpoint(bench: Bench) -> None:
    (bench.cloud / "crash-1").write_text("7")
    (bench.cloud / "once").touch()
    for machine in bench.start([0, 1], restarts=2):
        machine.wait()
    assert bench.told(0, 2)["state"] == bench.told(1, 2)["state"] == "done"
    assert (bench.run / "output" / "model.safetensors").read_text() == str(STEPS)


def test_machines_without_rights_to_log_train_on(bench: Bench) -> None:
    (bench.cloud / "denied").write_text("logs cloudwatch")
    for machine in bench.start([0, 1]):
        machine.wait()
    assert bench.told(0)["state"] == "done"
    calls = [json.loads(line)[0] for line in (bench.cloud / "calls.jsonl").read_text().splitlines()]
    assert calls.count("logs") == calls.count("cloudwatch") * 2 == 2


def test_code_that_was_changed_on_the_way_is_not_run(bench: Bench) -> None:
    bench.sha256 = "0" * 64
    (machine,) = bench.start([0], nodes=1)
    machine.wait()
    assert "not the code that was sent" in machine.console
    assert not bench.told(0)
