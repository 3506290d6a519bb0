"""The component's process on the device: a loop of cycles around the user's functions.

Its stdout is the component's log: one line an event, none for an idle cycle. It ends with exit
code 0 when the core stops it, and 1 when it cannot start or the core is gone for good.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .context import CallError, ConnectionLostError, Context
from .contract import Contract, ContractBreachError
from .cycle import Cycle, interval
from .handlers import HandlerError, Handlers, load
from .interpreter import Interpreter, ModelError
from .ipc import Ipc
from .selftest import CONTRACT, MODEL

# A core that comes back does so at once; one that does not must not be waited for for ever.
RECONNECT_SECONDS = 10.0
RETRY_SECONDS = 0.5


@dataclass(frozen=True)
class Component:
    """What this folder holds: the model, its contract, and the names they go by."""

    name: str
    version: str
    runtime: str
    thing: str
    contract: Contract
    model: Interpreter
    handlers: Handlers


def main() -> int:
    """Run until stopped; the exit code."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    try:
        component = _component(Path(__file__).resolve().parent.parent)
        link = Ipc()
        return _serve(component, link, stopped)
    except (ModelError, ContractBreachError, HandlerError) as error:
        _fail(f"cannot start: {error}")
    except (OSError, KeyError, ValueError) as error:
        _fail(f"cannot start: {type(error).__name__}: {error}")
    except ConnectionLostError as error:
        _fail(f"the core cannot be reached: {error}")
    return 1


def _component(folder: Path) -> Component:
    facts: dict[str, Any] = json.loads((folder / "component.json").read_text())
    return Component(
        facts["name"],
        os.environ.get("GGML_COMPONENT_VERSION", "unknown"),
        f"{facts['runtime']} {facts['runtime_version']}",
        os.environ["AWS_IOT_THING_NAME"],
        Contract.read(folder / CONTRACT),
        Interpreter(folder / MODEL),
        load(folder),
    )


def _serve(component: Component, ipc: Ipc, stopped: threading.Event) -> int:
    """Cycle until stopped, over one connection after another."""
    cycle, seconds = _prepare(component, ipc)
    own = ", ".join(component.handlers.own) or "none"
    _say(
        f"{component.name} {component.version} runs on {component.runtime}: "
        f"a cycle every {seconds:g} s, own code: {own}"
    )
    while True:
        try:
            _announce(ipc)
            _cycles(cycle, seconds, stopped)
            return 0
        except ConnectionLostError as error:
            _say(f"the connection to the core is lost: {error}")
        finally:
            ipc.close()
        again = _reconnected(stopped)
        if again is None:
            return 0 if stopped.is_set() else 1
        ipc = again
        cycle.context.link = ipc
        _say("connected to the core again")


def _prepare(component: Component, ipc: Ipc) -> tuple[Cycle, float]:
    """The cycle and the seconds between two, from the component's configuration."""
    try:
        configuration = ipc.configuration()
    except CallError as error:
        _say(f"the configuration cannot be read, its defaults are used: {error}")
        configuration = {}
    seconds, complaint = interval(configuration)
    if complaint:
        _say(complaint)
    context = Context(
        component.thing,
        component.name,
        component.version,
        configuration,
        component.contract,
        ipc,
    )
    return Cycle(context, component.model, component.handlers, _say), seconds


def _announce(ipc: Ipc) -> None:
    try:
        ipc.running()
    except CallError as error:  # the core sees the process run; this says it once more
        _say(f"the core: {error}")


def _cycles(cycle: Cycle, seconds: float, stopped: threading.Event) -> None:
    while not stopped.is_set():
        began = time.monotonic()
        cycle.once()
        stopped.wait(max(0.0, began + seconds - time.monotonic()))


def _reconnected(stopped: threading.Event) -> Ipc | None:
    """A new connection, or ``None`` when the core is gone for good or wants us to end."""
    end = time.monotonic() + RECONNECT_SECONDS
    while not stopped.wait(RETRY_SECONDS):
        try:
            return Ipc()
        except ConnectionLostError as error:
            if time.monotonic() > end:
                _say(f"the core is gone: {error}")
                return None
    return None


def _say(text: str) -> None:
    print(text, flush=True)


def _fail(text: str) -> None:
    """Last words; the core takes the last line of stderr for the cause."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
