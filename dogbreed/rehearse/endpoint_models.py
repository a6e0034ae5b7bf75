"""Models and endpoint configurations: what CreateModel and CreateEndpointConfig were told, kept whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.endpoint_records import Record, Shelf, tags_of
from dogbreed.rehearse.endpoint_rules import check_config, check_model

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud


class Models:
    """Both kinds, of an account."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.models: Shelf[Record] = Shelf("model", "model")
        self.configs: Shelf[Record] = Shelf("endpoint-config", "endpoint configuration")

    def config(self, region: str, name: str) -> Record:
        """A configuration; AwsError where there is none."""
        return self.configs.get(region, name, self._cloud.account)

    def model(self, region: str, name: str) -> dict[str, Any]:
        """The request that made a model; AwsError where there is none."""
        return self.models.get(region, name, self._cloud.account).request

    def create_model(self, call: Call) -> dict[str, Any]:
        """CreateModel."""
        check_model(self._cloud, call)
        return {"ModelArn": self._keep(self.models, call, "ModelName")}

    def create_config(self, call: Call) -> dict[str, Any]:
        """CreateEndpointConfig."""
        check_config(self._cloud, call, {one.name: one.request for one in self.models.of(call.region)})
        return {"EndpointConfigArn": self._keep(self.configs, call, "EndpointConfigName")}

    def describe_model(self, call: Call) -> dict[str, Any]:
        """DescribeModel."""
        record = self.models.get(call.region, call.params["ModelName"], self._cloud.account)
        isolated = record.request.get("EnableNetworkIsolation", False)
        return _shown(record) | {"ModelArn": record.arn, "EnableNetworkIsolation": isolated}

    def describe_config(self, call: Call) -> dict[str, Any]:
        """DescribeEndpointConfig."""
        record = self.config(call.region, call.params["EndpointConfigName"])
        return _shown(record) | {"EndpointConfigArn": record.arn}

    def list_models(self, call: Call) -> dict[str, Any]:
        """ListModels."""
        return self.models.page(call.region, call.params, "Models", lambda one: _summary(one, "Model"))

    def list_configs(self, call: Call) -> dict[str, Any]:
        """ListEndpointConfigs."""
        return self.configs.page(
            call.region, call.params, "EndpointConfigs", lambda one: _summary(one, "EndpointConfig")
        )

    def delete_model(self, call: Call) -> dict[str, Any]:
        """DeleteModel; also of one that an endpoint has, which has loaded it."""
        record = self.models.get(call.region, call.params["ModelName"], self._cloud.account)
        self.models.records.pop((call.region, record.name), None)
        return {}

    def delete_config(self, call: Call) -> dict[str, Any]:
        """DeleteEndpointConfig; also of one in use, which AWS allows and warns of."""
        record = self.config(call.region, call.params["EndpointConfigName"])
        self.configs.records.pop((call.region, record.name), None)
        return {}

    def _keep(self, shelf: Shelf[Record], call: Call, name: str) -> str:
        now, told = self._cloud.clock.now(), call.params
        arn = f"arn:aws:sagemaker:{call.region}:{self._cloud.account}:{shelf.kind}/{told[name]}"
        shelf.add(call.region, Record(told[name], arn, dict(told), now, now, tags_of(told)))
        return arn


def add(cloud: Cloud, models: Models) -> None:
    """Register with the cloud."""
    for operation, function in {
        "CreateModel": models.create_model,
        "DescribeModel": models.describe_model,
        "ListModels": models.list_models,
        "DeleteModel": models.delete_model,
        "CreateEndpointConfig": models.create_config,
        "DescribeEndpointConfig": models.describe_config,
        "ListEndpointConfigs": models.list_configs,
        "DeleteEndpointConfig": models.delete_config,
    }.items():
        cloud.handle("sagemaker", operation, function)


def _shown(record: Record) -> dict[str, Any]:
    told = {name: value for name, value in record.request.items() if name != "Tags"}
    return told | {"CreationTime": record.created}


def _summary(record: Record, kind: str) -> dict[str, Any]:
    return {f"{kind}Name": record.name, f"{kind}Arn": record.arn, "CreationTime": record.created}
