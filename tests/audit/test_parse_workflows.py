"""Jobs that pipelines and state machines start are audited like calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dogbreed.audit import engine
from dogbreed.audit.parse import read

TRAINING = {
    "RoleArn": "r",
    "AlgorithmSpecification": {"TrainingInputMode": "File"},
    "ResourceConfig": {"InstanceCount": 1},
}
PIPELINE: dict[str, Any] = {
    "Version": "2020-12-01",
    "Parameters": [{"Name": "Isolated", "Type": "Boolean", "DefaultValue": False}, {"Name": "Shell", "Type": "String"}],
    "Steps": [
        {
            "Name": "Train",
            "Type": "Training",
            "Arguments": TRAINING
            | {
                "EnableNetworkIsolation": {"Get": "Parameters.Isolated"},
                "RemoteDebugConfig": {"EnableRemoteDebug": {"Get": "Parameters.Shell"}},
                "HyperParameters": {"lr": "0.1", "data": {"Std:Join": {"On": "/", "Values": ["a"]}}},
            },
        },
        {"Name": "Check", "Type": "Condition", "Arguments": {"Conditions": []}},
    ],
}
MACHINE: dict[str, Any] = {
    "StartAt": "All",
    "States": {
        "All": {
            "Type": "Parallel",
            "Branches": [
                {
                    "StartAt": "Train",
                    "States": {
                        "Train": {
                            "Type": "Task",
                            "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
                            "Parameters": TRAINING | {"TrainingJobName.$": "$.name", "EnableNetworkIsolation": False},
                        }
                    },
                }
            ],
        }
    },
}


def rules(report: engine.Report) -> tuple[set[str], set[str]]:
    return {one.rule for one in report.findings}, {one.rule for one in report.undecided}


def audited(folder: Path, value: Any) -> engine.Report:
    (folder / "x.json").write_text(json.dumps(value, indent=1))
    return engine.audit(read([folder / "x.json"]))


def test_a_pipelines_steps_are_audited_at_their_lines(tmp_path: Path) -> None:
    report = audited(tmp_path, PIPELINE)
    found, unsure = rules(report)
    assert {"SM-TRAIN-ISOLATION", "SM-TRAIN-VPC", "SM-TRAIN-KMS"} <= found
    assert "SM-TRAIN-REMOTE-DEBUG" in unsure
    one = next(one for one in report.findings if one.rule == "SM-TRAIN-ISOLATION")
    assert one.subject.endswith("Train")
    lines = (tmp_path / "x.json").read_text().splitlines()
    assert "EnableNetworkIsolation" in lines[one.location.line - 1]


def test_a_state_machines_tasks_are_audited(tmp_path: Path) -> None:
    found, _ = rules(audited(tmp_path, MACHINE))
    assert {"SM-TRAIN-ISOLATION", "SM-TRAIN-VPC"} <= found


@pytest.mark.parametrize(
    ("type", "properties"),
    [
        ("AWS::SageMaker::Pipeline", {"PipelineDefinition": {"PipelineDefinitionBody": json.dumps(PIPELINE)}}),
        ("AWS::StepFunctions::StateMachine", {"DefinitionString": json.dumps(MACHINE)}),
        ("AWS::StepFunctions::StateMachine", {"Definition": MACHINE}),
    ],
)
def test_workflows_in_templates_are_opened(type: str, properties: Any, tmp_path: Path) -> None:
    report = audited(tmp_path, {"Resources": {"It": {"Type": type, "Properties": properties}}})
    assert "SM-TRAIN-ISOLATION" in rules(report)[0]
    assert all(one.location.line for one in report.findings)
