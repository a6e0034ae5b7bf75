"""Budgets and the Price List of the stand-in, which a person's plans are held against."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import boto3
import pytest

from dogbreed.pricing import Prices
from dogbreed.rehearse.state import Server

ACCOUNT = "123456789012"
ALERT = {"NotificationType": "FORECASTED", "ComparisonOperator": "GREATER_THAN", "Threshold": 80.0}
MAIL = {"SubscriptionType": "EMAIL", "Address": "person@example.org"}


def budget(usd: str = "50") -> dict[str, Any]:
    limit = {"Amount": usd, "Unit": "USD"}
    return {"BudgetName": "dogs", "BudgetLimit": limit, "TimeUnit": "MONTHLY", "BudgetType": "COST"}


def test_a_budget_keeps_what_it_was_given(account: Server) -> None:
    client, of = boto3.client("budgets"), {"AccountId": ACCOUNT, "BudgetName": "dogs"}
    alerts = [{"Notification": ALERT, "Subscribers": [MAIL]}]
    client.create_budget(AccountId=ACCOUNT, Budget=budget(), NotificationsWithSubscribers=alerts)
    with pytest.raises(client.exceptions.DuplicateRecordException):
        client.create_budget(AccountId=ACCOUNT, Budget=budget())
    (shown,) = client.describe_budgets(AccountId=ACCOUNT)["Budgets"]
    assert shown["BudgetLimit"] == {"Amount": "50", "Unit": "USD"}
    assert shown["CalculatedSpend"]["ActualSpend"] == {"Amount": "0", "Unit": "USD"}
    (alert,) = client.describe_notifications_for_budget(**of)["Notifications"]
    assert alert == {**ALERT, "ThresholdType": "PERCENTAGE", "NotificationState": "OK"}
    assert client.describe_subscribers_for_notification(**of, Notification=ALERT)["Subscribers"] == [MAIL]
    client.update_budget(AccountId=ACCOUNT, NewBudget=budget("60"))
    assert client.describe_budget(**of)["Budget"]["BudgetLimit"]["Amount"] == "60"
    client.delete_budget(**of)
    with pytest.raises(client.exceptions.NotFoundException):
        client.describe_notifications_for_budget(**of)
    with pytest.raises(client.exceptions.InvalidParameterException):
        client.create_budget(AccountId=ACCOUNT, Budget=budget("0"))


def test_the_price_list_has_the_prices_of_the_table_in_the_form_of_aws(account: Server) -> None:
    client, prices = boto3.client("pricing", region_name="us-east-1"), Prices.load()
    wanted = {"regionCode": "us-east-1", "component": "Hosting"}
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    pages = list(client.get_paginator("get_products").paginate(ServiceCode="AmazonSageMaker", Filters=filters))
    found = [json.loads(item) for page in pages for item in page["PriceList"]]
    assert found and len({one["product"]["sku"] for one in found}) == len(found)
    for one in found:
        (term,) = one["terms"]["OnDemand"].values()
        (dimension,) = term["priceDimensions"].values()
        figure = prices.hourly(one["product"]["attributes"]["instanceName"], "us-east-1", "hosting")
        assert figure and dimension["unit"] == "Hrs"
        assert Decimal(dimension["pricePerUnit"]["USD"]) == figure.usd
    assert not client.get_products(
        ServiceCode="AmazonEC2", Filters=[{"Type": "TERM_MATCH", "Field": "regionCode", "Value": "mars-1"}]
    )["PriceList"]
    assert {one["ServiceCode"] for one in client.describe_services()["Services"]} >= {"AmazonEC2", "AWSLambda"}
