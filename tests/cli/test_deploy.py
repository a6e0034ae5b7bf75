"""`dogbreed deploy`, `rollback`, status and destroy of a service, as people run them, against the stand-in cloud."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from deployed import TINY, another, pushed, real
from least import beyond
from program import dogbreed

from dogbreed.cloud import people
from dogbreed.cloud.policy_parts import Scope
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.rehearse.state import Server


@pytest.fixture
def hasty(account: Server) -> Iterator[Server]:
    account.ask("speed", speed=20)
    yield account
    account.ask("speed", speed=1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "nowhere"), "--to"),
        (("--to", "auto"), "for which traffic?"),
        (("--to", "auto", "--traffic", "lots"), "not a traffic"),
        (("--to", "auto", "--traffic", "0/day"), "not a traffic"),
        (("--to", "lambda", "--traffic", "5/s"), "has chosen"),
        (("--instances", "0"), "--instances 0: must be 1 or more"),
        (("--instance-type", "c6i.large"), "did you mean ml.c6i.large?"),
        (("--to", "serverless", "--memory-mb", "1000"), "1024, 2048"),
        (("--to", "serverless", "--shadow", "starter"), "--shadow is for --to endpoint"),
        (("--no-front", "--function-url", "iam"), "no function"),
        (("--no-front", "--reserved-concurrency", "5"), "there is none"),
        (("--reserved-concurrency", "2", "--provisioned-concurrency", "3"), "is more than"),
        (("--ttl", "8x"), "--ttl 8x: no time; such as 8h, 90m or 2d"),
        (("--to", "lambda", "--instances", "2"), "--instances is for --to endpoint and ec2, not for lambda"),
        (("--to", "serverless", "--instance-type", "ml.m5.large"), "--instance-type is for --to endpoint and ec2"),
        (("--single",), "--single is for --to ec2, not for endpoint"),
        (("--to", "lambda", "--public"), "--public is for --to ec2"),
        (("--to", "serverless", "--certificate", "arn:aws:acm:x"), "--certificate is for --to ec2"),
        (("--to", "ec2", "--max-concurrency", "3"), "--max-concurrency is for --to serverless"),
        (("--memory-mb", "2048"), "--memory-mb is for --to serverless and lambda, not for endpoint"),
        (("--to", "lambda", "--strategy", "canary"), "--strategy is for --to endpoint"),
        (("--to", "ec2", "--bake-minutes", "3"), "--bake-minutes is for --to endpoint"),
        (("--ttl", "0h"), "from a minute to a year"),
        (("--image", "python:3.12"), "no image that SageMaker can run"),
        (("--run", "absent"), "there is no run absent"),
        (("--shadow", "absent"), "there is no run absent"),
    ],
)
def test_nonsense_is_a_clear_error_before_any_call(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    # There is no account here at all, so any call would say so.
    done = dogbreed("deploy", *words, "--yes", "--region", "eu-west-1", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_file_may_have_options_of_several_doors(tmp_path: Path) -> None:
    (tmp_path / "dogbreed.toml").write_text("[deploy]\ninstances = 2\nmemory_mb = 2048\nsingle = true\n")
    words = ("deploy", "--to", "lambda", "--run", "starter", "--dry-run", "--region", "eu-west-1")
    assert "no AWS credentials were found" in dogbreed(*words, cwd=tmp_path).stderr


def test_the_cheapest_door_is_shown_without_an_account(tmp_path: Path) -> None:
    words = ("deploy", "--to", "auto", "--dry-run", "--run", "starter", "--region", "us-east-1")
    rare = json.loads(dogbreed(*words, "--traffic", "200/day", "--json", cwd=tmp_path).stdout)
    prices = [float(option["usd_per_month"]) for option in rare["options"]]
    assert rare["to"] == rare["options"][0]["to"] != "endpoint"
    assert prices == sorted(prices) and len(prices) == 4
    often = dogbreed(*words, "--traffic", "2000/s", cwd=tmp_path)
    assert often.returncode == 0
    assert "5,256,000,000 requests a month" in often.stderr
    assert "no access to an account, so no plan is made" in often.stderr


def test_without_an_account_a_plan_is_an_error(tmp_path: Path) -> None:
    done = dogbreed("deploy", "--dry-run", "--run", "starter", "--region", "eu-west-1", cwd=tmp_path)
    assert done.returncode == 4
    assert "no AWS credentials were found" in done.stderr


def test_a_dry_run_shows_the_price_of_an_hour_and_a_month_and_makes_nothing(account: Server, tmp_path: Path) -> None:
    words = ("deploy", "--run", "starter", "--instance-type", "ml.m5.xlarge", "--instances", 2, "--dry-run")
    done = dogbreed(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "$0.5140 an hour, $375.22 a month, while this is there" in done.stderr
    assert "+ endpoint dogbreed-endpoint (2 x ml.m5.xlarge)  $0.5140/h" in done.stderr
    assert "dry run: nothing was changed" in done.stderr
    assert boto3.client("s3").list_buckets()["Buckets"] == []
    asked = dogbreed(*words[:-1], cwd=tmp_path)
    assert (asked.returncode, "add --yes" in asked.stderr) == (2, True)


@pytest.mark.slow
def test_a_life_of_a_service_within_the_policies(hasty: Server, tmp_path: Path) -> None:
    """Deployed, asked, left alone, changed, rolled back, looked at, destroyed: each with its policies and no more."""
    aws = Aws(AwsSettings())
    other = another(tmp_path / "other")
    given = {"DOGBREED_DEPLOY_IMAGE": pushed(aws, real()), "DOGBREED_DEPLOY_BAKE_MINUTES": "1"}
    # An answer for which this machine takes seconds is none that an update should be taken back for.
    given["DOGBREED_DEPLOY_ALARM_P99_MS"] = "100000"
    scope = Scope.of(aws)
    deploys = ("deploy-endpoint", "front")
    seen: list[dict[str, Any]] = []

    def run(*words: object, policies: tuple[str, ...], code: int = 0) -> Any:
        before = len(hasty.ask("calls"))
        done = dogbreed(*words, cwd=tmp_path, **given)
        assert done.returncode == code, done.stderr
        mine = [call for call in hasty.ask("calls")[before:] if ":user/" in call["who"]]
        statements = [one for name in policies for one in people.POLICIES[name](scope)["Statement"]]
        assert not (more := beyond({"Statement": statements}, mine)), "\n".join(more)
        seen.extend(mine)
        return done

    run("iam", "setup", "--yes", policies=("setup",))
    # The clock is fast, and the same command leaves the end alone for a twentieth of its time only.
    ttl = ("--ttl", "360d")
    first = run("deploy", "--run", "starter", *ttl, "--yes", "--json", policies=deploys)
    told = json.loads(first.stdout)
    assert (told["name"], told["trial"]["same"], set(told["calls"])) == (
        *("dogbreed-endpoint", True),
        {"dogbreed", "boto3", "curl", "dogbreed, by the function", "boto3, by the function"},
    )
    again = run("deploy", "--run", "starter", *ttl, "--yes", policies=deploys)
    assert "nothing to change" in again.stderr
    changed = run("deploy", "--run", other.path, *ttl, "--yes", policies=deploys)
    assert "1 instance cannot be shared, so not canary: all traffic moves at once" in changed.stderr
    back = run("rollback", "--to", "endpoint", "--yes", policies=deploys)
    assert "the model before answers again" in back.stderr
    said = json.loads(run("status", "--json", policies=("status",)).stdout)
    rows = {one["name"]: one for one in said["resources"]}
    assert said["also_tagged"] == []
    assert rows["dogbreed-endpoint"]["state"] == "InService"
    end = datetime.strptime(rows["dogbreed-end-endpoint"]["state"], "at %Y-%m-%d %H:%M UTC").replace(tzinfo=UTC)
    assert timedelta(days=359) < end - aws.now() <= timedelta(days=360)
    gone = run("destroy", "--data", "--yes", policies=("destroy", "destroy-services"))
    assert "nothing of this project is left" in gone.stderr
    assert len(seen) > 200


def test_a_door_that_answers_otherwise_is_said_and_fails(hasty: Server, tmp_path: Path) -> None:
    """An image that answers every photo with nothing."""
    given = {"DOGBREED_DEPLOY_IMAGE": pushed(Aws(AwsSettings()), TINY), "DOGBREED_DEPLOY_FRONT": "false"}
    done = dogbreed("deploy", "--run", "starter", "--yes", cwd=tmp_path, **given)
    assert done.returncode == 1
    assert "dogbreed-endpoint is there, but does not answer" in done.stderr
