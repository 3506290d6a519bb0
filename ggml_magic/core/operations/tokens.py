"""Whether a token is a component's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ggml_magic.core import authorize
from ggml_magic.core.ipc import Call, IpcError, Operation
from ggml_magic.core.operations import requests

# The IPC model lets nobody else ask.
ASKS = "aws.greengrass.StreamManager"


class Tokens:
    """ValidateAuthorizationToken; ``component_of`` says whose a token is."""

    def __init__(self, component_of: Callable[[str], str | None]) -> None:
        self._component_of = component_of

    def handlers(self) -> Mapping[str, Operation]:
        """The operations by name."""
        return {"ValidateAuthorizationToken": self.validate_authorization_token}

    async def validate_authorization_token(self, call: Call) -> Mapping[str, Any]:
        """Whether a token is that of a component."""
        if call.component != ASKS:
            operation = authorize.PREFIX + call.operation
            message = f"{call.component} is not authorized to perform {operation}"
            raise IpcError("UnauthorizedError", message)
        if self._component_of(requests.text(call, "token")) is None:
            raise IpcError("InvalidTokenError", "the token is no component's")
        return {"isValid": True}
