"""The exact policies to see what things cost: the budget and AWS's price list, and what an account has left over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dogbreed.cloud.policy_parts import Document, Scope, allow, document

# What `dogbreed leftovers` reads, by service: that things are there and how they are used, and no content of any.
LEFTOVERS: Mapping[str, Sequence[str]] = {
    "SageMaker": (
        *("sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig", "sagemaker:DescribeNotebookInstance"),
        *("sagemaker:ListApps", "sagemaker:ListEndpointConfigs", "sagemaker:ListEndpoints", "sagemaker:ListModels"),
        *("sagemaker:ListNotebookInstances", "sagemaker:ListTags"),
    ),
    "Ec2": (
        *("ec2:DescribeAddresses", "ec2:DescribeInstances", "ec2:DescribeNatGateways", "ec2:DescribeSnapshots"),
        "ec2:DescribeVolumes",
    ),
    "Balancers": (
        *("elasticloadbalancing:DescribeLoadBalancers", "elasticloadbalancing:DescribeTargetGroups"),
        "elasticloadbalancing:DescribeTargetHealth",
    ),
    "Use": (
        *("application-autoscaling:DescribeScalableTargets", "cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData"),
        *("ecr:DescribeImages", "ecr:DescribeRepositories", "ecr:GetLifecyclePolicy", "lambda:ListFunctions"),
        *("lambda:ListProvisionedConcurrencyConfigs", "logs:DescribeLogGroups"),
    ),
}


def cost(scope: Scope) -> Document:
    """`dogbreed cost`, beside what `status` looks at: the project's budget, and the price list."""
    budget = scope.everywhere("budgets", f"budget/{scope.project}-budget")
    return document(
        [
            allow("Budget", ["budgets:ModifyBudget", "budgets:TagResource", "budgets:ViewBudget"], budget),
            allow("Prices", "pricing:GetProducts", "*"),
        ]
    )


def leftovers(scope: Scope) -> Document:
    """`dogbreed leftovers`: read-only, over the whole account."""
    return document([allow(f"Read{service}", actions, "*") for service, actions in LEFTOVERS.items()])
