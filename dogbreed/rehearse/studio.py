"""SageMaker's lists that moto has none of: applications of Studio, features, scripts of notebooks, monitoring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud


def add(cloud: Cloud) -> None:
    """Register with the cloud."""

    def features(call: Call) -> dict[str, Any]:
        found = cloud.moto("sagemaker", call.region).feature_groups.values()
        names = {"FeatureGroupName": "feature_group_name", "FeatureGroupArn": "arn", "CreationTime": "creation_time"}
        return {"FeatureGroupSummaries": [_row(one, names) for one in found]}

    def scripts(call: Call) -> dict[str, Any]:
        found = cloud.moto("sagemaker", call.region).notebook_instance_lifecycle_configurations.values()
        config = "NotebookInstanceLifecycleConfig"
        names = {f"{config}Name": "notebook_instance_lifecycle_config_name", f"{config}Arn": "arn"}
        return {f"{config}s": [_row(one, names) for one in found]}

    # There is no Studio here, and nothing is monitored: neither can be made.
    cloud.handle("sagemaker", "ListApps", lambda call: {"Apps": []})
    cloud.handle("sagemaker", "ListMonitoringSchedules", lambda call: {"MonitoringScheduleSummaries": []})
    cloud.handle("sagemaker", "ListFeatureGroups", features)
    cloud.handle("sagemaker", "ListNotebookInstanceLifecycleConfigs", scripts)


def _row(one: Any, names: dict[str, str]) -> dict[str, Any]:
    return {shown: getattr(one, attribute) for shown, attribute in names.items()}
