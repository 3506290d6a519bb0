"""The MQTT broker of a sandbox: IoT Core's for its devices, and for a notebook.

It listens on 127.0.0.1 only, and not for WebSockets: a page in a browser could reach those. Nobody
shows a password, as nobody's signature is checked. amqtt does the rest, once a client connects.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ggml_magic.core.quotas import AT_MOST_ONCE
from ggml_magic.sandbox.endpoint import HOST
from ggml_magic.sandbox.lifetime import Clock

if TYPE_CHECKING:
    from ggml_magic.sandbox.routing import Router

LOG = logging.getLogger(__name__)
END_SECONDS = 3.0
MOST_CLIENTS = 500
# Topics that begin so are the cloud's own; what is published to them goes to no subscriber.
RESERVED = "$"
# Loggers that would tell of every packet.
TALKERS = ("amqtt", "transitions")
Own = Callable[[str, bytes], None]


class Broker:
    """The broker in a thread of its own; ``listener`` listens already and is closed at the end."""

    def __init__(self, listener: socket.socket) -> None:
        self.clock = Clock()
        self.on_reserved: Own = lambda topic, payload: None
        self._listener = listener
        self._loop: asyncio.AbstractEventLoop | None = None
        self._router: Router | None = None
        self._routing = asyncio.Lock()
        self._ending = asyncio.Event()
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self._listener.getsockname()[1])

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"mqtt://{HOST}:{self.port}"

    def start(self, clock: Clock) -> None:
        """Serve those who connect; they may already.

        A person who is connected keeps the ``clock`` from running out, unlike a device.
        """
        self.clock = clock
        self._thread.start()

    def publish(self, topic: str, payload: bytes, qos: int = AT_MOST_ONCE) -> None:
        """Give a message to all who subscribed to its topic, from any thread."""
        loop, router = self._loop, self._router
        if loop is None or router is None:  # nobody ever connected
            return
        with contextlib.suppress(RuntimeError):  # it is ending
            asyncio.run_coroutine_threadsafe(
                router.internal_message_broadcast(topic, payload, qos), loop
            )

    def close(self) -> None:
        """Hang up on all clients and end."""
        if self._thread.is_alive() and self._listening.wait(END_SECONDS) and self._loop:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(END_SECONDS)
        self._listener.close()

    def _run(self) -> None:
        for name in TALKERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            asyncio.run(self._serve())
        except Exception:
            LOG.exception("the MQTT broker ended")

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_tell)
        server = await asyncio.start_server(self._connected, sock=self._listener)
        self._listening.set()
        await self._ending.wait()
        server.close()
        for writer in self._clients.values():
            writer.transport.abort()
        if self._router is not None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._router.shutdown(), END_SECONDS / 2)
        for task in self._clients:
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # streams call this in a task of its own
        self._clients[task] = writer
        try:
            if len(self._clients) <= MOST_CLIENTS:
                await (await self._routed()).serve(reader, writer)
        except (OSError, asyncio.TimeoutError) as error:
            LOG.warning("mqtt: a client is refused: %r", error)
        except Exception:
            LOG.exception("mqtt: a client's connection failed")
        finally:
            del self._clients[task]
            writer.transport.abort()

    async def _routed(self) -> Router:
        """amqtt, which most sandboxes never need."""
        async with self._routing:
            if self._router is None:
                from ggml_magic.sandbox.routing import Router

                router = Router(self.clock, self.on_reserved)
                await router.start()
                self._router = router
            return self._router


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """One line for what asyncio would write many of."""
    LOG.warning("mqtt: %s %s", context.get("message"), context.get("exception") or "")
