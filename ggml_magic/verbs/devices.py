"""What the devices do: replay, predictions, messages, shadow, logs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ggml_magic.errors import GrammarError
from ggml_magic.grammar.table import LOG_LINES, WAITED_SECONDS
from ggml_magic.verbs.rollout import latest
from ggml_magic.verbs.run import Run, verb

if TYPE_CHECKING:
    from ggml_magic.observe.logs import Logs
    from ggml_magic.observe.messages import Messages
    from ggml_magic.observe.predictions import Predictions
    from ggml_magic.observe.shadow import Shadow

# who waits longer than this is told for what, seconds
LONG_SECONDS = 5.0


@verb
def replay(
    run: Run,
    name: str,
    *,
    inputs: object,
    to: str,
    units: str | None = None,
    on_answer: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Send rows to a thing's shadow as its sensor would, and wait for the answers.

    A long one prints how long it will take and how far it is, unless ``on_answer`` takes each
    answer's number and how many there will be; an answer is kept as soon as it is there.
    ``units`` are those of the rows, where they are not the contract's. Raises
    ``NotYetError`` where the model is not installed, ``DeploymentTimeoutError`` when nothing
    answers, ``ContractError`` for bad rows.
    """
    from ggml_magic.observe import predictions as room
    from ggml_magic.observe.pace import Pace

    thing = _thing(run, to)
    model = run.model(name)
    progress = on_answer or Pace(_print).answered
    value = room.replay(
        run.cloud, run.workspace, model, thing, inputs, units=units, progress=progress
    )
    run.made += [f"{item.reading} {item.prediction}" for item in value]
    return value


@verb
def predictions(run: Run, name: str, *, to: str | None = None) -> Predictions:
    """The answers that ``replay`` collected from a thing, and the newest in its shadow.

    Without ``to``, the thing of the latest deployment. Raises ``NotYetError`` where there is
    no such model or deployment.
    """
    from ggml_magic.observe import predictions as room

    thing = _thing(run, to or latest(run, name).target)
    value = room.recorded(run.cloud, run.workspace, name, thing)
    if not value:
        run.model(name)
    run.made += [f"{item.reading} {item.prediction}" for item in value]
    return value


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _thing(run: Run, to: str) -> str:
    """The one thing of a target; raises ``GrammarError`` for a group of several."""
    from ggml_magic.deploy import target

    aim = target.parse(to)
    target.arn(run.cloud, aim)
    things = target.devices(run.cloud, aim)
    if len(things) != 1:
        raise GrammarError(
            f"{to} is not one thing",
            f"it has {', '.join(things)}" if things else "it has none",
            f"--to thing/{things[0] if things else 'NAME'}",
        )
    return things[0]


@verb
def messages(
    run: Run, topic_filter: str, *, count: int = 1, seconds: float = WAITED_SECONDS
) -> Messages:
    """The next messages that are published by MQTT, to IoT Core's topics of the sandbox.

    Waits until ``count`` came, at most ``seconds``; fewer are a result too. ``topic_filter``
    may hold ``+`` and ``#``. Raises ``NotYetError`` where none came, ``CloudError`` on AWS.
    """
    from ggml_magic.observe import messages as room

    wanted = _whole("count", count)
    if seconds >= LONG_SECONDS:
        shown = f"{wanted} messages" if wanted > 1 else "a message"
        _print(f"waiting for {shown} of {topic_filter}, {seconds:g} s at most\n")
    value = room.messages(run.workspace, run.settings, topic_filter, wanted, seconds)
    run.made += [f"{item.topic} {item.payload}" for item in value]
    return value


@verb
def shadow(run: Run, thing: str) -> Shadow:
    """A thing's shadow: what the device reported, and what is wished of it."""
    from ggml_magic.observe import shadow as room

    value = room.read(run.cloud, thing)
    run.made.append(str(value.version))
    return value


@verb
def logs(
    run: Run, thing: str, component: str, *, lines: int = LOG_LINES, level: str | None = None
) -> Logs:
    """The last lines of a log on a sandbox core; ``component`` may be the model's name.

    ``core`` is the core's own log. ``level`` leaves out what is less: DEBUG, INFO, WARN, ERROR.
    """
    from ggml_magic.observe import logs as room

    value = room.tail(
        run.workspace, run.settings, thing, component, _whole("lines", lines), level=level
    )
    run.made += value.lines
    return value


def _whole(name: str, value: float) -> int:
    """A number of things; raises ``GrammarError`` when it is none."""
    if value < 1 or value != int(value):
        raise GrammarError(
            f"{value:g} is no number of {name}", "it is a whole number above 0", f"--{name} 10"
        )
    return int(value)
