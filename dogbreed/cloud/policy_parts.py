"""The parts that the policies of roles are put together from: what one is about, and statements that several need."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dogbreed.cloud.session import Aws

Statement = dict[str, Any]
Document = dict[str, Any]

# The account that owns AWS's Deep Learning Containers in the regions of the partition `aws` that are on by default.
_IMAGES_ACCOUNT, _IMAGES_REPOSITORY = "763104351884", "pytorch*"
_IMAGE = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[\w-]+)\.amazonaws\.com(?:\.cn)?/(?P<name>[^:@]+)")


@dataclass(frozen=True)
class Scope:
    """What a policy is about. Ids of subnets and security groups; `kms_key` and `boundary` are ARNs, or "" for none."""

    account: str
    region: str
    project: str
    bucket: str
    partition: str = "aws"
    kms_key: str = ""
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    boundary: str = ""
    # Images from a registry of one's own; empty: AWS's own.
    image: str = ""
    # ARN of an execution role of SageMaker that somebody else has made; empty: one is made.
    role: str = ""

    @classmethod
    def of(cls, aws: Aws, *, image: str = "", role: str = "") -> Scope:
        """The scope of an account and its settings."""
        from dogbreed.cloud.session import listed

        own = aws.settings
        return cls(
            account=aws.account,
            region=aws.region,
            project=own.project,
            bucket=aws.bucket,
            partition=aws.partition,
            kms_key=aws.kms_key,
            subnets=tuple(listed(own.subnets)),
            security_groups=tuple(listed(own.security_groups)),
            boundary=own.permissions_boundary,
            image=image,
            role=role,
        )

    def arn(self, service: str, resource: str) -> str:
        """An ARN of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def everywhere(self, service: str, resource: str) -> str:
        """An ARN of this account without a region, as IAM's are."""
        return f"arn:{self.partition}:{service}::{self.account}:{resource}"

    def role_name(self, kind: str) -> str:
        """IAM knows no regions, and these policies name one: so does the role."""
        return f"{self.project}-{kind}-{self.region}"

    def role_arn(self, kind: str) -> str:
        """The ARN of one of this project's roles."""
        return self.everywhere("iam", f"role/{self.role_name(kind)}")

    def objects(self, *prefixes: str) -> list[str]:
        """ARNs of everything below prefixes of the bucket."""
        return [f"arn:{self.partition}:s3:::{self.bucket}/{prefix}*" for prefix in prefixes]

    @property
    def bucket_arn(self) -> str:
        """The ARN of the bucket itself."""
        return f"arn:{self.partition}:s3:::{self.bucket}"

    @property
    def own_account(self) -> Mapping[str, Any]:
        """A bucket of this name in another account is not meant."""
        return {"StringEquals": {"aws:ResourceAccount": self.account}}

    @property
    def log_group(self) -> str:
        """The log group of this project's machines."""
        return f"/dogbreed/{self.project}"


