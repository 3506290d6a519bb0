"""Secrets from the cloud, held in memory for as long as the cloud is away.

They are never written to a disk and never logged; a core that starts again asks again.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ggml_magic.core.cloud import Cloud
from ggml_magic.errors import CloudError, UnreachableError

CURRENT = "AWSCURRENT"
NOT_FOUND = "ResourceNotFoundException"
# Secrets that are held; a component that asks for every version of many fills no memory.
MOST_HELD = 256


@dataclass(frozen=True)
class Wanted:
    """Which version of which secret: by id, by stage, or the current one."""

    secret: str
    version: str = ""
    stage: str = ""


@dataclass(frozen=True)
class Secret:
    """One version of a secret; ``value`` is as the IPC has it and stays out of any ``repr``."""

    arn: str
    version: str
    stages: tuple[str, ...]
    value: Mapping[str, str] = field(repr=False)


class SecretStore:
    """The secrets of this device's cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._held: dict[Wanted, Secret] = {}

    async def get(self, wanted: Wanted) -> Secret | None:
        """A secret as it is now, or as it was when the cloud last answered; ``None``: no such.

        Raises ``CloudError`` when nobody answers and nothing is held, or for another refusal.
        """
        try:
            found = _read(await self._cloud.secret(_request(wanted)))
        except UnreachableError:
            if wanted in self._held:
                return self._held[wanted]
            raise
        except CloudError as error:
            if error.code != NOT_FOUND:
                raise
            self._held.pop(wanted, None)
            return None
        if len(self._held) >= MOST_HELD and wanted not in self._held:
            self._held.clear()
        self._held[wanted] = found
        return found


def _request(wanted: Wanted) -> dict[str, str]:
    members = {"VersionId": wanted.version, "VersionStage": wanted.stage}
    given = {name: value for name, value in members.items() if value}
    return {"SecretId": wanted.secret, **(given or {"VersionStage": CURRENT})}


def _read(answer: Mapping[str, Any]) -> Secret:
    """The cloud's answer; its binary values are base64 as the IPC's are."""
    try:
        if answer.get("SecretString") is not None:
            value = {"secretString": str(answer["SecretString"])}
        else:
            base64.b64decode(answer["SecretBinary"], validate=True)
            value = {"secretBinary": str(answer["SecretBinary"])}
        stages = tuple(str(stage) for stage in answer.get("VersionStages") or ())
        return Secret(str(answer["ARN"]), str(answer["VersionId"]), stages, value)
    except (KeyError, TypeError, ValueError):
        # not even the shape of what came is told: a part of it is the secret
        raise CloudError("the cloud's answer is no secret") from None
