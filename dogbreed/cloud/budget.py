"""The project's budget, which lives in AWS alone: an alert when the month is expected to exceed it, and a limit here.

A plan that would make a month cost more than the budget is refused before it is carried out. AWS counts a budget some
hours late and only for costs that bear the project's tag, once that tag is activated for costs in the account.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from dogbreed import priced
from dogbreed.cloud.errors import is_missing
from dogbreed.cloud.session import CONFIG, PROJECT_TAG, Aws, pairs
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.plan import Found, Plan, Resource, Step

# Per cent of the budget at which AWS's forecast of the month tells people.
ALERTS = (80, 100)
_BUDGET = re.compile(r"\$?(\d+(?:\.\d{1,2})?)(?:/month)?")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
# A plan must not wait for a service that cannot be reached from here.
_SHORT = CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=2, read_timeout=5))


@dataclass(frozen=True)
class Limit:
    """US dollars a month, and what AWS has counted of this month so far."""

    usd: Decimal
    spent: Decimal


def amount(text: str) -> Decimal:
    """The dollars of `50/month`; UsageError for what is none."""
    match = _BUDGET.fullmatch(text.strip())
    if not match or not (found := Decimal(match[1])):
        raise UsageError(f"{text!r} is no budget", "write 50/month, in US dollars, or off")
    return found


def subscriber(text: str) -> dict[str, str]:
    """Whom to tell: an address of e-mail, or the ARN of an SNS topic."""
    if text.startswith("arn:") and ":sns:" in text:
        return {"SubscriptionType": "SNS", "Address": text}
    if _EMAIL.fullmatch(text):
        return {"SubscriptionType": "EMAIL", "Address": text}
    raise UsageError(f"{text!r} is no address", "an e-mail address, or the ARN of an SNS topic")


class Budget(Resource):
    """A monthly cost budget. `alert`: an e-mail address or the ARN of a topic; "": nobody is told."""

    kind = "budget"

    def __init__(self, aws: Aws, usd: Decimal | None = None, alert: str = "") -> None:
        self.aws = aws
        self.name = aws.name("budget")
        self._usd, self._alert = usd, alert

    def wanted(self) -> Mapping[str, Any]:
        """The amount, what is counted, and who is told when."""
        if self._usd is None:
            return {}
        wanted: dict[str, Any] = {"usd a month": self._usd, "counts": self._filters()}
        if self._alert:
            wanted["alerts"] = [(f"{at} %", self._alert) for at in ALERTS]
        return wanted

    def find(self) -> Found | None:
        """DescribeBudget and its alerts."""
        try:
            seen = self._client.describe_budget(AccountId=self.aws.account, BudgetName=self.name)["Budget"]
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        limit = Decimal(seen["BudgetLimit"]["Amount"])
        content = {
            "usd a month": limit,
            "counts": {key: list(values) for key, values in seen.get("CostFilters", {}).items()},
            "alerts": self._alerts() if self._alert else [],
        }
        spent = seen.get("CalculatedSpend", {}).get("ActualSpend", {}).get("Amount", "0")
        return Found(self.name, content, state=f"${Decimal(spent):.2f} of ${limit:.2f} this month")

    def create(self) -> None:
        """CreateBudget, with its alerts in one call, so that a kill leaves none without them."""
        told = [
            {"Notification": self._notification(at), "Subscribers": [subscriber(self._alert)]}
            for at in (ALERTS if self._alert else ())
        ]
        self._client.create_budget(
            AccountId=self.aws.account,
            Budget={
                "BudgetName": self.name,
                "BudgetLimit": {"Amount": str(self._usd), "Unit": "USD"},
                "BudgetType": "COST",
                "TimeUnit": "MONTHLY",
                "CostFilters": self._filters(),
            },
            NotificationsWithSubscribers=told,
            ResourceTags=pairs(self.aws.tags("budget")),
        )

    def update(self, found: Found) -> None:
        """Make it anew: a budget has no history of its own that could be lost."""
        self.delete(found)
        self.create()

    def delete(self, found: Found) -> None:
        """DeleteBudget."""
        try:
            self._client.delete_budget(AccountId=self.aws.account, BudgetName=self.name)
        except ClientError as error:
            if not is_missing(error):
                raise

    @property
    def _client(self) -> Any:
        return self.aws.client("budgets")

    def _filters(self) -> dict[str, list[str]]:
        return {"TagKeyValue": [f"user:{PROJECT_TAG}${self.aws.settings.project}"]}

    def _notification(self, at: int) -> dict[str, Any]:
        return {
            "NotificationType": "FORECASTED",
            "ComparisonOperator": "GREATER_THAN",
            "Threshold": float(at),
            "ThresholdType": "PERCENTAGE",
        }

    def _alerts(self) -> list[tuple[str, str]]:
        names = {"AccountId": self.aws.account, "BudgetName": self.name}
        found = []
        for told in self._client.describe_notifications_for_budget(**names).get("Notifications", ()):
            asked = {key: told[key] for key in self._notification(0)}
            who = self._client.describe_subscribers_for_notification(**names, Notification=asked)["Subscribers"]
            found += [(f"{told['Threshold']:.0f} %", one["Address"]) for one in who]
        return sorted(found, key=lambda one: (int(one[0].split()[0]), one[1]))


def limit(aws: Aws, told: Callable[[str], None] = lambda words: None) -> Limit | None:
    """The project's budget; None where there is none, or where it may not be read or reached, which `told` is told."""
    try:
        client = aws.session.client("budgets", region_name=aws.region, config=_SHORT)
        seen = client.describe_budget(AccountId=aws.account, BudgetName=aws.name("budget"))["Budget"]
    except (ClientError, BotoCoreError) as error:
        if not is_missing(error):
            told(f"the budget was not read, and is not checked: {error}")
        return None
    spent = seen.get("CalculatedSpend", {}).get("ActualSpend", {}).get("Amount", "0")
    return Limit(Decimal(seen["BudgetLimit"]["Amount"]), Decimal(spent))


