from __future__ import annotations

import contextlib
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sandboxes import (
    Connect,
    own_store,  # noqa: F401  # pytest finds fixtures by their names
    recipe,
    refused,
    shared_aws,  # noqa: F401  # pytest finds fixtures by their names
    shared_endpoint,  # noqa: F401  # pytest finds fixtures by their names
    unique,
)

from ggml_magic.sandbox import tokens
from ggml_magic.sandbox.faults import ServiceError
from ggml_magic.sandbox.store import Store


class Counted:
    """Something that must happen once: each time it answers another number."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[str, Any]:
        self.times += 1
        return {"number": self.times}


def test_the_same_request_happens_once(store: Store) -> None:
    act, request = Counted(), {"clientToken": "t", "tags": {"a": "b"}}
    assert tokens.once(store, "Create", request, act) == {"number": 1}
    assert tokens.once(store, "Create", {**request}, act) == {"number": 1}
    assert tokens.once(store, "CreateOther", request, act) == {"number": 2}
    assert act.times == 2


def test_without_a_token_each_request_happens(store: Store) -> None:
    act = Counted()
    for request in ({}, {"clientToken": ""}, {"clientToken": None}):
        tokens.once(store, "Create", request, act)
    assert act.times == 3


def test_another_request_with_the_same_token_is_a_conflict(store: Store) -> None:
    act = Counted()
    tokens.once(store, "Create", {"clientToken": "t", "a": 1}, act)
    with pytest.raises(ServiceError) as caught:
        tokens.once(store, "Create", {"clientToken": "t", "a": 2}, act)
    assert (caught.value.code, act.times) == ("ConflictException", 1)


def test_what_failed_may_be_asked_for_again(store: Store) -> None:
    def fail() -> dict[str, Any]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        tokens.once(store, "Create", {"clientToken": "t"}, fail)
    assert tokens.once(store, "Create", {"clientToken": "t"}, Counted()) == {"number": 1}


def test_a_token_is_forgotten_in_the_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    act = Counted()
    tokens.once(store, "Create", {"clientToken": "t", "a": 1}, act)
    monkeypatch.setattr(tokens, "REMEMBERED_SECONDS", -1)
    assert tokens.once(store, "Create", {"clientToken": "t", "a": 2}, act) == {"number": 2}


def test_of_two_equal_requests_at_once_one_waits_for_the_other(store: Store) -> None:
    both, began = threading.Barrier(2), []

    def act() -> dict[str, Any]:
        began.append(1)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.2)  # a second one in here would not have waited
        return {"number": len(began)}

    with ThreadPoolExecutor(2) as pool:
        request = {"clientToken": "t"}
        jobs = [pool.submit(tokens.once, store, "Create", request, act) for _ in range(2)]
        assert [job.result() for job in jobs] == [{"number": 1}] * 2


@pytest.mark.real
def test_the_same_token_creates_once(aws: Connect) -> None:
    name, greengrass, token = unique("com.example.Rain"), aws("greengrassv2"), uuid.uuid4().hex
    first, second = (
        greengrass.create_component_version(inlineRecipe=recipe(name), clientToken=token)
        for _ in range(2)
    )
    assert first["creationTimestamp"] == second["creationTimestamp"]
    other = refused(
        lambda: greengrass.create_component_version(
            inlineRecipe=recipe(name, "2.0.0"), clientToken=token
        )
    )
    assert other["Error"]["Code"] == "ConflictException"
