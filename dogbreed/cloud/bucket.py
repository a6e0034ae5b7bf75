"""The project's bucket: versioned, encrypted, closed to the public, to other accounts and to calls without TLS.

It holds photos (`data/`), code (`code/`), runs (`runs/`), models that are served (`models/`), what services are asked
(`captured/`) and checkpoints (`checkpoints/`); the last two expire.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud.errors import code, is_missing
from dogbreed.cloud.session import PROJECT_TAG, Aws, pairs, unpaired
from dogbreed.errors import AccessError, DogbreedError
from dogbreed.plan import Found, Resource

DATA, CODE, RUNS, CHECKPOINTS = "data/", "code/", "runs/", "checkpoints/"
MODELS, CAPTURED = "models/", "captured/"
KEEPS = "holds your photos and runs"
_OWNERSHIP = "BucketOwnerEnforced"
_CLOSED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
# Photos of other people are kept no longer than it takes to look at them.
_CAPTURED_DAYS = 30
# A job ends within 120 h and waits for spot capacity as long; nobody resumes from a checkpoint a month later.
_CHECKPOINT_DAYS, _NONCURRENT_DAYS, _UPLOAD_DAYS = 30, 30, 3
_AT_ONCE = 1000  # keys per DeleteObjects, its limit
# The region whose name CreateBucket does not take.
_UNNAMED_REGION = "us-east-1"


class Bucket(Resource):
    """`[aws] bucket`, or <project>-<account>-<region>; one that somebody else made in this account is used as it is."""

    kind = "bucket"

    def __init__(self, aws: Aws, *, keep: str = KEEPS) -> None:
        self.aws = aws
        self.name = aws.bucket
        self.keep = keep
        self.hint = "choose another name: [aws] bucket in dogbreed.toml"
        self._theirs = False

    @property
    def arn(self) -> str:
        """`arn:aws:s3:::NAME`."""
        return self.aws.arn("s3", self.name, regional=False, account=False)

    def wanted(self) -> Mapping[str, Any]:
        """Everything that makes the bucket safe; nothing is asked of a bucket that this project did not make."""
        if self._theirs:
            return {}
        return {
            "public access": _CLOSED,
            "ownership": _OWNERSHIP,
            "encryption": self._encryption(),
            "versioning": "Enabled",
            "policy": policy(self.arn, self.aws.account),
            "lifecycle": _lifecycle(),
            "tags": self.aws.tags("bucket"),
        }

    def find(self) -> Found | None:
        """Look at every setting; AccessError for a bucket of another account, DogbreedError for another region's."""
        if not self._exists():
            return None
        tags = self._tags()
        ours = self._is_ours(tags)
        self._theirs = not ours
        if not ours:
            return Found(self.arn, {}, ours=False)
        return Found(
            self.arn,
            {"tags": self.aws.seen(tags, "bucket")} | {name: look() for name, (look, _) in self._settings().items()},
        )

    def create(self) -> None:
        """Make it and close it at once; `find` sees what is missing when this was interrupted."""
        where: dict[str, Any] = {}
        if self.aws.region != _UNNAMED_REGION:
            where["CreateBucketConfiguration"] = {"LocationConstraint": self.aws.region}
        try:
            self._s3.create_bucket(Bucket=self.name, ObjectOwnership=_OWNERSHIP, **where)
        except ClientError as error:
            if code(error) == "BucketAlreadyExists":
                raise _taken(self.name, self.hint) from error
            if code(error) != "BucketAlreadyOwnedByYou":
                raise
        self._tag()
        for _, put in self._settings().values():
            put()

    def update(self, found: Found) -> None:
        """Put back what differs."""
        if found.content.get("tags") != self.aws.tags("bucket"):
            self._tag()
        for name, (_, put) in self._settings().items():
            if found.content.get(name) != self.wanted()[name]:
                put()

    def delete(self, found: Found) -> None:
        """Remove it with all it holds, old versions included: there is no way back."""
        try:
            for _ in self.empty():
                pass
            self._s3.delete_bucket(**self._owned)
        except ClientError as error:
            if not is_missing(error):
                raise

    def empty(self) -> Iterator[int]:
        """Delete every version of every object and every unfinished upload, yielding how many went each time."""
        # Always the first page anew: what it named is gone by then.
        while True:
            page = self._s3.list_object_versions(**self._owned, MaxKeys=_AT_ONCE)
            named = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            if not named:
                break
            keys = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in named]
            answer = self._s3.delete_objects(**self._owned, Delete={"Objects": keys, "Quiet": True})
            for failed in answer.get("Errors", ()):
                raise DogbreedError(
                    f"{failed['Key']} in bucket {self.name} could not be deleted: {failed.get('Message', '')}",
                    "repeat the command; it goes on where it stopped",
                )
            yield len(keys)
        for page in self._s3.get_paginator("list_multipart_uploads").paginate(**self._owned):
            for upload in page.get("Uploads", ()):
                self._s3.abort_multipart_upload(**self._owned, Key=upload["Key"], UploadId=upload["UploadId"])

    # -- one setting after the other

    @property
    def _s3(self) -> Any:
        return self.aws.client("s3")

    @property
    def _owned(self) -> dict[str, str]:
        return {"Bucket": self.name, "ExpectedBucketOwner": self.aws.account}

    def _settings(self) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
        """How to look at each setting and how to put it; in the order in which they close the bucket."""
        put = self._put
        closed, owned = "PublicAccessBlockConfiguration", {"Rules": [{"ObjectOwnership": _OWNERSHIP}]}
        return {
            "public access": (
                lambda: self._get(
                    "get_public_access_block", "NoSuchPublicAccessBlock", "PublicAccessBlockConfiguration"
                ),
                lambda: put("public_access_block", **{closed: _CLOSED}),
            ),
            "ownership": (
                self._ownership,
                lambda: put("bucket_ownership_controls", OwnershipControls=owned),
            ),
            "encryption": (
                self._found_encryption,
                lambda: put("bucket_encryption", ServerSideEncryptionConfiguration={"Rules": [self._encryption()]}),
            ),
            "versioning": (
                lambda: self._get("get_bucket_versioning", "", "Status"),
                lambda: put("bucket_versioning", VersioningConfiguration={"Status": "Enabled"}),
            ),
            "policy": (
                self._found_policy,
                lambda: put("bucket_policy", Policy=json.dumps(policy(self.arn, self.aws.account))),
            ),
            "lifecycle": (
                self._found_lifecycle,
                lambda: put("bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": _lifecycle()}),
            ),
        }

    def _exists(self) -> bool:
        try:
            # The SDK follows a bucket into its region, where jobs of this one would pay for every byte.
            region = self._s3.head_bucket(**self._owned).get("BucketRegion") or self.aws.region
        except ClientError as error:
            if code(error) == "404":
                return False
            if code(error) == "403":
                raise _taken(self.name, self.hint) from error
            raise
        if region != self.aws.region:
            raise DogbreedError(f"bucket {self.name} is in {region}, not in {self.aws.region}", self.hint)
        return True

    def _is_ours(self, tags: Mapping[str, str]) -> bool:
        if PROJECT_TAG in tags:
            return self.aws.is_ours(tags)
        # Without its tag it was made a moment ago by a command that was killed: it has our name, or nothing inside.
        if not self.aws.settings.bucket:
            return True
        return not tags and not self._s3.list_object_versions(**self._owned, MaxKeys=1).get("Versions")

    def _get(self, operation: str, absent: str, key: str = "") -> Any:
        """An answer or one part of it; None where the bucket has no such setting."""
        try:
            answer = getattr(self._s3, operation)(**self._owned)
        except ClientError as error:
            if absent and code(error).startswith(absent):
                return None
            raise
        return answer.get(key) if key else answer

    def _put(self, what: str, **setting: Any) -> None:
        getattr(self._s3, f"put_{what}")(**self._owned, **setting)

    def _tags(self) -> dict[str, str]:
        return unpaired(self._get("get_bucket_tagging", "NoSuchTagSet", "TagSet"))

    def _tag(self) -> None:
        # This call replaces all tags; those that people have put on it stay.
        self._put("bucket_tagging", Tagging={"TagSet": pairs(self._tags() | self.aws.tags("bucket"))})

    def _encryption(self) -> dict[str, Any]:
        if not self.aws.kms_key:
            return {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        how = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self.aws.kms_key}
        # A bucket key saves a call to KMS, and its price, for nearly every object.
        return {"ApplyServerSideEncryptionByDefault": how, "BucketKeyEnabled": True}

    def _found_encryption(self) -> Any:
        answer = self._get("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFound") or {}
        for rule in answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", ()):
            how = rule.get("ApplyServerSideEncryptionByDefault", {})
            if how.get("SSEAlgorithm") == "AES256":
                return {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
            return {"ApplyServerSideEncryptionByDefault": how, "BucketKeyEnabled": rule.get("BucketKeyEnabled")}
        return None

    def _ownership(self) -> Any:
        answer = self._get("get_bucket_ownership_controls", "OwnershipControlsNotFound") or {}
        rules = answer.get("OwnershipControls", {}).get("Rules", ())
        return rules[0]["ObjectOwnership"] if rules else None

    def _found_policy(self) -> Any:
        text = self._get("get_bucket_policy", "NoSuchBucketPolicy", "Policy")
        return None if text is None else json.loads(text)

    def _found_lifecycle(self) -> Any:
        rules = self._get("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration", "Rules")
        if rules is None:
            return None
        # An empty prefix may come back as none.
        named = [{**rule, "Filter": rule.get("Filter") or {"Prefix": rule.get("Prefix", "")}} for rule in rules]
        return sorted(named, key=lambda rule: str(rule.get("ID")))


def policy(arn: str, account: str) -> dict[str, Any]:
    """The bucket's policy: nothing without TLS, nobody of another account but AWS's own services."""
    everything = {"Principal": "*", "Action": "s3:*", "Resource": [arn, f"{arn}/*"]}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "OnlyTls",
                "Effect": "Deny",
                **everything,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
            {
                "Sid": "OnlyThisAccount",
                "Effect": "Deny",
                **everything,
                "Condition": {
                    "StringNotEquals": {"aws:PrincipalAccount": account},
                    # IfExists: a call without a signature has no such key, and is refused.
                    "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
                },
            },
        ],
    }


def _lifecycle() -> list[dict[str, Any]]:
    """What was captured and checkpoints expire, and so do old versions and uploads that never ended; sorted by ID, as
    `find` gives them.
    """
    return [
        {
            "ID": "captured",
            "Status": "Enabled",
            "Filter": {"Prefix": CAPTURED},
            "Expiration": {"Days": _CAPTURED_DAYS},
        },
        {
            "ID": "checkpoints",
            "Status": "Enabled",
            "Filter": {"Prefix": CHECKPOINTS},
            "Expiration": {"Days": _CHECKPOINT_DAYS},
        },
        {
            "ID": "rests",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
            "NoncurrentVersionExpiration": {"NoncurrentDays": _NONCURRENT_DAYS},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _UPLOAD_DAYS},
        },
    ]


def _taken(name: str, hint: str) -> DogbreedError:
    return AccessError(f"bucket {name} belongs to another account, or s3:ListBucket on it is not allowed", hint)
