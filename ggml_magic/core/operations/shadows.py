"""Device shadows, for those whose policy allows it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

from ggml_magic.core import authorize
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.ipc import Call, IpcError, Operation
from ggml_magic.core.operations import requests
from ggml_magic.core.shadow import (
    InvalidShadowError,
    NoShadowError,
    ShadowError,
    Shadows,
    VersionConflictError,
)

ERRORS: dict[type[ShadowError], str] = {
    InvalidShadowError: "InvalidArgumentsError",
    VersionConflictError: "ConflictError",
}


class ShadowOperations:
    """GetThingShadow, UpdateThingShadow, DeleteThingShadow."""

    def __init__(self, held: Inventory, shadows: Shadows) -> None:
        self._held = held
        self._shadows = shadows

    def handlers(self) -> Mapping[str, Operation]:
        """The operations by name."""
        return {
            "GetThingShadow": self.get_shadow,
            "UpdateThingShadow": self.update_shadow,
            "DeleteThingShadow": self.delete_shadow,
        }

    async def get_shadow(self, call: Call) -> Mapping[str, Any]:
        """A shadow of this device."""
        thing, name = self._shadow_of(call)
        return _document(lambda: self._shadows.get(thing, name))

    async def update_shadow(self, call: Call) -> Mapping[str, Any]:
        """Change a shadow of this device."""
        thing, name = self._shadow_of(call)
        try:
            payload = base64.b64decode(requests.text(call, "payload"), validate=True)
        except binascii.Error:
            raise IpcError("InvalidArgumentsError", "payload is no base64") from None
        return _document(lambda: self._shadows.update(thing, name, payload))

    async def delete_shadow(self, call: Call) -> Mapping[str, Any]:
        """Delete a shadow of this device."""
        thing, name = self._shadow_of(call)
        return _document(lambda: self._shadows.delete(thing, name))

    def _shadow_of(self, call: Call) -> tuple[str, str]:
        """The thing and the shadow's name of a request that the caller may make."""
        thing, name = requests.text(call, "thingName"), requests.text(call, "shadowName")
        resource = f"$aws/things/{thing}/shadow" + (f"/name/{name}" if name else "")
        requests.authorise(self._held, call, authorize.SHADOWS, resource)
        return thing, name


def _document(act: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """A shadow's answer in base64; a shadow's refusals as the IPC model's."""
    try:
        document = act()
    except NoShadowError as error:
        raise requests.no_resource("shadow", str(error), str(error)) from None
    except ShadowError as error:
        raise IpcError(ERRORS[type(error)], str(error)) from None
    return {"payload": base64.b64encode(json.dumps(document).encode()).decode()}
