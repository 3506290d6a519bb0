"""Why a model's process ended otherwise than it should, in one sentence."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from ggml_magic.errors import DiskFullError, EdgeRuntimeError, GgmlError
from ggml_magic.runtimes.kinds import Runtime
from ggml_magic.runtimes.limits import MEBIBYTE, Limits

# what runtimes, numpy, TensorFlow and the system's loader say when memory is out (RUNTIMES 6)
OUT_OF_MEMORY = (
    "MemoryError",
    "Unable to allocate",
    "failed with error '12'",
    "Cannot allocate memory",
    "Memory allocation still failed",
    "failed to map segment",
    "bad_alloc",
    "can't allocate",
    "can't start new thread",
)
# An operator of a version that the runtime has not, and one that only TensorFlow has (RUNTIMES 2)
NEWER = re.compile(r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'")
FLEX = re.compile(r"Select TensorFlow op.*?Node number \d+ \((Flex\w+)\)", re.DOTALL)
# how a process ends that was given too little memory to say so
SILENT = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGTRAP)


def starved(code: int, output: str) -> bool:
    """Whether a process under a memory limit ended as one does that has too little."""
    return -code in SILENT or any(sign in output for sign in OUT_OF_MEMORY)


def out_of_memory(runtime: Runtime, model: Path, memory_bytes: int) -> EdgeRuntimeError:
    """The error for a process that the limit on memory ended."""
    return EdgeRuntimeError(
        f"{runtime.name} {runtime.version} could not run {model.name}",
        f"{memory_bytes / MEBIBYTE:,.4g} MiB of address space are too few for Python, "
        "the runtime and the model",
        f"--memory {_more(memory_bytes)}",
    )


def failure(runtime: Runtime, model: Path, limits: Limits, code: int, output: str) -> GgmlError:
    """The error for an exit code that is not 0 and what the process wrote on stderr."""
    what = f"{runtime.name} {runtime.version} could not run {model.name}"
    name = model_name(model)
    died = signal.Signals(-code) if code < 0 else None
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = _short(lines[-1]) if lines else f"it ended with exit code {code}"
    if "No space left on device" in last:
        return DiskFullError(what, "no space is left for its outputs", "free some, then again")
    if died is signal.SIGALRM:
        why = f"it made no progress for {limits.seconds:g} s"
        return EdgeRuntimeError(what, why, f"%ggml convert {name} --quantize none")
    if died is signal.SIGKILL:
        why = "the system killed the process, as it does when the machine's memory is full"
        return EdgeRuntimeError(what, why, f"%ggml validate {name} with fewer rows")
    if any(sign in output for sign in OUT_OF_MEMORY):
        return EdgeRuntimeError(
            what, f"the machine's memory is full: {last}", f"%ggml validate {name} with fewer rows"
        )
    why = last if died is None else f"the process died of {died.name}"
    return EdgeRuntimeError(what, why, f"%ggml convert {name}")


def _short(said: str) -> str:
    """What a runtime says in paragraphs, in one sentence; everything else as it is."""
    newer = NEWER.search(said)
    if newer is not None:
        return f"{newer[1]} version {newer[2]} is newer than this runtime knows"
    flex = FLEX.search(said)
    if flex is not None:
        return f"it needs TensorFlow's own operators ({flex[1]}), which this runtime has not"
    return said


def model_name(model: Path) -> str:
    """The name that a model's file has in the workspace: ``models/NAME/…``."""
    parents = [folder.name for folder in model.resolve().parents]
    return parents[parents.index("models") - 1] if "models" in parents[1:] else model.stem


def _more(memory_bytes: int) -> str:
    """Twice as much, and at least what Python and a runtime start in."""
    return f"{max(256, -(-2 * memory_bytes // MEBIBYTE))}MB"
