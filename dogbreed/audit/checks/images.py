"""Whose an image or a bucket is: one's own account, a friend's, AWS's for SageMaker's images, or somebody's."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from dogbreed.audit.model import HOLE, OWN_ACCOUNT, Corpus, Resource

_FILE = Path(__file__).parent.parent / "data" / "image_accounts.json"
_ECR = re.compile(rf"(\d{{12}}|[^./]*{HOLE}[^./]*)\.dkr[.-]ecr(?:-fips)?\.[^/]+/.+")
_PUBLIC = re.compile(
    r"(?:public\.ecr\.aws|docker\.io|registry-1\.docker\.io|ghcr\.io|quay\.io|gcr\.io|registry\.gitlab\.com)/"
)
_DIGEST = re.compile(r"@sha256:.")
_ACCOUNT = re.compile(r"(?<!\d)\d{12}(?!\d)")


@cache
def aws_accounts() -> frozenset[str]:
    """The accounts from which AWS publishes SageMaker's images (`scripts/make_image_accounts.py`)."""
    return frozenset(json.loads(_FILE.read_text(encoding="utf-8"))["accounts"])


def mutable(image: str) -> bool:
    """Whether an image is not named by its digest."""
    return not _DIGEST.search(image)


def own_accounts(resource: Resource, corpus: Corpus) -> set[str]:
    """The accounts that are one's own, as far as can be told."""
    own = {corpus.account, OWN_ACCOUNT, *corpus.friends}
    arns = [resource.arn, *resource.roles, *(str(resource.get(key)) for key in ("ExecutionRoleArn", "RoleArn"))]
    own |= {parts[4] for parts in (arn.split(":") for arn in arns) if len(parts) > 5 and parts[4]}
    return own | {one.account for one in corpus.principals if one.account}


def foreign_image(image: str, resource: Resource, corpus: Corpus) -> str:
    """Why an image is somebody else's, "" when it is not, or when its account is not known."""
    if match := _ECR.fullmatch(image):
        account = match[1]
        if HOLE in account or account in own_accounts(resource, corpus) or account in aws_accounts():
            return ""
        return f"the image is in the registry of account {account}"
    if match := _PUBLIC.match(image):
        return f"the image is in the public registry {match[0].rstrip('/')}"
    first, slash, _ = image.partition("/")
    if HOLE in image or (slash and re.search(r"[.:]", first)):
        return ""
    return "the image is in no registry of yours, which means Docker Hub"


def foreign_bucket(address: str, resource: Resource, corpus: Corpus) -> str:
    """Why a bucket is somebody else's by its name, which often holds the account; "" otherwise."""
    bucket = address.removeprefix("s3://").split("/", 1)[0]
    match = _ACCOUNT.search(bucket)
    own = own_accounts(resource, corpus)
    if match is None or match[0] in own or match[0] in aws_accounts() or own <= {OWN_ACCOUNT}:
        return ""
    return f"the model is in the bucket {bucket}, which by its name is of account {match[0]}"
