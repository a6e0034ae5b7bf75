"""Types and quotas: wrong ones are refused before anything is uploaded, unknown ones never."""

from __future__ import annotations

import pytest

from dogbreed.cloud import quotas
from dogbreed.cloud.session import Aws
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.rehearse.state import Server


def test_types_that_are_there(aws: Aws) -> None:
    quotas.require_sagemaker_type(aws, "ml.g5.xlarge")
    assert quotas.require_ec2_type(aws, "g5.xlarge") == ("eu-west-1a", "eu-west-1b", "eu-west-1c")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("g5.xlarge", "did you mean --instance-type ml.g5.xlarge"),
        ("ml.g5.xlage", "ml.g5.xlarge"),
        ("nonsense", "types"),
    ],
)
def test_a_type_that_sagemaker_has_not(aws: Aws, name: str, says: str) -> None:
    with pytest.raises(UsageError, match=f"no type {name}") as error:
        quotas.require_sagemaker_type(aws, name)
    assert says in error.value.hint


def test_a_type_that_ec2_has_not_here(aws: Aws) -> None:
    with pytest.raises(UsageError, match=r"EC2 has no type g5\.xlage") as error:
        quotas.require_ec2_type(aws, "g5.xlage")
    assert "g5.xlarge" in error.value.hint
    with pytest.raises(UsageError, match=r"eu-west-1 does not offer p5\.4xlarge"):
        quotas.require_ec2_type(aws, "p5.4xlarge")


@pytest.mark.parametrize("spot", [False, True])
def test_sagemaker_counts_instances(aws: Aws, account: Server, spot: bool) -> None:
    name = f"ml.g5.xlarge for {'spot ' if spot else ''}training job usage"
    account.ask("quota", service="sagemaker", name=name, value=2)
    enough, short = (quotas.sagemaker_limit(aws, "ml.g5.xlarge", count, spot=spot) for count in (2, 3))
    assert (enough.enough, short.enough) == (True, False)
    enough.require()
    with pytest.raises(DogbreedError, match=f"{name}: 2 instances, 3 wanted") as error:
        short.require()
    assert "Service Quotas" in error.value.hint


@pytest.mark.parametrize(("spot", "name"), [(False, "L-DB2E81BA"), (True, "L-3819A6DF")])
def test_ec2_counts_vcpus_of_a_family(aws: Aws, account: Server, spot: bool, name: str) -> None:
    account.ask("quota", service="ec2", name=name, value=8)
    enough, short = (quotas.ec2_limit(aws, "g5.xlarge", count, spot=spot) for count in (2, 3))
    assert (enough.enough, short.enough, short.wanted, short.allowed) == (True, False, 12, 8)


def test_families_have_quotas_of_their_own(aws: Aws, account: Server) -> None:
    account.ask("quota", service="ec2", name="L-1216C47A", value=0)
    assert quotas.ec2_limit(aws, "m5.large", 1, spot=False).enough is False
    assert quotas.ec2_limit(aws, "g5.xlarge", 1, spot=False).enough is True
    assert quotas.ec2_limit(aws, "p4d.24xlarge", 1, spot=False).enough is False
    # Of these no code is known, and of these no vCPUs: unknown, not refused.
    for name in ("inf2.xlarge", "trn1.2xlarge", "m99.large", "u-6tb1.metal"):
        limit = quotas.ec2_limit(aws, name, 1, spot=False)
        assert limit.enough is None
        assert "not known" in limit.words()
        limit.require()


@pytest.mark.parametrize("action", ["servicequotas:*", "ec2:DescribeInstanceTypeOfferings"])
def test_what_may_not_be_looked_up_is_unknown_and_refuses_nothing(aws: Aws, account: Server, action: str) -> None:
    account.ask("fault", kind="deny", target=action)
    limits = [
        quotas.sagemaker_limit(aws, "ml.g5.xlarge", 99, spot=False),
        quotas.ec2_limit(aws, "g5.xlarge", 99, spot=False),
    ]
    offered = quotas.require_ec2_type(aws, "p5.4xlarge") if action.startswith("ec2") else ()
    if action.startswith("ec2"):
        assert offered is None
    else:
        for limit in limits:
            assert limit.enough is None
            assert "AccessDenied" in limit.words()
            limit.require()


def test_a_quota_that_is_not_listed_is_unknown(aws: Aws) -> None:
    assert quotas.sagemaker_limit(aws, "ml.z9.huge", 1, spot=False).enough is None


def test_many_types_are_looked_up_with_few_calls(aws: Aws, account: Server) -> None:
    for name in ("ml.g5.xlarge", "ml.m5.large", "ml.c5.xlarge"):
        quotas.sagemaker_limit(aws, name, 1, spot=False)
    asked = [call for call in account.ask("calls") if call["service"] == "service-quotas"]
    for name in ("g5.xlarge", "g4dn.xlarge", "g6.xlarge"):
        quotas.ec2_limit(aws, name, 1, spot=False)
    after = [call for call in account.ask("calls") if call["service"] == "service-quotas"]
    quotas.sagemaker_limit(aws, "ml.p3.2xlarge", 1, spot=True)
    assert len(after) == len(asked) + 1
