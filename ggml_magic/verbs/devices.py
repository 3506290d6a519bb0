"""What the devices do: replay, predictions, shadow, logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ggml_magic.errors import GrammarError
from ggml_magic.verbs.run import Run, verb

if TYPE_CHECKING:
    from ggml_magic.observe.logs import Logs
    from ggml_magic.observe.predictions import Predictions
    from ggml_magic.observe.shadow import Shadow


@verb
def replay(run: Run, name: str, *, inputs: object, to: str) -> Predictions:
    """Send rows to a thing's shadow as its sensor would, and wait for the answers.

    Raises ``DeploymentTimeoutError`` when nothing answers, ``ContractError`` for bad rows.
    """
    from ggml_magic.observe import predictions as room

    thing = _thing(run, to)
    value = room.replay(run.cloud, run.workspace, run.model(name), thing, inputs)
    run.made += [f"{item.reading} {item.prediction}" for item in value]
    return value


@verb
def predictions(run: Run, name: str, *, to: str | None = None) -> Predictions:
    """What a device predicted; without ``to``, the thing of the latest deployment."""
    from ggml_magic.deploy.deploy import latest
    from ggml_magic.observe import predictions as room

    thing = _thing(run, to or latest(run.workspace, name).target)
    value = room.recorded(run.cloud, run.workspace, name, thing)
    run.made += [f"{item.reading} {item.prediction}" for item in value]
    return value


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
def shadow(run: Run, thing: str) -> Shadow:
    """A thing's shadow: what the device reported, and what is wished of it."""
    from ggml_magic.observe import shadow as room

    value = room.read(run.cloud, thing)
    run.made.append(str(value.version))
    return value


@verb
def logs(run: Run, thing: str, component: str) -> Logs:
    """The last lines of a component's log on a sandbox core."""
    from ggml_magic.observe import logs as room

    value = room.tail(run.workspace, run.settings, thing, component)
    run.made += value.lines
    return value
