"""The Greengrass core's IPC, as few calls as the harness makes."""

from __future__ import annotations

import concurrent.futures
import json
import threading
from typing import Any

# the SDK has no types
from awsiot import eventstreamrpc  # type: ignore[import-untyped]
from awsiot.greengrasscoreipc import clientv2, connect, model  # type: ignore[import-untyped]

from .context import CallError, ConnectionLostError, NoShadowError

# a core that takes longer is stuck; the next cycle asks again
ANSWER_SECONDS = 10.0
CLASSIC = ""  # the name of the shadow that has none


class Ipc:
    """A connection to the core that this component runs under.

    Every call raises ``CallError`` when the core refuses or does not answer in time, and
    ``ConnectionLostError`` when there is no connection any more.
    """

    def __init__(self) -> None:
        self._lost = threading.Event()
        try:
            link = connect(lifecycle_handler=_Watch(self._lost), timeout=ANSWER_SECONDS)
        # the SDK raises its native layer's errors, and KeyError where no core started us
        except Exception as error:
            raise ConnectionLostError(_line(error)) from error
        # no subscriptions, so no callbacks: no thread pool for them either
        self._client = clientv2.GreengrassCoreIPCClientV2(client=link, executor=None)

    def configuration(self) -> dict[str, Any]:
        """This component's configuration; empty when it has none."""
        try:
            answer = self._call(self._client.get_configuration_async, key_path=[])
        except NoShadowError:
            return {}
        return answer.value or {}

    def running(self) -> None:
        """Tell the core that this component runs."""
        state = model.ReportedLifecycleState.RUNNING
        self._call(self._client.update_state_async, state=state)

    def shadow(self, thing: str) -> dict[str, Any]:
        """What the thing's classic shadow reports; raises ``NoShadowError`` without one."""
        answer = self._call(
            self._client.get_thing_shadow_async, thing_name=thing, shadow_name=CLASSIC
        )
        try:
            reported = json.loads(answer.payload)["state"].get("reported")
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise CallError(f"the shadow is malformed: {_line(error)}") from error
        return reported if isinstance(reported, dict) else {}

    def report(self, thing: str, reported: dict[str, Any]) -> None:
        """Merge values into what the thing's classic shadow reports; ``None`` removes a key."""
        payload = json.dumps({"state": {"reported": reported}}, allow_nan=False).encode()
        self._call(
            self._client.update_thing_shadow_async,
            thing_name=thing,
            shadow_name=CLASSIC,
            payload=payload,
        )

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def _call(self, operation: Any, **request: Any) -> Any:
        if self._lost.is_set():
            raise ConnectionLostError("the core hung up")
        try:
            return operation(**request).result(ANSWER_SECONDS)
        except model.ResourceNotFoundError as error:
            raise NoShadowError(_line(error)) from error
        except model.GreengrassCoreIPCError as error:
            raise CallError(_line(error)) from error
        except concurrent.futures.TimeoutError as error:
            raise CallError(f"the core did not answer within {ANSWER_SECONDS:g} s") from error
        # what is left is the SDK's own: a closed connection, stream or a native error
        except Exception as error:
            gone = self._lost.is_set() or isinstance(error, eventstreamrpc.ConnectionClosedError)
            raise (ConnectionLostError if gone else CallError)(_line(error)) from error


class _Watch(eventstreamrpc.LifecycleHandler):  # type: ignore[misc]  # the SDK has no types
    """Remembers that the core hung up."""

    def __init__(self, lost: threading.Event) -> None:
        self._lost = lost

    def on_disconnect(self, reason: Exception | None) -> None:
        self._lost.set()


def _line(error: BaseException) -> str:
    text = " ".join(str(getattr(error, "message", None) or error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