def check(aws: Aws, plan: Plan, adds: Decimal | None = None, told: Callable[[str], None] = lambda words: None) -> None:
    """DogbreedError when the plan would make a month cost more than the budget.

    A job counts by its ceiling, on top of what AWS has counted this month; what stays counts by its hours in a month,
    with all that is there already. `adds`: US dollars an hour that the plan may come to; None: those of its new steps,
    and by which its changes are dearer.
    """
    more = sum(map(_added, plan.changes), Decimal(0)) if adds is None else adds
    if not (plan.ceiling or more > 0):
        return
    found = limit(aws, told)
    if found is None:
        return
    hint = "a larger one: dogbreed cost --budget {}/month; none: dogbreed cost --budget off"
    if plan.ceiling is not None:
        total = found.spent + plan.ceiling
        what = f"it may cost ${plan.ceiling:.2f}, and ${found.spent:.2f} of this month's budget are spent"
    else:
        hour = _now(aws) + more
        total = priced.month(hour) or Decimal(0)
        what = f"with it this project costs ${hour:.4f} an hour, ${total:.2f} a month"
    if total > found.usd:
        raise DogbreedError(
            f"the budget of ${found.usd:.2f} a month ({aws.name('budget')}) does not allow this: {what}",
            hint.format(int(total) + 1),
        )


def _added(step: Step) -> Decimal:
    """US dollars an hour that a step adds, as far as prices of its lines are known; what it saves is not counted."""
    if step.sign not in "+~":
        return Decimal(0)
    if step.sign == "+":
        return priced.of(step.resource).known
    return max(Decimal(0), (step.resource.hourly() or Decimal(0)) - (step.resource.hourly_now() or Decimal(0)))


def _now(aws: Aws) -> Decimal:
    """US dollars an hour of what this project has now, as far as prices are known: those of a machine without its disk,
    too.
    """
    from dogbreed.cloud import inventory

    rows = inventory.look(inventory.resources(aws))
    return sum((row.price.known for row in rows), Decimal(0))
