"""Secrets in memory; with a cloud of the test's own that answers as moto does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ggml_magic.core.cloud import Cloud
from ggml_magic.core.secretstore import MOST_HELD, NOT_FOUND, SecretStore, Wanted
from ggml_magic.errors import CloudError, UnreachableError

ANSWER = {"ARN": "arn:x", "VersionId": "1", "VersionStages": ["AWSCURRENT"], "SecretString": "s"}


class Answering(Cloud):
    """Gives what it was told to, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__("pi", Path("/nowhere"), "eu-west-1")
        self.answer: Mapping[str, Any] | CloudError = ANSWER
        self.asked: list[Mapping[str, str]] = []

    async def secret(self, wanted: Mapping[str, str]) -> dict[str, Any]:
        self.asked.append(wanted)
        if isinstance(self.answer, CloudError):
            raise self.answer
        return dict(self.answer)


def test_the_current_version_is_asked_for_where_none_is_named() -> None:
    cloud = Answering()
    store = SecretStore(cloud)
    for wanted in (Wanted("a"), Wanted("a", version="1"), Wanted("a", stage="OLD")):
        asyncio.run(store.get(wanted))
    assert cloud.asked == [
        {"SecretId": "a", "VersionStage": "AWSCURRENT"},
        {"SecretId": "a", "VersionId": "1"},
        {"SecretId": "a", "VersionStage": "OLD"},
    ]


def test_one_that_is_gone_is_not_held_any_more() -> None:
    cloud = Answering()
    store = SecretStore(cloud)
    assert asyncio.run(store.get(Wanted("a"))) is not None
    cloud.answer = CloudError("no", "no", code=NOT_FOUND)
    assert asyncio.run(store.get(Wanted("a"))) is None
    cloud.answer = UnreachableError("away", "away")
    with pytest.raises(UnreachableError):
        asyncio.run(store.get(Wanted("a")))


def test_another_refusal_is_told_although_a_secret_is_held() -> None:
    cloud = Answering()
    store = SecretStore(cloud)
    asyncio.run(store.get(Wanted("a")))
    cloud.answer = CloudError("no", "no", code="AccessDeniedException")
    with pytest.raises(CloudError):
        asyncio.run(store.get(Wanted("a")))


@pytest.mark.parametrize("answer", [{}, {**ANSWER, "SecretString": None}, {"SecretString": "s"}])
def test_an_answer_that_is_no_secret_says_nothing_of_it(answer: dict[str, Any]) -> None:
    cloud = Answering()
    cloud.answer = answer
    with pytest.raises(CloudError) as caught:
        asyncio.run(SecretStore(cloud).get(Wanted("a")))
    assert caught.value.__cause__ is None


def test_a_secret_shows_in_no_text() -> None:
    cloud = Answering()
    cloud.answer = {**ANSWER, "SecretString": "correct horse"}
    found = asyncio.run(SecretStore(cloud).get(Wanted("a")))
    assert found is not None
    assert found.value == {"secretString": "correct horse"}
    assert "horse" not in repr(found)


def test_who_asks_for_ever_more_fills_no_memory() -> None:
    store = SecretStore(Answering())

    async def ask() -> None:
        for number in range(MOST_HELD + 5):
            await store.get(Wanted(str(number)))

    asyncio.run(ask())
    assert len(store._held) <= MOST_HELD
