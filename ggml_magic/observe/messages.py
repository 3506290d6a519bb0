"""What devices and clouds say to each other by MQTT, as a notebook hears it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggml_magic.cloud.gateway import SANDBOX
from ggml_magic.core import quotas
from ggml_magic.core.mqtt import Mqtt, MqttError, Subscription, refused_filter
from ggml_magic.errors import (
    CloudError,
    GrammarError,
    NotYetError,
    SandboxError,
)
from ggml_magic.presentation import Card, Presented, plural
from ggml_magic.sandbox import client
from ggml_magic.sandbox.endpoint import places
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]  # it ships no types

USER = "ggml-notebook"
SHOWN = 20
# a payload of a line's length tells what it is; the whole is in ``payload``
SHOWN_CHARACTERS = 120
# between two looks whether the cell was interrupted, seconds
LOOK_SECONDS = 0.5
ALL = "#"


@dataclass(frozen=True)
class Received:
    """One message; ``at`` is UTC, ISO 8601, when it came here.

    ``payload`` is what its JSON says, else its text, else its bytes.
    """

    at: str
    topic: str
    payload: Any


@dataclass(frozen=True)
class Messages(Presented):
    """Messages of one topic filter, oldest first; ``wanted`` are how many were waited for."""

    topic_filter: str
    items: tuple[Received, ...]
    cloud: str
    wanted: int
    seconds: float

    def __iter__(self) -> Iterator[Received]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def to_df(self) -> pd.DataFrame:
        """One row a message: at, topic, payload."""
        import pandas as pd

        return pd.DataFrame([vars(item) for item in self], columns=["at", "topic", "payload"])

    def card(self) -> Card:
        """The last of them, and whether they are all that were waited for."""
        rows = tuple((item.at[:19], item.topic, _shown(item.payload)) for item in self)[-SHOWN:]
        notes = []
        if len(self) > SHOWN:
            notes.append(f"the last {SHOWN} are shown")
        if len(self) < self.wanted:
            notes.append(f"{len(self)} of {self.wanted} came within {self.seconds:g} s")
        return Card(
            f"{plural(len(self), 'message')} of {self.topic_filter} on {self.cloud}",
            columns=("at (UTC)", "topic", "payload"),
            rows=rows,
            notes=tuple(notes),
        )


def _shown(payload: Any) -> str:
    if isinstance(payload, (str, bytes)):
        text = str(payload)
    else:
        text = json.dumps(payload, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"


def messages(
    workspace: Workspace,
    settings: Settings,
    topic_filter: str,
    count: int = 1,
    seconds: float = 30.0,
) -> Messages:
    """The next ``count`` messages of a filter, or those that came within ``seconds``.

    Works in a notebook whose event loop runs: it listens in a thread of its own. What was
    published before is not heard, as nothing is retained. Raises ``NotYetError`` where nothing
    came, ``GrammarError`` for no filter of IoT Core's, ``CloudError`` on AWS.
    """
    _check(topic_filter, count, seconds)
    if settings.cloud != SANDBOX:
        raise CloudError(
            f"messages of {topic_filter} are heard on the sandbox only",
            "on AWS, the MQTT test client of the AWS IoT console shows them",
            f"aws iot describe-endpoint --endpoint-type iot:Data-ATS --region {settings.region}",
        )
    client.ensure(workspace, settings.idle_minutes)
    file = places(workspace).endpoint
    try:
        found = _Ear(file, topic_filter, count, seconds).listen()
    except MqttError as error:
        raise SandboxError(
            f"{topic_filter} could not be subscribed to", str(error), "%ggml sandbox status"
        ) from None
    if not found and client.running(workspace) is None:
        raise SandboxError(
            f"messages of {topic_filter} could not be heard to the end",
            "the sandbox does not answer any more",
            f'%ggml messages "{topic_filter}" --seconds {seconds:g}',
        )
    if not found:
        raise _silence(topic_filter, seconds)
    return Messages(topic_filter, found, settings.cloud, count, seconds)


def _check(topic_filter: str, count: int, seconds: float) -> None:
    if count < 1 or not seconds > 0:
        raise GrammarError(
            f"there is nothing to wait for: {count} messages, {seconds:g} s",
            "both are above 0",
            f'%ggml messages "{topic_filter}" --count 1 --seconds 30',
        )
    if why := refused_filter(topic_filter):
        raise GrammarError(
            f"{topic_filter!r} is no topic filter of IoT Core", why, f'%ggml messages "{ALL}"'
        )


def _silence(topic_filter: str, seconds: float) -> NotYetError:
    if topic_filter == ALL:
        remedy = "%ggml sandbox status"
    else:
        remedy = f'%ggml messages "{ALL}" --seconds {seconds:g}'
    return NotYetError(
        f"no message of {topic_filter} came within {seconds:g} s",
        "nothing was published there meanwhile, and what was published before is not kept",
        remedy,
    )


class _Ear:
    """A subscription in a thread of its own."""

    def __init__(self, endpoint_file: Path, topic_filter: str, count: int, seconds: float) -> None:
        self._endpoint_file = endpoint_file
        self._filter = topic_filter
        self._count = count
        self._seconds = seconds
        self._heard: list[Received] = []
        self._result: Future[None] = Future()
        self._enough = asyncio.Event()
        self._interrupted = threading.Event()
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None

    def listen(self) -> tuple[Received, ...]:
        """Wait; an interrupted cell ends the waiting too."""
        thread = threading.Thread(target=self._run, name="messages", daemon=True)
        thread.start()
        try:
            while thread.is_alive():  # an interrupt comes between two looks
                thread.join(LOOK_SECONDS)
        finally:
            self._end()
            thread.join()
        self._result.result()
        return tuple(self._heard[: self._count])

    def _run(self) -> None:
        try:
            asyncio.run(self._wait())
        except asyncio.CancelledError:
            self._result.set_result(None)
        except BaseException as error:  # noqa: BLE001  # it is raised where it is waited for
            self._result.set_exception(error)
        else:
            self._result.set_result(None)

    async def _wait(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine that runs is a task's
        self._waiting = (asyncio.get_running_loop(), task)
        if self._interrupted.is_set():  # before there was anything to end
            return
        name = f"{USER}-{uuid.uuid4().hex}"
        mqtt = Mqtt(name, self._endpoint_file, lambda line: None, USER)
        try:
            await mqtt.subscribe(Subscription(self._filter, quotas.AT_LEAST_ONCE, self._take))
            await asyncio.wait_for(self._enough.wait(), self._seconds)
        except asyncio.TimeoutError:
            return
        finally:
            await mqtt.close()

    def _take(self, message: quotas.Message) -> None:
        at = datetime.now(timezone.utc).isoformat()
        self._heard.append(Received(at, message.topic, _read(message.payload)))
        if len(self._heard) >= self._count:
            self._enough.set()

    def _end(self) -> None:
        """End the waiting where it still goes on."""
        self._interrupted.set()
        if self._waiting is not None:
            loop, task = self._waiting
            with contextlib.suppress(RuntimeError):  # its loop is closed
                loop.call_soon_threadsafe(task.cancel)


def _read(payload: bytes) -> Any:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return payload
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
