"""``ggml VERB …``: the verbs in a terminal.

Exit codes: 0 done, 1 failed, 2 not understood, 130 interrupted.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ggml_magic.errors import GgmlError, GrammarError, UnknownNameError
from ggml_magic.grammar import reading
from ggml_magic.grammar.help import COMMAND, HELP
from ggml_magic.grammar.table import VERBS
from ggml_magic.grammar.verb import Argument, Call, Kind

DONE, FAILED, NOT_UNDERSTOOD, INTERRUPTED = 0, 1, 2, 130
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
        print(_run(words))
    except GgmlError as error:
        print("\n".join(_lines(error)), file=sys.stderr)
        return NOT_UNDERSTOOD if isinstance(error, GrammarError) else FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return DONE


def _run(words: Sequence[str]) -> Any:
    _refuse_live(words)
    call = reading.read(words, COMMAND, look)
    if not isinstance(call, Call):
        return call
    from ggml_magic.verbs.public import function

    seams = {"on_step": _print_line} if call.verb.name == "run" else {}
    return call.on(function(call.verb.name), **seams)


def _refuse_live(words: Sequence[str]) -> None:
    verb = VERBS.get(words[0]) if words else None
    if verb is None or not verb.live or any(word in HELP for word in words):
        return
    raise GrammarError(
        f"{verb.name} takes live Python objects, which a terminal does not have",
        remedy="jupyter lab, and there: %load_ext ggml_magic",
    )


def look(argument: Argument, text: str) -> object:
    """What a word of the command line names: a file of rows or of code."""
    path = Path(text)
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


def _print_line(line: str) -> None:
    print(line, flush=True)


def _lines(error: GgmlError) -> list[str]:
    """The error as a terminal says it: a magic that it names becomes the command."""
    return MAGIC.sub(_command, str(error)).splitlines()


def _command(found: re.Match[str]) -> str:
    verb = VERBS.get(found[1])
    return found[0] if verb is not None and verb.live else f"{COMMAND} {found[1]}"


if __name__ == "__main__":
    sys.exit(main())
