"""The one model that every parser fills and every rule reads: statements, policies, principals, resources, a corpus.

A value that cannot be known is never guessed. As a whole it is `UNKNOWN`; inside a string the unknown part is one
`HOLE` (`"arn:aws:s3:::" + HOLE + "/*"`). In statements all values are strings, so an unknown one is a lone `HOLE`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from dogbreed.audit.finding import BrokenInput, Location, Undecided
from dogbreed.audit.source import Fixed, Path, Source

# Stands for any text, also none, that could not be resolved. A private character: no policy contains it.
HOLE = "\ue000"
# What parsers put for AWS::AccountId, AWS::Region, AWS::Partition (data.aws_caller_identity and its like) where no
# account is named: "where this is deployed". Not HOLE, since two values of it are equal.
OWN_ACCOUNT = "000000000000"
OWN_REGION = "own-region-1"
OWN_PARTITION = "aws"


class Unknown:
    """The type of `UNKNOWN`: a property's whole value that cannot be known before it is deployed."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        raise TypeError("UNKNOWN is neither true nor false: compare with `is UNKNOWN`")


UNKNOWN: Final = Unknown()


class Kind(StrEnum):
    """What a policy is attached to, and so how it counts."""

    IDENTITY = "identity"
    RESOURCE = "resource"
    TRUST = "trust"
    BOUNDARY = "boundary"
    SCP = "scp"
    RCP = "rcp"
    PERMISSION_SET = "permission-set"
    VPC_ENDPOINT = "vpc-endpoint"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Condition:
    """One key under one operator: `StringLike`, `aws:SourceArn`, its values. Operator and key as they are written."""

    operator: str
    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with every element as a list of strings; of an element and its Not-form one is None.

    `principals` holds (type, value) pairs; `Principal: "*"` is ("*", "*"). `malformed` says what AWS would not accept;
    what cannot be read is left out of the elements. `index` is the place in the policy.
    """

    effect: str
    index: int
    policy: Policy = field(repr=False, compare=False)
    sid: str = ""
    actions: tuple[str, ...] | None = None
    not_actions: tuple[str, ...] | None = None
    resources: tuple[str, ...] | None = None
    not_resources: tuple[str, ...] | None = None
    principals: tuple[tuple[str, str], ...] | None = None
    not_principals: tuple[tuple[str, str], ...] | None = None
    conditions: tuple[Condition, ...] = ()
    malformed: tuple[str, ...] = ()

    @property
    def allows(self) -> bool:
        """Whether it is an Allow; an unknown effect is neither."""
        return self.effect == "Allow"

    @property
    def denies(self) -> bool:
        """Whether it is a Deny."""
        return self.effect == "Deny"

    @property
    def name(self) -> str:
        """How to call it in a sentence."""
        return f"statement {self.sid!r}" if self.sid else f"statement {self.index + 1}"

    def at(self, *path: str | int) -> Location:
        """The place of the statement, or of an element in it: `at("Action", 2)`."""
        document = self.policy.document
        single = isinstance(document, dict) and isinstance(document.get("Statement"), dict)
        start: Path = ("Statement",) if single else ("Statement", self.index)
        return self.policy.source.locate((*self.policy.path, *start, *path))


@dataclass(slots=True)
class Policy:
    """A policy: its statements, the document as it was read, and where that stands.

    `document` is plain JSON values (unknown ones are `UNKNOWN`), for checks of validity. `attached_to` is the ARN of
    the resource that a resource policy, or the principal that a trust policy, belongs to ("" when not known).
    """

    kind: Kind
    name: str
    document: Any
    source: Source = field(repr=False)
    path: Path = ()
    statements: tuple[Statement, ...] = ()
    version: str = ""
    attached_to: str = ""
    # The ARN of a managed policy; aws:policy/... is AWS's own.
    arn: str = ""

    @property
    def location(self) -> Location:
        """Where the document begins."""
        return self.source.locate(self.path)


@dataclass(slots=True)
class Principal:
    """A role, user or group with everything that decides what it may do.

    `policies` are the identity policies, attached and inline, those of a user's groups included. `unresolved` names
    policies that are attached but whose text is not known. `scps` is a list of levels (root, units, account): each
    level must allow. `complete` says that all of this is known, not only what one template shows.
    """

    arn: str
    kind: str
    name: str
    location: Location
    policies: list[Policy] = field(default_factory=list)
    boundary: Policy | None = None
    boundary_unresolved: str = ""
    trust: Policy | None = None
    scps: list[list[Policy]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    instance_profiles: tuple[str, ...] = ()
    unresolved: tuple[str, ...] = ()
    # Where policies are attached, by their ARN, as far as that is known.
    places: dict[str, Location] = field(default_factory=dict, repr=False)
    complete: bool = False
    # The texts of AWS's own policies among the unresolved, once they were looked up (dogbreed.audit.attached).
    managed: list[Policy] | None = field(default=None, repr=False, compare=False)
    # Other facts, such as RoleLastUsed or PermissionsBoundary settings, as the API names them.
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def account(self) -> str:
        """The account's number, "" when the ARN does not say."""
        parts = self.arn.split(":")
        return parts[4] if len(parts) > 5 else ""


