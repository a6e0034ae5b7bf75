"""The stand-in account: its services, its state, and the contract for adding a service.

A file of this folder that is named in `server.SERVICES` has `add(cloud: Cloud) -> None`, called once at the start:

    cloud.handle("ec2", "DescribeSpotPriceHistory", function)   function(call) -> dict, or PASS: the next one answers
    cloud.after("ec2", "RunInstances", function)                function(call, answer), when moto has answered

Names are those of boto3 and of the API. Last answers moto. `call.params` and answers have the shapes that boto3 shows,
times being datetimes; the protocol is seen to elsewhere. Raise `AwsError(code, message)` to refuse. `after` may return
another answer. State lives in the closure or object behind these functions, is emptied in `cloud.on_reset(function)`
and everything that runs is ended there as well; it is also called when the server ends.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse import access
from dogbreed.rehearse.calls import ACCOUNT, PASS, AwsError, Calls, answers
from dogbreed.rehearse.clock import Clock
from dogbreed.rehearse.faults import Faults

if TYPE_CHECKING:
    from dogbreed.rehearse.alarms import Alarms
    from dogbreed.rehearse.calls import Call, Passed
    from dogbreed.rehearse.quotas import Quotas

Handler = Callable[["Call"], "dict[str, Any] | Passed"]
After = Callable[["Call", "dict[str, Any]"], "dict[str, Any] | None"]
SECRET = "rehearsal"
_CONNECTIONS = 32


class Cloud:
    """One account in one process: its files in `folder`, the person's access key `key`, `url` where it answers."""

    account = ACCOUNT

    def __init__(self, folder: Path, region: str, key: str) -> None:
        self.folder = folder
        self.region = region
        self.key = key
        self.url = ""
        self.socket = folder / "server.sock"
        self.calls = Calls()
        self.quotas: Quotas
        self.alarms: Alarms
        self.clock = Clock(float(os.environ.get("REHEARSE_SPEED", "1")))
        # What a container asks for its credentials with -> the ARN of its role.
        self.roles_of_containers: dict[str, str] = {}
        self.faults = Faults()
        self.handlers: dict[tuple[str, str], list[Handler]] = {}
        self.afters: dict[tuple[str, str], list[After]] = {}
        self.controls: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self._resets: list[Callable[[], None]] = []
        self._status: list[Callable[[], dict[str, Any]]] = []
        self._interrupts: list[Callable[[str], list[str]]] = []
        self._own_key = access.new_key()
        self._platform_keys: set[str] = set()
        self._clients: dict[tuple[str, str | None, str | None], Any] = {}
        self._session: Any = None
        self._lock = threading.Lock()

    # -- what a service file registers

    def handle(self, service: str, operation: str, function: Handler) -> None:
        """Let `function` answer an operation, before handlers that were there earlier and before moto."""
        self.handlers.setdefault((service, operation), []).insert(0, function)

    def after(self, service: str, operation: str, function: After) -> None:
        """Let `function` see, and maybe replace, what moto answers."""
        self.afters.setdefault((service, operation), []).append(function)

    def control(self, name: str, function: Callable[[dict[str, Any]], Any]) -> None:
        """Answer POST /_rehearse/`name`: a JSON object in, a JSON value out; for the command line and tests."""
        self.controls[name] = function

    def on_status(self, function: Callable[[], dict[str, Any]]) -> None:
        """Add what `function` says to the status that people are shown."""
        self._status.append(function)

    def on_interrupt(self, function: Callable[[str], list[str]]) -> None:
        """Let `function(pattern)` interrupt spot capacity whose name fits, and return the names."""
        self._interrupts.append(function)

    def on_reset(self, function: Callable[[], None]) -> None:
        """Call `function` when the account is emptied and when the server ends."""
        self._resets.append(function)

    # -- what a service file needs

    def answer(self, call: Call) -> dict[str, Any] | Passed:
        """What the first handler says that does not pass."""
        for function in self.handlers.get((call.service, call.operation), ()):
            if answers(result := function(call)):
                return result
        return PASS

    def client(self, service: str, region: str | None = None, role: str | None = None) -> Any:
        """A boto3 client of this account, which acts as the platform or as a `role` (ARN) that the platform assumes.

        Its calls are recorded under that role; faults do not hit them, denied actions do.
        """
        import boto3
        from botocore.config import Config

        with self._lock:
            known = self._clients.get((service, region, role))
        if known:
            return known
        key, secret, token = self.credentials(role) if role else (self._platform_key(self._own_key), SECRET, None)
        with self._lock:
            # Making a client is slow, and one session does not make two at once.
            self._session = self._session or boto3.session.Session()
            made = self._clients[service, region, role] = self._session.client(
                service,
                region_name=region or self.region,
                endpoint_url=self.url,
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                aws_session_token=token,
                config=Config(
                    retries={"mode": "standard", "max_attempts": 4},
                    s3={"addressing_style": "path"},
                    max_pool_connections=_CONNECTIONS,
                ),
            )
        return made

    def credentials(self, role: str, session: str = "SageMaker", *, platform: bool = True) -> tuple[str, str, str]:
        """Key, secret and token for `role` (ARN), as sts:AssumeRole gives them to a service."""
        backend = self.moto("sts", "aws")
        given = backend.assume_role(
            region_name=self.region,
            role_session_name=session,
            role_arn=role,
            policy=None,
            duration=3600,
            external_id=None,
        )
        if platform:
            self._platform_key(given.access_key_id)
        return given.access_key_id, given.secret_access_key, given.session_token

    def is_platform(self, key: str) -> bool:
        """Whether an access key is one that the services themselves use."""
        return key in self._platform_keys

    def need(self, call: Call, action: str, *resources: str) -> None:
        """Note a further right that a call takes of its caller; AwsError where a fault denies it."""
        further = replace(call, action=action, resources=resources, passes=())
        [record] = self.calls.add(further, platform=self.is_platform(call.key))
        try:
            # As the platform: only a denial is meant to hit what is no call of its own.
            self.faults.strike(further, platform=True)
        except AwsError as error:
            record.status, record.error = error.status or 400, error.code
            raise
        record.status = 200

    def moto(self, service: str, region: str | None = None) -> Any:
        """Moto's backend of a service (its own names: `s3`, `ec2`, `iam`); global services stand below "aws"."""
        from moto.backends import get_backend

        regions: Any = get_backend(service)[self.account]  # type: ignore[call-overload]
        return regions[region or ("aws" if service in ("iam", "s3", "sts") else self.region)]

    def status(self) -> dict[str, Any]:
        """What runs, for people."""
        told: dict[str, Any] = {"calls": len(self.calls.to_json()), "faults": self.faults.to_json()}
        for function in self._status:
            told |= function()
        return told

    def interrupt(self, pattern: str) -> list[str]:
        """Interrupt spot capacity; the names of what was hit."""
        return [name for function in self._interrupts for name in function(pattern)]

    def reset(self) -> None:
        """Empty the account: end what runs, forget faults, calls and moto's state."""
        from moto.moto_api._internal.models import moto_api_backend

        self.end()
        # Their credentials are among what is forgotten.
        self._clients.clear()
        self.faults.clear()
        self.calls.clear()
        moto_api_backend.reset()

    def end(self) -> None:
        """End everything that runs."""
        for function in self._resets:
            function()

    def _platform_key(self, key: str) -> str:
        with self._lock:
            self._platform_keys.add(key)
        return key
