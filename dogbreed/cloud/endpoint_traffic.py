"""The requests of a live endpoint, minute by minute, as CloudWatch has counted them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from botocore.exceptions import ClientError

from dogbreed.cloud.errors import is_missing
from dogbreed.cloud.session import Aws
from dogbreed.errors import UsageError

# Documented: CloudWatch keeps points of a minute for 15 days.
LONGEST_HOURS = 15 * 24
_NAMESPACE, _METRIC = "AWS/SageMaker", "Invocations"


def by_minute(aws: Aws, endpoint: str, hours: float) -> tuple[datetime, list[int]]:
    """When the first whole minute of the last `hours` began, and the invocations of each minute from then on.

    Raises UsageError where there is no such endpoint, and for more hours than CloudWatch keeps minutes.
    """
    if not 0 < hours <= LONGEST_HOURS:
        raise UsageError(
            f"--hours {hours:g}: the requests of an endpoint cannot be read that far back",
            f"more than 0 and at most {LONGEST_HOURS}: so long CloudWatch keeps each minute",
        )
    try:
        seen = aws.client("sagemaker").describe_endpoint(EndpointName=endpoint)
    except ClientError as error:
        if is_missing(error):
            raise UsageError(f"there is no endpoint {endpoint} in {aws.region}", "see: dogbreed status") from error
        raise
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    begin = end - timedelta(minutes=max(1, round(hours * 60)))
    names = [variant["VariantName"] for variant in seen.get("ProductionVariants", ())]
    queries = [
        {
            "Id": f"v{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": _NAMESPACE,
                    "MetricName": _METRIC,
                    "Dimensions": [
                        {"Name": "EndpointName", "Value": endpoint},
                        {"Name": "VariantName", "Value": name},
                    ],
                },
                "Period": 60,
                "Stat": "Sum",
            },
        }
        for number, name in enumerate(names)
    ]
    counts = [0] * round((end - begin).total_seconds() / 60)
    pages = aws.client("cloudwatch").get_paginator("get_metric_data")
    for page in pages.paginate(MetricDataQueries=queries, StartTime=begin, EndTime=end):
        for series in page["MetricDataResults"]:
            for when, value in zip(series["Timestamps"], series["Values"], strict=True):
                minute = int((when.astimezone(UTC) - begin).total_seconds() // 60)
                if 0 <= minute < len(counts):
                    counts[minute] += round(value)
    return begin, counts
