"""From a job to the word on how it ended."""

from __future__ import annotations

import asyncio
import json

import pytest

from ggml_magic.core import jobs
from ggml_magic.core.causes import BROKEN, Result
from ggml_magic.core.cloud import Execution
from ggml_magic.core.jobs import Jobs, details
from ggml_magic.errors import CloudError, UnreachableError

DONE = Result("SUCCEEDED", "SUCCESSFUL")


class Cloud:
    """Jobs that are handed out until they are finished, as IoT does."""

    def __init__(self, *documents: str) -> None:
        self.open = {
            f"job{number}": json.dumps({"deploymentId": name})
            for number, name in enumerate(documents)
        }
        self.told: list[tuple[str, str]] = []
        self.errors: list[Exception] = []

    async def next_job(self) -> Execution | None:
        for job, document in self.open.items():
            return Execution(job, document)
        return None

    async def finish_job(self, job: str, status: str, details: dict[str, str]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.told.append((job, status))
        del self.open[job]


class Deployer:
    """Remembers results until they are told, as the real one does."""

    def __init__(self) -> None:
        self.deployed: list[str] = []
        self.untold: dict[str, Result] = {}
        self.taken_up = 0

    async def take_up(self) -> None:
        self.taken_up += 1

    async def deploy(self, text: str) -> Result:
        name = json.loads(text)["deploymentId"]
        if name not in self.untold:
            self.deployed.append(name)
            self.untold[name] = DONE
        return self.untold[name]

    def told(self, deployment: str) -> None:
        del self.untold[deployment]

    def all_told(self) -> None:
        self.untold.clear()


def made(cloud: Cloud) -> tuple[Jobs, Deployer, list[int]]:
    deployer, published = Deployer(), []

    async def publish() -> None:
        published.append(len(cloud.told))

    return Jobs(cloud, deployer, publish), deployer, published  # type: ignore[arg-type]


def test_all_jobs_are_done_in_order_and_states_are_published_before_the_end() -> None:
    cloud = Cloud("a", "b")
    worked, deployer, published = made(cloud)
    asyncio.run(worked.work())
    assert deployer.deployed == ["a", "b"]
    assert cloud.told == [("job0", "SUCCEEDED"), ("job1", "SUCCEEDED")]
    assert published == [0, 1]
    assert (deployer.untold, deployer.taken_up) == ({}, 1)


def test_an_end_that_could_not_be_told_is_told_later_without_deploying_again() -> None:
    cloud = Cloud("a")
    cloud.errors = [UnreachableError("away")]
    worked, deployer, _ = made(cloud)
    with pytest.raises(UnreachableError):
        asyncio.run(worked.work())
    assert deployer.untold == {"a": DONE}
    asyncio.run(worked.work())
    assert deployer.deployed == ["a"]
    assert cloud.told == [("job0", "SUCCEEDED")]
    assert deployer.untold == {}


def test_an_end_that_is_refused_is_not_told_for_ever() -> None:
    cloud = Cloud("a")
    cloud.errors = [CloudError("cancelled")]
    worked, deployer, _ = made(cloud)
    with pytest.raises(CloudError):
        asyncio.run(worked.work())
    cloud.open.clear()
    asyncio.run(worked.work())
    assert deployer.deployed == ["a"]
    assert cloud.told == []
    assert deployer.untold == {}


def test_an_end_that_was_told_by_a_core_that_died_of_it_is_forgotten() -> None:
    worked, deployer, _ = made(Cloud())
    deployer.untold["before"] = DONE
    asyncio.run(worked.work())
    assert deployer.untold == {}


def test_details_are_the_nucleus_words_within_iots_limits() -> None:
    assert details(DONE) == {"detailed-deployment-status": "SUCCESSFUL"}
    cause = "line\none\t" + "x" * 5_000
    failed = Result("FAILED", "FAILED_ROLLBACK_COMPLETE", cause, BROKEN)
    found = details(failed)
    assert found["detailed-deployment-status"] == "FAILED_ROLLBACK_COMPLETE"
    assert found["deployment-failure-cause"].startswith("line one x")
    assert len(found["deployment-failure-cause"]) == jobs.LONGEST_DETAIL
    assert json.loads(found["deployment-error-stack"]) == list(BROKEN)
    assert json.loads(found["deployment-error-types"]) == ["USER_COMPONENT_ERROR"]
