"""Models from S3 and from training jobs, as the sandbox serves them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ggml_magic.cloud import downloads
from ggml_magic.cloud.connect import Cloud, connect
from ggml_magic.cloud.downloads import artifact, fetch
from ggml_magic.errors import CloudError, GrammarError
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

BUCKET = "models"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    from ggml_magic.sandbox import client

    workspace = Workspace(tmp_path_factory.mktemp("downloads") / ".ggml")
    cloud = connect(Settings(), workspace)
    s3 = cloud.storage.s3
    s3.call(
        "CreateBucket",
        Bucket=BUCKET,
        CreateBucketConfiguration={"LocationConstraint": cloud.region},
    )
    yield cloud
    client.stop(workspace)


def put(cloud: Cloud, key: str, content: bytes) -> None:
    cloud.storage.s3.call("PutObject", Bucket=BUCKET, Key=key, Body=content)


@pytest.mark.real
def test_an_object_comes_down_under_its_name(cloud: Cloud, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    put(cloud, "a/rain model.tar.gz", content)
    path = fetch(cloud, f"s3://{BUCKET}/a/rain model.tar.gz", tmp_path / "new")
    assert (path.name, path.read_bytes()) == ("rain model.tar.gz", content)
    assert path.is_relative_to(tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    again = fetch(cloud, f"s3://{BUCKET}/a/rain model.tar.gz", tmp_path / "new")
    assert again != path


@pytest.mark.real
@pytest.mark.parametrize("end", ["", "/"])
def test_a_prefix_comes_down_as_a_folder(cloud: Cloud, tmp_path: Path, end: str) -> None:
    for name, content in {"saved_model.pb": b"a", "variables/v.index": b"b", "": b""}.items():
        put(cloud, f"exported/1/{name}", content)
    put(cloud, "exported/10/other", b"x")
    folder = fetch(cloud, f"s3://{BUCKET}/exported/1{end}", tmp_path)
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert (folder.name, found) == ("1", {"saved_model.pb": b"a", "variables/v.index": b"b"})


@pytest.mark.real
def test_what_is_not_there_is_told(cloud: Cloud, tmp_path: Path) -> None:
    with pytest.raises(CloudError, match=f"there is no s3://{BUCKET}/nothing on sandbox") as caught:
        fetch(cloud, f"s3://{BUCKET}/nothing", tmp_path)
    assert caught.value.remedy == f"aws s3 ls s3://{BUCKET}/nothing"
    with pytest.raises(CloudError, match="there is no s3://no-such-bucket/key"):
        fetch(cloud, "s3://no-such-bucket/key", tmp_path)


@pytest.mark.parametrize(
    "where", ["s3://", "s3://bucket", "s3://bucket/", "http://x/y", "/etc/passwd", "s3:///key"]
)
def test_other_places_are_refused(where: str, tmp_path: Path) -> None:
    cloud: Any = None  # it is not even asked
    with pytest.raises(GrammarError, match="no place of a model"):
        fetch(cloud, where, tmp_path)
    with pytest.raises(GrammarError, match="a training job has a name"):
        fetch(cloud, "sagemaker:training-job/", tmp_path)


@pytest.mark.real
def test_keys_that_lead_elsewhere_write_nothing_there(cloud: Cloud, tmp_path: Path) -> None:
    put(cloud, "evil/..", b"x")
    path = fetch(cloud, f"s3://{BUCKET}/evil/..", tmp_path / "new")
    assert (path.name, path.is_relative_to(tmp_path / "new")) == ("model", True)
    put(cloud, "worse/m/../../../../escaped", b"x")
    with pytest.raises(CloudError, match="leaves its folder"):
        fetch(cloud, f"s3://{BUCKET}/worse/m", tmp_path / "new")
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.real
def test_what_is_too_much_is_not_downloaded(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        put(cloud, f"much/{i}", bytes(100))
    monkeypatch.setattr(downloads, "LARGEST_BYTES", 99)
    with pytest.raises(CloudError, match="100 bytes, more than 99"):
        fetch(cloud, f"s3://{BUCKET}/much/1", tmp_path)
    monkeypatch.setattr(downloads, "LARGEST_BYTES", 299)
    with pytest.raises(CloudError, match="300 bytes, more than 299"):
        fetch(cloud, f"s3://{BUCKET}/much", tmp_path)
    monkeypatch.setattr(downloads, "MOST_OBJECTS", 2)
    with pytest.raises(CloudError, match="3 objects, more than 2"):
        fetch(cloud, f"s3://{BUCKET}/much", tmp_path)


@pytest.mark.real
def test_a_training_jobs_model_comes_down(cloud: Cloud, tmp_path: Path) -> None:
    sagemaker = replace(cloud.storage.s3, service="sagemaker")
    sagemaker.call(
        "CreateTrainingJob",
        TrainingJobName="rain-1",
        AlgorithmSpecification={"TrainingImage": "x", "TrainingInputMode": "File"},
        RoleArn="arn:aws:iam::123456789012:role/service-role/training",
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/jobs"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )
    with pytest.raises(CloudError, match=r"there is no s3://models/jobs/rain-1/output/model\.tar"):
        fetch(cloud, "sagemaker:training-job/rain-1", tmp_path)
    put(cloud, "jobs/rain-1/output/model.tar.gz", b"packed")
    path = fetch(cloud, "sagemaker:training-job/rain-1", tmp_path)
    assert (path.name, path.read_bytes()) == ("model.tar.gz", b"packed")


@pytest.mark.real
def test_a_job_that_does_not_exist_is_told(cloud: Cloud, tmp_path: Path) -> None:
    with pytest.raises(CloudError, match="there is no training job rain-9 on sandbox") as caught:
        fetch(cloud, "sagemaker:training-job/rain-9", tmp_path)
    assert caught.value.operation == "DescribeTrainingJob"
    assert "list-training-jobs" in caught.value.remedy


@pytest.mark.parametrize(
    ("answer", "what", "why"),
    [
        ({"TrainingJobStatus": "InProgress", "SecondaryStatus": "Training"},
         "is InProgress, not Completed", "Training"),
        ({"TrainingJobStatus": "Failed", "FailureReason": "AlgorithmError:\n exit 1",
          "ModelArtifacts": {"S3ModelArtifacts": "s3://b/k"}},
         "is Failed, not Completed", "AlgorithmError: exit 1"),
        ({"TrainingJobStatus": "Stopped"}, "is Stopped, not Completed", "it left no model yet"),
        ({"TrainingJobStatus": "Completed"}, "left no model", "/opt/ml/model"),
        ({}, "is unknown, not Completed", "it left no model yet"),
    ],
)  # fmt: skip
def test_a_job_without_a_model_is_told(answer: dict[str, Any], what: str, why: str) -> None:
    """The sandbox's jobs are complete at once, so these are AWS' documents by themselves."""
    with pytest.raises(CloudError, match=what) as caught:
        artifact("rain-1", answer)
    assert why in caught.value.why
    assert "describe-training-job" in caught.value.remedy
