"""The load balancer of the machines: a target group with health checks, the balancer itself, and its listeners."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

from dogbreed import priced
from dogbreed.cloud.errors import code, is_missing
from dogbreed.cloud.serving.hosted import gone
from dogbreed.cloud.serving.machine_boot import DRAIN_S, PORT
from dogbreed.cloud.session import Aws, pairs, unpaired
from dogbreed.errors import DogbreedError
from dogbreed.plan import Found, Resource
from dogbreed.priced import Price

_TO = "ec2"
# TLS 1.3, and 1.2 with forward secrecy and AEAD ciphers only (AWS, "Security policies for your Application Load
# Balancer").
TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"
HTTP, HTTPS = 80, 443
_LOOK_S = 1.0
_IN_USE_S = 60.0
_HEALTH: dict[str, Any] = {
    "HealthCheckProtocol": "HTTP",
    "HealthCheckPath": "/ping",
    "HealthCheckIntervalSeconds": 10,
    "HealthCheckTimeoutSeconds": 5,
    "HealthyThresholdCount": 2,
    "UnhealthyThresholdCount": 3,
    "Matcher": {"HttpCode": "200"},
}
_OF_TARGETS = {
    "deregistration_delay.timeout_seconds": str(DRAIN_S),
    # Photos differ in what they cost: who has the fewest under way gets the next.
    "load_balancing.algorithm.type": "least_outstanding_requests",
}
_OF_BALANCER = {
    "idle_timeout.timeout_seconds": "60",
    "routing.http.drop_invalid_header_fields.enabled": "true",
}


class _OfElb(Resource):
    """What elastic load balancing has of the project; its name is that of the group of machines."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.name = aws.name(_TO)

    @property
    def _elb(self) -> Any:
        return self.aws.client("elbv2")

    def _tags(self, arn: str) -> dict[str, str]:
        described = self._elb.describe_tags(ResourceArns=[arn])["TagDescriptions"]
        return unpaired(described[0]["Tags"]) if described else {}

    @property
    def _own_tags(self) -> list[dict[str, str]]:
        return pairs(self.aws.tags(_TO))


class TargetGroup(_OfElb):
    """The machines behind the balancer, and how it is known which of them are well."""

    kind = "target group"

    def __init__(self, aws: Aws, vpc: str = "") -> None:
        super().__init__(aws)
        self._vpc = vpc

    def wanted(self) -> Mapping[str, Any]:
        """Where it is, its health checks and its attributes; nothing where only the group itself is meant."""
        if not self._vpc:
            return {}
        return {"vpc": self._vpc, "health": _HEALTH, "attributes": _OF_TARGETS, "tags": self.aws.tags(_TO)}

    def find(self) -> Found | None:
        """DescribeTargetGroups and what belongs to it."""
        seen = _named(lambda: self._elb.describe_target_groups(Names=[self.name])["TargetGroups"])
        if seen is None:
            return None
        arn = str(seen["TargetGroupArn"])
        attributes = self._elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
        tags = self._tags(arn)
        content = {
            "vpc": seen.get("VpcId"),
            "health": {name: seen.get(name) for name in _HEALTH},
            "attributes": _told(attributes, _OF_TARGETS),
            "tags": self.aws.seen(tags, _TO),
        }
        return Found(arn, content, ours=self.aws.is_ours(tags))

    def arn(self) -> str:
        """Its ARN, a part of which AWS makes up; "" where it is not there."""
        found = self.find()
        return found.id if found else ""

    def create(self) -> None:
        """Make it."""
        self._elb.create_target_group(
            Name=self.name, Protocol="HTTP", Port=PORT, VpcId=self._vpc, TargetType="instance", Tags=self._own_tags,
            **_HEALTH,
        )  # fmt: skip
        self._put_attributes(self.arn())

    def update(self, found: Found) -> None:
        """Put back what differs; its network cannot be changed."""
        wanted = self.wanted()
        if found.content["vpc"] != wanted["vpc"]:
            raise DogbreedError(
                f"target group {self.name} is in another network", "dogbreed destroy, then deploy again"
            )
        if found.content["health"] != wanted["health"]:
            self._elb.modify_target_group(TargetGroupArn=found.id, **_HEALTH)
        self._put_attributes(found.id)
        self._elb.add_tags(ResourceArns=[found.id], Tags=self._own_tags)

    def delete(self, found: Found) -> None:
        """Remove it; a balancer that has just gone may use it for some seconds still."""
        deadline = time.monotonic() + _IN_USE_S
        while True:
            try:
                return gone(lambda: self._elb.delete_target_group(TargetGroupArn=found.id))
            except ClientError as error:
                if code(error) != "ResourceInUse" or time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_S)

    def healthy(self) -> int:
        """How many machines answer."""
        if not (arn := self.arn()):
            return 0
        told = self._elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return sum(one["TargetHealth"]["State"] == "healthy" for one in told)

    def _put_attributes(self, arn: str) -> None:
        self._elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=pairs(_OF_TARGETS))


