"""The alarm that calls a policy by steps; those of target tracking are made by AWS itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud.errors import is_missing
from dogbreed.cloud.session import Aws, pairs, unpaired
from dogbreed.plan import Found, Resource


@dataclass(frozen=True)
class Watched:
    """A metric whose sum over `period_s` seconds, at or above `threshold`, calls the policy."""

    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]
    threshold: float
    period_s: int = 60


class StepAlarm(Resource):
    """Calls the policy whose ARN `policy` looks up; without `watched` it can only be looked at and removed."""

    kind = "alarm"

    def __init__(
        self, aws: Aws, name: str, watched: Watched | None = None, policy: Callable[[], str] | None = None
    ) -> None:
        self.aws = aws
        self.name = name
        self._watched, self._policy = watched, policy

    def wanted(self) -> Mapping[str, Any]:
        """The metric, the threshold, and the policy that it calls."""
        if self._watched is None or self._policy is None:
            return {}
        own = self._watched
        return {
            "metric": f"{own.namespace} {own.metric}",
            "dimensions": dict(own.dimensions),
            "threshold": own.threshold,
            "period": own.period_s,
            "calls": [self._policy()],
        }

    def find(self) -> Found | None:
        """DescribeAlarms, and the tags, by which it is known as ours."""
        seen = self._client.describe_alarms(AlarmNames=[self.name], AlarmTypes=["MetricAlarm"])["MetricAlarms"]
        if not seen:
            return None
        alarm = seen[0]
        tags = unpaired(self._client.list_tags_for_resource(ResourceARN=alarm["AlarmArn"]).get("Tags"))
        content = {
            "metric": f"{alarm.get('Namespace')} {alarm.get('MetricName')}",
            "dimensions": {one["Name"]: one["Value"] for one in alarm.get("Dimensions", ())},
            "threshold": alarm.get("Threshold"),
            "period": alarm.get("Period"),
            "calls": alarm.get("AlarmActions", []),
        }
        state = str(alarm.get("StateValue", ""))
        return Found(alarm["AlarmArn"], content, state=state, ours=self.aws.is_ours(tags))

    def create(self) -> None:
        """PutMetricAlarm."""
        self._put(Tags=pairs(self.aws.tags("scaling")))

    def update(self, found: Found) -> None:
        """The same call replaces it, but for tags."""
        self._put()

    def delete(self, found: Found) -> None:
        """DeleteAlarms."""
        try:
            self._client.delete_alarms(AlarmNames=[self.name])
        except ClientError as error:
            if not is_missing(error):
                raise

    @property
    def _client(self) -> Any:
        return self.aws.client("cloudwatch")

    def _put(self, **more: Any) -> None:
        assert self._watched
        own, wanted = self._watched, self.wanted()
        self._client.put_metric_alarm(
            AlarmName=self.name,
            AlarmDescription=f"dogbreed: adds instances of {self.aws.settings.project}",
            Namespace=own.namespace,
            MetricName=own.metric,
            Dimensions=pairs(dict(own.dimensions), "Name"),
            Statistic="Sum",
            Period=own.period_s,
            EvaluationPeriods=1,
            DatapointsToAlarm=1,
            Threshold=own.threshold,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            TreatMissingData="notBreaching",
            AlarmActions=wanted["calls"],
            **more,
        )


def named(aws: Aws, names: Sequence[str]) -> list[Resource]:
    """Those of these alarms that are there."""
    if not names:
        return []
    seen = aws.client("cloudwatch").describe_alarms(AlarmNames=list(names), AlarmTypes=["MetricAlarm"])["MetricAlarms"]
    return [StepAlarm(aws, one["AlarmName"]) for one in seen]
