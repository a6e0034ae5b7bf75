"""Service quotas of SageMaker's training and endpoints and of EC2 machines, which moto lacks.

Numbers are those of an account that has asked for some: enough to rehearse with, and none of the largest types. Codes
of EC2 are the real ones; those of SageMaker are made up from the names. The control `quota` sets one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import PASS, AwsError, Passed

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

# In vCPUs.
_EC2 = {
    "L-1216C47A": ("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 256.0),
    "L-DB2E81BA": ("Running On-Demand G and VT instances", 64.0),
    "L-417A185B": ("Running On-Demand P instances", 0.0),
    "L-34B43A08": ("All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", 256.0),
    "L-3819A6DF": ("All G and VT Spot Instance Requests", 64.0),
    "L-7212CCBC": ("All P4, P3 and P2 Spot Instance Requests", 0.0),
}
# Instances by family of type; all others get _MANY.
_FEW = {"p3": 1.0, "p3dn": 0.0, "p4d": 0.0, "p4de": 0.0, "p5": 0.0, "p5e": 0.0, "p5en": 0.0, "p6": 0.0, "trn1": 0.0}
_SOME, _MANY = 8.0, 20.0
_GPU = ("g4dn", "g5", "g6", "g6e", "p2", "trn", "inf")
_USES = {
    "TrainingInstanceType": ("training job usage", "spot training job usage", "training warm pool usage"),
    "ProductionVariantInstanceType": ("endpoint usage",),
}
_PAGE = 100


class Quotas:
    """The quotas of an account, by service and code; `name` is what the console shows."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._values: dict[tuple[str, str], float] = {}
        cloud.on_reset(self._values.clear)

    def value(self, service: str, name: str) -> float:
        """What applies of a quota; LookupError for an unknown one."""
        for code, (known, default) in self._known(service).items():
            if name in (known, code):
                return self._values.get((service, code), default)
        raise LookupError(f"{service} has no quota {name!r}")

    def set(self, told: dict[str, Any]) -> None:
        """Change a quota: `service`, `name` (or code) and `value`."""
        service, name = told["service"], told["name"]
        codes = [code for code, (known, _) in self._known(service).items() if name in (known, code)]
        if not codes:
            raise LookupError(f"{service} has no quota {name!r}")
        self._values[service, codes[0]] = float(told["value"])

    def get(self, call: Call) -> dict[str, Any] | Passed:
        """GetServiceQuota and GetAWSDefaultServiceQuota."""
        known = self._known(service := call.params["ServiceCode"])
        if not known:
            return PASS
        code = call.params["QuotaCode"]
        if code not in known:
            raise AwsError("NoSuchResourceException", "The request failed because the specified quota does not exist.")
        return {"Quota": self._shown(service, code, default="Default" in call.operation)}

    def list(self, call: Call) -> dict[str, Any] | Passed:
        """ListServiceQuotas and ListAWSDefaultServiceQuotas, in pages."""
        known = self._known(service := call.params["ServiceCode"])
        if not known:
            return PASS
        start, size = int(call.params.get("NextToken", 0)), int(call.params.get("MaxResults", _PAGE))
        codes = list(known)[start : start + size]
        answer: dict[str, Any] = {
            "Quotas": [self._shown(service, code, default="Default" in call.operation) for code in codes]
        }
        if start + size < len(known):
            answer["NextToken"] = str(start + size)
        return answer

    def _known(self, service: str) -> dict[str, tuple[str, float]]:
        if service == "ec2":
            return _EC2
        return _of_sagemaker() if service == "sagemaker" else {}

    def _shown(self, service: str, code: str, *, default: bool) -> dict[str, Any]:
        name, value = self._known(service)[code]
        return {
            "ServiceCode": service,
            "ServiceName": {"ec2": "Amazon Elastic Compute Cloud (Amazon EC2)"}.get(service, "Amazon SageMaker"),
            "QuotaArn": f"arn:aws:servicequotas:{self._cloud.region}:{self._cloud.account}:{service}/{code}",
            "QuotaCode": code,
            "QuotaName": name,
            "Value": value if default else self._values.get((service, code), value),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    quotas = Quotas(cloud)
    cloud.quotas = quotas
    for kind in ("", "AWSDefault"):
        cloud.handle("service-quotas", f"Get{kind}ServiceQuota", quotas.get)
        cloud.handle("service-quotas", f"List{kind}ServiceQuotas", quotas.list)
    cloud.control("quota", quotas.set)


def _of_sagemaker() -> dict[str, tuple[str, float]]:
    """All quotas of training and endpoints: for each type of instance, each of its uses."""
    if not _SAGEMAKER:
        from moto.core.utils import get_service_model

        model = get_service_model("sagemaker")
        kinds = [(kind, uses) for shape, uses in _USES.items() for kind in model.shape_for(shape).metadata["enum"]]
        for kind, uses in kinds:
            family = kind.split(".")[1].split("-")[0]
            value = _FEW.get(family, _SOME if family.startswith(_GPU) else _MANY)
            for use in uses:
                name = f"{kind} for {use}"
                code = f"L-{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}"
                _SAGEMAKER[code] = (name, value)
    return _SAGEMAKER


_SAGEMAKER: dict[str, tuple[str, float]] = {}
