"""Many core devices on one machine: ``python -m ggml_magic.core.fleet``.

One process loads what every core needs and forks once for each, so that a fleet starts in the
time of a few cores and shares the memory of what was loaded. Each core is a process on its own
feet, exactly like one that ``daemon`` starts alone.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ggml_magic import child
from ggml_magic.core import client, daemon, launch
from ggml_magic.core.client import CoreDevice

MODULE = "ggml_magic.core.fleet"
# Cores that start at one time: more would only wait for the processors.
AT_ONCE = 2 * (os.cpu_count() or 1)
# Seconds: for the first core, and for each one more.
FIRST_SECONDS, MORE_SECONDS = 30.0, 2.0
STOPPING_AT_ONCE = 16


def start(
    roots: Mapping[str, Path], endpoint_file: Path, idle_minutes: float, dialect: str = ""
) -> tuple[CoreDevice, ...]:
    """Start the core devices that do not run yet, given as ``{thing: root}``; returns all.

    ``dialect`` is as in ``client.start``. Raises ``CoreError`` for the first that did not start;
    the others go on.
    """
    held = {thing: client.running(root) for thing, root in roots.items()}
    stop(
        [roots[thing] for thing, each in held.items() if each and dialect not in ("", each.dialect)]
    )
    missing = {thing: root for thing, root in roots.items() if client.running(root) is None}
    if missing:
        command = child.command(
            MODULE,
            *("--endpoint-file", str(endpoint_file.resolve())),
            *("--idle-minutes", str(idle_minutes), "--dialect", dialect),
            *(f"{thing}={root.resolve()}" for thing, root in missing.items()),
        )
        launch.first_process(command, FIRST_SECONDS + MORE_SECONDS * len(missing))
    # a core that this could not start is tried again alone, and says why
    return tuple(
        client.running(root) or client.start(root, thing, endpoint_file, idle_minutes, dialect)
        for thing, root in roots.items()
    )


def stop(roots: Sequence[Path]) -> tuple[Path, ...]:
    """End core devices, all at the same time; returns the roots of those that ran."""
    with ThreadPoolExecutor(STOPPING_AT_ONCE) as pool:
        ran = list(pool.map(client.stop, roots))
    return tuple(root for root, stopped in zip(roots, ran, strict=True) if stopped)


def main(arguments: Sequence[str]) -> int:
    """Start all; returns when each is ready or has failed: the worst exit code."""
    parser = argparse.ArgumentParser(f"python -m {MODULE}")
    parser.add_argument("--endpoint-file", type=Path, required=True)
    parser.add_argument("--idle-minutes", type=float, required=True)
    parser.add_argument("--dialect", default="")
    parser.add_argument("cores", nargs="+", metavar="THING=ROOT")
    given = parser.parse_args(arguments)
    _load()
    starting: deque[int] = deque()
    worst = 0
    for core in given.cores:
        thing, _, root = core.partition("=")
        options = argparse.Namespace(**{**vars(given), "thing": thing, "root": Path(root)})
        starting.append(daemon.spawn(options))
        if len(starting) == AT_ONCE:
            worst = max(worst, daemon.outcome(starting.popleft()))
    return max((worst, *(daemon.outcome(reader) for reader in starting)))


def _load() -> None:
    """What every core needs, once; frozen, so that collecting garbage does not copy it."""
    import ggml_magic.core.device  # noqa: F401  # shared by all forks

    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
