"""The log group of a service, made before AWS would make it, since AWS's own would be kept and paid for ever."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from dogbreed.cloud.session import Aws
from dogbreed.plan import Found, Resource

_DAYS = 30


class ServiceLogs(Resource):
    """A log group by its name; each line goes after 30 days."""

    kind = "log group"
    keep = f"holds the logs of your service; each line goes after {_DAYS} days"

    def __init__(self, aws: Aws, name: str) -> None:
        self._aws, self.name = aws, name

    def wanted(self) -> Mapping[str, Any]:
        """How long lines are kept, whoever has made the group."""
        return {"days": _DAYS, "tags": self._aws.tags("logs")}

    def find(self) -> Found | None:
        """DescribeLogGroups, and the tags."""
        pages = self._logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=self.name)
        for seen in (one for page in pages for one in page["logGroups"] if one["logGroupName"] == self.name):
            tags = self._logs.list_tags_for_resource(resourceArn=self._arn)["tags"]
            content = {"days": seen.get("retentionInDays"), "tags": self._aws.seen(tags, "logs")}
            # The service itself makes the group, without tags, where it comes first: it has our name.
            return Found(self._arn, content)
        return None

    def create(self) -> None:
        """Make it; one that the service has made meanwhile is tagged."""
        try:
            self._logs.create_log_group(logGroupName=self.name, tags=self._aws.tags("logs"))
        except self._logs.exceptions.ResourceAlreadyExistsException:
            self._tag()
        self._retain()

    def update(self, found: Found) -> None:
        """Put back what differs."""
        if found.content["tags"] != self._aws.tags("logs"):
            self._tag()
        self._retain()

    def delete(self, found: Found) -> None:
        """Remove it with all lines."""
        with suppress(self._logs.exceptions.ResourceNotFoundException):
            self._logs.delete_log_group(logGroupName=self.name)

    def _tag(self) -> None:
        self._logs.tag_resource(resourceArn=self._arn, tags=self._aws.tags("logs"))

    def _retain(self) -> None:
        self._logs.put_retention_policy(logGroupName=self.name, retentionInDays=_DAYS)

    @property
    def _arn(self) -> str:
        return self._aws.arn("logs", f"log-group:{self.name}")

    @property
    def _logs(self) -> Any:
        return self._aws.client("logs")
