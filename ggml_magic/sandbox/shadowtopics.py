"""Shadows by MQTT: what is published to ``$aws/things/T/shadow/...`` is a request."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ggml_magic.sandbox.faults import ServiceError
from ggml_magic.sandbox.service import Call
from ggml_magic.sandbox.shadows import Shadows

LOG = logging.getLogger(__name__)
REQUEST = re.compile(
    r"(\$aws/things/([a-zA-Z0-9:_-]{1,128})/shadow(?:/name/([a-zA-Z0-9:_-]{1,64}))?"
    r"/(get|update|delete))"
)


class ShadowTopics:
    """Answers requests on ``.../accepted`` and ``.../rejected``, one after the other."""

    def __init__(
        self,
        shadows: Shadows,
        region_of: Callable[[str], str],
        publish: Callable[[str, bytes], None],
    ) -> None:
        self._shadows = shadows
        self._region_of = region_of
        self._publish = publish
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shadow topics")

    def take(self, topic: str, payload: bytes) -> None:
        """Answer soon, in another thread; what is no request of a shadow is none of ours."""
        found = REQUEST.fullmatch(topic)
        if found is not None:
            self._worker.submit(self._answer, found, payload)

    def _answer(self, found: re.Match[str], payload: bytes) -> None:
        topic, thing, name, what = found.groups()
        parameters: dict[str, Any] = {"thingName": thing, "payload": payload}
        if name:
            parameters["shadowName"] = name
        call = Call(parameters, self._region_of(thing))
        try:
            if what == "get":
                self._publish(f"{topic}/accepted", self._shadows.get(call)["payload"])
            elif what == "update":
                self._shadows.update(call)  # it tells of itself
            else:
                self._shadows.delete(call)
        except ServiceError as fault:
            refusal = {"code": fault.status, "message": fault.message, **_token(payload)}
            self._publish(f"{topic}/rejected", json.dumps(refusal).encode())
        except Exception:
            LOG.exception("mqtt: %s failed", topic)


def _token(payload: bytes) -> Mapping[str, Any]:
    """The time, and the token by which a client knows its own request again."""
    about: dict[str, Any] = {"timestamp": int(time.time())}
    try:
        about["clientToken"] = json.loads(payload)["clientToken"]
    except (ValueError, TypeError, KeyError):
        return about
    return about
