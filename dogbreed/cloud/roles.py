"""IAM roles and instance profiles: one inline policy each, as `dogbreed.cloud.policies` has it, and nothing else.

IAM answers from many places, and what was just made is not known everywhere for some seconds: `PROPAGATION_S` says how
long whoever uses a fresh role should repeat what is refused, and `is_propagating` which answers mean that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud.errors import code, is_missing
from dogbreed.cloud.policies import KINDS, trust
from dogbreed.cloud.policy_parts import Scope
from dogbreed.cloud.session import Aws, pairs, unpaired
from dogbreed.plan import Found, Resource

# IAM names no limit; what is published of its delays is in the seconds, rarely above half a minute.
PROPAGATION_S = 60.0
_POLICY = "dogbreed"
_SESSION_S = 3600


def is_propagating(error: BaseException) -> bool:
    """Whether an answer may only mean that a fresh role or profile is not known everywhere yet."""
    words = str(error)
    if code(error) == "ValidationException":  # SageMaker: "Could not assume role ..."
        return "assume role" in words or "execution role" in words
    if code(error) in ("InvalidParameterValue", "InvalidParameterValueException"):  # EC2, Lambda
        return "IAM Instance Profile" in words or "iamInstanceProfile" in words or "cannot be assumed" in words
    return False


class Role(Resource):
    """A role of one of `policies.KINDS`."""

    kind = "role"

    def __init__(self, aws: Aws, kind: str, *, image: str = "") -> None:
        self.aws = aws
        self.of = kind
        self._scope = Scope.of(aws, image=image)
        self.name = self._scope.role_name(kind)
        self.arn = self._scope.role_arn(kind)

    def wanted(self) -> Mapping[str, Any]:
        """Trust, the one policy, no other, the boundary and tags."""
        return {
            "trust": trust(self._scope, self.of),
            "policy": KINDS[self.of].policy(self._scope),
            "other policies": [],
            "boundary": self.aws.settings.permissions_boundary,
            "tags": self.aws.tags(self.of),
        }

    def find(self) -> Found | None:
        """Look at the role and every policy on it."""
        try:
            role = self._iam.get_role(RoleName=self.name)["Role"]
            inline = self._pages("list_role_policies", "PolicyNames")
            attached = self._pages("list_attached_role_policies", "AttachedPolicies")
            policy = None
            if _POLICY in inline:
                policy = self._iam.get_role_policy(RoleName=self.name, PolicyName=_POLICY)["PolicyDocument"]
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        tags = unpaired(role.get("Tags"))
        content = {
            "trust": role["AssumeRolePolicyDocument"],
            "policy": policy,
            "other policies": sorted([*(set(inline) - {_POLICY}), *(one["PolicyArn"] for one in attached)]),
            "boundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""),
            "tags": self.aws.seen(tags, self.of),
        }
        return Found(role["Arn"], content, ours=self.aws.is_ours(tags), created=role.get("CreateDate"))

    def create(self) -> None:
        """Make it with tags and boundary in one call, so that a kill leaves none that is not known as ours."""
        bound = {"PermissionsBoundary": boundary} if (boundary := self.aws.settings.permissions_boundary) else {}
        with _there_already():
            self._iam.create_role(
                RoleName=self.name,
                AssumeRolePolicyDocument=json.dumps(self.wanted()["trust"]),
                Description=f"dogbreed: {self.of} of project {self.aws.settings.project}",
                MaxSessionDuration=_SESSION_S,
                Tags=pairs(self.aws.tags(self.of)),
                **bound,
            )
        self._put_policy()

    def update(self, found: Found) -> None:
        """Put back what differs; policies that others have put on it go."""
        wanted = self.wanted()
        differs = {key for key in wanted if found.content.get(key) != wanted[key]}
        if "trust" in differs:
            self._iam.update_assume_role_policy(RoleName=self.name, PolicyDocument=json.dumps(wanted["trust"]))
        if "boundary" in differs:
            self._bound(wanted["boundary"])
        if "policy" in differs:
            self._put_policy()
        if "other policies" in differs:
            self._strip(found.content["other policies"])
        if "tags" in differs:
            self._iam.tag_role(RoleName=self.name, Tags=pairs(wanted["tags"]))

    def delete(self, found: Found) -> None:
        """Take everything off it, then remove it."""
        with _gone_already():
            self._strip([*found.content.get("other policies", ()), *([_POLICY] if found.content.get("policy") else [])])
            for profile in self._pages("list_instance_profiles_for_role", "InstanceProfiles"):
                with _gone_already():
                    self._iam.remove_role_from_instance_profile(
                        RoleName=self.name, InstanceProfileName=profile["InstanceProfileName"]
                    )
            self._iam.delete_role(RoleName=self.name)

    def ready(self) -> bool:
        """Whether IAM itself shows it; other services may still take `PROPAGATION_S`."""
        return _shown(lambda: self._iam.get_role(RoleName=self.name))

    @property
    def _iam(self) -> Any:
        return self.aws.client("iam")

    def _pages(self, operation: str, key: str) -> list[Any]:
        pages = self._iam.get_paginator(operation).paginate(RoleName=self.name)
        return [item for page in pages for item in page[key]]

    def _put_policy(self) -> None:
        document = json.dumps(self.wanted()["policy"], separators=(",", ":"))
        self._iam.put_role_policy(RoleName=self.name, PolicyName=_POLICY, PolicyDocument=document)

    def _bound(self, boundary: str) -> None:
        if boundary:
            self._iam.put_role_permissions_boundary(RoleName=self.name, PermissionsBoundary=boundary)
        else:
            self._iam.delete_role_permissions_boundary(RoleName=self.name)

    def _strip(self, policies: list[str]) -> None:
        for name in policies:
            with _gone_already():
                if name.startswith("arn:"):
                    self._iam.detach_role_policy(RoleName=self.name, PolicyArn=name)
                else:
                    self._iam.delete_role_policy(RoleName=self.name, PolicyName=name)


class InstanceProfile(Resource):
    """What gives a machine the role of the same name."""

    kind = "instance profile"

    def __init__(self, aws: Aws, role: Role) -> None:
        self.aws = aws
        self._role = role
        self.name = role.name
        self.arn = role.arn.replace(":role/", ":instance-profile/")

    def wanted(self) -> Mapping[str, Any]:
        """The one role, and tags."""
        return {"roles": [self._role.name], "tags": self.aws.tags("instance-profile")}

    def find(self) -> Found | None:
        """Look at it."""
        try:
            profile = self._iam.get_instance_profile(InstanceProfileName=self.name)["InstanceProfile"]
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        tags = unpaired(profile.get("Tags"))
        content: dict[str, Any] = {"roles": [role["RoleName"] for role in profile["Roles"]]}
        content["tags"] = self.aws.seen(tags, "instance-profile")
        return Found(profile["Arn"], content, ours=self.aws.is_ours(tags), created=profile.get("CreateDate"))

    def create(self) -> None:
        """Make it and put the role in."""
        with _there_already():
            self._iam.create_instance_profile(
                InstanceProfileName=self.name, Tags=pairs(self.aws.tags("instance-profile"))
            )
        self._put_role()

    def update(self, found: Found) -> None:
        """Put the role back in (a profile holds one at most)."""
        roles = found.content["roles"]
        for name in roles:
            if name != self._role.name:
                with _gone_already():
                    self._iam.remove_role_from_instance_profile(InstanceProfileName=self.name, RoleName=name)
        if self._role.name not in roles:
            self._put_role()
        if found.content["tags"] != self.wanted()["tags"]:
            self._iam.tag_instance_profile(InstanceProfileName=self.name, Tags=pairs(self.wanted()["tags"]))

    def delete(self, found: Found) -> None:
        """Take the role out, then remove it."""
        with _gone_already():
            for name in found.content.get("roles", ()):
                with _gone_already():
                    self._iam.remove_role_from_instance_profile(InstanceProfileName=self.name, RoleName=name)
            self._iam.delete_instance_profile(InstanceProfileName=self.name)

    def ready(self) -> bool:
        """Whether IAM itself shows it; EC2 may still take `PROPAGATION_S`."""
        return _shown(lambda: self._iam.get_instance_profile(InstanceProfileName=self.name))

    @property
    def _iam(self) -> Any:
        return self.aws.client("iam")

    def _put_role(self) -> None:
        with _there_already("LimitExceeded"):
            self._iam.add_role_to_instance_profile(InstanceProfileName=self.name, RoleName=self._role.name)


def _shown(look: Callable[[], Any]) -> bool:
    try:
        look()
    except ClientError as error:
        if is_missing(error):
            return False
        raise
    return True


@contextmanager
def _there_already(*also: str) -> Iterator[None]:
    """What a killed command has made already is no error."""
    try:
        yield
    except ClientError as error:
        if code(error) not in ("EntityAlreadyExists", *also):
            raise


@contextmanager
def _gone_already() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if not is_missing(error):
            raise
