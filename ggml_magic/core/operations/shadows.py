"""Device shadows, for those whose policy allows it (EDGE-CORE 8, Shadow)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from ggml_magic.core import authorize
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.ipc import Call, IpcError, Operation
from ggml_magic.core.operations import requests
from ggml_magic.core.rates import RequestRates
from ggml_magic.core.shadow import (
    InvalidShadowError,
    NoShadowError,
    ShadowError,
    Shadows,
    VersionConflictError,
    check_names,
    client_token,
)
from ggml_magic.core.shadowtopics import DELETE, GET, UPDATE, ShadowTopics

PAGE, LARGEST_PAGE = 25, 100
# Bytes of a page's token that show for whom it was made; nobody is kept out by them.
SEAL_BYTES = 16
# Codes of a rejection that is no error of the shadow itself.
UNAUTHORIZED, FAILED = 401, 500


class ShadowOperations:
    """GetThingShadow, UpdateThingShadow, DeleteThingShadow, ListNamedShadowsForThing."""

    def __init__(
        self, held: Inventory, shadows: Shadows, topics: ShadowTopics, rates: RequestRates
    ) -> None:
        self._held = held
        self._shadows = shadows
        self._topics = topics
        self._rates = rates

    def handlers(self) -> Mapping[str, Operation]:
        """The operations by name."""
        return {
            "GetThingShadow": self.get_shadow,
            "UpdateThingShadow": self.update_shadow,
            "DeleteThingShadow": self.delete_shadow,
            "ListNamedShadowsForThing": self.list_named,
        }

    async def get_shadow(self, call: Call) -> Mapping[str, Any]:
        """A shadow of this device, with what is desired and not reported."""
        thing, name = self._names(call)

        def get() -> Mapping[str, Any]:
            document = self._shadows.get(thing, name)
            self._topics.got(thing, name, document)
            return document

        return self._answer(call, GET, get)

    async def update_shadow(self, call: Call) -> Mapping[str, Any]:
        """Change a shadow of this device; answers what was accepted."""
        thing, name = self._names(call)
        payload = _payload(call)
        return self._answer(
            call, UPDATE, lambda: self._shadows.update(thing, name, payload), payload
        )

    async def delete_shadow(self, call: Call) -> Mapping[str, Any]:
        """Delete a shadow of this device; the answer is empty, only the topic has a version."""
        thing, name = self._names(call)
        self._answer(call, DELETE, lambda: self._shadows.delete(thing, name))
        return {"payload": ""}

    async def list_named(self, call: Call) -> Mapping[str, Any]:
        """The names of a thing's named shadows, page by page."""
        thing, _ = self._names(call)
        requests.authorise(self._held, call, authorize.SHADOWS, _resource(thing, ""))
        size = _page_size(call)
        token = requests.text(call, "nextToken")
        after = _opened(token, call.component, thing) if token else ""
        page = [name for name in self._shadows.names(thing) if name > after][:size]
        answer: dict[str, Any] = {"results": page, "timestamp": time.time()}
        if len(page) == size:
            answer["nextToken"] = _sealed(page[-1], call.component, thing)
        return answer

    def _names(self, call: Call) -> tuple[str, str]:
        """The thing and the shadow's name of a request that is not one too many."""
        thing, name = requests.text(call, "thingName"), requests.text(call, "shadowName")
        try:
            check_names(thing, name)
        except InvalidShadowError as error:
            raise IpcError("InvalidArgumentsError", str(error)) from None
        if not self._rates.admit(thing):
            raise IpcError("ServiceError", "Too Many Requests")
        return thing, name

    def _answer(
        self, call: Call, action: str, act: Callable[[], Mapping[str, Any]], payload: bytes = b""
    ) -> Mapping[str, Any]:
        """A shadow's answer in base64; what is refused is said on the topic, too."""
        thing, name = requests.text(call, "thingName"), requests.text(call, "shadowName")

        def reject(code: int, message: str) -> None:
            self._topics.rejected(thing, name, action, code, message, client_token(payload))

        try:
            requests.authorise(self._held, call, authorize.SHADOWS, _resource(thing, name))
            document = act()
        except IpcError:
            reject(UNAUTHORIZED, "Unauthorized")
            raise
        except ShadowError as error:
            reject(error.code, str(error))
            raise _refusal(error, _resource(thing, name)) from None
        except OSError:
            reject(FAILED, "the shadow could not be kept")
            raise
        return {"payload": _base64(json.dumps(document).encode())}


def _resource(thing: str, name: str) -> str:
    return f"$aws/things/{thing}/shadow" + (f"/name/{name}" if name else "")


def _refusal(error: ShadowError, resource: str) -> IpcError:
    """A shadow's refusal as the IPC model has it."""
    if isinstance(error, NoShadowError):
        return requests.no_resource("shadow", resource, str(error))
    if isinstance(error, VersionConflictError):
        return IpcError("ConflictError", str(error))
    return IpcError("InvalidArgumentsError", str(error))


def _payload(call: Call) -> bytes:
    try:
        return base64.b64decode(requests.text(call, "payload"), validate=True)
    except (binascii.Error, ValueError):
        raise IpcError("InvalidArgumentsError", "payload is no base64") from None


def _page_size(call: Call) -> int:
    value = call.request.get("pageSize")
    if value is None:
        return PAGE
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_PAGE:
        raise IpcError("InvalidArgumentsError", f"pageSize is a number from 1 to {LARGEST_PAGE}")
    return value


def _sealed(last: str, component: str, thing: str) -> str:
    """The token of the page after this name, for this component and thing only."""
    return _base64(_seal(last, component, thing) + last.encode())


def _opened(token: str, component: str, thing: str) -> str:
    """The name that a token stands for; raises ``InvalidArgumentsError``."""
    refused = IpcError("InvalidArgumentsError", "nextToken is not one that was given here")
    try:
        content = base64.b64decode(token, validate=True)
        last = content[SEAL_BYTES:].decode()
    except ValueError:
        raise refused from None
    if not hmac.compare_digest(content[:SEAL_BYTES], _seal(last, component, thing)):
        raise refused
    return last


def _seal(last: str, component: str, thing: str) -> bytes:
    key = f"{component}/{thing}".encode()
    return hmac.digest(key, last.encode(), hashlib.sha256)[:SEAL_BYTES]


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
