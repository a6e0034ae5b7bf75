"""What a project costs, its budget, and the price list: computed by hand, kept by plans, read from AWS's own form."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from laws import apply, remove, survives_kills, unchanged

from dogbreed.cloud import budget, prices
from dogbreed.cloud.inventory import Row
from dogbreed.cloud.session import Aws
from dogbreed.cloud.spending import Run, Spending
from dogbreed.config import AwsSettings
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.plan import Found, Plan, Resource, Step
from dogbreed.priced import Part, Price
from dogbreed.pricing import Prices
from dogbreed.rehearse.state import Server

# The eleventh of a month of 30 days: 20 days are left.
NOW = datetime(2026, 11, 11, tzinfo=UTC)


class Thing(Resource):
    """Something that costs by the hour."""

    def __init__(self, kind: str, usd: str | None) -> None:
        self.kind, self.name, self._usd = kind, "thing", usd

    def find(self) -> Found | None:
        return None

    def create(self) -> None:
        raise AssertionError

    def delete(self, found: Found) -> None:
        raise AssertionError

    def hourly(self) -> Decimal | None:
        return None if self._usd is None else Decimal(self._usd)


class Machine(Thing):
    """The same with a disk whose price is not known."""

    def price(self) -> Price:
        return Price((Part("machine", super().hourly()), Part("disk", None)))

    def hourly(self) -> Decimal | None:
        return self.price().hourly


def row(kind: str, usd: str | None, days: float, **content: Any) -> Row:
    thing = Thing(kind, usd)
    return Row(thing, Found("id", content, created=NOW - timedelta(days=days)), thing.hourly(), None, days * 86400)


def run(usd: str, *, running: bool, created: str = "2026-11-05T10:00:00Z", ceiling: str = "9") -> Run:
    return Run("r", created, "1 x ml.m5.large", Decimal(usd), running, Decimal(ceiling))


def test_the_month_by_hand() -> None:
    rows = (
        row("endpoint", "0.5", days=2, run="r"),  # 48 h: 24, though a run answers there
        row("machine", "1", days=40),  # since the first: 240
        row("machine", "2", days=1, run="r"),  # of a run, which the ledger counts
        row("function", "0", days=3),
        row("endpoint", None, days=3),
    )
    runs = (run("4", running=True), run("3", running=False), run("50", running=False, created="2026-10-31T23:00:00Z"))
    seen = Spending(NOW, rows, runs)
    assert seen.hourly == Decimal("3.5")
    assert seen.lasting == Decimal("1.5")
    assert seen.this_month == 24 + 240 + 4 + 3
    assert seen.forecast == seen.this_month + Decimal("1.5") * 24 * 20 + 5
    assert seen.unknown == ("endpoint thing",)
    assert json.loads(json.dumps(seen.to_json()))["usd_this_month"] == "271.0000"


def test_a_budget_is_made_changed_and_removed(aws: Aws) -> None:
    wanted = [budget.Budget(aws, Decimal(50), "me@example.org")]
    assert apply(wanted) == ["+"]
    assert unchanged([budget.Budget(aws, Decimal(50), "me@example.org")])
    found = budget.limit(aws)
    assert found
    assert found.usd == 50
    client = aws.client("budgets")
    names = {"AccountId": aws.account, "BudgetName": "dogbreed-budget"}
    seen = client.describe_budget(**names)["Budget"]
    assert seen["CostFilters"] == {"TagKeyValue": ["user:dogbreed:project$dogbreed"]}
    alerts = client.describe_notifications_for_budget(**names)["Notifications"]
    assert sorted((one["NotificationType"], one["Threshold"]) for one in alerts) == [
        ("FORECASTED", 80.0),
        ("FORECASTED", 100.0),
    ]
    # Without --alert the people who are told stay; with another amount or address it is made anew.
    assert unchanged([budget.Budget(aws, Decimal(50))])
    assert apply([budget.Budget(aws, Decimal(60), "you@example.org")]) == ["~"]
    assert unchanged([budget.Budget(aws, Decimal(60), "you@example.org")])
    assert remove([budget.Budget(aws)]) == ["-"]
    assert budget.limit(aws) is None


def test_a_budget_survives_kills(account: Server) -> None:
    assert survives_kills(lambda: Aws(AwsSettings()), lambda aws: [budget.Budget(aws, Decimal(50), "a@b.org")], (True,))


def plan(usd: str | None, ceiling: str | None = None) -> Plan:
    return Plan((Step("+", Thing("machine", usd), None),), None if ceiling is None else Decimal(ceiling))


def test_plans_above_the_budget_are_refused(aws: Aws) -> None:
    budget.check(aws, plan("99"))  # no budget, no limit
    apply([budget.Budget(aws, Decimal(50))])
    budget.check(aws, plan("0.06"))
    budget.check(aws, plan(None))
    budget.check(aws, plan("3", ceiling="50"))  # a job counts by its ceiling, not as if it ran all month
    with pytest.raises(DogbreedError, match=r"\$50.00 a month .* \$0.0700 an hour, \$51.10 a month") as refused:
        budget.check(aws, plan("0.07"))
    assert "dogbreed cost --budget 52/month" in refused.value.hint
    # Of a machine whose disk has no known price here, the machine counts.
    with pytest.raises(DogbreedError, match=r"\$51.10 a month"):
        budget.check(aws, Plan((Step("+", Machine("machine", "0.07"), None),)))
    with pytest.raises(DogbreedError, match=r"it may cost \$50.01"):
        budget.check(aws, plan("3", ceiling="50.01"))
    with pytest.raises(DogbreedError, match=r"\$1.0000 an hour"):
        budget.check(aws, plan("0"), Decimal(1))


def test_who_may_not_read_budgets_is_not_checked(account: Server, aws: Aws) -> None:
    apply([budget.Budget(aws, Decimal(1))])
    account.ask("fault", kind="deny", target="budgets:*")
    budget.check(aws, plan("99"))


@pytest.mark.parametrize("wrong", ["", "0", "-5", "five", "50/day", "50.123"])
def test_what_is_no_budget(wrong: str) -> None:
    with pytest.raises(UsageError):
        budget.amount(wrong)


def test_what_is_a_budget_and_whom_it_tells() -> None:
    assert [budget.amount(text) for text in ("50", "50/month", "$7.5/month")] == [50, 50, Decimal("7.5")]
    topic = "arn:aws:sns:eu-west-1:123456789012:topic"
    assert budget.subscriber(topic)["SubscriptionType"] == "SNS"
    assert budget.subscriber("a@b.org")["SubscriptionType"] == "EMAIL"
    with pytest.raises(UsageError):
        budget.subscriber("somebody")


def entry(usage: str, usd: str = "0.1150000000", unit: str = "Hrs", currency: str = "USD") -> str:
    """An entry in the form of AWS's Price List, without what is not read of it."""
    dimension = {"unit": unit, "pricePerUnit": {currency: usd}, "appliesTo": []}
    term = {"priceDimensions": {"S.T.R": dimension}, "effectiveDate": "2026-09-01T00:00:00Z", "sku": "S"}
    product = {
        "productFamily": "ML Instance",
        "attributes": {"usagetype": usage, "regionCode": "eu-west-1"},
        "sku": "S",
    }
    return json.dumps({"product": product, "serviceCode": "X", "terms": {"OnDemand": {"S.T": term}}})


