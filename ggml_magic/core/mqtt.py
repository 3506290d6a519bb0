"""The way to IoT Core's broker: one connection, made at first use and made again when it breaks.

What is published while nobody answers waits in the spool; what is subscribed to is subscribed to
again. The broker's address is read anew for each connection: the sandbox may come back elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ggml_magic.core import quotas, topics
from ggml_magic.core.disk import read_json
from ggml_magic.core.quotas import AT_MOST_ONCE, Message
from ggml_magic.core.spool import Spool, SpoolError
from ggml_magic.core.worker import FIRST_PAUSE, LONGEST_PAUSE

if TYPE_CHECKING:
    from ggml_magic.core.link import Link

# What a device calls itself, as in its HTTP requests: its traffic is no use by a person.
DEVICE_USER = "ggml-core"
# A subscription that nobody confirms within this has failed.
SUBSCRIBE_SECONDS = 10.0
# How long the first message waits for the first connection.
FIRST_SECONDS = 5.0
CLOSE_SECONDS = 1.0


class MqttError(Exception):
    """A message or a subscription is not taken; says why."""


@dataclass(eq=False)
class Subscription:
    """Who wants the messages of a filter."""

    topic_filter: str
    qos: int
    received: Callable[[Message], None]


class Mqtt:
    """One client of the broker that an endpoint file names.

    ``tell`` is given a line when the connection comes and goes.
    """

    def __init__(
        self,
        client: str,
        endpoint_file: Path,
        tell: Callable[[str], object],
        user: str = DEVICE_USER,
    ) -> None:
        self._client = client
        self._user = user
        self._endpoint_file = endpoint_file
        self._tell = tell
        self._spool = Spool()
        self._wanted: list[Subscription] = []
        self._link: Link | None = None
        self._up = asyncio.Event()
        self._tried = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    async def publish(self, message: Message) -> None:
        """Take a message, which is sent as soon as somebody answers.

        Raises ``MqttError`` for what IoT Core does not take, when the spool is full, and for
        QoS 0 while nobody answers: such messages are not kept.
        """
        if why := quotas.refused(message):
            raise MqttError(why)
        await self._begun()
        if message.qos == AT_MOST_ONCE and self._link is None:
            raise MqttError("the device is offline, where messages of QoS 0 are dropped")
        try:
            self._spool.add(message)
        except SpoolError as error:
            raise MqttError(str(error)) from None

    async def subscribe(self, subscription: Subscription) -> None:
        """Have messages given to a subscription from now on, also after the broker was away.

        Raises ``MqttError`` when the broker takes no such filter, or nobody answers in time.
        """
        if why := refused_filter(subscription.topic_filter):
            raise MqttError(why)
        self._wanted.append(subscription)
        try:
            await asyncio.wait_for(self._confirmed(subscription), SUBSCRIBE_SECONDS)
        except asyncio.TimeoutError:
            self.unsubscribe(subscription)
            raise MqttError(f"nobody answers within {SUBSCRIBE_SECONDS:g} s") from None
        except BaseException:
            self.unsubscribe(subscription)
            raise

    def unsubscribe(self, subscription: Subscription) -> None:
        """Give no more messages to a subscription; one that is unknown is none."""
        if subscription not in self._wanted:
            return
        self._wanted.remove(subscription)
        topic_filter, link = subscription.topic_filter, self._link
        if link is not None and topic_filter not in self._filters():
            asyncio.get_running_loop().create_task(_forget(link, topic_filter))

    async def close(self) -> None:
        """End; what waits is sent first where somebody answers."""
        if self._work is None:
            return
        if self._link is not None:
            with contextlib.suppress(asyncio.TimeoutError):  # the last words of components
                await asyncio.wait_for(self._spool.emptied.wait(), CLOSE_SECONDS)
        self._work.cancel()
        await asyncio.wait([self._work], timeout=CLOSE_SECONDS)

    async def _begun(self) -> None:
        """The connection was tried at least once."""
        if self._work is None:
            self._work = asyncio.create_task(self._run())
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._tried.wait(), FIRST_SECONDS)

    async def _confirmed(self, subscription: Subscription) -> None:
        """Subscribe on a connection that holds until the answer."""
        await self._begun()
        while True:
            await self._up.wait()
            link = self._link
            if link is None:
                continue
            with contextlib.suppress(ConnectionError):
                if await link.subscribe(subscription.topic_filter, self._qos(subscription)):
                    return
                raise MqttError("the broker takes no such filter")
            self._up.clear()

    async def _run(self) -> None:
        """Connect for ever, with longer and longer pauses while nobody answers."""
        pause = FIRST_PAUSE
        while True:
            try:
                link = await self._connected()
            except OSError as error:
                if not self._tried.is_set() or pause == FIRST_PAUSE:
                    self._tell(f"the MQTT broker does not answer: {error}")
                self._tried.set()
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
                continue
            began = asyncio.get_running_loop().time()
            await self._live(link)
            if asyncio.get_running_loop().time() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause)  # also when every connection breaks at once
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _connected(self) -> Link:
        """A connection; raises ``ConnectionError`` when nobody answers or lets it in."""
        from ggml_magic.core.link import Link

        host, port = self._address()
        return await Link.open(host, port, self._client, self._user)

    async def _live(self, link: Link) -> None:
        """Use a connection until it breaks."""
        reading = asyncio.create_task(link.run(self._received))
        sending = asyncio.create_task(self._send(link))
        try:
            done, _ = await asyncio.wait([reading, sending], return_when=asyncio.FIRST_COMPLETED)
            self._tell(f"the MQTT connection broke: {done.pop().exception()}")
        finally:
            self._link = None
            self._up.clear()
            self._spool.offline()
            for task in (reading, sending):
                task.cancel()
            await asyncio.gather(reading, sending, return_exceptions=True)
            await link.close()

    async def _send(self, link: Link) -> None:
        """Subscribe again, then send the oldest message, the next, and so on."""
        for topic_filter, qos in self._filters().items():
            await link.subscribe(topic_filter, qos)
        self._link = link
        self._tried.set()
        self._up.set()
        self._tell("connected to the MQTT broker")
        while True:
            message = await self._spool.oldest()
            await link.publish(message)
            self._spool.sent(message)

    def _received(self, message: Message) -> None:
        for subscription in tuple(self._wanted):
            if topics.matches(subscription.topic_filter, message.topic):
                subscription.received(message)

    def _filters(self) -> dict[str, int]:
        """Each filter once, with the highest QoS that is wanted of it."""
        filters: dict[str, int] = {}
        for each in self._wanted:
            filters[each.topic_filter] = max(each.qos, filters.get(each.topic_filter, 0))
        return filters

    def _qos(self, subscription: Subscription) -> int:
        return self._filters().get(subscription.topic_filter, subscription.qos)

    def _address(self) -> tuple[str, int]:
        """Where the broker is now; raises ``ConnectionError`` when no file says so."""
        try:
            address = urlsplit(read_json(self._endpoint_file)["mqtt"])
            return str(address.hostname), int(address.port or 0)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConnectionError(f"there is no address of one ({error!r})") from None


def refused_filter(topic_filter: str) -> str:
    """Why nobody can subscribe to a filter; empty when somebody can."""
    try:
        topics.check_filter(topic_filter)
    except topics.TopicError as error:
        return str(error)
    return quotas.refusal(topic_filter, wildcards=True)


async def _forget(link: Link, topic_filter: str) -> None:
    with contextlib.suppress(ConnectionError):
        await link.unsubscribe(topic_filter)
