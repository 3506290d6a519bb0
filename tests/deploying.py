"""A device that deploys: real processes, a cloud that is made up; for tests of deployments."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from nodesemver import max_satisfying

from ggml_magic.core.causes import Result
from ggml_magic.core.cloud import Candidate
from ggml_magic.core.deployment import Deployer, Hooks
from ggml_magic.core.disk import Layout
from ggml_magic.core.downloads import Place
from ggml_magic.core.engine import Engine
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.logs import Log
from ggml_magic.core.operations.updates import Updates
from ggml_magic.core.versions import fits
from ggml_magic.errors import CloudError, UnreachableError

SOON = 30.0
STAYS = {"Run": "exec sleep 600"}
BREAKS = {"Install": "echo 'no such module' >&2; exit 1", **STAYS}
ARN = "arn:aws:greengrass:eu-west-1:1:configuration:{group}:{revision}"
SUCCESSFUL = Result("SUCCEEDED", "SUCCESSFUL")


class Cloud:
    """Component versions, and what they download."""

    thing = "pi"

    def __init__(self) -> None:
        self.recipes: dict[str, dict[str, dict[str, Any]]] = {}
        self.objects: dict[str, bytes] = {}
        self.away = False
        # the thing groups that the device is in; None: the cloud does not say
        self.member_of: frozenset[str] | None = None

    async def groups(self) -> frozenset[str] | None:
        return None if self.away else self.member_of

    def add(
        self, name: str, version: str, lifecycle: Mapping[str, Any], *,
        defaults: Mapping[str, Any] | None = None, needs: Mapping[str, str] | None = None,
        artifacts: Mapping[str, bytes] | None = None,
    ) -> None:  # fmt: skip
        written = []
        for file, content in (artifacts or {}).items():
            key = f"{name}/{version}/{file}"
            self.objects[key] = content
            digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
            written.append({"Uri": f"s3://b/{key}", "Digest": digest, "Algorithm": "SHA-256"})
        self.recipes.setdefault(name, {})[version] = {
            "RecipeFormatVersion": "2020-01-25", "ComponentName": name,
            "ComponentVersion": version,
            "ComponentConfiguration": {"DefaultConfiguration": defaults or {}},
            "ComponentDependencies": {
                dependency: {"VersionRequirement": requirement}
                for dependency, requirement in (needs or {}).items()
            },
            "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": lifecycle,
                           "Artifacts": written}],
        }  # fmt: skip

    async def resolve(
        self, platform: Mapping[str, str], name: str, requirements: Mapping[str, str]
    ) -> Candidate:
        if self.away:
            raise UnreachableError("away")
        held = self.recipes.get(name, {})
        fitting = [version for version in held if fits(version, requirements.values())]
        if not fitting:
            raise CloudError("refused", f"there is no such version of {name}")
        best = max_satisfying(fitting, "*", loose=False)
        return Candidate(name, best, json.dumps(held[best]).encode())

    async def download(self, place: Place, target: Path, admit: Callable[[int], None]) -> str:
        content = self.objects[place.key]
        admit(len(content))
        target.write_bytes(content)
        return base64.b64encode(hashlib.sha256(content).digest()).decode()


class Scene:
    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.make()
        self.cloud = Cloud()
        self.configured: list[tuple[str, list[tuple[str, ...]]]] = []
        self.time = 0
        self.restarts: list[int] = []
        self.log = Log(root / "core.log")
        self.updates = Updates()
        self.restart()

    def restart(self) -> None:
        """What a core that starts makes of its disk."""
        self.engine = Engine(self.layout, {"PATH": os.environ["PATH"]}, lambda name: None)
        self.held = Inventory(self.layout.state_file)
        self.deployer = Deployer(
            self.layout, self.cloud, self.engine, self.held, self.log,  # type: ignore[arg-type]
            Hooks(
                lambda name, paths: self.configured.append((name, paths)),
                self.updates, lambda: self.restarts.append(self.time),
            ),
        )  # fmt: skip

    def document(self, components: Mapping[str, Any], **changes: Any) -> str:
        self.time += 1
        arn = ARN.format(
            group=changes.pop("group", "thing/pi"), revision=changes.pop("revision", 1)
        )
        return json.dumps({
            "deploymentId": f"d{self.time}", "configurationArn": arn,
            "creationTimestamp": self.time * 1000,
            "components": {
                name: wanted if isinstance(wanted, dict) else {"version": wanted}
                for name, wanted in components.items()
            },
            **changes,
        })  # fmt: skip

    async def reborn(self) -> None:
        """The core ends, and one starts on the same disk."""
        await self.engine.stop(2)
        self.log.close()
        self.restart()
        self.deployer.recover()
        await self.engine.become(self.held.contents.services())

    async def deploy(self, components: Mapping[str, Any], **changes: Any) -> Result:
        result = await self.handed(self.document(components, **changes))
        self.deployer.told(f"d{self.time}")
        return result

    async def handed(self, text: str) -> Result:
        return await asyncio.wait_for(self.deployer.deploy(text), SOON)

    def running(self) -> dict[str, str]:
        return {
            name: f"{each.service.version} {each.state.value}"
            for name, each in self.engine.supervisors.items()
        }

    def configuration(self, name: str) -> Any:
        return self.held.contents.components[name].configuration.read(())

    def ongoing(self) -> bool:
        return any(self.layout.deployments.iterdir())


def play(tmp_path: Path, scene: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        made = Scene(tmp_path / "root")
        try:
            await scene(made)
            assert not made.ongoing()
        finally:
            await made.engine.stop(2)
            made.log.close()

    asyncio.run(run())