def test_entries_of_the_price_list() -> None:
    read = [
        prices.read(entry(usage))
        for usage in ("Host:ml.m5.large", "EUW1-Host:ml.m5.large", "EU-Train:ml.g5.xlarge", "EU-BoxUsage:m5.large")
    ]
    assert [(one.type, one.use) for one in read if one] == [
        ("m5.large", "hosting"),
        ("m5.large", "hosting"),
        ("g5.xlarge", "training"),
        ("m5.large", "ec2"),
    ]
    assert read[0]
    assert (read[0].usd, read[0].date) == (Decimal("0.115"), "2026-09-01")
    for other in (
        entry("EU-Notebk:ml.m5.large"),
        entry("EU-UnusedBox:m5.large"),
        entry("EU-Host:VolumeUsage.gp2"),
        entry("Host:ml.m5.large", usd="0.0000000000"),
        entry("Host:ml.m5.large", unit="GB-Mo"),
        entry("Host:ml.m5.large", currency="CNY"),
        "{}",
    ):
        assert prices.read(other) is None


def test_entries_of_what_goes_with_a_machine_and_of_functions() -> None:
    def found(usage: str, group: str = "", usd: str = "0.0952000000", begin: str = "0") -> Any:
        told = json.loads(entry(usage, usd, "GB-Mo"))
        told["product"]["attributes"]["group"] = group
        told["terms"]["OnDemand"]["S.T"]["priceDimensions"]["S.T.R"]["beginRange"] = begin
        one = prices.read(json.dumps(told))
        return one and (one.type, one.use, one.usd)

    for usage, key in (
        ("EUC1-EBS:VolumeUsage.gp3", "ec2_ebs_gp3_gb_month"),
        ("EBS:VolumeUsage.gp3", "ec2_ebs_gp3_gb_month"),
        ("USE1-PublicIPv4:InUseAddress", "public_ipv4_hour"),
        ("EU-LoadBalancerUsage", "alb_hour"),
        ("LCUUsage", "alb_lcu_hour"),
    ):
        assert found(usage) == (key, "other", Decimal("0.0952"))
    for usage in ("EUC1-EBS:VolumeUsage.gp2", "TS-LoadBalancerUsage", "CAN1-TS-LoadBalancerUsage", "Outposts-LCUUsage"):
        assert found(usage) is None
    million = found("EUC1-Request", "AWS-Lambda-Requests", "0.0000002000")
    assert million == ("lambda_request", "other", Decimal("0.2"))
    time = found("EUC1-Lambda-GB-Second", "AWS-Lambda-Duration", "0.0000166667")
    assert time == ("lambda_x86_gb_second", "other", Decimal("0.0000166667"))
    # The price of large amounts is another.
    assert found("EUC1-Lambda-GB-Second", "AWS-Lambda-Duration", "0.0000150000", begin="6000000000") is None


