"""What the shadow manager says on the device's own topics (EDGE-CORE 8, Shadow).

``$aws/things/<thing>/shadow[/name/<name>]/<action>/<kind>``: after an update ``delta`` where
something desired is not reported, ``documents`` with the document before and after, and
``accepted``; ``accepted`` after a get and a delete; ``rejected`` with a code and a message. A
change that came from the cloud is told as one of the device's own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from ggml_magic.core.document import delta, picked
from ggml_magic.core.shadow import Change

SENDER = "aws.greengrass.ShadowManager"
UPDATE, GET, DELETE = "update", "get", "delete"


class ShadowTopics:
    """Publishes by ``publish(topic, payload, sender)``."""

    def __init__(
        self,
        publish: Callable[[str, bytes, str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._publish = publish
        self._clock = clock

    def changed(self, change: Change) -> None:
        """A shadow was updated or deleted."""
        if change.current.deleted:
            self._tell(change.thing, change.name, f"{DELETE}/accepted", change.answer)
            return
        token = {key: change.answer[key] for key in ("clientToken",) if key in change.answer}
        state, metadata = change.current.state, change.current.metadata
        different = delta(state.get("desired", {}), state.get("reported", {}))
        if different:
            message = {
                "version": change.current.version,
                "timestamp": change.current.timestamp,
                "state": different,
                "metadata": picked(metadata.get("desired"), different),
                **token,
            }
            self._tell(change.thing, change.name, f"{UPDATE}/delta", message)
        documents = {
            "previous": None if change.previous.deleted else change.previous.document(),
            "current": change.current.document(),
            "timestamp": change.current.timestamp,
            **token,
        }
        self._tell(change.thing, change.name, f"{UPDATE}/documents", documents)
        self._tell(change.thing, change.name, f"{UPDATE}/accepted", change.answer)

    def got(self, thing: str, name: str, document: Mapping[str, Any]) -> None:
        """A shadow was asked for and is there."""
        self._tell(thing, name, f"{GET}/accepted", document)

    def rejected(
        self, thing: str, name: str, action: str, code: int, message: str, token: str | None = None
    ) -> None:
        """A request was refused; ``code`` is as of HTTP."""
        said: dict[str, Any] = {"code": code, "message": message, "timestamp": int(self._clock())}
        if token is not None:
            said["clientToken"] = token
        self._tell(thing, name, f"{action}/rejected", said)

    def _tell(self, thing: str, name: str, end: str, message: Mapping[str, Any]) -> None:
        shadow = f"$aws/things/{thing}/shadow" + (f"/name/{name}" if name else "")
        self._publish(f"{shadow}/{end}", json.dumps(message).encode(), SENDER)
