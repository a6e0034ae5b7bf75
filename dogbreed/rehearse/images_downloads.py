"""Where the parts of an image are to be fetched: for `docker` on machines, which comes with the role of its machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import AwsError

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud


def add(cloud: Cloud) -> None:
    """Register with the cloud."""

    def url(call: Call) -> dict[str, Any]:
        """GetDownloadUrlForLayer: the file itself, which machines see at the same place."""
        digest = call.params["layerDigest"]
        path = cloud.folder / "images" / "blobs" / digest.removeprefix("sha256:").replace("/", "")
        if not path.is_file():
            words = f"The layer with digest {digest} does not exist in repository {call.params['repositoryName']}"
            raise AwsError("LayersNotFoundException", words)
        return {"downloadUrl": path.as_uri(), "layerDigest": digest}

    cloud.handle("ecr", "GetDownloadUrlForLayer", url)
