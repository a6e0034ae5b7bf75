"""A live account -> the model, by calls that only read; what was denied is undecided and never a pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from dogbreed.audit import reads
from dogbreed.audit.finding import Location, Undecided
from dogbreed.audit.model import UNKNOWN, Corpus, Principal, Resource
from dogbreed.audit.parse import account, api
from dogbreed.audit.parse.assemble import assemble
from dogbreed.audit.reads import Part, Reader
from dogbreed.audit.source import Fixed, Path
from dogbreed.cloud import errors
from dogbreed.cloud.session import Aws

_AT_ONCE = 8
# Last-accessed reports are made by AWS within seconds; an audit waits this long for all of them together.
_REPORTS_WAIT_S = 60.0
_POLL_S = 0.2
# Reports are asked for so many roles at most, those that were used last first.
MOST_REPORTS = 200
actions = reads.actions
# No answer, or none that can be read.
_BROKEN = (BotoCoreError, ResponseParserError)


def read_account(aws: Aws, regions: list[str] | None = None, tell: Callable[[str], None] | None = None) -> Corpus:
    """Everything auditable in an account; `regions` default to the session's, `tell` hears what is read.

    Raises AccessError or UsageError when there are no credentials or no region at all.
    """
    return _Reading(aws, regions or [aws.region], tell or (lambda _: None)).corpus()


class _Denied(Exception):  # noqa: N818 - a fact about a call
    """A call that IAM refused, or that failed for good."""


class _Reading:
    def __init__(self, aws: Aws, regions: list[str], tell: Callable[[str], None]) -> None:
        self.aws = aws
        self.regions = regions
        self.tell = tell
        # The first call says who asks; where that fails there is no account to read.
        self.account = aws.account
        self.refused: dict[Undecided, None] = {}

    def corpus(self) -> Corpus:
        """The account's principals and the resources of the regions."""
        found = self._principals()
        resources: list[Resource] = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            lists = [
                (reader, region)
                for region in self.regions
                for reader in reads.READERS
                if not reader.everywhere or region == self.regions[0]
            ]
            for made in pool.map(lambda one: self._list(*one), lists):
                # The members of a list are described in parallel, the lists one after the other in their order.
                for several in pool.map(lambda work: work(), made):
                    resources += several
        resources += self._account_block()
        found.add(assemble(resources))
        found.account = self.account
        found.undecided += list(self.refused)
        return found

    def _call(self, service: str, operation: str, region: str, /, **given: Any) -> dict[str, Any]:
        """The answer of a call; raises _Denied for what cannot be known, ClientError for what is not there."""
        try:
            answer: dict[str, Any] = getattr(self.aws.client(service, region), operation)(**given)
        except ClientError as error:
            if errors.is_missing(error):
                raise
            self._refuse(service, operation, region, errors.code(error) or str(error))
            raise _Denied from None
        except _BROKEN as error:
            self._refuse(service, operation, region, str(error))
            raise _Denied from None
        return answer

    def _refuse(self, service: str, operation: str, region: str, why: str) -> None:
        action = reads.action(service, operation)
        place = Location(f"account {self.account}, {region}")
        self.refused[Undecided("live", action, place, f"{action} failed ({why}): what it tells is not judged")] = None

    def _pages(self, reader: Reader, region: str) -> Iterator[dict[str, Any]]:
        """The answers of a list, page by page."""
        given = dict(reader.fixed)
        client = self.aws.client(reader.service, region)
        if not client.can_paginate(reader.list) or reader.list in reads.FIRST_PAGE_ONLY:
            yield self._call(reader.service, reader.list, region, **given)
            return
        try:
            yield from client.get_paginator(reader.list).paginate(**given)
        except (ClientError, *_BROKEN) as error:
            self._refuse(reader.service, reader.list, region, errors.code(error) or str(error))
            raise _Denied from None

    def _list(self, reader: Reader, region: str) -> list[Callable[[], list[Resource]]]:
        """The work of reading each member of a list."""
        self.tell(f"{region}: {reader.service} {reader.list}")
        members: list[Any] = []
        try:
            for page in self._pages(reader, region):
                if not reader.key:
                    members.append(page.get(reader.inside, page) if reader.inside else page)
                for one in page.get(reader.key, []) if reader.key else []:
                    members += one[reader.inside] if reader.key == "Reservations" else [one]
        except (_Denied, ClientError):
            return []
        return [lambda one=one: self._read(reader, region, one) for one in members]  # type: ignore[misc]

    def _read(self, reader: Reader, region: str, member: Any) -> list[Resource]:
        """A member with its parts."""
        name = member.get(reader.id, "") if isinstance(member, dict) else member
        place = Fixed(Location(f"{region}/{reader.service}/{name}" if name else f"{region}/{reader.service}"))
        value = dict(member) if isinstance(member, dict) else {"QueueUrl": member}
        try:
            if reader.describe:
                value |= self._described(reader, region, name)
        except _Denied:
            return []
        except ClientError:
            # Gone since it was listed.
            return []
        if value.get("KeyManager") == "AWS":
            return []
        value.pop("ResponseMetadata", None)
        # A bucket's properties come from its parts only; a key's rotation does too.
        if reader.service == "s3":
            value = {"Bucket": name}
        whole = api.make_resource(f"AWS::{reader.type}", value, place, ())
        found = [whole]
        for part in reader.parts:
            argument = value.get("TrailARN", name) if reader.service == "cloudtrail" else name
            found += self._part(part, reader, region, str(argument), place, whole)
        return found

    def _described(self, reader: Reader, region: str, name: str) -> dict[str, Any]:
        given: dict[str, Any] = {reader.argument: name}
        if reader.describe == "describe_launch_template_versions":
            versions = self._call(reader.service, reader.describe, region, **given, Versions=["$Default"])
            return dict(versions["LaunchTemplateVersions"][0])
        if reader.describe == "get_queue_attributes":
            given["AttributeNames"] = ["Policy", "QueueArn"]
        answer = self._call(reader.service, reader.describe, region, **given)
        return dict(answer.get(reader.inside) or {}) if reader.inside else answer

    def _part(
        self, part: Part, reader: Reader, region: str, name: str, place: Fixed, whole: Resource
    ) -> list[Resource]:
        """A part of a thing; one that was denied is unknown, one that is not there is empty or nothing."""
        type = f"AWS::{part.type}"
        given: dict[str, Any] = {part.argument: name, **dict(part.fixed)}
        about = {part.argument: whole.arn or whole.id} if reader.service == "cloudtrail" else {part.argument: name}
        try:
            answer = self._call(reader.service, part.operation, region, **given)
        except _Denied:
            made = api.make_resource(type, about, place, ())
            made.properties["Value"] = UNKNOWN
            for key in ("Policy", "PolicyDocument", "PolicyText"):
                made.properties[key] = UNKNOWN
            return [made]
        except ClientError:
            return [api.make_resource(type, about, place, ())] if part.absent_is_empty else []
        answer.pop("ResponseMetadata", None)
        if part.operation == "list_function_url_configs":
            return [api.make_resource(type, one, place, ()) for one in answer.get("FunctionUrlConfigs", [])]
        if part.operation == "get_function_concurrency" and not answer:
            return []
        return [api.make_resource(type, {**answer, **about}, place, ())]

    def _account_block(self) -> list[Resource]:
        """The account's own block of public access, which holds for every bucket."""
        if self.aws.rehearsal:
            # It would be asked for at <account>.127.0.0.1; the stand-in has none.
            return []
        place = Fixed(Location(f"account {self.account}"))
        try:
            answer = self._call("s3control", "get_public_access_block", self.regions[0], AccountId=self.account)
        except (_Denied, ClientError):
            return []
        config = answer.get("PublicAccessBlockConfiguration") or {}
        if not all(config.values()) or not config:
            return []
        return [api.make_resource("AWS::S3::AccountPublicAccessBlock", config, place, ())]

    # -- principals

    def _principals(self) -> Corpus:
        self.tell("iam get_account_authorization_details")
        region = self.regions[0]
        whole: dict[str, list[Any]] = {
            key: [] for key in ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")
        }
        try:
            for page in self.aws.client("iam", region).get_paginator("get_account_authorization_details").paginate():
                for key in whole:
                    whole[key] += page.get(key, [])
        except (ClientError, *_BROKEN) as error:
            self._refuse("iam", "get_account_authorization_details", region, errors.code(error) or str(error))
            return Corpus()
        found = account.read_account(whole, _Entries(whole, self.account))
        found.files.append(f"account {self.account}")
        now = datetime.now(UTC)
        for principal in found.principals:
            principal.facts["ReadAt"] = now
        self._last_accessed(
            [one for one in found.principals if one.kind == "role" and "/aws-service-role/" not in one.arn]
        )
        return found

    def _last_accessed(self, roles: list[Principal]) -> None:
        """Which services each role has used, in its facts, as far as AWS has the reports ready in time."""

        def last_used(role: Principal) -> str:
            return str((role.facts.get("RoleLastUsed") or {}).get("LastUsedDate", ""))

        chosen = sorted(roles, key=last_used, reverse=True)[:MOST_REPORTS]
        deadline = time.monotonic() + _REPORTS_WAIT_S
        try:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(lambda role: self._report(role, deadline), chosen))
        except (_Denied, ClientError):
            return

    def _report(self, role: Principal, deadline: float) -> None:
        region = self.regions[0]
        job = self._call("iam", "generate_service_last_accessed_details", region, Arn=role.arn)["JobId"]
        while time.monotonic() < deadline:
            report = self._call("iam", "get_service_last_accessed_details", region, JobId=job)
            if report.get("JobStatus") == "COMPLETED":
                role.facts["ServicesLastAccessed"] = report.get("ServicesLastAccessed", [])
                return
            if report.get("JobStatus") == "FAILED":
                return
            time.sleep(_POLL_S)


class _Entries:
    """The source of an account's details: each principal and policy stands at its own ARN."""

    def __init__(self, whole: dict[str, list[Any]], name: str) -> None:
        self.file = f"account {name}"
        self._whole = whole

    def locate(self, path: Path) -> Location:
        """The ARN of the entry that a path leads through."""
        if len(path) > 1 and isinstance(path[1], int):
            return Location(str(self._whole[str(path[0])][path[1]].get("Arn", self.file)))
        return Location(self.file)
