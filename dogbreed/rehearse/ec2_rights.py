"""What a launch needs besides the call itself: resources that it touches, roles that it hands on, tags that it sets.

Launch templates hide these from the parameters, so they are recorded, and may be denied, when the template is known.
Source: actions and condition keys of Amazon EC2 in AWS's Service Authorization Reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dogbreed.rehearse import ec2_checks
from dogbreed.rehearse.ec2_template import template

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.ec2_template import Params

_TAGGED = {"instance": "instance/*", "volume": "volume/*", "network-interface": "network-interface/*"}
_TAGGED |= {"spot-instances-request": "spot-instances-request/*", "fleet": "fleet/*"}


def need(cloud: Cloud, call: Call, backend: Any, params: Params) -> None:
    """Record the further actions of a launch; AwsError for one that a fault denies."""
    wanted = [("ec2:RunInstances", _touched(cloud, call, backend, params))]
    if told := params.get("IamInstanceProfile"):
        profile = ec2_checks.profile(cloud.account, told.get("Arn"), told.get("Name"))
        wanted += [("iam:PassRole", (role.arn,)) for role in profile.roles]
    kinds = [spec["ResourceType"] for spec in params.get("TagSpecifications") or [] if spec.get("Tags")]
    if tagged := tuple(_arn(cloud, call, _TAGGED[kind]) for kind in kinds if kind in _TAGGED):
        wanted.append(("ec2:CreateTags", tagged))
    for action, resources in wanted:
        cloud.need(call, action, *resources)


def _touched(cloud: Cloud, call: Call, backend: Any, params: Params) -> tuple[str, ...]:
    found = ["instance/*", "network-interface/*", "volume/*"]
    nics = params.get("NetworkInterfaces") or []
    groups = [*(params.get("SecurityGroupIds") or []), *(group for nic in nics for group in nic.get("Groups") or [])]
    found += [f"security-group/{group}" for group in groups]
    subnets = [params.get("SubnetId"), *(nic.get("SubnetId") for nic in nics)]
    found += [f"subnet/{subnet}" for subnet in subnets if subnet]
    if name := params.get("KeyName"):
        found.append(f"key-pair/{name}")
    if name := (params.get("Placement") or {}).get("GroupName"):
        found.append(f"placement-group/{name}")
    if wanted := params.get("LaunchTemplate"):
        found.append(f"launch-template/{template(backend, wanted).template.id}")
    image = f"arn:aws:ec2:{call.region}::image/{params['ImageId']}"
    return (image, *(_arn(cloud, call, name) for name in found))


def _arn(cloud: Cloud, call: Call, name: str) -> str:
    return f"arn:aws:ec2:{call.region}:{cloud.account}:{name}"
