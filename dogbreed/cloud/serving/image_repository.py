"""The project's image repository (ECR): tags that cannot be moved, scans, and an end for old images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud.errors import code, is_missing
from dogbreed.cloud.session import Aws, pairs, unpaired
from dogbreed.plan import Found, Resource

# Images that stay, newest first: some 0.2 GB each, at $0.10 per GB and month. One that a service still runs is among
# them unless that many were built since.
KEPT = 20
_UNTAGGED_DAYS = 1


class Repository(Resource):
    """`p`, where p is the project. `[aws] kms_key` encrypts it from the start; AWS cannot change that later."""

    kind = "image repository"

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.name = aws.settings.project

    @property
    def uri(self) -> str:
        """The address of the repository, without a tag."""
        ending = "amazonaws.com.cn" if self.aws.partition == "aws-cn" else "amazonaws.com"
        return f"{self.aws.account}.dkr.ecr.{self.aws.region}.{ending}/{self.name}"

    def wanted(self) -> Mapping[str, Any]:
        """Everything that can be changed later."""
        return {
            "tags": self.aws.tags("images"),
            "immutable": True,
            "scan": True,
            "lifecycle": _lifecycle(),
            "policy": self._policy(),
        }

    def find(self) -> Found | None:
        """Look at it and at what is asked for separately."""
        try:
            told = self._ecr.describe_repositories(repositoryNames=[self.name])["repositories"][0]
            tags = unpaired(self._ecr.list_tags_for_resource(resourceArn=told["repositoryArn"])["tags"])
            content = {
                "tags": self.aws.seen(tags, "images"),
                "immutable": told["imageTagMutability"] == "IMMUTABLE",
                "scan": told["imageScanningConfiguration"]["scanOnPush"],
                "lifecycle": self._document("get_lifecycle_policy", "lifecyclePolicyText"),
                "policy": self._document("get_repository_policy", "policyText"),
            }
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        return Found(told["repositoryArn"], content, ours=self.aws.is_ours(tags), created=told.get("createdAt"))

    def create(self) -> None:
        """Make it; `find` sees what is missing when this was interrupted."""
        key = self.aws.kms_key
        encrypted = {"encryptionType": "KMS", "kmsKey": key} if key else {"encryptionType": "AES256"}
        try:
            self._ecr.create_repository(
                repositoryName=self.name,
                tags=pairs(self.aws.tags("images")),
                imageTagMutability="IMMUTABLE",
                imageScanningConfiguration={"scanOnPush": True},
                encryptionConfiguration=encrypted,
            )
        except ClientError as error:
            if code(error) != "RepositoryAlreadyExistsException":
                raise
        self._put_lifecycle()
        self._put_policy()

    def update(self, found: Found) -> None:
        """Put back what differs."""
        differs = {key for key, value in self.wanted().items() if found.content.get(key) != value}
        if "tags" in differs:
            self._ecr.tag_resource(resourceArn=found.id, tags=pairs(self.aws.tags("images")))
        if "immutable" in differs:
            self._ecr.put_image_tag_mutability(repositoryName=self.name, imageTagMutability="IMMUTABLE")
        if "scan" in differs:
            self._ecr.put_image_scanning_configuration(
                repositoryName=self.name, imageScanningConfiguration={"scanOnPush": True}
            )
        if "lifecycle" in differs:
            self._put_lifecycle()
        if "policy" in differs:
            self._put_policy()

    def delete(self, found: Found) -> None:
        """Remove it with all its images, which can be built again."""
        with suppress(self._ecr.exceptions.RepositoryNotFoundException):
            self._ecr.delete_repository(repositoryName=self.name, force=True)

    @property
    def _ecr(self) -> Any:
        return self.aws.client("ecr")

    def _put_lifecycle(self) -> None:
        text = json.dumps(_lifecycle(), separators=(",", ":"))
        self._ecr.put_lifecycle_policy(repositoryName=self.name, lifecyclePolicyText=text)

    def _put_policy(self) -> None:
        text = json.dumps(self._policy(), separators=(",", ":"))
        self._ecr.set_repository_policy(repositoryName=self.name, policyText=text)

    def _policy(self) -> dict[str, Any]:
        """Lambda fetches a function's image by itself, not as the function's role."""
        statement = {
            "Sid": "Functions",
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Condition": {
                "StringEquals": {"aws:SourceAccount": self.aws.account},
                "ArnLike": {"aws:SourceArn": self.aws.arn("lambda", f"function:{self.name}-*")},
            },
        }
        return {"Version": "2012-10-17", "Statement": [statement]}

    def _document(self, operation: str, key: str) -> Any:
        """A policy of it; None where there is none."""
        try:
            return json.loads(getattr(self._ecr, operation)(repositoryName=self.name)[key])
        except ClientError as error:
            if code(error) in ("LifecyclePolicyNotFoundException", "RepositoryPolicyNotFoundException"):
                return None
            raise


def _lifecycle() -> dict[str, Any]:
    """Leftovers of uploads go after a day, and of the rest all but the newest."""
    selections = (
        ("what no tag names", {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days"}),
        ("all but the newest", {"tagStatus": "any", "countType": "imageCountMoreThan"}),
    )
    counts = (_UNTAGGED_DAYS, KEPT)
    return {
        "rules": [
            {
                "rulePriority": number,
                "description": words,
                "selection": {**selection, "countNumber": count},
                "action": {"type": "expire"},
            }
            for number, ((words, selection), count) in enumerate(zip(selections, counts, strict=True), 1)
        ]
    }
