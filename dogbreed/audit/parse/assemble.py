"""Resources of one template, module or answer -> a corpus: principals with their policies, resources with theirs.

What stands in a resource of its own (a bucket's policy, an attachment) is brought to what it is about.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dogbreed.audit import managed
from dogbreed.audit.document import is_policy, make_policy
from dogbreed.audit.finding import BrokenInput, Location
from dogbreed.audit.model import HOLE, UNKNOWN, Corpus, Kind, Policy, Principal, Resource
from dogbreed.audit.parse import join, names, workflows
from dogbreed.audit.source import Fixed

_PRINCIPALS = {"AWS::IAM::Role": "role", "AWS::IAM::User": "user", "AWS::IAM::Group": "group"}
_INLINE = ("AWS::IAM::Policy", "AWS::IAM::RolePolicy", "AWS::IAM::UserPolicy", "AWS::IAM::GroupPolicy")
# An attachment of a managed policy, as Terraform has it; no CloudFormation type.
ATTACHMENT = "AWS::IAM::PolicyAttachment"
# Properties that name the holders of a policy.
_HOLDERS = (
    ("Roles", "AWS::IAM::Role"),
    ("RoleName", "AWS::IAM::Role"),
    ("Users", "AWS::IAM::User"),
    ("UserName", "AWS::IAM::User"),
    ("Groups", "AWS::IAM::Group"),
    ("GroupName", "AWS::IAM::Group"),
)
_IAM_ONLY = {*_PRINCIPALS, *_INLINE, ATTACHMENT, "AWS::IAM::ManagedPolicy", "AWS::IAM::InstanceProfile"}
_IAM_ONLY |= {"AWS::IAM::UserToGroupAddition", "AWS::SSO::PermissionSet", "AWS::Organizations::Policy"}
_WORKFLOWS = ("AWS::SageMaker::Pipeline", "AWS::StepFunctions::StateMachine")
# Properties that hold the policy of a resource, and what kind of policy it is.
_OWN_POLICY = {
    "AWS::KMS::Key": ("KeyPolicy", Kind.RESOURCE),
    "AWS::ECR::Repository": ("RepositoryPolicyText", Kind.RESOURCE),
    "AWS::EC2::VPCEndpoint": ("PolicyDocument", Kind.VPC_ENDPOINT),
    "AWS::EFS::FileSystem": ("FileSystemPolicy", Kind.RESOURCE),
    "AWS::OpenSearchService::Domain": ("AccessPolicies", Kind.RESOURCE),
    "AWS::Elasticsearch::Domain": ("AccessPolicies", Kind.RESOURCE),
    "AWS::ApiGateway::RestApi": ("Policy", Kind.RESOURCE),
    "AWS::SageMaker::ModelPackageGroup": ("ModelPackageGroupPolicy", Kind.RESOURCE),
    "AWS::DynamoDB::Table": ("ResourcePolicy", Kind.RESOURCE),
}
# Resources that are nothing but the policy of others: the property with the policy and the one that names the others.
POLICY_OF = {
    "AWS::S3::BucketPolicy": ("PolicyDocument", "Bucket", "AWS::S3::Bucket"),
    "AWS::SQS::QueuePolicy": ("PolicyDocument", "Queues", "AWS::SQS::Queue"),
    "AWS::SNS::TopicPolicy": ("PolicyDocument", "Topics", "AWS::SNS::Topic"),
    "AWS::SecretsManager::ResourcePolicy": ("ResourcePolicy", "SecretId", "AWS::SecretsManager::Secret"),
    "AWS::KMS::KeyPolicy": ("Policy", "KeyId", "AWS::KMS::Key"),
    "AWS::ECR::RepositoryPolicy": ("PolicyText", "RepositoryName", "AWS::ECR::Repository"),
    "AWS::ECR::RegistryPolicy": ("PolicyText", "", ""),
    "AWS::Logs::ResourcePolicy": ("PolicyDocument", "", ""),
    "AWS::Lambda::FunctionPolicy": ("Policy", "FunctionName", "AWS::Lambda::Function"),
    "AWS::SageMaker::ModelPackageGroupPolicy": ("Policy", "ModelPackageGroupName", "AWS::SageMaker::ModelPackageGroup"),
    "AWS::EC2::VPCEndpointPolicy": ("PolicyDocument", "VpcEndpointId", "AWS::EC2::VPCEndpoint"),
}
_FACTS = ("RoleLastUsed", "CreateDate")
_ROLE_PROPERTIES = ("Role", "RoleArn", "ExecutionRoleArn", "TaskRoleArn", "ServiceRole", "ServiceRoleArn", "IamRoleArn")


def assemble(resources: list[Resource], errors: list[BrokenInput] | None = None) -> Corpus:
    """The corpus of resources that were written together, so that their references mean each other."""
    started = [job for one in resources if one.type in _WORKFLOWS for job in workflows.in_resource(one)]
    return _Assembly([*resources, *started], errors if errors is not None else []).corpus


class _Assembly:
    def __init__(self, resources: list[Resource], errors: list[BrokenInput]) -> None:
        self.corpus = Corpus(errors=errors)
        self.resources = resources
        self.managed: dict[str, Policy] = {}
        self.principals: dict[str, Principal] = {}
        self.attached: set[int] = set()
        for one in resources:
            one.arn = one.arn or names.arn_of(one.type, one.id, one.properties)
        for one in self._of("AWS::IAM::ManagedPolicy"):
            if policy := self._policy(one, Kind.IDENTITY, "PolicyDocument", arn=one.arn):
                policy.name = names.name_of(one.type, one.id, one.properties)
                self.managed[one.arn] = policy
        for one in resources:
            if one.type in _PRINCIPALS:
                self._principal(one)
        for one in resources:
            self._attach(one)
        for user in self.principals.values():
            self._join_groups(user)
        join.merge(resources)
        self.corpus.principals = list(self.principals.values())
        self.corpus.policies += [policy for policy in self.managed.values() if id(policy) not in self.attached]
        for one in resources:
            if one.type not in _IAM_ONLY and one.type not in join.MERGED:
                self._own_policies(one)
                one.roles = one.roles or tuple(self._roles(one))
                self.corpus.resources.append(one)
        self._policies_of_others()

    def _of(self, *types: str) -> Iterator[Resource]:
        return (one for one in self.resources if one.type in types)

    def _policy(self, one: Resource, kind: Kind, *path: str | int, to: str = "", arn: str = "") -> Policy | None:
        """The policy at a property of a resource, None when there is none; what is broken goes to the errors."""
        document = one.get(*path)
        if document in (None, "") or (isinstance(document, str) and HOLE in document and "{" not in document):
            document = None if document in (None, "") else UNKNOWN
        if document is None:
            return None
        try:
            return make_policy(document, kind, one.id, one.source, (*one.path, *path), attached_to=to, arn=arn)
        except BrokenInput as error:
            self.corpus.errors.append(error)
            return None

    def _principal(self, one: Resource) -> None:
        name = names.name_of(one.type, one.id, one.properties)
        principal = Principal(one.arn, _PRINCIPALS[one.type], name, one.location)
        principal.trust = self._policy(one, Kind.TRUST, "AssumeRolePolicyDocument", to=one.arn)
        principal.tags = {
            str(tag["Key"]): str(tag.get("Value", ""))
            for tag in _list(one.get("Tags"))
            if isinstance(tag, dict) and "Key" in tag
        }
        inline = one.get("Policies", default=[])
        for index, entry in enumerate(_list(inline)):
            named = entry.get("PolicyName") if isinstance(entry, dict) else None
            policy = self._policy(one, Kind.IDENTITY, "Policies", index, "PolicyDocument", to=one.arn)
            if policy:
                policy.name = f"{name}/{named}" if isinstance(named, str) else name
                principal.policies.append(policy)
            elif entry is UNKNOWN:
                principal.unresolved += (HOLE,)
        if inline is UNKNOWN:
            principal.unresolved += (HOLE,)
        self.principals[one.arn] = principal
        arns = one.get("ManagedPolicyArns", default=[])
        for index, arn in enumerate([HOLE] if arns is UNKNOWN else _list(arns)):
            self._give(principal, arn, one.at("ManagedPolicyArns", index))
        principal.facts = {key: one.properties[key] for key in _FACTS if key in one.properties}
        self._bound(principal, one)
        principal.groups = tuple(str(group) for group in _list(one.get("Groups")) if isinstance(group, str))

    def _bound(self, principal: Principal, one: Resource) -> None:
        """Set the boundary: a policy of its own kind, also where the same one is attached to somebody."""
        arn = one.get("PermissionsBoundary")
        if arn in (None, ""):
            return
        if isinstance(arn, str) and arn in self.managed:
            made_by = next(each for each in self._of("AWS::IAM::ManagedPolicy") if each.arn == arn)
            principal.boundary = self._policy(made_by, Kind.BOUNDARY, "PolicyDocument", arn=arn)
            self.attached.add(id(self.managed[arn]))
        elif isinstance(arn, str) and (text := managed.document(arn)):
            place = Fixed(one.at("PermissionsBoundary"))
            principal.boundary = make_policy(text, Kind.BOUNDARY, arn.rsplit("/", 1)[-1], place, arn=arn)
        else:
            principal.boundary_unresolved = arn if isinstance(arn, str) else HOLE

    def _give(self, principal: Principal, arn: Any, place: Location) -> None:
        """Attach a managed policy by ARN; one whose text is not here stays unresolved."""
        if isinstance(arn, str):
            principal.places.setdefault(arn, place)
        policy = self.managed.get(arn) if isinstance(arn, str) else None
        if policy is None:
            principal.unresolved += (arn if isinstance(arn, str) else HOLE,)
        else:
            self.attached.add(id(policy))
            if all(policy is not one for one in principal.policies):
                principal.policies.append(policy)

    def _named(self, one: Resource) -> Iterator[Principal]:
        """The principals that a policy or attachment names; one that is made elsewhere is known by its name only."""
        for property, type in _HOLDERS:
            kind = _PRINCIPALS[type]
            for wanted in _list(one.get(property)):
                if not isinstance(wanted, str) or not wanted or HOLE in wanted:
                    continue
                found = [
                    each for each in self.principals.values() if each.kind == kind and wanted in (each.name, each.arn)
                ]
                if not found:
                    name = wanted.rsplit("/", 1)[-1]
                    arn = wanted if wanted.startswith("arn:") else names.arn_of(type, name, {})
                    found = [Principal(arn, kind, name, one.location)]
                    self.principals[arn] = found[0]
                yield from found

    def _attach_inline(self, one: Resource) -> None:
        """A policy that names its holders; without one that is here it stands alone."""
        if (policy := self._policy(one, Kind.IDENTITY, "PolicyDocument")) is None:
            return
        named = one.get("PolicyName")
        policy.name = named if isinstance(named, str) and HOLE not in named else one.id
        holders = list(self._named(one))
        for principal in holders:
            principal.policies.append(policy)
        if not holders:
            self.corpus.policies.append(policy)

    def _attach(self, one: Resource) -> None:
        if one.type in _INLINE:
            self._attach_inline(one)
        elif one.type in ("AWS::IAM::ManagedPolicy", ATTACHMENT):
            arn = one.arn if one.type != ATTACHMENT else one.get("PolicyArn")
            for principal in self._named(one):
                self._give(principal, arn, one.at("PolicyArn"))
        elif one.type == "AWS::IAM::InstanceProfile":
            for principal in self._named(one):
                principal.instance_profiles += (one.arn,)
        elif one.type == "AWS::IAM::UserToGroupAddition":
            for user in self._named(one):
                if user.kind == "user":
                    user.groups += tuple(str(name) for name in _list(one.get("GroupName")))
        elif one.type == "AWS::SSO::PermissionSet":
            self._alone(one, Kind.PERMISSION_SET, "InlinePolicy")
        elif one.type == "AWS::Organizations::Policy":
            kind = Kind.RCP if one.get("Type") == "RESOURCE_CONTROL_POLICY" else Kind.SCP
            if one.get("Type", default="SERVICE_CONTROL_POLICY") in (
                "SERVICE_CONTROL_POLICY",
                "RESOURCE_CONTROL_POLICY",
            ):
                self._alone(one, kind, "Content")

    def _join_groups(self, user: Principal) -> None:
        """A user has what its groups have."""
        for group in self.principals.values():
            if user.kind == "user" and group.kind == "group" and group.name in user.groups:
                user.policies += [one for one in group.policies if all(one is not own for own in user.policies)]
                user.unresolved += group.unresolved

    def _alone(self, one: Resource, kind: Kind, property: str) -> None:
        if policy := self._policy(one, kind, property):
            self.corpus.policies.append(policy)

    def _own_policies(self, one: Resource) -> None:
        if one.type in _OWN_POLICY:
            property, kind = _OWN_POLICY[one.type]
            if one.type == "AWS::DynamoDB::Table" and isinstance(one.get(property), dict):
                policy = self._policy(one, kind, property, "PolicyDocument", to=one.arn)
            else:
                policy = self._policy(one, kind, property, to=one.arn)
            if policy:
                one.policies.append(policy)
            return
        for property, value in one.properties.items():
            inside = one.type not in POLICY_OF and isinstance(value, dict) and is_policy(value)
            if inside and (policy := self._policy(one, Kind.RESOURCE, property, to=one.arn)):
                one.policies.append(policy)

    def _policies_of_others(self) -> None:
        """Policies of others come to what they are about; those of something that is not here stay where they are."""
        for one in self._of(*POLICY_OF):
            property, about, type = POLICY_OF[one.type]
            wanted = [text for text in _list(one.get(about)) if isinstance(text, str)] if about else []
            owners = [
                other
                for other in self._of(type)
                if {other.id, other.arn, names.reference(type, other.id, other.properties)} & set(wanted)
            ]
            kind = Kind.VPC_ENDPOINT if type == "AWS::EC2::VPCEndpoint" else Kind.RESOURCE
            arn = (
                owners[0].arn
                if owners
                else names.arn_of(type, wanted[0], {})
                if wanted and HOLE not in wanted[0]
                else ""
            )
            policy = self._policy(one, kind, property, to=arn)
            if policy is None:
                continue
            one.arn = one.arn or arn
            for other in owners or [one]:
                other.policies.append(policy)
            if owners:
                self.corpus.resources = [other for other in self.corpus.resources if other is not one]

    def _roles(self, one: Resource) -> Iterator[str]:
        """The ARNs of the roles that a resource runs as."""
        profiles = {profile: arn for arn, role in self.principals.items() for profile in role.instance_profiles}
        for property in _ROLE_PROPERTIES:
            if isinstance(role := one.get(property), str) and role:
                by_name = (arn for arn, other in self.principals.items() if other.kind == "role" and other.name == role)
                yield role if role.startswith("arn:") else next(by_name, role)
        profile = one.get("IamInstanceProfile")
        profile = profile.get("Arn", profile.get("Name")) if isinstance(profile, dict) else profile
        if isinstance(profile, str):
            for arn, role in profiles.items():
                if profile in (arn, arn.rsplit("/", 1)[1]):
                    yield role


def _list(value: Any) -> list[Any]:
    """A list as it is, nothing as an empty one, a single value as a list of it."""
    if value is None or value is UNKNOWN:
        return []
    return value if isinstance(value, list) else [value]
