"""Public parameters of SSM, beside those of moto."""

from __future__ import annotations

import boto3
import instances
import pytest
from botocore.exceptions import ClientError

from dogbreed.rehearse.state import Server

PATH = "/aws/service/deeplearning/ami"


def test_every_parameter_names_an_image_of_its_architecture(account: Server) -> None:
    pages = boto3.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=PATH, Recursive=True)
    found = {one["Name"]: one["Value"] for page in pages for one in page["Parameters"]}
    assert instances.PARAMETER in found
    images = boto3.client("ec2").describe_images(ImageIds=list(found.values()))["Images"]
    architectures = {image["ImageId"]: image["Architecture"] for image in images}
    for name, value in found.items():
        assert architectures[value] == name.split("/")[5]
    assert len(set(found.values())) == len(found)


def test_images_are_found_by_owner_and_name(account: Server) -> None:
    filters = [
        {"Name": "name", "Values": ["Deep Learning OSS Nvidia Driver AMI GPU PyTorch 2.13 (Amazon Linux 2023)*"]}
    ]
    (image,) = boto3.client("ec2").describe_images(Owners=["amazon"], Filters=filters)["Images"]
    assert image["ImageId"] == instances.image()


def test_other_parameters_are_motos(account: Server) -> None:
    ssm = boto3.client("ssm")
    ssm.put_parameter(Name="/own", Value="v", Type="String")
    told = ssm.get_parameters(Names=["/own", instances.PARAMETER, "/none"])
    assert {one["Name"] for one in told["Parameters"]} == {"/own", instances.PARAMETER}
    assert told["InvalidParameters"] == ["/none"]
    with pytest.raises(ClientError, match="ParameterNotFound"):
        ssm.get_parameter(Name=f"{PATH}/x86_64/oss-nvidia-driver-gpu-pytorch-1.0-ubuntu-22.04/latest/ami-id")


def test_images_differ_from_region_to_region(account: Server) -> None:
    other = boto3.client("ssm", region_name="us-east-1").get_parameter(Name=instances.PARAMETER)["Parameter"]["Value"]
    assert other != instances.image()
    assert boto3.client("ec2", region_name="us-east-1").describe_images(ImageIds=[other])["Images"]
