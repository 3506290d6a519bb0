"""A group of core devices on this machine, real ones or simulated."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ggml_magic.errors import CoreError, GrammarError
from ggml_magic.presentation import Card, Presented
from ggml_magic.sandbox import client
from ggml_magic.sandbox import endpoint as ep
from ggml_magic.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP = "fleet"
# A real core takes some 10 MB here and a fleet is for learning: more would only be a mistake.
LARGEST = 200
EXAMPLE = "%ggml sandbox fleet 50"
SIMULATED_NOTE = (
    "simulated: they answer deployments by a script; nothing is downloaded, no component runs"
)


@dataclass(frozen=True)
class Fleet(Presented):
    """Core devices in a thing group; ``answers`` counts the parts of a simulated fleet."""

    group: str
    things: tuple[str, ...]
    answers: Mapping[str, int] | None = None

    @property
    def target(self) -> str:
        """What a deployment to all of them names."""
        return f"thinggroup/{self.group}"

    def card(self) -> Card:
        """The group, its devices, and how to deploy to them."""
        kind = "core devices" if self.answers is None else "simulated devices"
        facts = [
            ("thing group", self.group),
            ("things", f"{self.things[0]} to {self.things[-1]}"),
        ]
        if self.answers is not None:
            script = ", ".join(f"{count} {name}" for name, count in self.answers.items())
            facts.append(("answers", script))
        note = SIMULATED_NOTE if self.answers else "development cores on this machine"
        return Card(
            f"fleet of {len(self.things)} {kind} on the sandbox: running",
            tuple(facts),
            notes=(note, f"deploy to all: --to {self.target}"),
        )


def add(
    workspace: Workspace,
    count: int,
    group: str,
    idle_minutes: float,
    simulate: str | None = None,
    dialect: str = "",
) -> Fleet:
    """So many core devices in a thing group, started and waited for; a fleet only grows.

    With ``simulate``, a script as ``core.script`` reads it, they are simulated by one process.
    Raises ``GrammarError`` for a number, a name or a script that cannot be, ``CoreError``.
    """
    if not 1 <= count <= LARGEST:
        raise GrammarError(f"a fleet has 1 to {LARGEST} core devices, not {count}", "", EXAMPLE)
    if not client.THING.fullmatch(group) or not client.THING.fullmatch(f"{group}-{count}"):
        raise GrammarError(
            f"a thing group cannot be called {group!r}",
            "its name has letters, digits, :, _ and -, begins with a letter or digit, and has with"
            " its devices' numbers at most 128 characters",
            f"{EXAMPLE} --group weather-stations",
        )
    endpoint = client.ensure(workspace, idle_minutes)
    held = _held(workspace, group)
    things = tuple(f"{group}-{number:02d}" for number in range(1, max(count, held) + 1))
    if simulate is None:
        return _real(workspace, endpoint, group, things, idle_minutes, dialect)
    return _simulated(workspace, endpoint, group, things, idle_minutes, simulate)


def _held(workspace: Workspace, group: str) -> int:
    """The highest number that a device of a real fleet has; a simulated one is made anew."""
    numbered = re.compile(rf"{re.escape(group)}-(\d{{2,3}})")
    found = (numbered.fullmatch(root.name) for root in client.core_roots(workspace))
    return max((int(match[1]) for match in found if match), default=0)


def _real(
    workspace: Workspace, endpoint: ep.Endpoint, group: str, things: tuple[str, ...],
    idle_minutes: float, dialect: str,
) -> Fleet:  # fmt: skip
    from ggml_magic.core import fleet

    if (workspace.root / "fleets" / group).exists():
        raise _other_kind(group, "simulated")
    for thing in things:
        workspace.folder("cores", thing)
    roots = {thing: workspace.root / "cores" / thing for thing in things}
    with client.turn(workspace):
        _provision(workspace, endpoint, group, things)
        fleet.start(roots, ep.places(workspace).endpoint, idle_minutes, dialect)
    client.healthy(workspace, endpoint, things)
    return Fleet(group, things)


def _simulated(
    workspace: Workspace, endpoint: ep.Endpoint, group: str, things: tuple[str, ...],
    idle_minutes: float, script: str,
) -> Fleet:  # fmt: skip
    from ggml_magic.core import simulated
    from ggml_magic.core.script import Answer

    fleet = simulated.SimulatedFleet(group, things, script)
    parts = fleet.parts
    taken = [thing for thing in things if (workspace.root / "cores" / thing).exists()]
    if taken:
        raise _other_kind(group, "real", taken[0])
    folder = workspace.folder("fleets", group)
    with client.turn(workspace):
        _provision(workspace, endpoint, group, things)
        if simulated.read(folder) != fleet:
            simulated.stop(folder)
            simulated.write(folder, fleet)
        simulated.start(folder, ep.places(workspace).endpoint, idle_minutes)
    speaking = [thing for thing, part in parts.items() if part.answer is not Answer.OFFLINE]
    client.healthy(workspace, endpoint, speaking)
    return Fleet(group, things, dict(Counter(str(part) for part in parts.values())))


def _provision(
    workspace: Workspace, endpoint: ep.Endpoint, group: str, things: tuple[str, ...]
) -> None:
    client.provision(workspace, endpoint, f"groups/{group}", json.dumps(things).encode())


def _other_kind(group: str, kind: str, thing: str = "") -> CoreError:
    what = f"core device {thing}" if thing else f"the fleet {group}"
    return CoreError(
        f"{what} of this workspace is {kind}",
        "real and simulated devices do not share a group",
        f"{EXAMPLE} --group {group}-2",
    )
