"""What components say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ggml_magic.core.engine import Engine
from ggml_magic.core.ipc import Call, IpcError, Operation
from ggml_magic.core.lifecycle import State
from ggml_magic.core.operations import requests

REPORTABLE = ("RUNNING", "ERRORED")


class States:
    """UpdateState."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def handlers(self) -> Mapping[str, Operation]:
        """The operations by name."""
        return {"UpdateState": self.update_state}

    async def update_state(self, call: Call) -> Mapping[str, Any]:
        """What a component says of itself."""
        state = requests.text(call, "state")
        if state not in REPORTABLE:
            raise IpcError("InvalidArgumentsError", f"state is one of {', '.join(REPORTABLE)}")
        supervisor = self._engine.supervisors.get(call.component)
        if supervisor is not None:
            self._engine.log(call.component).info(f"it reports {state}")
            supervisor.report(State(state))
        return {}
