"""The one door to AWS: clients, account, region and tags; nothing is loaded or asked before it is needed."""

from __future__ import annotations

import difflib
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.configprovider import ConstantProvider
from botocore.exceptions import NoCredentialsError, UnknownRegionError

from dogbreed import __version__
from dogbreed.config import AwsSettings
from dogbreed.errors import UsageError

PROJECT_TAG, ROLE_TAG, RUN_TAG = "dogbreed:project", "dogbreed:role", "dogbreed:run"
_ATTEMPTS, _FIRST_ATTEMPTS = 10, 4
_CONNECT_S, _READ_S = 5, 60
# Where there is a metadata service it answers within milliseconds; where there is none, nobody should wait for it.
_METADATA_S = 0.3


class Aws:
    """An AWS account as the settings name it. Clients retry adaptively, so that throttling slows and does not fail."""

    def __init__(self, settings: AwsSettings) -> None:
        self.settings = settings
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    @cached_property
    def session(self) -> boto3.Session:
        """The SDK's session, with credentials; NoCredentialsError at once where there are none."""
        if self._made.get_credentials() is None:
            raise NoCredentialsError
        return self._made

    @cached_property
    def _made(self) -> boto3.Session:
        core = botocore.session.get_session()
        if "AWS_METADATA_SERVICE_TIMEOUT" not in os.environ:
            # Not by set_config_variable, which makes it a whole number.
            core.get_component("config_store").set_config_provider(
                "metadata_service_timeout", ConstantProvider(_METADATA_S)
            )
        own = self.settings
        return boto3.Session(botocore_session=core, profile_name=own.profile or None, region_name=own.region or None)

    @property
    def region(self) -> str:
        """The region of `[aws] region`, the profile or the environment; UsageError where none is set."""
        region = self.session.region_name
        if not region:
            raise UsageError("no AWS region is set", 'add --region, or [aws] region = "eu-west-1" to dogbreed.toml')
        self._check(str(region))
        return str(region)

    def _check(self, region: str) -> None:
        """UsageError for a name that no region can have; one that is newer than this SDK passes."""
        try:
            self._made.get_partition_for_region(region)
        except UnknownRegionError:
            close = difflib.get_close_matches(region, self._made.get_available_regions("ec2"), n=1)
            hint = f"did you mean {close[0]}?" if close else "one such as eu-west-1 or us-east-1"
            raise UsageError(f"there is no AWS region {region}", hint) from None

    @cached_property
    def account(self) -> str:
        """The twelve digits of the account (sts:GetCallerIdentity)."""
        return str(self.client("sts").get_caller_identity()["Account"])

    def now(self) -> datetime:
        """The account's time, in UTC: the Date of an answer. The clock here may be wrong, that of a rehearsal fast."""
        said = self.client("sts").get_caller_identity()["ResponseMetadata"]["HTTPHeaders"].get("date")
        return parsedate_to_datetime(said) if said else datetime.now(UTC)

    @cached_property
    def partition(self) -> str:
        """`aws`, `aws-cn` or `aws-us-gov`: the second part of every ARN."""
        return self.partition_of(self.region)

    @property
    def configured_region(self) -> str:
        """The region as far as it can be known without credentials; "" where none is set. Raises as `region`."""
        region = str(self._made.region_name or "")
        if region:
            self._check(region)
        return region

    def partition_of(self, region: str) -> str:
        """The partition that a region is in; that of most regions for a name that AWS has not."""
        try:
            return str(self._made.get_partition_for_region(region))
        except UnknownRegionError:
            return "aws"

    @property
    def bucket(self) -> str:
        """The name of the project's bucket."""
        return self.settings.bucket or f"{self.settings.project}-{self.account}-{self.region}"

    @cached_property
    def kms_key(self) -> str:
        """The ARN of the key of `[aws] kms_key`, whether that is a name, an alias or an ARN; "" where none is set."""
        given = self.settings.kms_key
        if not given or ":key/" in given:
            return given
        return str(self.client("kms").describe_key(KeyId=given)["KeyMetadata"]["Arn"])

    def client(self, service: str, region: str = "") -> Any:
        """The client of a service, made once; of another region than the session's, if one is given."""
        key = (service, region or self.region)
        with self._lock:
            if key not in self._clients:
                made = self.session.client(service, region_name=key[1], config=_FIRST if service == "sts" else CONFIG)
                if service == "s3":
                    made.meta.events.register("after-call.s3", _say_what_was_denied)
                self._clients[key] = made
            return self._clients[key]

    def name(self, role: str) -> str:
        """The name of a resource of this project, from which its ARN follows."""
        return f"{self.settings.project}-{role}"

    def arn(self, service: str, resource: str, *, regional: bool = True, account: bool = True) -> str:
        """The ARN of a resource of this account; IAM and S3 have no region in theirs, S3 no account either."""
        place = f"{self.region if regional else ''}:{self.account if account else ''}"
        return f"arn:{self.partition}:{service}:{place}:{resource}"

    def tags(self, role: str, run: str = "") -> dict[str, str]:
        """The tags of every resource that dogbreed makes: project, role, run, and the user's own."""
        own = {PROJECT_TAG: self.settings.project, ROLE_TAG: role} | ({RUN_TAG: run} if run else {})
        # Ours last: by them it is known what may be changed and deleted.
        parts = (tag.partition("=") for tag in listed(self.settings.tags))
        return {key.strip(): value.strip() for key, _, value in parts} | own

    def seen(self, tags: Mapping[str, str], role: str, run: str = "") -> dict[str, str]:
        """Those of `tags` that dogbreed wants, to compare: what people and tools have added is theirs."""
        return {key: value for key, value in tags.items() if key in self.tags(role, run)}

    def is_ours(self, tags: Mapping[str, str]) -> bool:
        """Whether these are the tags of a resource of this project, so that it may be changed and deleted."""
        return tags.get(PROJECT_TAG) == self.settings.project

    @cached_property
    def rehearsal(self) -> str:
        """The address of the stand-in cloud when calls go to this machine, else ""; no money is spent there."""
        address = os.environ.get("AWS_ENDPOINT_URL", "")
        host = urlsplit(address).hostname or ""
        try:
            return address if host == "localhost" or ip_address(host).is_loopback else ""
        except ValueError:
            return ""


