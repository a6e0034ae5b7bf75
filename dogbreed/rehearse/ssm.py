"""The public parameters of Deep Learning AMIs in the parameter store of SSM, beside those that moto has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dogbreed.rehearse import ec2_images
from dogbreed.rehearse.calls import PASS, Passed

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud


class Parameters:
    """Adds the images' parameters to those of moto."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def get(self, call: Call) -> dict[str, Any] | Passed:
        """GetParameter."""
        found = self._known(call)
        name = _plain(call.params["Name"], call)
        return {"Parameter": _shown(call, name, found[name])} if name in found else PASS

    def get_some(self, call: Call, answer: dict[str, Any]) -> dict[str, Any] | None:
        """After GetParameters: what moto does not know, and we do."""
        found = self._known(call)
        ours = [name for name in answer.get("InvalidParameters", []) if name in found]
        if not ours:
            return None
        return {
            "Parameters": [*answer.get("Parameters", []), *(_shown(call, name, found[name]) for name in ours)],
            "InvalidParameters": [name for name in answer.get("InvalidParameters", []) if name not in ours],
        }

    def get_below(self, call: Call) -> dict[str, Any] | Passed:
        """GetParametersByPath, in pages."""
        path = call.params["Path"].rstrip("/")
        if not f"{path}/".startswith(f"{ec2_images.PREFIX}/"):
            return PASS
        below = sorted(name for name in self._known(call) if name.startswith(f"{path}/"))
        if not call.params.get("Recursive"):
            below = [name for name in below if "/" not in name.removeprefix(f"{path}/")]
        start, size = int(call.params.get("NextToken") or 0), call.params.get("MaxResults") or 10
        found = self._known(call)
        page = [_shown(call, name, found[name]) for name in below[start : start + size]]
        more = {"NextToken": str(start + size)} if start + size < len(below) else {}
        return {"Parameters": page} | more

    def _known(self, call: Call) -> dict[str, str]:
        return ec2_images.parameters(call.region)


def _plain(name: str, call: Call) -> str:
    """A name that was given as an ARN, as a name."""
    return name.removeprefix(f"arn:aws:ssm:{call.region}::parameter")


def _shown(call: Call, name: str, value: str) -> dict[str, Any]:
    return {
        "Name": name,
        "Type": "String",
        "Value": value,
        "Version": 1,
        "LastModifiedDate": ec2_images.DATED,
        "ARN": f"arn:aws:ssm:{call.region}::parameter{name}",
        "DataType": "aws:ec2:image",
    }


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    parameters = Parameters(cloud)
    cloud.handle("ssm", "GetParameter", parameters.get)
    cloud.after("ssm", "GetParameters", parameters.get_some)
    cloud.handle("ssm", "GetParametersByPath", parameters.get_below)
