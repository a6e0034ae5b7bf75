"""Terraform plans and states: what is known after the apply is followed to what it refers to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dogbreed.audit.model import HOLE
from dogbreed.audit.parse import read


def planned(*resources: dict[str, Any], unknown: dict[str, Any] | None = None, config: Any = ()) -> dict[str, Any]:
    changes = [
        {"address": key, "mode": "managed", "change": {"after_unknown": one}} for key, one in (unknown or {}).items()
    ]
    return {
        "format_version": "1.2",
        "planned_values": {"root_module": {"resources": list(resources)}},
        "resource_changes": changes,
        "configuration": {"root_module": {"resources": list(config)}},
    }


def entry(type: str, name: str, /, **values: Any) -> dict[str, Any]:
    return {"address": f"{type}.{name}", "mode": "managed", "type": type, "name": name, "values": values}


def expressions(type: str, name: str, /, **references: list[str]) -> dict[str, Any]:
    return {"address": f"{type}.{name}", "expressions": {key: {"references": one} for key, one in references.items()}}


def test_a_plan_follows_what_is_known_after_the_apply(tmp_path: Path) -> None:
    statement = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    )
    plan = planned(
        entry("aws_iam_role", "r", name="run", assume_role_policy=None),
        entry("aws_iam_policy", "p", name="all", policy=statement),
        entry("aws_iam_role_policy_attachment", "a", role="run"),
        entry("aws_lambda_function", "f", function_name="f", runtime="python3.7"),
        entry("aws_sagemaker_notebook_instance", "n", name="n", subnet_id=None),
        unknown={
            "aws_iam_role_policy_attachment.a": {"policy_arn": True},
            "aws_lambda_function.f": {"role": True, "arn": True, "kms_key_arn": True},
            "aws_sagemaker_notebook_instance.n": {"kms_key_id": True, "security_groups": True},
        },
        config=[
            expressions("aws_iam_role_policy_attachment", "a", policy_arn=["aws_iam_policy.p.arn", "aws_iam_policy.p"]),
            expressions("aws_lambda_function", "f", role=["aws_iam_role.r.arn", "aws_iam_role.r"]),
            expressions("aws_sagemaker_notebook_instance", "n", kms_key_id=["aws_kms_key.k.arn", "aws_kms_key.k"]),
        ],
    )
    (tmp_path / "plan.json").write_text(json.dumps(plan, indent=1))
    corpus = read([tmp_path])
    (role,) = corpus.principals
    assert [one.name for one in role.policies] == ["all"]
    function, notebook = corpus.resources
    assert function.roles == (role.arn,)
    assert function.get("KmsKeyArn") is None
    assert notebook.get("KmsKeyId") == HOLE
    assert notebook.get("SecurityGroupIds") is None
    line = (tmp_path / "plan.json").read_text().splitlines()[function.at("Runtime").line - 1]
    assert "python3.7" in line


def test_a_state_is_read_like_a_plan(tmp_path: Path) -> None:
    state = {
        "format_version": "1.0",
        "terraform_version": "1.9",
        "values": {
            "root_module": {"child_modules": [{"resources": [entry("aws_kms_key", "k", enable_key_rotation=True)]}]}
        },
    }
    (tmp_path / "state.json").write_text(json.dumps(state))
    assert read([tmp_path]).resources[0].get("EnableKeyRotation") is True


def test_a_document_that_is_put_together_at_the_apply_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    statement = {"actions": ["s3:GetObject"], "effect": "Allow", "principals": [], "condition": []}
    document = {
        "address": "data.aws_iam_policy_document.d",
        "mode": "data",
        "type": "aws_iam_policy_document",
        "change": {
            "actions": ["read"],
            "after": {"statement": [statement], "version": None},
            "after_unknown": {"json": True, "statement": [{"resources": True, "actions": [False]}]},
        },
    }
    plan = planned(
        entry("aws_iam_policy", "p", name="p"),
        unknown={"aws_iam_policy.p": {"policy": True}},
        config=[expressions("aws_iam_policy", "p", policy=["data.aws_iam_policy_document.d.json"])],
    )
    plan["resource_changes"].append(document)
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    (policy,) = read([tmp_path]).policies
    (one,) = policy.statements
    assert (one.actions, one.resources) == (("s3:GetObject",), (HOLE,))


def test_modules_of_a_plan_refer_to_their_own(tmp_path: Path) -> None:
    inner = [
        entry("aws_iam_role", "r", name="run") | {"address": "module.m[0].aws_iam_role.r"},
        entry("aws_lambda_function", "f", function_name="f") | {"address": "module.m[0].aws_lambda_function.f"},
    ]
    plan = planned(unknown={"module.m[0].aws_lambda_function.f": {"role": True}})
    plan["planned_values"]["root_module"]["child_modules"] = [{"address": "module.m[0]", "resources": inner}]
    resources = [expressions("aws_lambda_function", "f", role=["aws_iam_role.r.arn"])]
    plan["configuration"]["root_module"]["module_calls"] = {"m": {"module": {"resources": resources}}}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    corpus = read([tmp_path])
    assert corpus.resources[0].roles == (corpus.principals[0].arn,)
