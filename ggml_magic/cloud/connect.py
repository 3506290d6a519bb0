"""Reach the cloud of the settings: AWS, or the sandbox on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ggml_magic.cloud.components import Components
from ggml_magic.cloud.deployments import Deployments
from ggml_magic.cloud.gateway import SANDBOX, Gateway
from ggml_magic.cloud.storage import Storage
from ggml_magic.cloud.things import Things
from ggml_magic.errors import CloudError
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

# Seconds. The sandbox is on this machine: one that does not answer soon was lost. Its slowest
# answer, the first call of a service on a busy machine, took 3 s.
SANDBOX_CONNECT, SANDBOX_READ, SANDBOX_ATTEMPTS = 2, 10, 3
AWS_CONNECT, AWS_READ, AWS_ATTEMPTS = 10, 60, 6
# not secret: the sandbox takes any, and passing them keeps a person's own ones out
THROW_AWAY_KEY, THROW_AWAY_SECRET = "sandbox", "sandbox"
LOOPBACK = ("localhost", "::1", "0.0.0.0")  # noqa: S104  # compared with, not listened on

Maker = Callable[[str], Any]


@dataclass(frozen=True)
class Cloud:
    """A cloud that answers: its name, where it is, whose account, and its services.

    ``endpoint`` is the sandbox's URL; ``None`` on AWS, whose endpoints follow from the region.
    """

    name: str
    region: str
    account: str
    endpoint: str | None
    storage: Storage
    components: Components
    deployments: Deployments
    things: Things


def connect(settings: Settings, workspace: Workspace) -> Cloud:
    """Reach the cloud of the settings; the sandbox is started on first use.

    Raises ``CloudError`` for missing, expired or refused credentials, ``UnreachableError`` where
    nobody answers, ``SandboxError`` where the sandbox cannot start.
    """
    if settings.cloud == SANDBOX:
        from ggml_magic.sandbox import client

        url = client.ensure(workspace, settings.idle_minutes).url
        return _cloud(settings, url, sandbox_maker(url, settings.region))
    return _cloud(settings, None, aws_maker(settings.region))


def sandbox_maker(url: str, region: str) -> Maker:
    """Clients of the sandbox at ``url``; nothing comes from the environment or ``~/.aws``."""

    def make(service: str) -> Any:
        import boto3  # type: ignore[import-untyped]  # it ships no types
        from botocore.config import Config  # type: ignore[import-untyped]  # it ships no types
        from botocore.session import (  # type: ignore[import-untyped]  # it ships no types
            Session,
        )

        unseen = {
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
        config = Config(
            connect_timeout=SANDBOX_CONNECT,
            read_timeout=SANDBOX_READ,
            retries={"mode": "adaptive", "total_max_attempts": SANDBOX_ATTEMPTS},
            s3={"addressing_style": "path"},
            proxies={},
            use_fips_endpoint=False,
            use_dualstack_endpoint=False,
        )
        return boto3.Session(
            aws_access_key_id=THROW_AWAY_KEY,
            aws_secret_access_key=THROW_AWAY_SECRET,
            region_name=region,
            botocore_session=Session(session_vars=unseen),
        ).client(service, endpoint_url=url, config=config)

    return make


def aws_maker(region: str) -> Maker:
    """Clients of AWS with the default credential chain.

    An endpoint on this machine (``AWS_ENDPOINT_URL`` and its like) is refused: what is called
    aws must be AWS.
    """

    def make(service: str) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(
            connect_timeout=AWS_CONNECT,
            read_timeout=AWS_READ,
            retries={"mode": "adaptive", "total_max_attempts": AWS_ATTEMPTS},
        )
        client = boto3.Session(region_name=region).client(service, config=config)
        host = urlsplit(client.meta.endpoint_url).hostname or ""
        if host in LOOPBACK or host.startswith("127."):
            raise CloudError(
                f"{service} would be called on this machine, not on aws",
                "AWS_ENDPOINT_URL, or an endpoint_url in the AWS configuration, points to it",
                "unset AWS_ENDPOINT_URL, or %ggml config cloud=sandbox",
            )
        return client

    return make


def _cloud(settings: Settings, url: str | None, make: Maker) -> Cloud:
    name, region = settings.cloud, settings.region
    identity = Gateway(name, "sts", make).call("GetCallerIdentity")
    account, partition = identity["Account"], identity["Arn"].split(":")[1]
    greengrass = Gateway(name, "greengrassv2", make)
    return Cloud(
        name=name,
        region=region,
        account=account,
        endpoint=url,
        storage=Storage(Gateway(name, "s3", make), region, account),
        components=Components(greengrass, region, account, partition),
        deployments=Deployments(greengrass),
        things=Things(Gateway(name, "iot", make), Gateway(name, "iot-data", make)),
    )
