"""Load balancers that balance: moto keeps the records, the requests go through a proxy on a port of this computer.

The DNS name of a load balancer is `127.0.0.1:PORT`, so that whoever asks AWS for it reaches the service. Security
groups are kept and not enforced; only Application Load Balancers with instances as targets really serve.
"""

from __future__ import annotations

import ssl
import tempfile
from functools import partial
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import ServiceException

from dogbreed.rehearse.balancer_metrics import Metrics
from dogbreed.rehearse.balancer_proxy import Proxy
from dogbreed.rehearse.balancer_targets import Group, Targets
from dogbreed.rehearse.calls import PASS, AwsError, Passed

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud


class Balancers:
    """The load balancers of the account, by ARN."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.targets = Targets(cloud)
        self._proxies: dict[str, Proxy] = {}
        self._regions: dict[str, str] = {}
        self._metrics = Metrics(cloud, self._behind)

    # -- load balancers

    def create(self, call: Call) -> dict[str, Any] | Passed:
        """Before CreateLoadBalancer: what AWS refuses; one that is there with the same settings is answered."""
        told = call.params
        backend = self._backend(call)
        subnets = [*(told.get("Subnets") or []), *(one["SubnetId"] for one in told.get("SubnetMappings") or [])]
        try:
            zones = {self._cloud.moto("ec2", call.region).get_subnet(name).availability_zone for name in subnets}
        except ServiceException as error:
            raise AwsError("SubnetNotFound", f"The subnet ID is not valid: {error}") from None
        if told.get("Type", "application") == "application" and len(zones) < 2:
            words = "At least two subnets in two different Availability Zones must be specified"
            raise AwsError("ValidationError", words)
        for group in told.get("SecurityGroups") or []:
            if self._cloud.moto("ec2", call.region).get_security_group_from_id(group) is None:
                raise AwsError("InvalidSecurityGroup", f"Security group '{group}' does not exist")
        for known in backend.load_balancers.values():
            if known.name == told["Name"]:
                same = {one.id for one in known.subnets} == set(subnets)
                if not same or (known.scheme or "internet-facing") != told.get("Scheme", "internet-facing"):
                    words = "A load balancer with the same name exists, but with different settings"
                    raise AwsError("DuplicateLoadBalancerName", f"{words}: {told['Name']}")
                answer = self._cloud.client("elbv2", call.region).describe_load_balancers(LoadBalancerArns=[known.arn])
                return {"LoadBalancers": answer["LoadBalancers"]}
        return PASS

    def created(self, call: Call, answer: dict[str, Any]) -> dict[str, Any]:
        """After it: the proxy."""
        told = answer["LoadBalancers"][0]
        arn = told["LoadBalancerArn"]
        record = self._backend(call).load_balancers[arn]
        if record.type == "application" and arn not in self._proxies:
            proxy = Proxy(
                self.targets,
                lambda: list(record.listeners.values()),
                partial(self._tls, call.region),
                partial(self._metrics.count, arn),
            )
            self._proxies[arn], self._regions[arn] = proxy, call.region
            record.dns_name = f"127.0.0.1:{proxy.port}"
            self._metrics.begin(arn, call.region)
        told["DNSName"] = record.dns_name
        return answer

    def delete(self, call: Call) -> Passed:
        """Before DeleteLoadBalancer."""
        arn = call.params["LoadBalancerArn"]
        record = self._backend(call).load_balancers.get(arn)
        if record and record.attrs.get("deletion_protection.enabled") == "true":
            raise AwsError("OperationNotPermitted", f"Load balancer '{arn}' cannot be deleted: it is protected")
        if proxy := self._proxies.pop(arn, None):
            proxy.close()
        self._metrics.end(arn)
        for group in self._backend(call).target_groups.values():
            group.load_balancer_arns = [one for one in group.load_balancer_arns if one != arn]
        return PASS

    def listener_gone(self, call: Call) -> Passed:
        """Before DeleteListener: its target groups are behind that load balancer no more."""
        for balancer in self._backend(call).load_balancers.values():
            if call.params["ListenerArn"] in balancer.listeners:
                for group in self._backend(call).target_groups.values():
                    group.load_balancer_arns = [one for one in group.load_balancer_arns if one != balancer.arn]
        return PASS

    def listener_changed(self, call: Call, answer: dict[str, Any]) -> None:
        """After ModifyListener: moto does not note which target groups are used now."""
        for told in answer["Listeners"]:
            for action in told.get("DefaultActions", ()):
                group = self._backend(call).target_groups.get(action.get("TargetGroupArn", ""))
                if group and told["LoadBalancerArn"] not in group.load_balancer_arns:
                    group.load_balancer_arns.append(told["LoadBalancerArn"])

    # -- target groups

    def group_made(self, call: Call, answer: dict[str, Any]) -> None:
        """After CreateTargetGroup."""
        for told in answer["TargetGroups"]:
            self.targets.add(self._backend(call).target_groups[told["TargetGroupArn"]], call.region)

    def group_gone(self, call: Call, answer: dict[str, Any]) -> None:
        """After DeleteTargetGroup."""
        self.targets.remove(call.params["TargetGroupArn"])

    def register(self, call: Call, answer: dict[str, Any]) -> None:
        """After RegisterTargets."""
        arn = call.params["TargetGroupArn"]
        port = int(self._backend(call).target_groups[arn].port)
        self.targets.register(arn, [(one["Id"], int(one.get("Port") or port)) for one in call.params["Targets"]])

    def deregister(self, call: Call) -> dict[str, Any] | Passed:
        """DeregisterTargets; what is not registered is no error."""
        arn = call.params["TargetGroupArn"]
        record = self._backend(call).target_groups.get(arn)
        if record is None:
            return PASS
        ids = [one["Id"] for one in call.params["Targets"]]
        for name in ids:
            if known := record.targets.pop(name, None):
                record.deregistered_targets[name] = known
        self.targets.deregister(arn, ids)
        return {}

    def health(self, call: Call) -> dict[str, Any] | Passed:
        """DescribeTargetHealth."""
        arn = call.params["TargetGroupArn"]
        if arn not in self.targets.groups:
            return PASS
        return {
            "TargetHealthDescriptions": self.targets.health(
                arn, [one["Id"] for one in call.params.get("Targets") or []]
            )
        }

    # -- the rest

    def end(self) -> None:
        """Close everything."""
        for proxy in self._proxies.values():
            proxy.close()
        self._proxies.clear()
        self._metrics.close()
        self.targets.close()

    def status(self) -> dict[str, Any]:
        """What runs, for people."""
        return {
            "balancers": {arn.split("/")[-2]: f"127.0.0.1:{proxy.port}" for arn, proxy in list(self._proxies.items())}
        }

    def _backend(self, call: Call) -> Any:
        return self._cloud.moto("elbv2", call.region)

    def _behind(self, balancer: str) -> list[Group]:
        with self.targets.lock:
            return [group for group in self.targets.groups.values() if balancer in group.record.load_balancer_arns]

    def _tls(self, region: str, listener: Any) -> ssl.SSLContext:
        """With the certificate that ACM has, or made up, for the listener."""
        bundle = self._cloud.moto("acm", region).get_certificate(listener.certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A file of its own for each connection, which may come at the same time, that nobody else can read.
        with tempfile.NamedTemporaryFile(dir=self._cloud.folder, suffix=".pem") as file:
            file.write(bundle.key + b"\n" + bundle.cert)
            file.flush()
            context.load_cert_chain(file.name)
        return context


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    balancers = Balancers(cloud)
    cloud.handle("elbv2", "CreateLoadBalancer", balancers.create)
    cloud.after("elbv2", "CreateLoadBalancer", balancers.created)
    cloud.handle("elbv2", "DeleteLoadBalancer", balancers.delete)
    cloud.handle("elbv2", "DeleteListener", balancers.listener_gone)
    cloud.after("elbv2", "ModifyListener", balancers.listener_changed)
    cloud.after("elbv2", "CreateTargetGroup", balancers.group_made)
    cloud.after("elbv2", "DeleteTargetGroup", balancers.group_gone)
    cloud.after("elbv2", "RegisterTargets", balancers.register)
    cloud.handle("elbv2", "DeregisterTargets", balancers.deregister)
    cloud.handle("elbv2", "DescribeTargetHealth", balancers.health)
    cloud.on_reset(balancers.end)
    cloud.on_status(balancers.status)
