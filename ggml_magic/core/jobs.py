"""From the cloud's next job to the word on how it ended."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from ggml_magic.core.cloud import Cloud
from ggml_magic.core.deployment import Deployer, Result
from ggml_magic.errors import CloudError, UnreachableError

# IoT's limit on one value of a job's status details, and no control characters.
LONGEST_DETAIL = 1024


class Jobs:
    """Takes deployments one by one; ``published`` makes the cloud know all components' states."""

    def __init__(
        self, cloud: Cloud, deployer: Deployer, published: Callable[[], Awaitable[None]]
    ) -> None:
        self._cloud = cloud
        self._deployer = deployer
        self._published = published
        self._untold: tuple[str, Result] | None = None

    async def work(self) -> None:
        """Carry out all deployments there are.

        Raises ``UnreachableError``: to be called again, which goes on where this stopped.
        """
        await self._tell()
        while (execution := await self._cloud.next_job()) is not None:
            result = await self._deployer.deploy(execution.document)
            self._untold = (execution.job, result)
            await self._tell()

    async def _tell(self) -> None:
        if self._untold is None:
            return
        await self._published()
        job, result = self._untold
        try:
            await self._cloud.finish_job(job, result.status, details(result))
        except UnreachableError:
            raise
        except CloudError:  # a refusal is final: the job was cancelled, or is gone
            self._untold = None
            raise
        self._untold = None


def details(result: Result) -> dict[str, str]:
    """A job's status details, in the nucleus's words."""
    found = {"detailed-deployment-status": result.detail}
    if result.cause:
        found["deployment-failure-cause"] = " ".join(result.cause.split())[:LONGEST_DETAIL]
    if result.errors:
        found["deployment-error-stack"] = json.dumps(list(result.errors))
    return found
