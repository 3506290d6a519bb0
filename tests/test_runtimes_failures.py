from __future__ import annotations

import signal
from pathlib import Path

import pytest

from ggml_magic.errors import DiskFullError, EdgeRuntimeError
from ggml_magic.runtimes.failures import failure, out_of_memory, starved
from ggml_magic.runtimes.limits import MEBIBYTE, Limits
from ggml_magic.runtimes.litert import LITERT

MODEL = Path("/home/ada/.ggml/models/rain/abc/candidates/float32.tflite")


@pytest.mark.parametrize(
    ("code", "output", "limits", "why", "remedy"),
    [
        (1, "noise\nit is no model\n", Limits(), "it is no model", "%ggml convert rain"),
        (3, "", Limits(), "it ended with exit code 3", "%ggml convert rain"),
        (-signal.SIGSEGV, "", Limits(), "the process died of SIGSEGV", "%ggml convert rain"),
        (-signal.SIGALRM, "", Limits(seconds=2), "no progress for 2 s", "--quantize none"),
        (-signal.SIGKILL, "", Limits(), "the system killed the process", "with fewer rows"),
        (1, "MemoryError: x", Limits(), "the machine's memory is full", "with fewer rows"),
    ],
)
def test_each_way_to_end_is_one_sentence_and_the_next_command(
    code: int, output: str, limits: Limits, why: str, remedy: str
) -> None:
    error = failure(LITERT, MODEL, limits, code, output)
    assert isinstance(error, EdgeRuntimeError)
    assert error.what == "ai-edge-litert 2.3.0 could not run float32.tflite"
    assert why in error.why and "\n" not in error.why
    assert remedy in error.remedy


@pytest.mark.parametrize(
    ("code", "output", "expected"),
    [
        (-signal.SIGSEGV, "", True),
        (-signal.SIGABRT, "", True),
        (1, "MemoryError: x", True),
        (1, "cannot load: Mmap of '3' at offset '0' failed with error '12'.", True),
        (1, "OpenBLAS error: Memory allocation still failed after 10 retries", True),
        (127, "error while loading shared libraries: failed to map segment", True),
        (1, "it is no model", False),
        (-signal.SIGALRM, "", False),
    ],
)
def test_too_little_memory_has_many_faces(code: int, output: str, expected: bool) -> None:
    assert starved(code, output) == expected


@pytest.mark.parametrize(("given", "remedy"), [(64, "256MB"), (300, "600MB")])
def test_more_memory_is_the_next_command(given: int, remedy: str) -> None:
    error = out_of_memory(LITERT, MODEL, given * MEBIBYTE)
    assert error.why.startswith(f"{given} MiB of address space are too few")
    assert error.remedy == f"--memory {remedy}"


UNKNOWN = (
    "the runtime cannot load net.tflite: Didn't find op for builtin opcode 'FULLY_CONNECTED' "
    "version '12'. An older version of this builtin might be supported. Are you using an old "
    "TFLite binary with a newer model? Registration failed."
)
SELECT = (
    "Select TensorFlow op(s), included in the given model, is(are) not supported by this "
    "interpreter. See instructions: https://www.tensorflow.org/lite/guide/ops_select"
    "Node number 1 (FlexTensorListReserve) failed to prepare."
)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (UNKNOWN, "FULLY_CONNECTED version 12 is newer than this runtime knows"),
        (
            SELECT * 2,
            "it needs TensorFlow's own operators (FlexTensorListReserve), which this runtime "
            "has not",
        ),
        ("Node number 1 (Flexible) failed", "Node number 1 (Flexible) failed"),
    ],
)
def test_paragraphs_of_the_runtime_become_one_sentence(said: str, why: str) -> None:
    assert failure(LITERT, MODEL, Limits(), 1, f"noise\n{said}\n").why == why


def test_a_full_disk_is_told_as_such() -> None:
    output = "OSError: [Errno 28] No space left on device"
    assert isinstance(failure(LITERT, MODEL, Limits(), 1, output), DiskFullError)


def test_a_file_outside_of_a_workspace_is_called_by_its_name() -> None:
    assert failure(LITERT, Path("/m/net.tflite"), Limits(), 1, "").remedy == "%ggml convert net"
