"""The end of a service on a schedule, and which door is the cheapest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from deployed import TINY, changed, deploy, pushed, wanted
from hypothesis import given
from hypothesis import strategies as st
from standin import until

from dogbreed import plan
from dogbreed.cloud import inventory
from dogbreed.cloud.policies_serving import END
from dogbreed.cloud.roles import Role
from dogbreed.cloud.serving import choosing, ending
from dogbreed.cloud.serving.choosing import Option
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings, DeploySettings
from dogbreed.errors import UsageError
from dogbreed.rehearse.state import Server
from dogbreed.run import STARTER, Run

_UNITS = {"m": 60, "h": 3600, "d": 86400}


@pytest.fixture
def hasty(account: Server) -> Iterator[Aws]:
    account.ask("speed", speed=20)
    yield Aws(AwsSettings())
    account.ask("speed", speed=1)


@given(st.decimals("0", "1000", places=2), st.sampled_from(sorted(_UNITS)))
def test_a_time_is_from_a_minute_to_a_year(number: Decimal, unit: str) -> None:
    wants = float(number) * _UNITS[unit]
    try:
        assert ending.seconds(f"{number}{unit}") == pytest.approx(wants)
        assert 60 <= wants <= 365 * 86400
    except UsageError:
        assert not 60 <= wants <= 365 * 86400


def schedule(aws: Aws) -> datetime:
    said = aws.client("scheduler").get_schedule(Name="dogbreed-end-endpoint")
    assert said["ActionAfterCompletion"] == "DELETE"
    return datetime.strptime(said["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)


def test_the_end_counts_by_the_clock_of_the_account(account: Server, aws: Aws) -> None:
    account.ask("speed", speed=3600)
    until(lambda: account.ask("time") > time.time() + 9 * 3600)
    account.ask("speed", speed=1)
    end = ending.End(aws, "endpoint", "8h")
    for _ in plan.make([Role(aws, END), end]).apply():
        pass
    assert timedelta(hours=7.9) < schedule(aws) - aws.now() <= timedelta(hours=8)
    assert [step.sign for step in plan.make([end]).steps] == ["="]


@pytest.mark.slow
def test_a_service_ends_itself_and_deploying_again_puts_that_off(hasty: Aws, account: Server) -> None:
    service = wanted(hasty, Run.open(STARTER), pushed(hasty, TINY), ttl="8h")
    deploy(service)
    # No longer fast: what is a minute or two here must not be half an hour there, after which the end is put off.
    account.ask("speed", speed=1)
    first = schedule(hasty)
    assert timedelta(hours=7.5) < first - hasty.now() <= timedelta(hours=8)
    assert deploy(service) == []
    assert deploy(changed(service, ttl="10h")) == ["~ scheduled end"]
    assert timedelta(hours=2) <= schedule(hasty) - first < timedelta(hours=2.5)
    assert deploy(changed(service, ttl="")) == ["- scheduled end"]
    assert deploy(service) == ["+ scheduled end"]
    # Eight hours later nobody has done anything; what costs nothing is left, and destroy takes it.
    account.ask("speed", speed=3600)
    kinds = {"endpoint", "scheduled end"}
    until(lambda: not kinds & {row.resource.kind for row in inventory.look(inventory.resources(hasty))})
    account.ask("speed", speed=20)
    for _ in plan.teardown(inventory.resources(hasty, data=True)).apply():
        pass
    assert inventory.look(inventory.resources(hasty, data=True)) == []


@given(st.floats(0.01, 1e6).map(lambda number: round(number, 2)), st.sampled_from(["s", "min", "h", "day"]))
def test_a_traffic_is_so_many_a_month(number: float, unit: str) -> None:
    a_month = 730 * 3600 / {"s": 1, "min": 60, "h": 3600, "day": 86400}[unit]
    if number:
        assert choosing.per_month(f"{number}/{unit}") == pytest.approx(number * a_month)


@pytest.mark.parametrize("traffic", ["", "5", "-5/s", "5/fortnight", "0/s", "nan/s", "5/s/s"])
def test_what_is_no_traffic(traffic: str) -> None:
    with pytest.raises(UsageError, match="not a traffic"):
        choosing.per_month(traffic)


def test_what_has_no_price_cannot_be_the_cheapest() -> None:
    unknown = Option("endpoint", None, "", "")
    with pytest.raises(UsageError, match="no door has a known price"):
        choosing.best([unknown])
    assert choosing.best([Option("lambda", Decimal(1), "", ""), unknown]).to == "lambda"


def test_where_no_price_is_known_those_of_another_region_order_the_doors() -> None:
    nowhere = Deployment(Aws(AwsSettings(region="sa-east-1")), DeploySettings(), Run.open(STARTER))
    here = choosing.options(nowhere, 1000)
    assert all(option.usd is not None for option in here)
    assert all(option.region == "us-east-1" == option.to_json()["prices_of"] for option in here)
    assert [option.usd for option in here] == sorted(option.usd or 0 for option in here)


def test_who_may_not_look_at_a_door_is_told_what_it_costs_without_a_look(account: Server, aws: Aws) -> None:
    for action in ("sagemaker:*", "ec2:*"):
        account.ask("fault", kind="deny", target=action)
    asked = Deployment(aws, DeploySettings(), Run.open(STARTER))
    assert choosing.options(asked, 1000, look=True) == choosing.options(asked, 1000)
