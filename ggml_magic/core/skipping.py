"""When a step is not run: its ``Skipif`` (EDGE-CORE 5)."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

WRITTEN = re.compile(r"(!?)\s*(onpath|exists)\s+(\S.*)", re.IGNORECASE | re.DOTALL)


def skipped(condition: str, path: str | None = None, home: str = "~") -> bool:
    """Whether a condition holds: ``[!] onpath COMMAND`` or ``[!] exists PATH``.

    ``path`` is the PATH that commands are looked for on, the core's own if it is left out;
    ``home`` what ``~`` stands for. Raises ``ValueError`` when the condition is neither.
    """
    match = WRITTEN.fullmatch(condition.strip())
    if match is None:
        raise ValueError(f"Skipif {condition!r} is neither onpath nor exists")
    negation, kind, what = match.groups()
    if kind.lower() == "onpath":
        holds = shutil.which(what, path=path) is not None
    else:
        own = what == "~" or what.startswith("~/")
        holds = (Path(home + what[1:]) if own else Path(what)).expanduser().exists()
    return holds is not bool(negation)
