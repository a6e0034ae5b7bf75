"""`aws iam get-account-authorization-details`: every user, group and role of an account with all of its policies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dogbreed.audit import managed
from dogbreed.audit.document import make_policy
from dogbreed.audit.finding import BrokenInput
from dogbreed.audit.model import OWN_ACCOUNT, Corpus, Kind, Policy, Principal
from dogbreed.audit.source import Fixed, Path, Source

_LISTS = {"UserDetailList": "user", "GroupDetailList": "group", "RoleDetailList": "role"}


def is_account(value: Any) -> bool:
    """Whether a value is an account's authorization details."""
    return isinstance(value, dict) and any(isinstance(value.get(name), list) for name in _LISTS)


def read_account(value: dict[str, Any], source: Source, path: Path = ()) -> Corpus:
    """The principals of an account, whose policies are all known; policies that nobody has stand alone."""
    return _Account(value, source, path).corpus


class _Account:
    def __init__(self, value: dict[str, Any], source: Source, path: Path) -> None:
        self.source = source
        self.corpus = Corpus(
            complete=all(isinstance(value.get(name), list) for name in _LISTS) and not value.get("IsTruncated")
        )
        self.managed: dict[str, Policy] = {}
        self.boundaries: dict[str, Policy] = {}
        self.documents: dict[str, tuple[Any, Path]] = {}
        self.used: set[str] = set()
        for index, entry in _entries(value, "Policies"):
            self._managed(entry, (*path, "Policies", index))
        groups: dict[str, Principal] = {}
        # Groups before users, who have what their groups have.
        for name in ("GroupDetailList", "UserDetailList", "RoleDetailList"):
            for index, entry in _entries(value, name):
                principal = self._principal(entry, _LISTS[name], (*path, name, index))
                self.corpus.principals.append(principal)
                if principal.kind == "group":
                    groups[principal.name] = principal
                for group in (groups[one] for one in principal.groups if one in groups):
                    principal.policies += [one for one in group.policies if one not in principal.policies]
                    principal.unresolved += group.unresolved
        account = next((one.account for one in self.corpus.principals if one.account.isdigit()), OWN_ACCOUNT)
        self.corpus.account = account
        unused = (policy for arn, policy in self.managed.items() if arn not in self.used)
        # A policy of AWS's own that nobody has is nobody's weakness.
        self.corpus.policies += [policy for policy in unused if not managed.is_managed(policy.arn)]

    def _managed(self, entry: dict[str, Any], path: Path) -> None:
        arn = str(entry.get("Arn", ""))
        versions = entry.get("PolicyVersionList")
        for index, version in enumerate(versions if isinstance(versions, list) else []):
            current = version.get("IsDefaultVersion") is True or version.get("VersionId") == entry.get(
                "DefaultVersionId"
            )
            if current and "Document" in version:
                where = (*path, "PolicyVersionList", index, "Document")
                self.documents[arn] = (version["Document"], where)
                if policy := self._policy(version["Document"], Kind.IDENTITY, str(entry.get("PolicyName", arn)), where):
                    policy.arn = arn
                    self.managed[arn] = policy

    def _policy(self, document: Any, kind: Kind, name: str, path: Path, to: str = "") -> Policy | None:
        try:
            return make_policy(document, kind, name, self.source, path, attached_to=to)
        except BrokenInput as error:
            self.corpus.errors.append(error)
            return None

    def _principal(self, entry: dict[str, Any], kind: str, path: Path) -> Principal:
        name = str(entry.get(f"{kind.capitalize()}Name", ""))
        principal = Principal(str(entry.get("Arn", name)), kind, name, self.source.locate(path), complete=True)
        if "AssumeRolePolicyDocument" in entry:
            where = (*path, "AssumeRolePolicyDocument")
            principal.trust = self._policy(entry["AssumeRolePolicyDocument"], Kind.TRUST, name, where, principal.arn)
        inline = f"{kind.capitalize()}PolicyList"
        for index, one in _entries(entry, inline):
            called = f"{name}/{one.get('PolicyName', '')}"
            where = (*path, inline, index, "PolicyDocument")
            if policy := self._policy(one.get("PolicyDocument"), Kind.IDENTITY, called, where, principal.arn):
                principal.policies.append(policy)
        for index, one in _entries(entry, "AttachedManagedPolicies"):
            arn = str(one.get("PolicyArn", ""))
            self.used.add(arn)
            if arn not in self.managed:
                # Only for these: the others have a place of their own, and a place costs time.
                principal.places[arn] = self.source.locate((*path, "AttachedManagedPolicies", index))
            if arn in self.managed:
                principal.policies.append(self.managed[arn])
            else:
                principal.unresolved += (arn,)
        principal.groups = tuple(str(one) for one in entry.get("GroupList") or ())
        self._boundary(principal, entry.get("PermissionsBoundary"))
        profiles = (one for _, one in _entries(entry, "InstanceProfileList"))
        principal.instance_profiles = tuple(str(one.get("Arn", one.get("InstanceProfileName", ""))) for one in profiles)
        principal.tags = {str(tag.get("Key")): str(tag.get("Value", "")) for _, tag in _entries(entry, "Tags")}
        kept = ("RoleLastUsed", "PasswordLastUsed", "CreateDate")
        principal.facts = {key: entry[key] for key in kept if key in entry}
        return principal

    def _boundary(self, principal: Principal, value: Any) -> None:
        arn = str(value.get("PermissionsBoundaryArn", "")) if isinstance(value, dict) else ""
        if not arn:
            return
        self.used.add(arn)
        if arn not in self.boundaries:
            known: tuple[Any, Path] | None = self.documents.get(arn)
            text = managed.document(arn) if known is None else None
            if known is not None:
                policy = self._policy(known[0], Kind.BOUNDARY, arn.rsplit("/", 1)[1], known[1])
            else:
                place = Fixed(principal.location)
                policy = make_policy(text, Kind.BOUNDARY, arn, place, arn=arn) if text else None
            if policy is None:
                principal.boundary_unresolved = arn
                return
            policy.arn = arn
            self.boundaries[arn] = policy
        principal.boundary = self.boundaries[arn]


def _entries(value: dict[str, Any], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a list, which may be missing, with their indexes."""
    members = value.get(name)
    for index, one in enumerate(members if isinstance(members, list) else []):
        if isinstance(one, dict):
            yield index, one
