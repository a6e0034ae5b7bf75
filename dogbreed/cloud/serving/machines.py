"""The door `ec2`: machines in an auto-scaling group behind a load balancer, or a single one that is replaced.

Each machine is Amazon Linux with Docker, fetches image and model with its own role, and runs one container that can
write nothing and has no rights. A single machine is a group of one without a balancer: the group replaces it when it
ends or AWS finds it broken, and renews it for another model, which a plain instance would not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from dogbreed import priced
from dogbreed.cloud import network, quotas
from dogbreed.cloud.bucket import Bucket
from dogbreed.cloud.ec2_template import check_tags
from dogbreed.cloud.network import SecurityGroup
from dogbreed.cloud.policies_serving import EC2_SERVICE
from dogbreed.cloud.policy_parts import Scope
from dogbreed.cloud.roles import InstanceProfile, Role
from dogbreed.cloud.serving import deployment, ending, hosting, image, machine_client, machine_template
from dogbreed.cloud.serving.balancer import HTTP, HTTPS, Balancer, Listeners, TargetGroup
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.cloud.serving.group import Group
from dogbreed.cloud.serving.hosted import seen_or_none
from dogbreed.cloud.serving.machine_boot import Boot
from dogbreed.cloud.serving.machine_network import (
    BalancerGroup,
    MachineGroup,
    blocks,
    choose,
    given_groups,
    groups_there,
)
from dogbreed.cloud.serving.machine_template import Machine, ServiceTemplate
from dogbreed.cloud.serving.model import ModelData
from dogbreed.cloud.session import Aws
from dogbreed.cloud.training_ec2 import LogGroup
from dogbreed.config import AwsSettings, DeploySettings
from dogbreed.errors import UsageError
from dogbreed.infer.answering import Answering
from dogbreed.plan import Resource
from dogbreed.priced import Month
from dogbreed.pricing import HOURS_A_MONTH, Prices

_TO = "ec2"
_CERTIFICATE = re.compile(r"arn:aws[\w-]*:acm:(?P<region>[\w-]+):\d{12}:certificate/[\w-]+")
# An LCU of a load balancer is the largest of these: new connections a second, GB an hour (AWS's pricing page). A photo
# of 100 KB is assumed, and a connection for each.
_LCU_CONNECTIONS, _LCU_GB, _PHOTO_GB = 25, 1.0, 0.0001
# As few as a load balancer can be in.
_ZONES = 2


def check(own: DeploySettings, aws: AwsSettings) -> None:
    """UsageError for settings that cannot be together."""
    hosting.check_image(own.image)
    machine_template.check_type(own)
    if own.single:
        for name, given in (
            ("--instances", own.instances > 1),
            ("--certificate", own.certificate),
            ("--public", own.public),
        ):
            if given:
                raise UsageError(f"{name} is for machines behind a load balancer", "leave out --single")
    if own.public and not own.certificate:
        raise UsageError(
            "--public without a certificate would send photos through the internet in clear",
            "add --certificate ARN, or leave out --public: it then answers inside its network",
        )
    if own.certificate and not _CERTIFICATE.fullmatch(own.certificate):
        raise UsageError(
            f"{own.certificate} is no ARN of a certificate", "one of ACM: arn:aws:acm:REGION:ACCOUNT:certificate/..."
        )


def resources(wanted: Deployment) -> list[Resource]:
    """From the bucket to the group; looks at network, quotas and certificate before anything is made."""
    aws, own = wanted.aws, wanted.settings
    check_tags(aws)
    if aws.kms_key:
        # The group starts machines by its own service-linked role, which no policy of this account's roles reaches.
        wanted.tell("the key's policy must let AWSServiceRoleForAutoScaling use it, or no machine starts: see AWS's")
        wanted.tell('"Required AWS KMS key policy for use with encrypted volumes"')
    kind = machine_template.chosen_type(own, aws.region)
    zones = quotas.require_ec2_type(aws, kind)
    # One more runs while machines are renewed.
    quotas.ec2_limit(aws, kind, own.instances + 1, spot=False).require()
    _check_certificate(aws, own.certificate)
    if aws.kms_key:
        wanted.tell("  no machine starts unless the policy of your key lets AWSServiceRoleForAutoScaling use it")
    place = choose(network.look(aws), zones, public=own.public, single=own.single)
    ranges = blocks(aws, place.vpc)
    ports = (HTTP, HTTPS) if own.certificate else (HTTP,)
    outer = None if own.single else BalancerGroup(aws, place.vpc, ranges, ports, public=own.public)
    inner = MachineGroup(aws, place.vpc, ranges, outer)
    given = given_groups(aws)
    role = Role(aws, EC2_SERVICE, image=own.image)
    profile = InstanceProfile(aws, role)
    data = ModelData(aws, wanted.run)
    made: list[Resource] = [Bucket(aws), role, profile, LogGroup(aws)]
    image_uri = own.image
    if not image_uri:
        made += image.resources(aws, tell=wanted.tell)
        image_uri = image.uri(aws)
    boot = Boot(
        image=image_uri,
        model=data.uri,
        digest=data.digest,
        region=aws.region,
        group=Scope.of(aws).log_group,
        stream=_TO,
        environment=hosting.environment(wanted.name),
        replaces=own.single,
    )
    machine = Machine(
        kind, machine_template.newest_image(aws), boot, lambda: given or [inner.id()], place.public_address
    )
    template = ServiceTemplate(aws, profile.name, machine)
    group = Group(
        aws,
        template,
        count=own.instances,
        subnets=[subnet.id for subnet in place.machines],
        behind=not own.single,
        tell=wanted.tell,
    )
    own_groups: list[Resource] = [] if given else [one for one in (outer, inner) if one]
    made += [data, *own_groups, template]
    if outer:
        balancer = Balancer(
            aws, [subnet.id for subnet in place.balancer], lambda: given or [outer.id()], public=own.public
        )
        made += [TargetGroup(aws, place.vpc), balancer, Listeners(aws, own.certificate)]
    made.append(group)
    if own.ttl:
        made += ending.resources(wanted)
    return made


def surplus(wanted: Deployment) -> list[Resource]:
    """The balancer that a single machine has no use for, and an end that is not wanted any more."""
    aws, own = wanted.aws, wanted.settings
    old: list[Resource] = []
    if own.single:
        old += [one for one in groups_there(aws) if isinstance(one, BalancerGroup)]
        old += [TargetGroup(aws), Balancer(aws), Listeners(aws)]
    if not own.ttl:
        old += ending.everything(aws, _TO)
    elif own.single:
        old.append(ending.End(aws, ending.BALANCER))
    return old


def everything(aws: Aws) -> list[Resource]:
    """What of it can be in the account. The machines themselves, and their price, are listed one by one elsewhere."""
    role = Role(aws, EC2_SERVICE)
    groups: list[SecurityGroup] = groups_there(aws)
    return [
        role,
        InstanceProfile(aws, role),
        LogGroup(aws),
        *groups,
        ServiceTemplate(aws, role.name),
        TargetGroup(aws),
        Balancer(aws),
        Listeners(aws),
        Group(aws),
        *ending.everything(aws, _TO),
    ]


def monthly(wanted: Deployment, requests_per_month: float, *, look: bool = False) -> Month:
    """So many machines that half of their cores' time is enough, and the load balancer; its LCUs are paid by use.

    Without a look each machine has a public address, as in the VPC that an account comes with.
    """
    aws, own, region = wanted.aws, wanted.settings, wanted.aws.configured_region
    kind = machine_template.chosen_type(own, region)
    count = 1 if own.single else deployment.enough(kind, requests_per_month, own.instances)
    place = choose(network.look(aws), None, public=own.public, single=own.single) if look else None
    address = place.public_address if place else True
    machine = priced.machine(kind, region, gb=machine_template.VOLUME_GB, address=address)
    if own.single:
        return Month(machine, Decimal(0), 1)
    outside = (len(place.balancer) if place else _ZONES) if own.public else 0
    lcu = Prices.load().other("alb_lcu_hour", region)
    hour = requests_per_month / HOURS_A_MONTH
    units = Decimal(str(max(hour / 3600 / _LCU_CONNECTIONS, hour * _PHOTO_GB / _LCU_GB)))
    by_use = None if lcu is None else lcu.usd * units * HOURS_A_MONTH
    return Month(machine.times(count) + priced.balancer(region, outside), by_use, count)


def waking(wanted: Deployment) -> str:
    """Always on."""
    return "always awake"


def client(aws: Aws) -> Answering:
    """Asks the balancer, or the single machine; from inside the network where they are private."""
    return machine_client.client(aws)


def calls(aws: Aws) -> Mapping[str, str]:
    """How to call it."""
    return machine_client.calls(aws)


def _check_certificate(aws: Aws, arn: str) -> None:
    """UsageError for a certificate that this region's balancers cannot use."""
    if not arn:
        return
    match = _CERTIFICATE.fullmatch(arn)
    if match and match["region"] != aws.region:
        raise UsageError(
            f"the certificate is of {match['region']}, the balancer of {aws.region}", "use one of its region"
        )
    seen = seen_or_none(lambda: aws.client("acm").describe_certificate(CertificateArn=arn)["Certificate"])
    if seen is None:
        raise UsageError(f"there is no certificate {arn}", "aws acm list-certificates shows them")
    if seen["Status"] != "ISSUED":
        raise UsageError(f"the certificate is not usable: {seen['Status']}", "validate it in ACM first")
