"""What the process of a model may take, as a smaller machine would give it."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass

from ggml_magic.errors import GrammarError

RUN_SECONDS = 120.0  # a step that takes longer is stuck: TensorFlow's import takes 4 (RUNTIMES 1)
MEBIBYTE = 1 << 20
# Sets the limits, then becomes the command, so that they are on the model's process alone. The
# soft limit, so that the process can leave the rows' and outputs' memory maps out of it.
LIMITED = """
import os, resource, sys
memory, cpus, *command = sys.argv[1:]
if cpus:
    os.sched_setaffinity(0, {int(cpu) for cpu in cpus.split(",")})
if memory:
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), hard))
try:
    os.execv(command[0], command)
except OSError as error:
    sys.exit(f"{command[0]}: {error.strerror}")
"""


@dataclass(frozen=True)
class Limits:
    """CPUs, bytes of address space, and seconds without progress of a model's process.

    ``cpus`` pins the process to so many cores. ``memory_bytes`` bounds its address space, as
    ``prlimit --as`` does: the only bound that needs no privilege. It counts what is reserved
    and not only what is held, so a model that holds 73 MB needs about 200 MB of it (RUNTIMES 6):
    what ends within it fits a device of that much memory, what does not may fit all the same,
    and ``peak_bytes`` tells what was really held. 128 MiB hold the rain network in LiteRT, 96 in
    tflite-runtime; TensorFlow needs more than 512. ``seconds`` bounds each step of the work,
    never the whole: more rows take longer. Raises ``GrammarError`` for what cannot be.
    """

    cpus: int | None = None
    memory_bytes: int | None = None
    seconds: float = RUN_SECONDS

    def __post_init__(self) -> None:
        if self.cpus is not None:
            _check_whole("cpus", self.cpus, "--cpus 1")
            there = len(os.sched_getaffinity(0))
            if self.cpus > there:
                raise GrammarError(
                    f"a model cannot have {self.cpus} cpus",
                    f"this machine gives {there}",
                    f"--cpus {there}",
                )
        if self.memory_bytes is not None:
            _check_whole("bytes of memory", self.memory_bytes, "--memory 512MB")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise GrammarError(
                f"a model cannot have {self.seconds} seconds", "the limit is a time above 0"
            )

    def command(self, command: list[str]) -> list[str]:
        """The command under the limits on CPUs and memory."""
        if self.cpus is None and self.memory_bytes is None:
            return command
        cores = sorted(os.sched_getaffinity(0))[: self.cpus or 0]
        memory = "" if self.memory_bytes is None else str(self.memory_bytes)
        given = [memory, ",".join(map(str, cores))]
        return [sys.executable, "-I", "-S", "-c", LIMITED, *given, *command]


def _check_whole(what: str, value: object, remedy: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise GrammarError(
            f"a model cannot have {value} {what}", "it is a whole number above 0", remedy
        )
