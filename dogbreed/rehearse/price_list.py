"""AWS's Price List, from the table that comes with dogbreed: machines by the hour, and Lambda.

GetProducts answers texts of JSON as AWS does: a product with its attributes, and below terms and dimensions the price.
What the table does not know of a region is not in the list either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dogbreed import pricing
from dogbreed.rehearse.calls import AwsError, page

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

# What stands in the codes of every price on demand.
_TERM, _RATE = "JRTCKXETXF", "6YS6EN2CT7"
_PAGE = 100
# Regions as usage types begin; a few of them, the others by their whole name.
_SHORT = {"us-east-1": "USE1", "us-east-2": "USE2", "us-west-2": "USW2", "eu-west-1": "EU", "eu-central-1": "EUC1"}
_SAGEMAKER = {"hosting": ("Hosting", "Host", "RunInstance"), "training": ("Training", "Train", "CreateTrainingJob")}
_LAMBDA = {
    "lambda_request": ("AWS-Lambda-Requests", "Requests", 1e-6),
    "lambda_x86_gb_second": ("AWS-Lambda-Duration", "Lambda-GB-Second", 1),
    "lambda_arm_gb_second": ("AWS-Lambda-Duration-ARM", "Lambda-GB-Second", 1),
    "lambda_provisioned_x86_gb_second": ("AWS-Lambda-Provisioned-Concurrency", "Lambda-GB-Second", 1),
    "lambda_provisioned_x86_duration_gb_second": ("AWS-Lambda-Duration-Provisioned", "Lambda-GB-Second", 1),
}
# By the key of the table: service, family, usage type, unit, and what else tells it from others.
_GOES_WITH: dict[str, tuple[str, str, str, str, dict[str, str]]] = {
    "ec2_ebs_gp3_gb_month": ("AmazonEC2", "Storage", "EBS:VolumeUsage.gp3", "GB-Mo", {"volumeApiName": "gp3"}),
    "public_ipv4_hour": ("AmazonVPC", "", "PublicIPv4:InUseAddress", "Hrs", {"group": "VPCPublicIPv4Address"}),
    "alb_hour": ("AWSELB", "Load Balancer-Application", "LoadBalancerUsage", "Hrs", {"group": "ELB:Balancer"}),
    "alb_lcu_hour": ("AWSELB", "Load Balancer-Application", "LCUUsage", "LCU-Hrs", {"group": "ELB:Balancing"}),
}
_TESTS: dict[str, Callable[[str, str], bool]] = {
    "TERM_MATCH": lambda value, wanted: value.lower() == wanted.lower(),
    "EQUALS": lambda value, wanted: value == wanted,
    "CONTAINS": lambda value, wanted: wanted in value,
    "ANY_OF": lambda value, wanted: value in wanted.split(","),
    "NONE_OF": lambda value, wanted: value not in wanted.split(","),
}


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    cloud.handle("pricing", "GetProducts", _products)
    cloud.handle("pricing", "DescribeServices", _services)


def _products(call: Call) -> dict[str, Any]:
    told = call.params
    service, filters = told["ServiceCode"], told.get("Filters", [])
    if service not in _known():
        raise AwsError("InvalidParameterException", f"Input Parameters are invalid: no service {service}", 400)
    found = []
    for item in _known()[service]:
        has = {"productFamily": item["product"]["productFamily"], "ServiceCode": service}
        has |= item["product"]["attributes"]
        if all(one["Field"] in has and _TESTS[one["Type"]](has[one["Field"]], one["Value"]) for one in filters):
            found.append(json.dumps(item))
    return {"FormatVersion": "aws_v1"} | page(told, "PriceList", found, _PAGE)


def _services(call: Call) -> dict[str, Any]:
    wanted = call.params.get("ServiceCode")
    names = {code: sorted({name for item in items for name in _attributes(item)}) for code, items in _known().items()}
    told = [{"ServiceCode": code, "AttributeNames": of} for code, of in names.items() if wanted in (None, code)]
    return {"Services": told, "FormatVersion": "aws_v1"}


def _attributes(item: dict[str, Any]) -> dict[str, str]:
    attributes: dict[str, str] = item["product"]["attributes"]
    return attributes


@cache
def _known() -> dict[str, list[dict[str, Any]]]:
    table = json.loads(Path(pricing.__file__).with_name("prices.json").read_text(encoding="utf-8"))
    found: dict[str, list[dict[str, Any]]] = {
        "AmazonEC2": [],
        "AmazonSageMaker": [],
        "AWSLambda": [],
        "AmazonVPC": [],
        "AWSELB": [],
    }
    for service, item in _all(table):
        found[service].append(item)
    return found


def _all(table: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    date = table["date"]
    for name, facts in table["instances"].items():
        machine = {"vcpu": str(facts["vcpu"]), "memory": f"{facts['memory_gib']:g} GiB"}
        for use, prices in facts["usd"].items():
            for region, price in prices.items():
                if price.get("usd") is not None:
                    yield _machine(name, use, machine, region, price["usd"], date)
    for key, (group, unit, each) in _LAMBDA.items():
        for region, price in table["other"].get(key, {}).items():
            attributes = {"group": group, "usagetype": _usage(region, group.removeprefix("AWS-"))}
            usd = price["usd"] * each
            yield "AWSLambda", _item("AWSLambda", "Serverless", attributes, region, (usd, unit), date)
    for key, (service, family, usage, unit, more) in _GOES_WITH.items():
        for region, price in table["other"].get(key, {}).items():
            own = more | {"usagetype": _usage(region, usage)}
            yield service, _item(service, family, own, region, (price["usd"], unit), date)


def _machine(
    name: str, use: str, machine: dict[str, str], region: str, usd: float, date: str
) -> tuple[str, dict[str, Any]]:
    if use == "ec2":
        attributes = {
            **machine,
            "instanceType": name,
            "operatingSystem": "Linux",
            "tenancy": "Shared",
            "preInstalledSw": "NA",
            "capacitystatus": "Used",
            "licenseModel": "No License required",
            "marketoption": "OnDemand",
            "operation": "RunInstances",
            "usagetype": _usage(region, f"BoxUsage:{name}"),
        }
        return "AmazonEC2", _item("AmazonEC2", "Compute Instance", attributes, region, (usd, "Hrs"), date)
    component, word, operation = _SAGEMAKER[use]
    attributes = {
        "vCpu": machine["vcpu"],
        "memory": machine["memory"],
        "instanceName": f"ml.{name}",
        "instanceType": f"ml.{name}-{component}",
        "component": component,
        "operation": operation,
        "usagetype": _usage(region, f"{word}:ml.{name}"),
    }
    return "AmazonSageMaker", _item("AmazonSageMaker", "ML Instance", attributes, region, (usd, "Hrs"), date)


def _usage(region: str, what: str) -> str:
    # Where AWS began, nothing stands before the usage of EC2 and of its load balancers.
    bare = region == "us-east-1" and what.startswith(("BoxUsage", "EBS:", "LoadBalancer", "LCU"))
    return what if bare else f"{_SHORT.get(region, region)}-{what}"


def _item(
    service: str, family: str, attributes: dict[str, str], region: str, price: tuple[float, str], date: str
) -> dict[str, Any]:
    usd, unit = price
    number = hashlib.sha256(f"{service} {region} {attributes['usagetype']}".encode()).hexdigest()
    sku = number[:16].upper()
    rate = f"{sku}.{_TERM}.{_RATE}"
    amount = f"{usd:.10f}"
    dimension = {
        "unit": unit,
        "beginRange": "0",
        "endRange": "Inf",
        "description": f"${amount} per {unit} of {attributes['usagetype']}",
        "appliesTo": [],
        "rateCode": rate,
        "pricePerUnit": {"USD": amount},
    }
    term = {
        "priceDimensions": {rate: dimension},
        "sku": sku,
        "effectiveDate": f"{date}T00:00:00Z",
        "offerTermCode": _TERM,
        "termAttributes": {},
    }
    of_all = {"servicecode": service, "regionCode": region, "locationType": "AWS Region"}
    return {
        "product": {"productFamily": family, "attributes": attributes | of_all, "sku": sku},
        "serviceCode": service,
        "terms": {"OnDemand": {f"{sku}.{_TERM}": term}},
        "version": date.replace("-", "") + "000000",
        "publicationDate": f"{date}T00:00:00Z",
    }
