"""The code of functions: unzipped into folders that are named by its hash, and read-only for what runs.

Code of an image is what `images.code` makes of it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from dogbreed.rehearse import images
from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.function_records import Code, invalid
from dogbreed.rehearse.function_rules import UNZIPPED, ZIPPED

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

_BODY = 70_167_211  # 50 MB in base64, and some more


class Codes:
    """The code of all functions of an account, below one folder."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self._cloud = cloud
        self._folder = folder
        self._lock = threading.Lock()

    def of(self, call: Call, told: dict[str, Any]) -> Code:
        """The code that CreateFunction's `Code`, or UpdateFunctionCode, names; AwsError where it cannot be had."""
        if uri := told.get("ImageUri"):
            return self._of_image(uri)
        if (content := told.get("ZipFile")) is not None:
            if len(content) > ZIPPED:
                words = f"Request must be smaller than {_BODY} bytes for the {call.operation} operation"
                raise AwsError("RequestEntityTooLargeException", words, 413)
            return self._of_zip(content)
        if told.get("S3Bucket") and told.get("S3Key"):
            return self._of_zip(self._fetched(call, told))
        raise invalid("Please provide a source for function code.")

    def clear(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _fetched(self, call: Call, told: dict[str, Any]) -> bytes:
        where = {"Bucket": told["S3Bucket"], "Key": told["S3Key"]}
        if version := told.get("S3ObjectVersion"):
            where["VersionId"] = version
        # The caller, not Lambda, needs the right to read it.
        resource = f"arn:aws:s3:::{where['Bucket']}/{where['Key']}"
        self._cloud.need(call, "s3:GetObject", resource)
        try:
            content: bytes = self._cloud.client("s3", call.region).get_object(**where)["Body"].read()
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
            words = f"Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}"
            raise invalid(words) from error
        return content

    def _of_zip(self, content: bytes) -> Code:
        digest = hashlib.sha256(content)
        location = {"RepositoryType": "S3", "Location": f"https://awslambda.invalid/{digest.hexdigest()}"}
        folder = self._folder / digest.hexdigest()[:32]
        with self._lock:
            if not folder.is_dir():
                _unzip(content, folder)
        return Code(folder, base64.b64encode(digest.digest()).decode(), len(content), location)

    def _of_image(self, uri: str) -> Code:
        folder = images.code(self._cloud, uri)
        if folder is None:
            raise invalid(f"Source image {uri} does not exist. Provide a valid source image.")
        named, _, digest = uri.partition("@sha256:")
        repository = named if digest else named.rpartition(":")[0]
        digest = digest or self._digest(repository, named.rpartition(":")[2])
        location = {
            "RepositoryType": "ECR",
            "ImageUri": uri,
            "ResolvedImageUri": f"{repository}@sha256:{digest}",
        }
        cloud = self._cloud
        return Code(folder, digest, 0, location, images.files(cloud, uri), images.environment(cloud, uri) or {})

    def _digest(self, repository: str, tag: str) -> str:
        """What the tag of an image that is there means now."""
        registry, _, name = repository.partition("/")
        ecr = self._cloud.client("ecr", registry.split(".")[3])
        found = ecr.batch_get_image(repositoryName=name, imageIds=[{"imageTag": tag}])["images"]
        return str(found[0]["imageId"]["imageDigest"]).removeprefix("sha256:")


def _unzip(content: bytes, folder: Path) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if not members:
                raise invalid("Uploaded file must be a non-empty zip")
            if sum(member.file_size for member in members) >= UNZIPPED:
                raise invalid(f"Unzipped size must be smaller than {UNZIPPED} bytes")
            unpacked = folder.with_suffix(".new")
            shutil.rmtree(unpacked, ignore_errors=True)
            unpacked.mkdir(parents=True)
            for member in members:
                path = Path(archive.extract(member, unpacked))
                if (mode := member.external_attr >> 16 & 0o777) and path.is_file():
                    path.chmod(mode | 0o400)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise invalid("Could not unzip uploaded file. Please check your file, then try to upload again.") from error
    unpacked.rename(folder)
