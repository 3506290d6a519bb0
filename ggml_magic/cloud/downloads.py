"""Models that lie in the cloud: S3 objects, and what SageMaker's training jobs left there."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from ggml_magic.cloud.connect import Cloud
from ggml_magic.cloud.gateway import MISSING, Gateway, telling
from ggml_magic.errors import CloudError, GrammarError
from ggml_magic.workspace import make_private

S3, TRAINING_JOB = "s3://", "sagemaker:training-job/"
COMPLETED = "Completed"
# SageMaker says so in a message, and gives a general code.
NO_JOB = ("could not find", "not found")
BLOCK_BYTES = 1 << 20
# A model for a device is far smaller; what is larger is a mistake that would fill the disk.
LARGEST_BYTES = 2 << 30
MOST_OBJECTS = 1_000


def fetch(cloud: Cloud, where: str, folder: Path) -> Path:
    """Download ``s3://bucket/key`` or ``sagemaker:training-job/NAME`` into a new folder.

    The path of the file, or of a folder where the key is a prefix of several objects, such as
    an exported SavedModel. Raises ``GrammarError`` for another place, and ``CloudError`` where
    there is nothing, or where a job has left no model.
    """
    if where.startswith(TRAINING_JOB):
        where = _artifact_of(cloud, where.removeprefix(TRAINING_JOB))
    bucket, key = _place(where)
    make_private(folder)
    target = Path(tempfile.mkdtemp(prefix="fetched-", dir=folder))
    s3 = cloud.storage.s3
    # a key that ends in a slash is a folder's mark, and its object empty
    size = None if key.endswith("/") else _size(s3, bucket, key)
    if size is None:
        return _folder(s3, bucket, key, target)
    _check_size(where, size)
    return _file(s3, bucket, key, target / _name(key))


def _place(where: str) -> tuple[str, str]:
    bucket, _, key = where.removeprefix(S3).partition("/")
    if not where.startswith(S3) or not bucket or not key:
        raise GrammarError(
            f"{where} is no place of a model",
            "a place is s3://bucket/key or sagemaker:training-job/NAME",
            "s3://bucket/models/rain.tar.gz",
        )
    return bucket, key


def _artifact_of(cloud: Cloud, job: str) -> str:
    """Where a training job left its model."""
    if not job:
        raise GrammarError(
            "a training job has a name",
            "sagemaker:training-job/ stands without one",
            "sagemaker:training-job/NAME",
        )
    sagemaker = replace(cloud.storage.s3, service="sagemaker")
    try:
        answer = sagemaker.call("DescribeTrainingJob", TrainingJobName=job)
    except CloudError as error:
        if not any(text in error.why.lower() for text in NO_JOB):
            raise
        raise CloudError(
            f"there is no training job {job} on {cloud.name} in {cloud.region}",
            error.why,
            f"aws sagemaker list-training-jobs --region {cloud.region}",
            operation=error.operation,
            code=error.code,
        ) from None
    return artifact(job, answer)


def artifact(job: str, answer: Mapping[str, Any]) -> str:
    """The ``s3://`` address of a job's model, from what DescribeTrainingJob answered.

    Raises ``CloudError`` for a job that has not completed, or that left no model.
    """
    status = str(answer.get("TrainingJobStatus", "unknown"))
    where = str(answer.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""))
    operation = "DescribeTrainingJob"
    if status != COMPLETED:
        why = answer.get("FailureReason") or answer.get("SecondaryStatus") or "it left no model yet"
        raise CloudError(
            f"the training job {job} is {status}, not {COMPLETED}",
            " ".join(str(why).split()),
            f"aws sagemaker describe-training-job --training-job-name {job}",
            operation=operation,
        )
    if not where:
        raise CloudError(
            f"the training job {job} left no model",
            "it has no ModelArtifacts: nothing was written to /opt/ml/model",
            f"aws sagemaker describe-training-job --training-job-name {job}",
            operation=operation,
        )
    return where


def _size(s3: Gateway, bucket: str, key: str) -> int | None:
    """An object's size in bytes, or ``None`` where there is no such one."""
    try:
        return int(s3.call("HeadObject", Bucket=bucket, Key=key)["ContentLength"])
    except CloudError as error:
        if error.code in MISSING:
            return None
        raise


def _check_size(where: str, size: int) -> None:
    if size > LARGEST_BYTES:
        raise CloudError(
            f"{where} is not downloaded",
            f"it has {size:,} bytes, more than {LARGEST_BYTES:,}: no model for a device",
            "download it by hand if it is one, and give the path",
        )


def _folder(s3: Gateway, bucket: str, key: str, target: Path) -> Path:
    """All objects under a prefix."""
    prefix = f"{key.rstrip('/')}/"
    where = f"{S3}{bucket}/{prefix}"
    try:
        listed = s3.pages("ListObjectsV2", "Contents", Bucket=bucket, Prefix=prefix)
        found = {o["Key"]: int(o["Size"]) for o in listed if not o["Key"].endswith("/")}
    except CloudError as error:
        if error.code not in MISSING:
            raise
        found = {}
    if not found:
        raise CloudError(
            f"there is no {S3}{bucket}/{key} on {s3.cloud}",
            "neither an object nor a prefix of objects is called so",
            f"aws s3 ls {S3}{bucket}/{key}",
            operation="HeadObject",
            code="404",
        )
    if len(found) > MOST_OBJECTS:
        raise CloudError(
            f"{where} is not downloaded",
            f"it holds {len(found):,} objects, more than {MOST_OBJECTS:,}: no model",
            "the prefix of the one model, s3://bucket/models/rain/1/",
        )
    _check_size(where, sum(found.values()))
    folder = target / _name(key)
    for name in found:
        parts = PurePosixPath(name.removeprefix(prefix)).parts
        if not parts or ".." in parts or parts[0] == "/":
            raise CloudError(f"{where} is not downloaded", f"the key {name!r} leaves its folder")
        inside = folder.joinpath(*parts)
        inside.parent.mkdir(parents=True, exist_ok=True)
        _file(s3, bucket, name, inside)
    return folder


def _name(key: str) -> str:
    """A file's name for a key."""
    name = PurePosixPath(key).name
    return name if name not in ("", "..") else "model"


def _file(s3: Gateway, bucket: str, key: str, path: Path) -> Path:
    body = s3.call("GetObject", Bucket=bucket, Key=key)["Body"]
    with telling(s3.cloud, "GetObject"), path.open("xb") as file:
        while block := body.read(BLOCK_BYTES):
            file.write(block)
    return path