def test_what_was_read_of_a_region_prices_a_service_there() -> None:
    before = Prices.load()
    read = [
        prices.Price(key, "other", Decimal(usd), "2026-09-01")
        for key, usd in (("alb_hour", "0.027"), ("lambda_request", "0.2"), ("lambda_x86_gb_second", "0.0000166667"))
    ]
    after = Prices(prices.merged(before.table(), "eu-central-1", read, "2026-12-24"))
    figure = after.other("alb_hour", "eu-central-1")
    assert figure
    assert (figure.usd, figure.region, figure.confidence, figure.date) == (
        *(Decimal("0.027"), "eu-central-1", "high"),
        "2026-12-24",
    )
    assert after.other("alb_hour", "us-east-1") == before.other("alb_hour", "us-east-1")
    assert before.month_of_lambda("eu-central-1", 1e6, 0.1) is None
    here, there = (after.month_of_lambda(region, 1e6, 0.1) for region in ("eu-central-1", "us-east-1"))
    assert here == there is not None


def test_a_price_of_one_region_touches_no_other() -> None:
    before = Prices.load()
    found = prices.Price("m5.large", "hosting", Decimal("0.1284"), "2026-09-01")
    after = Prices(prices.merged(before.table(), "eu-west-1", [found], "2026-12-24"))
    figure = after.hourly("ml.m5.large", "eu-west-1", "hosting")
    assert figure
    assert (figure.usd, figure.confidence, figure.date) == (Decimal("0.1284"), "high", "2026-12-24")
    assert after.hourly("ml.m5.large", "us-east-1", "hosting") == before.hourly("ml.m5.large", "us-east-1", "hosting")
    assert after.hourly("ml.m5.large", "eu-west-1", "training") == before.hourly("ml.m5.large", "eu-west-1", "training")
    assert after.date == "2026-12-24"
