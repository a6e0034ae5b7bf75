"""Lists that an audit of the account reads: what was made is in them, and none fails for want of an answer."""

from __future__ import annotations

import boto3
import standin

from dogbreed.audit import live
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.rehearse.state import Server


def test_feature_groups_and_scripts_of_notebooks_are_listed(account: Server) -> None:
    sagemaker = boto3.client("sagemaker")
    sagemaker.create_notebook_instance_lifecycle_config(NotebookInstanceLifecycleConfigName="start")
    sagemaker.create_feature_group(
        FeatureGroupName="dogs",
        RecordIdentifierFeatureName="id",
        EventTimeFeatureName="at",
        FeatureDefinitions=[{"FeatureName": "id", "FeatureType": "String"}],
        OfflineStoreConfig={"S3StorageConfig": {"S3Uri": "s3://photos/features"}},
        RoleArn=standin.role(),
    )
    (group,) = sagemaker.list_feature_groups()["FeatureGroupSummaries"]
    assert sagemaker.describe_feature_group(FeatureGroupName="dogs")["FeatureGroupArn"] == group["FeatureGroupArn"]
    (script,) = sagemaker.list_notebook_instance_lifecycle_configs()["NotebookInstanceLifecycleConfigs"]
    assert script["NotebookInstanceLifecycleConfigName"] == "start"
    assert sagemaker.list_monitoring_schedules()["MonitoringScheduleSummaries"] == []


def test_an_audit_of_the_account_leaves_nothing_undecided(account: Server) -> None:
    standin.role()
    corpus = live.read_account(Aws(AwsSettings()))
    assert (corpus.undecided, corpus.errors) == ([], [])
