"""Who is called, and with whose credentials: only what the settings say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ggml_magic.cloud.connect import aws_maker, connect, sandbox_maker
from ggml_magic.cloud.gateway import Gateway
from ggml_magic.errors import CloudError
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

URL = "http://127.0.0.1:9"


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with an AWS account of one's own."""
    folder = tmp_path / ".aws"
    folder.mkdir()
    (folder / "config").write_text(
        "[default]\nendpoint_url = http://elsewhere.example\nregion = us-west-2\n"
    )
    (folder / "credentials").write_text(
        "[default]\naws_access_key_id = theirs\naws_secret_access_key = theirs\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder


def test_the_sandbox_is_never_called_with_a_persons_own_account(
    person: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_PROFILE": "a-profile-that-does-not-exist",
        "AWS_ENDPOINT_URL": "http://elsewhere.example",
        "AWS_ENDPOINT_URL_S3": "http://elsewhere.example",
        "AWS_ACCESS_KEY_ID": "theirs",
        "AWS_SECRET_ACCESS_KEY": "theirs",
        "AWS_SESSION_TOKEN": "theirs",
        "AWS_REGION": "us-west-2",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_CONFIG_FILE": str(person / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(person / "credentials"),
        "HTTP_PROXY": "http://elsewhere.example",
        "http_proxy": "http://elsewhere.example",
    }.items():
        monkeypatch.setenv(name, value)
    for service in ("s3", "greengrassv2", "iot-data", "sts"):
        client = sandbox_maker(URL, "eu-west-1")(service)
        assert client.meta.endpoint_url == URL
        assert client.meta.region_name == "eu-west-1"
        keys = client._get_credentials()
        assert (keys.access_key, keys.secret_key, keys.token) == ("sandbox", "sandbox", None)
        assert client._endpoint.http_session._proxy_config.proxy_url_for(URL) is None


def test_aws_takes_the_default_chain_and_the_region_of_the_settings(person: Path) -> None:
    (person / "config").write_text("[default]\nregion = us-west-2\n")
    client = aws_maker("eu-west-1")("greengrassv2")
    assert client.meta.region_name == "eu-west-1"
    assert client.meta.endpoint_url == "https://greengrass.eu-west-1.amazonaws.com"
    assert client._get_credentials().access_key == "theirs"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.0.0.7"])
def test_what_is_called_aws_is_never_this_machine(
    person: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:5000")
    with pytest.raises(CloudError, match="AWS_ENDPOINT_URL") as failed:
        aws_maker("eu-west-1")("sts")
    assert "%ggml config cloud=sandbox" in failed.value.remedy


def test_an_endpoint_in_the_aws_configuration_is_noticed_too(person: Path) -> None:
    (person / "config").write_text("[default]\nendpoint_url = http://localhost:4566\n")
    with pytest.raises(CloudError, match="on this machine"):
        aws_maker("eu-west-1")("sts")


def test_without_credentials_aws_says_so_and_the_sandbox_is_not_taken_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    workspace = Workspace(tmp_path / ".ggml")
    with pytest.raises(CloudError, match="no AWS credentials") as failed:
        connect(Settings(cloud="aws"), workspace)
    assert failed.value.code == "NoCredentialsError"
    assert not workspace.root.exists()


def test_a_profile_that_does_not_exist_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nope")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(CloudError, match="AWS_PROFILE names a profile"):
        Gateway("aws", "sts", aws_maker("eu-west-1")).call("GetCallerIdentity")


def test_nothing_heavy_is_imported_before_a_call() -> None:
    code = (
        "import sys, ggml_magic.cloud.connect, ggml_magic.deploy.deploy,"
        " ggml_magic.observe.predictions, ggml_magic.observe.shadow, ggml_magic.observe.logs;"
        "print([m for m in ('boto3', 'botocore', 'numpy', 'pandas') if m in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert told.strip() == "[]"


@pytest.mark.real
def test_the_sandbox_starts_on_first_use_and_answers(tmp_path: Path) -> None:
    from ggml_magic.sandbox import client

    workspace = Workspace(tmp_path / ".ggml")
    try:
        cloud = connect(Settings(), workspace)
        assert cloud.name == "sandbox"
        assert cloud.endpoint is not None
        assert cloud.endpoint.startswith("http://127.0.0.1:")
        assert cloud.account.isdigit()
        assert cloud.things.names() == ()
    finally:
        client.stop(workspace)
