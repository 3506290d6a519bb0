"""From the cloud's next job to the word on how it ended."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from ggml_magic.core.causes import Result
from ggml_magic.core.cloud import Cloud, Execution
from ggml_magic.core.deployment import Deployer
from ggml_magic.core.orders import identifier_of
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

    async def work(self) -> None:
        """Carry out all deployments there are, first what was interrupted.

        Raises ``UnreachableError``: to be called again. The cloud then hands out again what it
        was not told the end of, and the deployer knows that end.
        """
        await self._deployer.take_up()
        while (execution := await self._cloud.next_job()) is not None:
            result = await self._deployer.deploy(execution.document)
            await self._tell(execution, result)
        # a core that was killed may have told an end without knowing; nobody asks for it again
        self._deployer.all_told()

    async def _tell(self, execution: Execution, result: Result) -> None:
        await self._published()
        try:
            await self._cloud.finish_job(execution.job, result.status, details(result))
        except UnreachableError:
            raise
        except CloudError:  # a refusal is final: the job was cancelled, or is gone
            self._deployer.told(identifier_of(execution.document))
            raise
        self._deployer.told(identifier_of(execution.document))


def details(result: Result) -> dict[str, str]:
    """A job's status details, in the nucleus's words."""
    found = {"detailed-deployment-status": result.detail}
    if result.cause:
        found["deployment-failure-cause"] = " ".join(result.cause.split())[:LONGEST_DETAIL]
    if result.errors:
        found["deployment-error-stack"] = json.dumps(list(result.errors))
        found["deployment-error-types"] = json.dumps(list(result.types))
    return found
