"""AWS Budgets with notifications and subscribers, of which moto forgets the last and half of the refusals.

What was spent stays 0: the stand-in sends no bill. The Price List that budgets are held against is in `price_list`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse import price_list
from dogbreed.rehearse.calls import AwsError, page

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

_NOTIFICATIONS, _SUBSCRIBERS = 10, 11
_PAGE = 100
_NOTHING = {"Amount": "0", "Unit": "USD"}
# Documented defaults of a cost budget.
_COST_TYPES = {
    **dict.fromkeys(
        (
            *("IncludeCredit", "IncludeDiscount", "IncludeOtherSubscription", "IncludeRecurring", "IncludeRefund"),
            *("IncludeSubscription", "IncludeSupport", "IncludeTax", "IncludeUpfront"),
        ),
        True,
    ),
    "UseAmortized": False,
    "UseBlended": False,
}
_Key = tuple[str, str, float, str]


class _Budget:
    def __init__(self, shown: dict[str, Any], tags: dict[str, str]) -> None:
        self.shown, self.tags = shown, tags
        self.alerts: dict[_Key, tuple[dict[str, Any], list[dict[str, Any]]]] = {}


class Budgets:
    """The operations; budgets are global, by name."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._budgets: dict[str, _Budget] = {}
        self._lock = threading.RLock()
        cloud.on_reset(self._budgets.clear)

    def register(self) -> None:
        """Answer them."""
        for name, function in {
            "CreateBudget": self._create,
            "UpdateBudget": self._update,
            "DeleteBudget": self._delete,
            "DescribeBudget": lambda call: {"Budget": self._budget(call).shown},
            "DescribeBudgets": self._list,
            "CreateNotification": self._notify,
            "UpdateNotification": self._renotify,
            "DeleteNotification": self._drop,
            "DescribeNotificationsForBudget": self._notifications,
            "CreateSubscriber": self._subscribe,
            "UpdateSubscriber": self._resubscribe,
            "DeleteSubscriber": self._unsubscribe,
            "DescribeSubscribersForNotification": self._subscribers,
        }.items():
            self._cloud.handle("budgets", name, self._checked(function))
        for name in ("TagResource", "UntagResource", "ListTagsForResource"):
            self._cloud.handle("budgets", name, self._tag)

    def _checked(self, function: Any) -> Any:
        def answer(call: Call) -> dict[str, Any]:
            if call.params["AccountId"] != self._cloud.account:
                raise AwsError("AccessDeniedException", f"Account {call.params['AccountId']} is another's.")
            with self._lock:
                told: dict[str, Any] = function(call)
            return told

        return answer

    def _create(self, call: Call) -> dict[str, Any]:
        told = call.params
        shown, alerts = dict(told["Budget"]), told.get("NotificationsWithSubscribers", [])
        name = shown["BudgetName"]
        if name in self._budgets:
            words = f"Error creating budget: {name} - the budget already exists."
            raise AwsError("DuplicateRecordException", words)
        self._check(shown)
        if len(alerts) > _NOTIFICATIONS:
            raise AwsError("CreationLimitExceededException", f"A budget has at most {_NOTIFICATIONS} notifications.")
        tags = {one["Key"]: one["Value"] for one in told.get("ResourceTags", [])}
        budget = _Budget(self._completed(shown), tags)
        for alert in alerts:
            self._add(budget, alert["Notification"], alert["Subscribers"])
        self._budgets[name] = budget
        return {}

    def _update(self, call: Call) -> dict[str, Any]:
        new = dict(call.params["NewBudget"])
        budget = self._named(new["BudgetName"])
        self._check(new)
        budget.shown = self._completed(new)
        return {}

    def _delete(self, call: Call) -> dict[str, Any]:
        self._budget(call)
        del self._budgets[call.params["BudgetName"]]
        return {}

    def _list(self, call: Call) -> dict[str, Any]:
        return page(call.params, "Budgets", [budget.shown for budget in self._budgets.values()], _PAGE)

    def _notify(self, call: Call) -> dict[str, Any]:
        budget = self._budget(call)
        if len(budget.alerts) >= _NOTIFICATIONS:
            raise AwsError("CreationLimitExceededException", f"A budget has at most {_NOTIFICATIONS} notifications.")
        self._add(budget, call.params["Notification"], call.params["Subscribers"])
        return {}

    def _renotify(self, call: Call) -> dict[str, Any]:
        budget, old = self._budget(call), _key(call.params["OldNotification"])
        _, subscribers = self._alert(budget, old)
        new = call.params["NewNotification"]
        if _key(new) != old and _key(new) in budget.alerts:
            raise AwsError("DuplicateRecordException", "The notification exists already.")
        del budget.alerts[old]
        budget.alerts[_key(new)] = (_alerting(new), subscribers)
        return {}

    def _drop(self, call: Call) -> dict[str, Any]:
        budget, key = self._budget(call), _key(call.params["Notification"])
        self._alert(budget, key)
        del budget.alerts[key]
        return {}

    def _notifications(self, call: Call) -> dict[str, Any]:
        return page(call.params, "Notifications", [one for one, _ in self._budget(call).alerts.values()], _PAGE)

    def _subscribe(self, call: Call) -> dict[str, Any]:
        _, subscribers = self._of(call)
        if call.params["Subscriber"] in subscribers:
            raise AwsError("DuplicateRecordException", "The subscriber exists already.")
        if len(subscribers) >= _SUBSCRIBERS:
            raise AwsError("CreationLimitExceededException", f"A notification has at most {_SUBSCRIBERS} subscribers.")
        subscribers.append(call.params["Subscriber"])
        return {}

    def _resubscribe(self, call: Call) -> dict[str, Any]:
        _, subscribers = self._of(call)
        subscribers[_place(subscribers, call.params["OldSubscriber"])] = call.params["NewSubscriber"]
        return {}

    def _unsubscribe(self, call: Call) -> dict[str, Any]:
        _, subscribers = self._of(call)
        del subscribers[_place(subscribers, call.params["Subscriber"])]
        return {}

    def _subscribers(self, call: Call) -> dict[str, Any]:
        return page(call.params, "Subscribers", self._of(call)[1], _PAGE)

    def _tag(self, call: Call) -> dict[str, Any]:
        told = call.params
        tags = self._named(told["ResourceARN"].rpartition(":budget/")[2]).tags
        tags |= {one["Key"]: one["Value"] for one in told.get("ResourceTags", [])}
        for name in told.get("ResourceTagKeys", []):
            tags.pop(name, None)
        shown = [{"Key": name, "Value": value} for name, value in tags.items()]
        return {"ResourceTags": shown} if call.operation.startswith("List") else {}

    def _of(self, call: Call) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        return self._alert(self._budget(call), _key(call.params["Notification"]))

    def _alert(self, budget: _Budget, key: _Key) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        if key not in budget.alerts:
            raise AwsError("NotFoundException", "Unable to find the notification - it doesn't exist.")
        return budget.alerts[key]

    def _add(self, budget: _Budget, alert: dict[str, Any], subscribers: list[dict[str, Any]]) -> None:
        if _key(alert) in budget.alerts:
            raise AwsError("DuplicateRecordException", "The notification exists already.")
        budget.alerts[_key(alert)] = (_alerting(alert), [dict(one) for one in subscribers])

    def _budget(self, call: Call) -> _Budget:
        return self._named(call.params["BudgetName"])

    def _named(self, name: str) -> _Budget:
        if name not in self._budgets:
            raise AwsError("NotFoundException", f"Unable to get budget: {name} - the budget doesn't exist.")
        return self._budgets[name]

    def _check(self, shown: Mapping[str, Any]) -> None:
        if not any(name in shown for name in ("BudgetLimit", "PlannedBudgetLimits", "AutoAdjustData")):
            words = "Unable to create/update budget - please provide one of the followings: "
            raise AwsError("InvalidParameterException", words + "Budget Limit/ Planned Budget Limit/ Auto Adjust Data")
        if float(shown.get("BudgetLimit", {}).get("Amount", 1)) <= 0:
            raise AwsError("InvalidParameterException", "The budget limit must be greater than 0.")

    def _completed(self, shown: dict[str, Any]) -> dict[str, Any]:
        now = self._cloud.clock.now()
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        period = {"Start": month, "End": datetime(2087, 6, 15, tzinfo=UTC)} | shown.get("TimePeriod", {})
        cost = {"CostTypes": _COST_TYPES} if shown["BudgetType"] == "COST" else {}
        spend = {"ActualSpend": _NOTHING, "ForecastedSpend": _NOTHING}
        return {**cost, **shown, "TimePeriod": period, "CalculatedSpend": spend, "LastUpdatedTime": now}


def _key(alert: Mapping[str, Any]) -> _Key:
    kind = alert.get("ThresholdType", "PERCENTAGE")
    return alert["NotificationType"], alert["ComparisonOperator"], float(alert["Threshold"]), kind


def _alerting(alert: Mapping[str, Any]) -> dict[str, Any]:
    return {"ThresholdType": "PERCENTAGE", **alert, "NotificationState": "OK"}


def _place(subscribers: list[dict[str, Any]], one: dict[str, Any]) -> int:
    if one not in subscribers:
        raise AwsError("NotFoundException", "Unable to find the subscriber - it doesn't exist.")
    return subscribers.index(one)


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    Budgets(cloud).register()
    price_list.add(cloud)