def document(statements: Iterable[Statement]) -> Document:
    """A policy of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(
    sid: str, actions: Iterable[str] | str, resources: Iterable[str] | str, condition: Mapping[str, Any] | None = None
) -> Statement:
    """One statement, its lists sorted, so that equal policies are equal documents."""
    listed = [actions] if isinstance(actions, str) else sorted(actions)
    where = [resources] if isinstance(resources, str) else sorted(resources)
    made: Statement = {"Sid": sid, "Effect": "Allow", "Action": listed, "Resource": where}
    return made | ({"Condition": dict(condition)} if condition else {})


# -- roles


@dataclass(frozen=True)
class Kind:
    """A kind of role: which service assumes it, for what ARNs, and what it may do."""

    service: str
    source: Callable[[Scope], str]
    policy: Callable[[Scope], Document]


# -- parts


def reads(scope: Scope, *prefixes: str) -> list[Statement]:
    """Read objects below prefixes of the bucket."""
    below = {"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}}
    return [
        allow("ReadObjects", "s3:GetObject", scope.objects(*prefixes), scope.own_account),
        allow("ListObjects", "s3:ListBucket", scope.bucket_arn, {**scope.own_account, **below}),
        # The SDK asks where a bucket is.
        allow("LocateBucket", "s3:GetBucketLocation", scope.bucket_arn, scope.own_account),
    ]


def writes(scope: Scope, *prefixes: str) -> list[Statement]:
    """Write objects below prefixes of the bucket."""
    actions = ["s3:PutObject", "s3:AbortMultipartUpload"]
    return [allow("WriteObjects", actions, scope.objects(*prefixes), scope.own_account)]


def logs(scope: Scope, *groups: str) -> list[Statement]:
    """Write to log groups, and make them."""
    arns = [scope.arn("logs", f"log-group:{group}") for group in groups]
    actions = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    # A pattern covers the streams of its groups, too.
    return [allow("Log", actions, [*arns, *(f"{arn}:*" for arn in arns if not arn.endswith("*"))])]


def metrics(*namespaces: str) -> Statement:
    """Put metrics into these namespaces."""
    # A metric has no ARN; its namespace is what can be held.
    return allow("Measure", "cloudwatch:PutMetricData", "*", {"StringLike": {"cloudwatch:namespace": list(namespaces)}})


def images(scope: Scope) -> list[Statement]:
    """Pull the image of `scope`; without one, AWS's own PyTorch images."""
    match = _IMAGE.match(scope.image)
    account, region, name = match.groups() if match else (_IMAGES_ACCOUNT, scope.region, _IMAGES_REPOSITORY)
    repository = f"arn:{scope.partition}:ecr:{region}:{account}:repository/{name}"
    actions = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    return [allow("LoginToImages", "ecr:GetAuthorizationToken", "*"), allow("PullImages", actions, repository)]


def network(scope: Scope) -> list[Statement]:
    """What SageMaker does in one's own VPC; nothing where no subnets are set."""
    if not scope.subnets:
        return []
    subnets = [scope.arn("ec2", f"subnet/{name}") for name in scope.subnets]
    groups = [scope.arn("ec2", f"security-group/{name}") for name in scope.security_groups or ("*",)]
    interfaces = scope.arn("ec2", "network-interface/*")
    there = {"ArnEquals": {"ec2:Subnet": sorted(subnets)}}
    looks = ["DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "Vpcs"]
    return [
        allow("LookAtNetwork", [f"ec2:Describe{what}" for what in looks], "*"),  # no Describe knows resources
        allow("JoinSubnets", "ec2:CreateNetworkInterface", [*subnets, *groups]),
        allow("MakeInterfaces", "ec2:CreateNetworkInterface", interfaces, there),
        allow(
            "UseInterfaces",
            [
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
            ],
            interfaces,
            there,
        ),
    ]


def key_use(scope: Scope, *, volumes: bool = False, writes: bool = True) -> list[Statement]:
    """What a key of one's own asks for; nothing without one."""
    if not scope.kms_key:
        return []
    actions = ["kms:Decrypt", "kms:DescribeKey", *(["kms:GenerateDataKey"] if writes else [])]
    made = [allow("UseKey", actions, scope.kms_key)]
    if volumes:
        for_aws = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
        made.append(allow("EncryptVolumes", "kms:CreateGrant", scope.kms_key, for_aws))
    return made


def shell(scope: Scope) -> list[Statement]:
    """Session Manager in place of SSH."""
    return [
        allow(
            "Shell",
            [
                "ssmmessages:CreateControlChannel",
                "ssmmessages:CreateDataChannel",
                "ssmmessages:OpenControlChannel",
                "ssmmessages:OpenDataChannel",
            ],
            "*",  # these actions know no resources that could be named
        ),
        allow("Register", "ssm:UpdateInstanceInformation", scope.arn("ec2", "instance/*")),
    ]
