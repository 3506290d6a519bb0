"""Shadows by MQTT, and the sandbox's iot-data Publish, against a real sandbox."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from brokers import HOST, run, until
from sandboxes import (
    Connect,
    refused,
    shared_aws,  # noqa: F401  # pytest finds fixtures by their names
    shared_endpoint,  # noqa: F401  # pytest finds fixtures by their names
    thing,
    unique,
)

from ggml_magic.core.link import Link
from ggml_magic.core.quotas import LARGEST_PAYLOAD, Message
from ggml_magic.sandbox.endpoint import Endpoint

pytestmark = pytest.mark.real
Said = list[tuple[str, Any]]


def with_client(
    endpoint: Endpoint, topic_filter: str, test: Callable[[Link, Said], Awaitable[None]]
) -> None:
    """A test with a client of the sandbox's broker, and what its filter heard."""

    async def within() -> None:
        said: Said = []
        port = urlsplit(endpoint.mqtt).port or 0
        link = await Link.open(HOST, port, unique("me"), "me")
        reading = asyncio.create_task(
            link.run(lambda message: said.append((message.topic, message.payload)))
        )
        assert await link.subscribe(topic_filter, 1)
        try:
            await test(link, said)
        finally:
            reading.cancel()
            await link.close()

    run(within)


def test_what_boto3_publishes_is_heard(endpoint: Endpoint, aws: Connect) -> None:
    data, topic = aws("iot-data"), unique("rain")

    async def test(link: Link, said: Said) -> None:
        await asyncio.to_thread(data.publish, topic=f"{topic}/a", payload=b"\x00\xff", qos=1)
        await asyncio.to_thread(data.publish, topic=f"{topic}/b", payload=b"x" * LARGEST_PAYLOAD)
        await until(lambda: len(said) == 2)
        assert said == [(f"{topic}/a", b"\x00\xff"), (f"{topic}/b", b"x" * LARGEST_PAYLOAD)]

    with_client(endpoint, f"{topic}/#", test)
    large = refused(lambda: data.publish(topic=topic, payload=b"x" * (LARGEST_PAYLOAD + 1)))
    assert large["Error"]["Code"] == "RequestEntityTooLargeException"
    for wrong in ("a/#", "/".join("a" * 9), "a" * 257):
        answer = refused(partial(data.publish, topic=wrong, payload=b""))
        assert answer["Error"]["Code"] == "InvalidRequestException"


def test_a_device_reads_and_writes_its_shadow_by_topics(endpoint: Endpoint, aws: Connect) -> None:
    data, (device, _) = aws("iot-data"), thing(aws)
    shadow = f"$aws/things/{device}/shadow"

    async def test(link: Link, said: Said) -> None:
        async def ask(what: str, document: Any = None) -> dict[str, Any]:
            """The answers to one request, by what they are."""
            said.clear()
            payload = b"" if document is None else json.dumps(document).encode()
            await link.publish(Message(f"{shadow}/{what}", payload, 1))
            await until(lambda: any(t.endswith(("accepted", "rejected")) for t, _ in said))
            return {t.removeprefix(f"{shadow}/"): json.loads(payload) for t, payload in said}

        found = await ask("get")
        assert found["get/rejected"]["code"] == 404
        found = await ask("update", {"state": {"desired": {"a": 1}}, "clientToken": "t"})
        assert found["update/accepted"]["version"] == 1
        assert found["update/accepted"]["clientToken"] == "t"
        await until(lambda: len(said) == 3)
        found = {t.removeprefix(f"{shadow}/"): json.loads(payload) for t, payload in said}
        assert found["update/delta"]["state"] == {"a": 1}
        documents = found["update/documents"]
        assert documents["previous"]["state"] == {}
        assert documents["current"]["state"] == {"desired": {"a": 1}}
        assert (documents["previous"]["version"], documents["current"]["version"]) == (0, 1)
        found = await ask("update", {"state": {}, "version": 7, "clientToken": "u"})
        assert found["update/rejected"]["code"] == 409
        assert found["update/rejected"]["clientToken"] == "u"
        found = await ask("get")
        assert found["get/accepted"]["state"] == {"desired": {"a": 1}, "delta": {"a": 1}}
        found = await ask("delete")
        assert found["delete/accepted"]["version"] == 1
        # a request may come by HTTP, as boto3 publishes
        said.clear()
        await asyncio.to_thread(data.publish, topic=f"{shadow}/get", payload=b"")
        await until(lambda: said)
        assert [topic for topic, _ in said] == [f"{shadow}/get/rejected"]
        # what boto3 changes by other means is told of as well
        said.clear()
        payload = json.dumps({"state": {"reported": {"b": 2}}})
        await asyncio.to_thread(
            data.update_thing_shadow, thingName=device, shadowName="n", payload=payload
        )
        await until(lambda: len(said) == 2)
        assert [topic for topic, _ in said] == [
            f"{shadow}/name/n/update/accepted",
            f"{shadow}/name/n/update/documents",
        ]

    with_client(endpoint, f"{shadow}/#", test)
