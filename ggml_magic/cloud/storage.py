"""Artifacts on S3: put once under a key that holds their hash, never replaced."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggml_magic.cloud.gateway import MISSING, SANDBOX, Gateway
from ggml_magic.errors import CloudError, PublishError

# the region whose name CreateBucket refuses to hear
DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True)
class Storage:
    """S3 in one region, as one account."""

    s3: Gateway
    region: str
    account: str

    def bucket(self, chosen: str = "") -> str:
        """The artifacts' bucket, ``ggml-<account>-<region>`` unless one is chosen.

        A missing one is made on the sandbox. On AWS it is left to its owner: raises
        ``CloudError`` with the command that makes it, also where it lies in another region.
        """
        name = chosen or f"ggml-{self.account}-{self.region}"
        try:
            answer = self.s3.call("HeadBucket", Bucket=name, ExpectedBucketOwner=self.account)
        except CloudError as error:
            if error.code not in MISSING:
                raise
            self._make(name, error)
            return name
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        region = headers.get("x-amz-bucket-region", self.region)
        if region != self.region:
            raise CloudError(
                f"the bucket {name} lies in {region}",
                f"Greengrass takes artifacts from the component's own region, {self.region}",
                f"%ggml config region={region}",
            )
        return name

    def _make(self, name: str, error: CloudError) -> None:
        if self.s3.cloud != SANDBOX:
            raise CloudError(
                f"the bucket {name} does not exist on {self.s3.cloud}",
                "a bucket is made by its owner, not unasked",
                f"aws s3 mb s3://{name} --region {self.region}",
                operation=error.operation,
                code=error.code,
            ) from None
        place = {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        self.s3.call(
            "CreateBucket", Bucket=name, **({} if self.region == DEFAULT_REGION else place)
        )

    def put_if_absent(self, bucket: str, key: str, path: Path, sha256: str) -> bool:
        """Upload a file unless it is there already; whether it was uploaded.

        ``sha256`` is hexadecimal; S3 checks what arrives against it. Raises ``PublishError``
        where the key holds something else.
        """
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        there = self._head(bucket, key)
        if there is None:
            with path.open("rb") as body:
                self.s3.call(
                    "PutObject",
                    Bucket=bucket,
                    Key=key,
                    Body=body,
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=checksum,
                )
            return True
        if (there["ContentLength"], there.get("ChecksumSHA256")) != (path.stat().st_size, checksum):
            raise PublishError(
                f"s3://{bucket}/{key} holds something else than its name says",
                "somebody replaced it, and a published artifact is never overwritten",
                f"aws s3 rm s3://{bucket}/{key}, then run this again",
            )
        return False

    def exists(self, bucket: str, key: str) -> bool:
        """Whether there is such an object."""
        return self._head(bucket, key) is not None

    def _head(self, bucket: str, key: str) -> dict[str, Any] | None:
        try:
            return self.s3.call("HeadObject", Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        except CloudError as error:
            if error.code in MISSING:
                return None
            raise