class Balancer(_OfElb):
    """An Application Load Balancer, internal or public. `groups()` gives the ids of its security groups."""

    kind = "load balancer"

    def __init__(
        self,
        aws: Aws,
        subnets: Sequence[str] = (),
        groups: Callable[[], list[str]] = list,
        *,
        public: bool = False,
    ) -> None:
        super().__init__(aws)
        self._subnets, self._groups, self._public = sorted(subnets), groups, public
        # Whether it was found to be public, and in how many zones.
        self._outside = (False, 0)

    def wanted(self) -> Mapping[str, Any]:
        """Who reaches it and where it is; nothing where only the balancer itself is meant."""
        if not self._subnets:
            return {}
        return {
            "scheme": "internet-facing" if self._public else "internal",
            "subnets": self._subnets,
            "groups": sorted(self._groups()),
            "attributes": _OF_BALANCER,
            "tags": self.aws.tags(_TO),
        }

    def find(self) -> Found | None:
        """DescribeLoadBalancers and what belongs to it."""
        seen = self.seen()
        if seen is None:
            return None
        arn = str(seen["LoadBalancerArn"])
        attributes = self._elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
        tags = self._tags(arn)
        content = {
            "scheme": seen["Scheme"],
            "subnets": sorted(zone["SubnetId"] for zone in seen["AvailabilityZones"]),
            "groups": sorted(seen.get("SecurityGroups", ())),
            "attributes": _told(attributes, _OF_BALANCER),
            "tags": self.aws.seen(tags, _TO),
            "address": seen["DNSName"],
        }
        self._outside = (seen["Scheme"] == "internet-facing", len(content["subnets"]))
        state = seen.get("State", {})
        return Found(
            arn,
            content,
            state=str(state.get("Code", "")),
            ours=self.aws.is_ours(tags),
            created=seen.get("CreatedTime"),
            error=str(state.get("Reason", "")),
        )

    def seen(self) -> dict[str, Any] | None:
        """As AWS shows it; None where it is not there."""
        return _named(lambda: self._elb.describe_load_balancers(Names=[self.name])["LoadBalancers"])

    def create(self) -> None:
        """Make it."""
        wanted = self.wanted()
        self._elb.create_load_balancer(
            Name=self.name,
            Type="application",
            Scheme=wanted["scheme"],
            Subnets=wanted["subnets"],
            SecurityGroups=wanted["groups"],
            Tags=self._own_tags,
        )
        found = self.find()
        if found:
            self._put_attributes(found.id)

    def ready(self) -> bool:
        """Whether it is active, which takes some minutes; DogbreedError where AWS could not make it."""
        state = (self.seen() or {}).get("State", {})
        if state.get("Code") == "failed":
            words = state.get("Reason") or "AWS says no more"
            raise DogbreedError(f"load balancer {self.name} does not become active: {words}", "dogbreed status")
        return state.get("Code") in ("active", "active_impaired")

    def update(self, found: Found) -> None:
        """Put back what differs; inside or outside cannot be changed."""
        wanted = self.wanted()
        if found.content["scheme"] != wanted["scheme"]:
            raise DogbreedError(
                f"load balancer {self.name} is {found.content['scheme']}, which cannot be changed",
                "dogbreed destroy, then deploy again; photos, runs and models stay",
            )
        if found.content["subnets"] != wanted["subnets"]:
            self._elb.set_subnets(LoadBalancerArn=found.id, Subnets=wanted["subnets"])
        if found.content["groups"] != wanted["groups"]:
            self._elb.set_security_groups(LoadBalancerArn=found.id, SecurityGroups=wanted["groups"])
        self._put_attributes(found.id)
        self._elb.add_tags(ResourceArns=[found.id], Tags=self._own_tags)

    def delete(self, found: Found) -> None:
        """Remove it with its listeners."""
        gone(lambda: self._elb.delete_load_balancer(LoadBalancerArn=found.id))

    def hourly(self) -> Decimal | None:
        """Its hour, and its public addresses; what it passes on comes on top."""
        return self.price().hourly

    def price(self) -> Price:
        """The same line by line: as it is wanted, or as it was found."""
        public, zones = (self._public, len(self._subnets)) if self._subnets else self._outside
        return priced.balancer(self.aws.region, zones if public else 0)

    def _put_attributes(self, arn: str) -> None:
        self._elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=pairs(_OF_BALANCER))


