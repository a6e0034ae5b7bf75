"""Who makes a request, and whether the Principal element of a statement names them.

Forms of principals after the IAM User Guide, "AWS JSON policy elements: Principal" and "NotPrincipal".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from dogbreed.audit.answer import NO, UNKNOWN, YES, Answer, any_of
from dogbreed.audit.model import HOLE, Statement

_ACCOUNT = re.compile(r"\d{12}")
_ROOT = re.compile(r"arn:[\w-]+:iam::(\d{12}):root")


class Kind(Enum):
    """What acts."""

    USER = "User"
    ROLE = "AssumedRole"
    FEDERATED = "FederatedUser"
    ROOT = "Account"
    SERVICE = "Service"
    WEB = "WebIdentityUser"
    ANONYMOUS = "Anonymous"


class How(Enum):
    """How a Principal element names somebody: this decides what else has to allow the request."""

    DIRECT = "by its own ARN"
    ROLE = "by its role's ARN"
    ACCOUNT = "by its account"
    EVERYONE = "as everyone"


# By the beginning of the last part of an ARN.
_KINDS = {
    "root": Kind.ROOT,
    "role": Kind.ROLE,
    "assumed-role": Kind.ROLE,
    "federated-user": Kind.FEDERATED,
    "oidc-provider": Kind.WEB,
    "saml-provider": Kind.WEB,
}


@dataclass(frozen=True, slots=True)
class Who:
    """Who acts: the ARN, or the name of a service or identity provider. `role` is the ARN of a session's role."""

    kind: Kind
    arn: str
    account: str = ""
    role: str = ""
    name: str = ""

    @property
    def service_linked(self) -> bool:
        """Whether SCPs leave it alone."""
        return "/aws-service-role/" in self.role


def read(text: str) -> Who:
    """Who a text names: an ARN, an account number, a service, an identity provider, or `*` for nobody in particular."""
    parts = text.split(":", 5)
    if text in ("*", "", "anonymous"):
        return Who(Kind.ANONYMOUS, "*")
    if _ACCOUNT.fullmatch(text):
        return Who(Kind.ROOT, f"arn:aws:iam::{text}:root", text)
    if len(parts) < 6:
        return Who(Kind.SERVICE if text.endswith((".amazonaws.com", ".amazonaws.com.cn")) else Kind.WEB, text)
    account, (kind, _, rest) = parts[4], parts[5].partition("/")
    name = rest.rsplit("/", maxsplit=1)[-1]
    role = {"role": text, "assumed-role": f"arn:{parts[1]}:iam::{account}:role/{rest.split('/')[0]}"}.get(kind, "")
    return Who(_KINDS.get(kind, Kind.USER), text, account, role, name)


def named(statement: Statement, who: Who) -> tuple[Answer, How]:
    """Whether a statement of a resource or trust policy speaks of somebody, and how; without Principal of everyone."""
    if statement.principals is not None:
        found = [_names(kind, value, who) for kind, value in statement.principals]
        surest = max((answer for answer, _ in found), default=NO)
        ways = [how for answer, how in found if answer is surest]
        return surest, min(ways, key=list(How).index, default=How.EVERYONE)
    if statement.not_principals is not None:
        answers = [_excepts(kind, value, who) for kind, value in statement.not_principals]
        return ~any_of(answers), How.EVERYONE
    return YES, How.EVERYONE


def _names(kind: str, value: str, who: Who) -> tuple[Answer, How]:
    kind = kind.lower()
    if kind == "*" or (kind == "aws" and value == "*"):
        return YES, How.EVERYONE
    if HOLE in value:
        return _unknown(kind, who), How.DIRECT
    if kind == "aws":
        return _names_in_aws(value, who)
    if kind == "canonicaluser":
        # It stands for an account, but which cannot be computed.
        return UNKNOWN if who.account else NO, How.ACCOUNT
    same = value.lower() == who.arn.lower() if kind == "service" else value == who.arn
    return _same(same and {"service": Kind.SERVICE, "federated": Kind.WEB}.get(kind) is who.kind), How.DIRECT


def _names_in_aws(value: str, who: Who) -> tuple[Answer, How]:
    """An ARN or the number of an account under the key AWS."""
    root = _ROOT.fullmatch(value)
    if value == who.account or (root and root[1] == who.account):
        return _same(bool(who.account)), How.DIRECT if who.kind is Kind.ROOT else How.ACCOUNT
    if value == who.arn:
        return YES, How.ROLE if who.arn == who.role else How.DIRECT
    return _same(bool(who.role) and _same_role(value, who.role)), How.ROLE


def _excepts(kind: str, value: str, who: Who) -> Answer:
    """Whether a NotPrincipal leaves somebody out: only who is named, not every session of a role or all of an account.

    The account stands in the list beside the principal because AWS "might validate the account first": by itself it
    leaves out no more than the account's root user.
    """
    answer, how = _names(kind, value, who)
    if how is How.ACCOUNT or (how is How.ROLE and who.arn not in (who.role, value)):
        # Which account a canonical user is, is not known: it may be the root user's.
        return answer if who.kind is Kind.ROOT else NO
    return answer


def _unknown(kind: str, who: Who) -> Answer:
    """Whether an unknown principal of a type can be this one."""
    fits = {"service": who.kind is Kind.SERVICE, "federated": who.kind is Kind.WEB}
    return UNKNOWN if fits.get(kind, who.kind not in (Kind.SERVICE, Kind.WEB)) else NO


def _same_role(value: str, role: str) -> bool:
    """Whether an ARN is that of the role; a session's ARN lacks the role's path."""
    if value == role:
        return True
    ours, theirs = role.split(":", 5), value.split(":", 5)
    if len(theirs) < 6 or ours[:5] != theirs[:5] or not theirs[5].startswith("role/"):
        return False
    return ours[5].count("/") == 1 and theirs[5].rsplit("/", maxsplit=1)[-1] == ours[5].removeprefix("role/")


def _same(value: bool) -> Answer:
    return YES if value else NO