@dataclass(slots=True)
class Resource:
    """A resource or a recorded request: the CloudFormation type, its properties as CloudFormation spells them.

    Parsers of Terraform, requests and live accounts translate to CloudFormation names. Values are plain JSON values,
    `UNKNOWN`, or strings with `HOLE`. `arn` is known where it can be computed. A resource policy stands in `policies`.
    """

    type: str
    id: str
    properties: dict[str, Any]
    source: Source = field(repr=False)
    path: Path = ()
    arn: str = ""
    policies: list[Policy] = field(default_factory=list)
    # The role it runs as, by ARN, where it has one: for reachability.
    roles: tuple[str, ...] = ()

    @property
    def location(self) -> Location:
        """Where the resource stands."""
        return self.source.locate(self.path)

    def at(self, *path: str | int) -> Location:
        """The place of a property: `at("NetworkConfig", "EnableNetworkIsolation")`; the nearest when it is absent."""
        return self.source.locate((*self.path, *path))

    def get(self, *path: str | int, default: Any = None) -> Any:
        """The value of a property; `UNKNOWN` also where something on the way is unknown, `default` when absent."""
        value: Any = self.properties
        for step in path:
            if value is UNKNOWN:
                return UNKNOWN
            named = isinstance(value, dict) and step in value
            counted = isinstance(value, list) and isinstance(step, int) and step < len(value)
            if not (named or counted):
                return default
            value = value[step]
        return value


@dataclass(slots=True)
class Corpus:
    """Everything that was found. `complete` says that the principals are all that their account has, as in a dump.

    `policies` are those that stand alone: attached to no principal and no resource that is known.
    """

    principals: list[Principal] = field(default_factory=list)
    policies: list[Policy] = field(default_factory=list)
    resources: list[Resource] = field(default_factory=list)
    errors: list[BrokenInput] = field(default_factory=list)
    undecided: list[Undecided] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    account: str = OWN_ACCOUNT
    complete: bool = False
    # Account numbers that are trusted like the own one (settings, organisation).
    friends: frozenset[str] = frozenset()
    # What rules have computed for the whole corpus, by name.
    computed: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def every_policy(self) -> Iterator[Policy]:
        """Each policy once, whatever it is attached to, but AWS's own: those can only be attached, not mended."""
        seen: set[int] = set()
        attached = (
            policy
            for one in self.principals
            for policy in (*one.policies, one.boundary, one.trust, *(scp for level in one.scps for scp in level))
        )
        for policy in (*self.policies, *attached, *(policy for one in self.resources for policy in one.policies)):
            if policy is not None and id(policy) not in seen and "::aws:policy/" not in policy.arn:
                seen.add(id(policy))
                yield policy

    def stands_alone(self, policy: Policy) -> bool:
        """Whether a policy is attached to nothing that is known."""
        if "alone" not in self.computed:
            self.computed["alone"] = {id(one) for one in self.policies}
        return id(policy) in self.computed["alone"]

    def add(self, other: Corpus) -> None:
        """Take in what another file gave."""
        self.principals += other.principals
        self.policies += other.policies
        self.resources += other.resources
        self.errors += other.errors
        self.undecided += other.undecided
        self.files += other.files
        self.complete = self.complete or other.complete
        if other.account != OWN_ACCOUNT:
            self.account = other.account


NOWHERE = Fixed(Location("-"))
