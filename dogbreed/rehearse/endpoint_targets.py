"""An endpoint as the target of application auto scaling: what may not change under it, and that it goes with it.

https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-add-policy.html: while a variant is a scalable
target, its instance type cannot be changed. DeleteEndpoint takes targets off with the rights of its caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.sagemaker_rules import invalid

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.endpoint_fleet import Fleet
    from dogbreed.rehearse.endpoint_state import Endpoint

_TAKES_OFF = "application-autoscaling:DeregisterScalableTarget"


def check_types(cloud: Cloud, endpoint: Endpoint, green: Fleet) -> None:
    """Raise AwsError where a variant that is a target would get another instance type."""
    before = {one.name: one.told.get("InstanceType") for one in endpoint.fleets[0].variants}
    changed = {one.name for one in green.variants if one.told.get("InstanceType") != before.get(one.name)}
    for target in _targets(cloud, endpoint) if changed else []:
        name = target["ResourceId"].rsplit("/", maxsplit=1)[-1]
        if name in changed and name in before:
            raise invalid(
                f"The instance type of variant {name} cannot be changed while it is a scalable target of Application "
                "Auto Scaling. Deregister the scalable target first."
            )


def take_off(cloud: Cloud, call: Call, endpoint: Endpoint) -> None:
    """Deregister what scales an endpoint that its caller deletes; AwsError where the caller may not."""
    client = cloud.client("application-autoscaling", endpoint.region)
    for target in _targets(cloud, endpoint):
        try:
            cloud.need(call, _TAKES_OFF, target.get("ScalableTargetARN", "*"))
        except AwsError as error:
            raise invalid(
                "An Application AutoScaling scalable target exists for a variant being deleted, and the IAM identity "
                f"used to invoke DeleteEndpoint does not have {_TAKES_OFF} permission to deregister the scalable "
                "target."
            ) from error
        named = ("ServiceNamespace", "ResourceId", "ScalableDimension")
        client.deregister_scalable_target(**{name: target[name] for name in named})


def _targets(cloud: Cloud, endpoint: Endpoint) -> list[dict[str, Any]]:
    if not endpoint.fleets:
        return []
    variants = [f"endpoint/{endpoint.name}/variant/{one.name}" for one in endpoint.fleets[0].variants]
    client = cloud.client("application-autoscaling", endpoint.region)
    told = client.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=variants)
    return list(told["ScalableTargets"])
