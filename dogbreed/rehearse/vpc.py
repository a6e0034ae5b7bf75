"""The default VPC as AWS makes it: with an internet gateway, where moto's leads nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import PASS, Passed

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud


def add(cloud: Cloud) -> None:
    """Register with the cloud."""

    def connect(call: Call) -> Passed:
        backend: Any = cloud.moto("ec2", call.region)
        connected = {gateway.vpc.id for gateway in backend.describe_internet_gateways() if gateway.vpc}
        for vpc in backend.describe_vpcs(filters={"is-default": "true"}):
            if vpc.id in connected:
                continue
            gateway = backend.create_internet_gateway()
            backend.attach_internet_gateway(gateway.id, vpc.id)
            for table in backend.describe_route_tables(filters={"vpc-id": vpc.id, "association.main": "true"}):
                backend.create_route(table.id, "0.0.0.0/0", gateway_id=gateway.id)
        return PASS

    for operation in ("DescribeRouteTables", "DescribeInternetGateways"):
        cloud.handle("ec2", operation, connect)
