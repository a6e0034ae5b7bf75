"""Training jobs are listed, searched, tagged, and their instances kept warm, as on AWS."""

from __future__ import annotations

import boto3
import jobs
import pytest
import standin

from dogbreed.rehearse.state import Server


@pytest.fixture
def role(account: Server) -> str:
    standin.bucket()
    return standin.role()


def test_lists_searches_and_tags(role: str) -> None:
    client = boto3.client("sagemaker")
    for number in range(3):
        tags = [{"Key": "project", "Value": "dogs" if number else "cats"}]
        jobs.run(f"job-{number}", role, f"exit {number // 2}", Tags=tags)
    names = [one["TrainingJobName"] for one in client.list_training_jobs()["TrainingJobSummaries"]]
    assert names == ["job-2", "job-1", "job-0"], "newest first"
    pages = list(client.get_paginator("list_training_jobs").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["TrainingJobSummaries"]) for page in pages] == [2, 1]
    failed = client.list_training_jobs(StatusEquals="Failed", NameContains="job")["TrainingJobSummaries"]
    assert [one["TrainingJobName"] for one in failed] == ["job-2"]
    dogs = [{"Name": "Tags.project", "Operator": "Equals", "Value": "dogs"}]
    done = [{"Name": "TrainingJobStatus", "Operator": "Equals", "Value": "Completed"}]
    found = client.search(Resource="TrainingJob", SearchExpression={"Filters": dogs + done})["Results"]
    assert [one["TrainingJob"]["TrainingJobName"] for one in found] == ["job-1"]
    arn = found[0]["TrainingJob"]["TrainingJobArn"]
    client.add_tags(ResourceArn=arn, Tags=[{"Key": "run", "Value": "7"}])
    client.delete_tags(ResourceArn=arn, TagKeys=["project"])
    assert client.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "run", "Value": "7"}]
    tagging = boto3.client("resourcegroupstaggingapi")
    told = tagging.get_resources(TagFilters=[{"Key": "run", "Values": ["7"]}])["ResourceTagMappingList"]
    assert [one["ResourceARN"] for one in told] == [arn]


def test_a_warm_pool_is_kept_taken_over_and_let_go(role: str) -> None:
    client = boto3.client("sagemaker")
    warm = {"ResourceConfig": jobs.hosts(1) | {"KeepAlivePeriodInSeconds": 600}}

    def pool(name: str) -> dict[str, object]:
        return dict(jobs.describe(name)["WarmPoolStatus"])

    first = jobs.run("first", role, "true", **warm)
    assert first["WarmPoolStatus"]["Status"] == "Available"
    second = jobs.run("second", role, "true", **warm)
    assert (pool("first")["Status"], pool("first")["ReusedByJob"]) == ("Reused", second["TrainingJobArn"])
    client.update_training_job(TrainingJobName="second", ResourceConfig={"KeepAlivePeriodInSeconds": 0})
    assert pool("second")["Status"] == "Terminated"
