"""What a component of a core device said and did, from its log on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from ggml_magic.core.disk import Layout
from ggml_magic.core.logs import last_lines, newest_first

# how the core writes down that a component entered a state
STATE = "state: "


def now() -> str:
    """This moment as a log writes it; such texts sort as their times do."""
    written = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return written.replace("+00:00", "Z")


def states_since(root: Path, component: str, moment: str) -> tuple[str, ...]:
    """The states that a component entered since a moment, the newest first."""
    return tuple(_states(Layout(root).log(component), moment))


def _states(log: Path, moment: str) -> Iterator[str]:
    for line in newest_first(log):
        try:
            entry = json.loads(line)
            written, said = str(entry["timestamp"]), str(entry["message"])
        except (ValueError, TypeError, KeyError):
            continue
        if written < moment:
            return
        # what a script writes has a step, whatever it looks like
        if said.startswith(STATE) and "step" not in entry:
            yield said.removeprefix(STATE)


def last_words(root: Path, component: str) -> str:
    """The last warning or error in a component's log, without time and level; maybe empty."""
    lines = last_lines(Layout(root).log(component), 1, "WARN")
    return lines[0].partition("] ")[2] if lines else ""
