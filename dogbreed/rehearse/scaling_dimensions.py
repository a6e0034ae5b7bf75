"""What can be scaled, how many of it there are, and the call of its own service that changes that number."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

# client(service) -> a boto3 client that acts as the role of the target.
Clients = Callable[[str], Any]


@dataclass(frozen=True)
class Capacity:
    """How many are wanted and in service; `settled` when nothing is under way. Bounds where the service has its own."""

    desired: int
    current: int
    settled: bool = True
    smallest: int | None = None
    largest: int | None = None

    @property
    def fulfilled(self) -> bool:
        """Whether what was wanted is there."""
        return self.settled and self.current == self.desired


@dataclass(frozen=True)
class Dimension:
    """`form` is that of resource ids; `what` is the word of activities; `role` names the service-linked role."""

    form: re.Pattern[str]
    what: str
    least: int
    cooldown_s: int
    role: str
    principal: str
    read: Callable[[Clients, str], Capacity]
    write: Callable[[Clients, str, int], None]


def _variant(clients: Clients, resource: str) -> tuple[dict[str, Any], dict[str, Any], bool]:
    _, endpoint, _, name = resource.split("/")
    told = clients("sagemaker").describe_endpoint(EndpointName=endpoint)
    for variant in told.get("ProductionVariants", []):
        if variant["VariantName"] == name:
            return told, variant, told["EndpointStatus"] == "InService"
    raise LookupError(f"endpoint {endpoint} has no variant {name}")


def _read_instances(clients: Clients, resource: str) -> Capacity:
    _, variant, settled = _variant(clients, resource)
    current = variant.get("CurrentInstanceCount", 0)
    return Capacity(variant.get("DesiredInstanceCount", current), current, settled)


def _write_instances(clients: Clients, resource: str, number: int) -> None:
    _, endpoint, _, name = resource.split("/")
    wanted = [{"VariantName": name, "DesiredInstanceCount": number}]
    clients("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName=endpoint, DesiredWeightsAndCapacities=wanted
    )


def _read_serverless(clients: Clients, resource: str) -> Capacity:
    _, variant, settled = _variant(clients, resource)
    current = variant.get("CurrentServerlessConfig", {}).get("ProvisionedConcurrency", 0)
    wanted = variant.get("DesiredServerlessConfig", {}).get("ProvisionedConcurrency", current)
    return Capacity(wanted, current, settled)


def _write_serverless(clients: Clients, resource: str, number: int) -> None:
    _, endpoint, _, name = resource.split("/")
    wanted = [{"VariantName": name, "ServerlessUpdateConfig": {"ProvisionedConcurrency": number}}]
    clients("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName=endpoint, DesiredWeightsAndCapacities=wanted
    )


def _read_component(clients: Clients, resource: str) -> Capacity:
    name = resource.removeprefix("inference-component/")
    told = clients("sagemaker").describe_inference_component(InferenceComponentName=name)
    copies = told.get("RuntimeConfig", {})
    current = copies.get("CurrentCopyCount", 0)
    settled = told["InferenceComponentStatus"] == "InService"
    return Capacity(copies.get("DesiredCopyCount", current), current, settled)


def _write_component(clients: Clients, resource: str, number: int) -> None:
    clients("sagemaker").update_inference_component_runtime_config(
        InferenceComponentName=resource.removeprefix("inference-component/"),
        DesiredRuntimeConfig={"CopyCount": number},
    )


def _read_function(clients: Clients, resource: str) -> Capacity:
    _, name, alias = resource.split(":")
    client = clients("lambda")
    try:
        told = client.get_provisioned_concurrency_config(FunctionName=name, Qualifier=alias)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ProvisionedConcurrencyConfigNotFoundException":
            raise
        # There may be none of it, and there may be no such function.
        client.get_alias(FunctionName=name, Name=alias)
        return Capacity(0, 0)
    wanted = told["RequestedProvisionedConcurrentExecutions"]
    return Capacity(wanted, told["AllocatedProvisionedConcurrentExecutions"], told["Status"] == "READY")


def _write_function(clients: Clients, resource: str, number: int) -> None:
    _, name, alias = resource.split(":")
    if number:
        clients("lambda").put_provisioned_concurrency_config(
            FunctionName=name, Qualifier=alias, ProvisionedConcurrentExecutions=number
        )
    else:
        clients("lambda").delete_provisioned_concurrency_config(FunctionName=name, Qualifier=alias)


def _read_group(clients: Clients, resource: str) -> Capacity:
    groups = clients("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[resource])["AutoScalingGroups"]
    if not groups:
        raise LookupError(f"there is no group {resource}")
    group = groups[0]
    serving = sum(one["LifecycleState"] == "InService" for one in group.get("Instances", []))
    return Capacity(
        group["DesiredCapacity"], serving, smallest=group["MinSize"], largest=group["MaxSize"], settled=True
    )


def _write_group(clients: Clients, resource: str, number: int) -> None:
    clients("autoscaling").set_desired_capacity(
        AutoScalingGroupName=resource, DesiredCapacity=number, HonorCooldown=False
    )


_VARIANT_FORM = re.compile(r"endpoint/[^/]+/variant/[^/]+")
_SAGEMAKER = ("ApplicationAutoScaling_SageMakerEndpoint", "sagemaker.application-autoscaling.amazonaws.com")
_LAMBDA = ("ApplicationAutoScaling_LambdaConcurrency", "lambda.application-autoscaling.amazonaws.com")
# The cool-downs are the documented defaults: 300 s, and none for provisioned concurrency.
DIMENSIONS: dict[str, Dimension] = {
    "sagemaker:variant:DesiredInstanceCount": Dimension(
        *(_VARIANT_FORM, "desired instance count", 1, 300, *_SAGEMAKER, _read_instances, _write_instances)
    ),
    "sagemaker:variant:DesiredProvisionedConcurrency": Dimension(
        *(_VARIANT_FORM, "provisioned concurrency", 1, 0, *_SAGEMAKER, _read_serverless, _write_serverless)
    ),
    "sagemaker:inference-component:DesiredCopyCount": Dimension(
        re.compile(r"inference-component/[^/]+"),
        *("desired copy count", 0, 300, *_SAGEMAKER, _read_component, _write_component),
    ),
    "lambda:function:ProvisionedConcurrency": Dimension(
        re.compile(r"function:[^:]+:[^:]+"),
        *("provisioned concurrency", 0, 0, *_LAMBDA, _read_function, _write_function),
    ),
    "autoscaling:group": Dimension(
        re.compile(r".+"),
        *("desired capacity", 0, 300, "AutoScaling", "autoscaling.amazonaws.com", _read_group, _write_group),
    ),
}
