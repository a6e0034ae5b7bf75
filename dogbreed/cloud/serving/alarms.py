"""Alarms on an endpoint, which take an update back: errors, slow answers, photos that the model is unsure of.

A minute without requests is no alarm. The third needs the figures that `dogbreed serve --emf` writes to its log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dogbreed.cloud.serving.hosted import VARIANT
from dogbreed.cloud.session import Aws, pairs, unpaired
from dogbreed.config import DeploySettings
from dogbreed.plan import Found, Resource

ENDPOINTS = "AWS/SageMaker"
# Of `dogbreed.serve.metrics`.
OWN, SERVICE = "dogbreed", "Service"
_PERIOD_S = 60
# Some photos are no dogs: of so few in a minute, such as the one that proves a deployment, nothing follows.
_FEWEST_PHOTOS = 10
_COMPARED = ("Threshold", "ComparisonOperator", "EvaluationPeriods", "DatapointsToAlarm", "TreatMissingData")


class Alarm(Resource):
    """`p-<door>-<what>`: goes off when a minute's value is above `threshold`.

    `of` is the rest of PutMetricAlarm: one metric with its statistic, or `Metrics` that are computed with.
    """

    kind = "alarm"

    def __init__(self, aws: Aws, door: str, what: str, of: Mapping[str, Any], threshold: float, words: str) -> None:
        self._aws, self._door = aws, door
        self.name = aws.name(f"{door}-{what}")
        self._content: dict[str, Any] = {
            "AlarmDescription": words,
            "Threshold": float(threshold),
            "ComparisonOperator": "GreaterThanThreshold",
            "EvaluationPeriods": 1,
            "DatapointsToAlarm": 1,
            "TreatMissingData": "notBreaching",
            **of,
        }

    def wanted(self) -> Mapping[str, Any]:
        """What is measured, the limit, and tags."""
        return {**_parts(self._content), "tags": self._aws.tags(self._door)}

    def find(self) -> Found | None:
        """DescribeAlarms, and the tags."""
        for seen in self._client.describe_alarms(AlarmNames=[self.name], AlarmTypes=["MetricAlarm"])["MetricAlarms"]:
            tags = unpaired(self._client.list_tags_for_resource(ResourceARN=seen["AlarmArn"]).get("Tags"))
            content = {**_parts(seen), "tags": self._aws.seen(tags, self._door)}
            state = str(seen.get("StateValue", ""))
            why = str(seen.get("StateReason", "")) if state == "ALARM" else ""
            return Found(seen["AlarmArn"], content, state=state, ours=self._aws.is_ours(tags), error=why)
        return None

    def create(self) -> None:
        """PutMetricAlarm; tags are taken only while it is made."""
        tags = pairs(self._aws.tags(self._door))
        self._client.put_metric_alarm(AlarmName=self.name, ActionsEnabled=False, Tags=tags, **self._content)

    def update(self, found: Found) -> None:
        """PutMetricAlarm again; about something else it is made anew, as its state was that of what it was about."""
        if found.content["metrics"] != self.wanted()["metrics"]:
            self.delete(found)
            self.create()
            return
        self._client.put_metric_alarm(AlarmName=self.name, ActionsEnabled=False, **self._content)
        if found.content["tags"] != self._aws.tags(self._door):
            self._client.tag_resource(ResourceARN=found.id, Tags=pairs(self._aws.tags(self._door)))

    def delete(self, found: Found) -> None:
        """Remove it."""
        self._client.delete_alarms(AlarmNames=[self.name])

    @property
    def _client(self) -> Any:
        return self._aws.client("cloudwatch")


def of_endpoint(aws: Aws, door: str, own: DeploySettings, figures: str, component: str = "") -> list[Alarm]:
    """The three; ModelLatency is measured in microseconds.

    figures: the name that the new model's own go by; component: the inference component that is measured.
    """
    name = aws.name(door)
    variant = {"InferenceComponentName": component} if component else {"EndpointName": name, "VariantName": VARIANT}
    return [
        Alarm(
            aws,
            door,
            "errors",
            _share("errors", "Invocation5XXErrors", "requests", "Invocations", ENDPOINTS, variant),
            own.alarm_error_percent,
            f"more than {own.alarm_error_percent:g} % of the requests to {name} end in an error",
        ),
        Alarm(
            aws,
            door,
            "p99",
            {
                "Namespace": ENDPOINTS,
                "MetricName": "ModelLatency",
                "Dimensions": pairs(variant, "Name"),
                "Period": _PERIOD_S,
                "ExtendedStatistic": "p99",
            },
            own.alarm_p99_ms * 1000,
            f"1 % of the answers of {name} take longer than {own.alarm_p99_ms:g} ms",
        ),
        _unsure(aws, door, figures, own.alarm_unsure_percent),
    ]


def moved(aws: Aws, door: str, figures: str) -> list[Alarm]:
    """The alarm on unsure photos, where there is one, with the same limit for another model."""
    found = now(aws, [aws.name(f"{door}-unsure")])
    return [_unsure(aws, door, figures, one["Threshold"]) for one in found]


def _unsure(aws: Aws, door: str, figures: str, percent: float) -> Alarm:
    of = _share("unsure", "Unsure", "photos", "Photos", OWN, {SERVICE: figures}, _FEWEST_PHOTOS)
    words = f"the model of {aws.name(door)} is unsure of more than {percent:g} % of the photos"
    return Alarm(aws, door, "unsure", of, percent, words)


def named(aws: Aws, door: str) -> list[Alarm]:
    """The same by their names alone, to look at and delete."""
    return [Alarm(aws, door, what, {}, 0, "") for what in ("errors", "p99", "unsure")]


def now(aws: Aws, names: Sequence[str]) -> list[dict[str, Any]]:
    """Alarms of these names as they are now."""
    if not names:
        return []
    seen = aws.client("cloudwatch").describe_alarms(AlarmNames=list(names), AlarmTypes=["MetricAlarm"])
    return list(seen["MetricAlarms"])


def _share(
    part: str, metric: str, whole: str, of: str, namespace: str, dimensions: dict[str, str], fewest: int = 1
) -> dict[str, Any]:
    """`part` of `whole` in per cent, and 0 where there were fewer than `fewest` in the minute."""
    named = {part: metric, whole: of}
    sums = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {"Namespace": namespace, "MetricName": one, "Dimensions": pairs(dimensions, "Name")},
                "Period": _PERIOD_S,
                "Stat": "Sum",
            },
            "ReturnData": False,
        }
        for name, one in named.items()
    ]
    expression = f"IF({whole} >= {fewest}, 100 * {part} / {whole}, 0)"
    return {"Metrics": [{"Id": "percent", "Expression": expression, "Label": f"{part} in %"}, *sums]}


def _parts(content: Mapping[str, Any]) -> dict[str, Any]:
    """What is compared of an alarm: AWS adds fields of its own, and its own order."""
    found: dict[str, Any] = {key: content.get(key) for key in _COMPARED}
    metrics = [
        (_metric(one.get("MetricStat", {}).get("Metric", {})), one.get("Expression"))
        for one in content.get("Metrics", ())
    ]
    return found | {"metrics": sorted(metrics, key=str) or [(_metric(content), content.get("ExtendedStatistic"))]}


def _metric(told: Mapping[str, Any]) -> tuple[str, tuple[str, ...]] | None:
    """A metric, and of what it is; None where none is told, as by an expression."""
    name, dimensions = told.get("MetricName"), told.get("Dimensions", ())
    return (name, tuple(sorted(one["Value"] for one in dimensions))) if name else None
