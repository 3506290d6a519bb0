"""``ggml VERB …``: the verbs in a terminal.

Exit codes: 0 done, 1 failed, 2 not understood, 130 interrupted.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ggml_magic.errors import GateError, GgmlError, GrammarError, UnknownNameError
from ggml_magic.grammar import reading
from ggml_magic.grammar.help import COMMAND
from ggml_magic.grammar.place import is_place
from ggml_magic.grammar.verb import Argument, Call, Kind

DONE, FAILED, NOT_UNDERSTOOD, INTERRUPTED, UNREAD = 0, 1, 2, 130, 141
DATA_SUFFIXES = (".npy", ".csv")
VERSION = ("--version", "-V")
MAGIC = re.compile(r"%%?ggml (\S+)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] and words[0] in VERSION:
        from importlib.metadata import version

        print(f"ggml_magic {version('ggml-magic')}")
        return DONE
    try:
        print(_run(words), flush=True)
    except BrokenPipeError:  # who reads has read enough, as in ``ggml status | head -1``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except GgmlError as error:
        if isinstance(error, GateError) and error.report is not None:
            print(error.report, flush=True)
        print("\n".join(_lines(error)), file=sys.stderr)
        return NOT_UNDERSTOOD if isinstance(error, GrammarError) else FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return DONE


def _run(words: Sequence[str]) -> Any:
    call = reading.read(words, COMMAND, look)
    if not isinstance(call, Call):
        return call
    from ggml_magic.verbs.public import function

    seams = {"on_step": _print_line} if call.verb.name == "run" else {}
    return call.on(function(call.verb.name), **seams)


def look(argument: Argument, text: str) -> object:
    """What a word of the command line names: a saved model, a file of rows or of code."""
    path = Path(text)
    if argument.kind is Kind.STAGE:
        return _place(text)
    if argument.kind is Kind.CODE:
        try:
            return path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise GrammarError(f"{argument.option} {text} cannot be read", str(error)) from None
    if path.suffix not in DATA_SUFFIXES:
        raise GrammarError(
            f"{argument.option} takes a file in a terminal, not {text!r}",
            f"it ends with {' or '.join(DATA_SUFFIXES)}",
            f"{argument.option} FILE.npy or FILE.csv",
        )
    if not path.is_file():
        raise UnknownNameError(f"there is no file {text}", remedy=f"ls {path.parent}")
    return path


def _place(text: str) -> str:
    if not is_place(text):
        raise GrammarError(
            f"there is no saved model {text!r} here",
            "a terminal has no live Python objects; it takes a file, a folder, s3://… or "
            "sagemaker:training-job/NAME",
            "%ggml model --help",
        )
    return text


def _print_line(line: str) -> None:
    print(line, flush=True)


def _lines(error: GgmlError) -> list[str]:
    """The error as a terminal says it: a magic that it names becomes the command."""
    return MAGIC.sub(rf"{COMMAND} \1", str(error)).splitlines()


if __name__ == "__main__":
    sys.exit(main())