class Listeners(_OfElb):
    """What the balancer answers: HTTPS with a certificate, and HTTP that leads there; without one, HTTP alone."""

    kind = "listeners"

    def __init__(self, aws: Aws, certificate: str | None = None) -> None:
        """`certificate`: its ARN, "" for none, None where only the listeners themselves are meant."""
        super().__init__(aws)
        self._certificate = certificate

    def wanted(self) -> Mapping[str, Any]:
        """Port -> what it does."""
        if self._certificate is None:
            return {}
        forward = ("forward", TargetGroup(self.aws).arn())
        if not self._certificate:
            return {"ports": {HTTP: ("HTTP", "", "", forward)}}
        secure = ("HTTPS", self._certificate, TLS_POLICY, forward)
        return {"ports": {HTTP: ("HTTP", "", "", ("redirect", f"HTTPS:{HTTPS}")), HTTPS: secure}}

    def find(self) -> Found | None:
        """DescribeListeners; None without any. They are as much ours as their balancer is."""
        balancer = Balancer(self.aws).find()
        if balancer is None:
            return None
        found = {one["Port"]: one for one in self._seen(balancer.id)}
        if not found:
            return None
        ports = {port: _listener(one) for port, one in sorted(found.items())}
        return Found(balancer.id, {"ports": ports}, state=", ".join(map(str, ports)), ours=balancer.ours)

    def create(self) -> None:
        """Make them all."""
        balancer = Balancer(self.aws).find()
        if balancer is None:
            raise DogbreedError(f"there is no load balancer {self.name}", "repeat the command")
        self.update(Found(balancer.id, {"ports": {}}))

    def update(self, found: Found) -> None:
        """Make and change, then remove what is not wanted."""
        there = {one["Port"]: one["ListenerArn"] for one in self._seen(found.id)}
        ports = self.wanted()["ports"]
        for port, told in ports.items():
            if port not in there:
                self._elb.create_listener(LoadBalancerArn=found.id, Tags=self._own_tags, **self._request(port, told))
            elif found.content["ports"].get(port) != told:
                self._elb.modify_listener(ListenerArn=there[port], **self._request(port, told))
        for port in sorted(set(there) - set(ports)):
            self._remove(there[port])

    def delete(self, found: Found) -> None:
        """Remove them all."""
        for one in self._seen(found.id):
            self._remove(one["ListenerArn"])

    def _remove(self, arn: str) -> None:
        gone(lambda: self._elb.delete_listener(ListenerArn=arn))

    def _seen(self, balancer: str) -> list[dict[str, Any]]:
        try:
            return list(self._elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"])
        except ClientError as error:
            if is_missing(error):
                return []
            raise

    def _request(self, port: int, told: tuple[Any, ...]) -> dict[str, Any]:
        protocol, certificate, policy, (action, where) = told
        made: dict[str, Any] = {"Port": port, "Protocol": protocol}
        if certificate:
            made |= {"Certificates": [{"CertificateArn": certificate}], "SslPolicy": policy}
        if action == "forward":
            made["DefaultActions"] = [{"Type": "forward", "TargetGroupArn": where}]
        else:
            to = dict(zip(("Protocol", "Port"), where.split(":"), strict=True))
            made["DefaultActions"] = [{"Type": "redirect", "RedirectConfig": {**to, "StatusCode": "HTTP_301"}}]
        return made


def _listener(seen: Mapping[str, Any]) -> tuple[Any, ...]:
    action = seen["DefaultActions"][0]
    if action["Type"] == "redirect":
        to = action["RedirectConfig"]
        does = ("redirect", f"{to.get('Protocol')}:{to.get('Port')}")
    else:
        does = (action["Type"], action.get("TargetGroupArn", ""))
    secure = seen["Protocol"] == "HTTPS"
    certificates = seen.get("Certificates") or [{}]
    policy = seen.get("SslPolicy", "") if secure else ""
    return (seen["Protocol"], certificates[0].get("CertificateArn", "") if secure else "", policy, does)


def _named(look: Callable[[], list[dict[str, Any]]]) -> dict[str, Any] | None:
    try:
        found = look()
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return found[0] if found else None


def _told(attributes: Sequence[Mapping[str, str]], wanted: Mapping[str, str]) -> dict[str, str]:
    """Those attributes that are wanted, as they are."""
    return {one["Key"]: str(one["Value"]) for one in attributes if one["Key"] in wanted}