def _say_what_was_denied(http_response: Any, parsed: Any, model: Any, **_: Any) -> None:
    """Answers to HEAD have no body: where S3 only says 403, put in its own words which action on what that was."""
    error = parsed.get("Error", {})
    if error.get("Code") == "403" and model.name in _HEADS:
        what = urlsplit(http_response.url)
        on = f"{what.netloc}{what.path}"
        error["Message"] = f"the caller is not authorized to perform: {_HEADS[model.name]} on resource: {on}"


_HEADS = {"HeadObject": "s3:GetObject", "HeadBucket": "s3:ListBucket"}


def listed(text: str) -> list[str]:
    """The parts of a comma-separated setting."""
    return [part.strip() for part in text.split(",") if part.strip()]


def pairs(tags: Mapping[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Tags in the shape that most services take."""
    return [{key: name, value: content} for name, content in tags.items()]


def unpaired(tags: list[dict[str, str]] | None) -> dict[str, str]:
    """Tags as a mapping, from the shape that most services give."""
    return {tag.get("Key", tag.get("key", "")): tag.get("Value", tag.get("value", "")) for tag in tags or []}


# How every client calls, also those that an SDK makes for itself.
CONFIG = Config(
    retries={"mode": "adaptive", "total_max_attempts": _ATTEMPTS},
    connect_timeout=_CONNECT_S,
    read_timeout=_READ_S,
    max_pool_connections=32,
    user_agent_extra=f"dogbreed/{__version__}",
)
# The account is what is asked for first: where nothing answers at all, that is known after some seconds.
_FIRST = CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": _FIRST_ATTEMPTS}))
